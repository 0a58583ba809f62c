"""Time and memory beside SAM 2's image predictor, in one run.

python benchmarks/against_sam2 [--rounds N] [--threads N] [--output FOLDER] [--plot PNG] [--quick]

Hiera-B+ with random weights on both sides (speed does not depend on them, masks are not looked
at), and the bundled model beside it. What is timed alternates between both, so that whatever else
the machine does strikes both. On the CPU and, where there is one, on CUDA.
"""

import json
import sys
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parent))


@click.command()
@click.option("--device", default="auto", show_default=True, help="auto is cpu, and cuda too.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 100))
@click.option("--threads", default=2, show_default=True, type=click.IntRange(min=1))
@click.option("--boxes", default="64,256,1024", show_default=True, help="How many at once.")
@click.option("--sides", default="512,1024,2048,4096", show_default=True, help="Of tiles, px.")
@click.option("--output", default="runs/against-sam2", type=click.Path(path_type=Path))
@click.option("--plot", "picture", type=click.Path(path_type=Path), help="Scaling, as PNG.")
@click.option("--quick", is_flag=True, help="64 boxes, tiles up to 1024 px, one round.")
@click.option("--only", type=click.Choice(["trunk", "bundled", "scaling", "memory"]), multiple=True)
@click.option("--memory-of", hidden=True)
def main(
    device: str,
    rounds: int,
    threads: int,
    boxes: str,
    sides: str,
    output: Path,
    picture: Path | None,
    quick: bool,
    only: tuple[str, ...],
    memory_of: str | None,
) -> None:
    """Measure both and print a table."""
    if memory_of:
        _measure_memory(memory_of, device, threads)
        return
    counts, lengths = _numbers("64" if quick else boxes), _numbers("512,1024" if quick else sides)
    parts = only or ("trunk", "bundled", "scaling", "memory")
    rounds = 1 if quick else rounds
    for where in _devices(device):
        _run(where, rounds, threads, counts, lengths, parts, output, picture)


def _run(
    device: str,
    rounds: int,
    threads: int,
    counts: tuple[int, ...],
    sides: tuple[int, ...],
    parts: tuple[str, ...],
    output: Path,
    picture: Path | None,
) -> None:
    from memory import peaks

    # First, while this process is small: a child inherits its parent's peak on Linux.
    memory = peaks(device, threads, sides) if "memory" in parts else []
    import torch
    from report import as_markdown, machine, plot, save
    from timing import SIDE, bundled_against, click_by_side, same_trunk, scaling

    torch.set_num_threads(threads)
    rows = []

    def keep(row: object) -> None:
        rows.append(row)
        save(output, machine(device, threads), rows, memory)  # a run cut short has what it had
        click.echo(f"{device}: {row.step} {row.seconds}", err=True)

    if "trunk" in parts:
        for row in same_trunk(device, rounds, counts):
            keep(row)
    if "bundled" in parts:
        keep(bundled_against(device, rounds))
    if "scaling" in parts:
        if max(sides) > SIDE:
            keep(click_by_side(device, rounds, sides))
        for row in scaling(device, rounds, sides):
            keep(row)
    of = machine(device, threads)
    click.echo(as_markdown(of, rows, memory), nl=False)
    click.echo(f"saved in {', '.join(map(str, save(output, of, rows, memory)))}")
    if picture is not None and "scaling" in parts:
        plot(rows, picture)


def _measure_memory(what: str, device: str, threads: int) -> None:
    import torch
    from memory import measure

    torch.set_num_threads(threads)
    who, step = what.split("|")
    click.echo(json.dumps(measure(who, step, device)))


def _devices(name: str) -> tuple[str, ...]:
    """Asked of another process, so that this one stays small."""
    if name != "auto":
        return (name,)
    import subprocess

    code = "import torch; print(torch.cuda.is_available())"
    answer = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    return ("cpu", "cuda") if answer.stdout.strip() == "True" else ("cpu",)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(each) for each in text.split(","))


if __name__ == "__main__":
    main()
