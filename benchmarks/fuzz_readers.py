"""Give every reader broken and hostile input: a result or one clear line is all that may come.

python benchmarks/fuzz_readers.py [--cases N] [--seed N] [--reader NAME ...]

A case is a whole input, spoilt (`fuzz_mutations`), and read in a process of its own that is ended
and replaced where it hangs. Case k of a reader is the same in every run: `--reader NAME --seed k
--cases 1` runs it again. What counts as wrong: an exception that is none of ours or has more than
one line, more than 10 s of processor time, a file written, or opened outside
the folder of the case, a process or connection begun, more memory than 1 GiB and 12 bytes for each
pixel that was read. Linux.
"""

import faulthandler
import logging
import multiprocessing
import os
import random
import re
import resource
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

import click
from fuzz_inputs import READERS
from fuzz_mutations import spoil
from fuzz_watch import Watch

CPU_S = 10.0
WALL_S = 300.0
"""A hang for certain, however busy the machine."""

BASE_MB = 1024
BYTES_PER_PX = 12
_SPARE = 6 * 2**30
"""Bytes that may be asked for at once, beyond those the process has; the rest is refused."""

_LONGEST_LINE = 1500


def spoil_tree(entry: Path, rng: random.Random) -> None:
    """Spoil one or two files of an input, or what lies beside them."""
    for _ in range(rng.choice((1, 1, 1, 2))):
        files = sorted(
            each for each in entry.rglob("*") if each.is_file() and not each.is_symlink()
        )
        if entry.is_file():
            entry.write_bytes(spoil(entry.name, entry.read_bytes(), rng))
            return
        if not files:
            return
        file = rng.choice(files)
        if rng.random() < 0.85:
            file.write_bytes(spoil(file.name, file.read_bytes(), rng))
        else:
            _rearrange(file, rng.choice(files), entry, rng)


def _rearrange(file: Path, other: Path, entry: Path, rng: random.Random) -> None:
    """Make a file go, be another, or be no file."""
    content = other.read_bytes()
    file.unlink()
    outside = entry.parents[1] / "outside" / "secret"
    makers = (
        lambda: None,
        lambda: file.write_bytes(content),
        lambda: file.symlink_to(outside),
        lambda: file.symlink_to("/dev/zero"),
        lambda: file.symlink_to(file.name),
        lambda: os.mkfifo(file),
        lambda: file.mkdir(),
        lambda: (file.parent / "journal-0009").write_bytes(content),
    )
    rng.choice(makers)()


def prepare(reader: str, number: int, arena: Path) -> Path:
    """Lay out case `number` of a reader in ``arena/case``; returns the input to read."""
    whole = arena / "whole" / reader
    rng = random.Random(f"{reader} {number}")
    case = arena / "case"
    shutil.rmtree(case, ignore_errors=True)
    case.mkdir()
    chosen = rng.choice(sorted(whole.iterdir()))
    entry = case / chosen.name
    shutil.copytree(chosen, entry) if chosen.is_dir() else shutil.copy(chosen, entry)
    spoil_tree(entry, rng)
    return entry


def warm_up(reader: str, arena: Path) -> tuple[str, str]:
    """Make the whole inputs of a reader and read each: what is loaded once is loaded then."""
    whole = arena / "whole" / reader
    if not whole.exists():
        whole.mkdir(parents=True)
        READERS[reader].make(whole)
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    for entry in sorted(whole.iterdir()):
        READERS[reader].read(entry)
    limit = int(_memory_mb("VmSize") * 2**20) + _SPARE
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    return "result", ""


def judge(reader: str, number: int, arena: Path, watch: Watch) -> tuple[str, str]:
    """Run one case: what came of it ("result", "refused", else what is wrong), and a text."""
    faulthandler.dump_traceback_later(WALL_S / 2)  # to standard error: where it hangs
    entry = prepare(reader, number, arena)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before, began, pixels = _memory_mb("VmRSS"), time.process_time(), 0
    watch.seen.clear()
    watch.armed = True
    try:
        pixels = READERS[reader].read(entry)
        outcome, text = "result", ""
    except BaseException as problem:
        outcome, text = _verdict(problem)
    watch.armed = False
    faulthandler.cancel_dump_traceback_later()
    seconds, taken = time.process_time() - began, _memory_mb("VmHWM") - before
    if outcome in ("result", "refused"):
        links = READERS[reader].links
        acts = [act for act in watch.seen if not (links and act.startswith("read outside"))]
        if acts:
            return "touched", f"{acts[0]} ({text[:200]})"
        if seconds > CPU_S:
            return "slow", f"{seconds:.0f} s ({text[:200]})"
        if taken > BASE_MB + BYTES_PER_PX * pixels / 2**20:
            return "memory", f"{taken:.0f} MB for {pixels} px ({text[:200]})"
    return outcome, text


def _verdict(problem: BaseException) -> tuple[str, str]:
    from napari_uninuc.errors import UniNucError

    said = str(problem)
    chain, link = [], problem
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__  # type: ignore[assignment]
    if any(isinstance(each, MemoryError) or "alloc" in str(each)[:300] for each in chain):
        return "memory", f"asked for more than {_SPARE >> 30} GiB ({said[:300]})"
    if not isinstance(problem, UniNucError):
        where = problem.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        place = "" if where is None else f" {where.tb_frame.f_code.co_qualname}:{where.tb_lineno}"
        return type(problem).__name__, f"{said[:300]}{place}"
    if "\n" in said or not said.strip():
        return "not one line", said[:300]
    if len(said) > _LONGEST_LINE:
        return "too long", f"{len(said)} characters: {said[:200]}"
    return "refused", said


def _memory_mb(name: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(rf"{name}:\s+(\d+)", status)
    assert found is not None
    return int(found.group(1)) / 1024


def work(pipe: Connection, arena: Path) -> None:
    """Be the process that reads: takes (reader, number), answers what came of it."""
    faulthandler.enable(file=sys.__stderr__)
    warnings.simplefilter("ignore")  # both as `uninuc` does
    logging.getLogger().addHandler(logging.NullHandler())
    os.environ["UNINUC_SESSIONS"] = str(arena / "sessions")
    os.environ["OMP_NUM_THREADS"] = "1"
    os.chdir(arena)
    tempfile.gettempdir()  # tries a file out, once
    watch = Watch(arena / "case")
    while (task := pipe.recv()) is not None:
        reader, number = task
        pipe.send(warm_up(reader, arena) if number < 0 else judge(reader, number, arena, watch))


class Worker:
    """The reading process, begun anew where it does not answer."""

    def __init__(self, arena: Path) -> None:
        self._arena = arena
        self._begin()

    def _begin(self) -> None:
        self._warm = ""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=work, args=(theirs, self._arena), daemon=True)
        self._process.start()
        theirs.close()

    def run(self, reader: str, number: int) -> tuple[str, str]:
        """What `judge` says, or that it hangs or died."""
        if self._warm != reader:
            self._warm = reader
            warmed, text = self.run(reader, -1)
            if warmed != "result":
                raise RuntimeError(f"{reader}: whole inputs cannot be read ({warmed}: {text})")
        self._pipe.send((reader, number))
        try:
            if self._answers(WALL_S, 3 * CPU_S if number >= 0 else WALL_S):
                answer: tuple[str, str] = self._pipe.recv()
                return answer
            found = "hang", f"no answer, {self._cpu_s():.0f} s of processor time in all"
        except (EOFError, ConnectionError):
            self._process.join(5)
            found = "died", f"exit status {self._process.exitcode}"
        self.end()
        self._begin()
        return found

    def _answers(self, wall_s: float, cpu_s: float) -> bool:
        """Wait for an answer until one of the clocks is through.

        Seconds are counted as they are waited for: a machine that stood still meanwhile, as
        virtual ones do, has not given the process any.
        """
        before = self._cpu_s()
        for _ in range(int(wall_s)):
            if self._pipe.poll(1.0):
                return True
            if self._cpu_s() - before > cpu_s:
                return False
        return False

    def _cpu_s(self) -> float:
        """Processor time that the process has had; the last field before it ends with ")"."""
        stat = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii")
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._pipe.close()


def table(counts: dict[str, Counter[str]]) -> str:
    """Markdown: cases, results, clear errors and everything else, by reader."""
    lines = ["| reader | cases | result | clear error | anything else |", "|---|---|---|---|---|"]
    total: Counter[str] = sum(counts.values(), Counter())
    for name, each in (*counts.items(), ("all", total)):
        rest = each.total() - each["result"] - each["refused"]
        lines.append(f"| {name} | {each.total()} | {each['result']} | {each['refused']} | {rest} |")
    return "\n".join(lines)


@click.command()
@click.option("--cases", type=int, help="Of each reader.  [default: 13,000 in all]")
@click.option("--seed", default=0, show_default=True, help="First case.")
@click.option("--reader", "chosen", multiple=True, type=click.Choice(list(READERS)))
@click.option("--verbose", is_flag=True, help="Print every case.")
def main(cases: int | None, seed: int, chosen: tuple[str, ...], verbose: bool) -> None:
    """Run the cases; exit status 1 where anything is wrong."""
    counts: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as name:
        arena = Path(name).resolve()
        (arena / "outside").mkdir()
        for secret in ("secret", "secret.tif"):
            (arena / "outside" / secret).write_bytes(b"not for readers")
        worker = Worker(arena)
        for reader in chosen or READERS:
            counts[reader] = Counter()
            for number in range(seed, seed + (cases or READERS[reader].cases)):
                outcome, text = worker.run(reader, number)
                counts[reader][outcome] += 1
                if verbose or outcome not in ("result", "refused"):
                    line = " ".join(text.split()).replace(name, "")
                    print(f"{reader} {number}: {outcome}: {line}", flush=True)
        worker.end()
    print(table(counts))
    sys.exit(any(each.keys() - {"result", "refused"} for each in counts.values()))


if __name__ == "__main__":
    main()
