"""``uninuc learn``: a state of the model, learnt from corrected sessions, with proof."""

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from napari_uninuc.cli.messages import progress_bar, report_warning
from napari_uninuc.cli.options import PathArgument, device_option, model_option
from napari_uninuc.cli.outputs import require_place

if TYPE_CHECKING:
    from napari_uninuc.core.examples import Corrections
    from napari_uninuc.training.learn_run import Told

_NO_BETTER = 3
_NICE = 10


@click.command(short_help="Learn from corrected sessions, with proof.")
@click.argument("sessions", metavar="SESSION...", type=PathArgument, nargs=-1, required=True)
@click.option(
    "--output",
    metavar="FILE",
    type=PathArgument,
    help="The learnt state (.safetensors); its name becomes the state's.",
)
@model_option
@device_option
@click.option(
    "--compare",
    "states",
    metavar="FILE",
    multiple=True,
    type=PathArgument,
    help="Learn nothing: put learnt states side by side on these corrections. May be given several "
    "times.",
)
@click.option("--driven", is_flag=True, hidden=True)
def learn(
    sessions: tuple[Path, ...],
    output: Path | None,
    model: str,
    device: str,
    states: tuple[Path, ...],
    driven: bool,
) -> int:
    """Learn from the nuclei that were reviewed, corrected, added and deleted in saved sessions.

    A part of the corrections is kept aside by place, by turns. Where the learnt state does better
    on them by more than chance, it is written; else nothing is, and the exit status is 3. The model
    itself is never changed.

    \b
    Examples:
      uninuc learn SESSION --output mine.safetensors
      uninuc learn sessions/* --output laboratory.safetensors
      uninuc segment tile.png --output nuclei.tif --adapter mine.safetensors
      uninuc learn OTHER OTHER --compare anna.safetensors --compare ben.safetensors
    """
    if (output is None) == (not states):
        raise click.UsageError("Pass --output FILE or --compare FILE..., one of both.")
    if output is None:
        with _shown() as told:
            click.echo(_compared(sessions, states, model, device, told), nl=False)
        return 0
    if output.suffix != ".safetensors":
        raise click.UsageError(f"--output must end in .safetensors, got {output.name}")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", output.stem):
        raise click.UsageError(
            "--output becomes the state's name and may hold letters, digits, dots, dashes, "
            f"underscores and plus signs, a letter or digit first; got {output.stem!r}"
        )
    require_place(output)
    with _driven() if driven else _shown() as told:
        return _learn(sessions, output, model, device, told, aside_others=driven)


def _learn(
    sessions: tuple[Path, ...],
    output: Path,
    model: str,
    device: str,
    told: "Told",
    *,
    aside_others: bool,
) -> int:
    """Learn and write; with ``aside_others`` under another name where the file was made since."""
    from napari_uninuc.engine.loading import load_engine
    from napari_uninuc.network.adapter import write_adapter, write_new_adapter
    from napari_uninuc.network.adapter_card import in_words
    from napari_uninuc.training.learn_run import learn as learn_from

    pictures = [_read(session) for session in sessions]
    engine = load_engine(model, device, embeddings_gb=None, notice=report_warning)
    outcome = learn_from(engine, pictures, output.stem, told)
    if outcome.adapter is None:
        click.echo(
            f"not better by more than chance, nothing was written: {in_words(outcome.proof)}"
        )
        return _NO_BETTER
    if aside_others:
        output = write_new_adapter(outcome.adapter, output)
    else:
        write_adapter(outcome.adapter, output)
    click.echo(f"{len(pictures)} sessions -> {output}: {in_words(outcome.proof)}")
    return 0


def _compared(
    sessions: tuple[Path, ...], states: tuple[Path, ...], model: str, device: str, told: "Told"
) -> str:
    """Judge states on the corrections of sessions: a table."""
    from napari_uninuc.engine.loading import load_engine
    from napari_uninuc.network.adapter import read_adapter
    from napari_uninuc.training.learn_run import standings

    adapters = [read_adapter(path) for path in states]
    pictures = [_read(session) for session in sessions]
    engine = load_engine(model, device, embeddings_gb=None, notice=report_warning)
    proofs = standings(engine, pictures, adapters, told)
    seen = {each.source for each in pictures}
    for path, adapter in zip(states, adapters, strict=True):
        both = sorted(seen.intersection(adapter.card.sessions))
        if both:
            report_warning(
                f"{path}: was taught on {', '.join(both)}, which flatters it; compare on sessions "
                "that no state has seen"
            )
    first = proofs[0]
    rows = [
        (
            "state",
            "right",
            "false",
            "quality against as it came",
            f"{100 * first.confidence:.0f} % interval",
        )
    ]
    right, false = f"of {first.nuclei}", f"of {first.deleted}"
    as_it_came = f"{first.right_before} {right}", f"{first.false_before} {false}"
    rows.append(("as it came", *as_it_came, "", ""))
    for path, proof in zip(states, proofs, strict=True):
        counts = f"{proof.right_after} {right}", f"{proof.false_after} {false}"
        interval = f"{proof.low:+.3f} to {proof.high:+.3f}"
        rows.append((path.stem, *counts, f"{proof.gain:+.3f}", interval))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows)
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _read(session: Path) -> "Corrections":
    from napari_uninuc.journal.corrections import read_corrections

    said, problem = read_corrections(session)
    if problem is not None:
        report_warning(problem)
    return said


@contextmanager
def _shown() -> "Iterator[Told]":
    with progress_bar("learning", "step") as bar:
        yield lambda done, total, what: bar(done, total)


@contextmanager
def _driven() -> "Iterator[Told]":
    """Be the window's: low priority, a line a step on standard output, and obey standard input.

    It says ``pause`` and ``go``. Where it ends, so has the window, and this process ends too.
    """
    if hasattr(os, "nice"):
        with suppress(OSError):
            os.nice(_NICE)
    going = threading.Event()
    going.set()
    threading.Thread(target=_obey, args=(going,), daemon=True).start()

    def told(done: int, total: int, what: str) -> None:
        click.echo(f"step {done} {total} {what}")
        going.wait()

    yield told


def _obey(going: threading.Event) -> None:
    for line in sys.stdin:
        if line.strip() == "pause":
            going.clear()
        else:
            going.set()
    os._exit(1)
