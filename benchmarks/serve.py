"""Measure `uninuc serve`: exactness, waiting, fairness, hostile requests, servers that are killed.

python benchmarks/serve.py [--part NAME]... [--requests 200] [--fuzz 10000] [--kills 100]

Each part starts servers of its own in processes of their own. Linux and macOS.
"""

import contextlib
import json
import os
import queue
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from fuzz_serve import Fuzzer
from skimage import data

from napari_uninuc.client.address import ServerAddress
from napari_uninuc.client.annotator import RemoteAnnotator, connect
from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.prompts import Prompt
from napari_uninuc.core.tile import Tile
from napari_uninuc.session import AnnotationSession
from napari_uninuc.session.autosave import Autosave, restore
from napari_uninuc.testing import FakeAnnotator, make_tile

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/serve"))
from qupath import Extension, automask_body, box_body, png_of, raster

_ROUND_TRIP_S = 0.05
_PARTS_OF_IT = 5
_CLIENTS = 4
_NURSERY = """
import os, signal, sys
from napari_uninuc.serve.asking import Service
from napari_uninuc.serve.offers import LearntOffer, Offers
from napari_uninuc.serve.running import listen, make_server
from napari_uninuc.testing import FakeAnnotator
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    if os.fork() == 0:
        socket = listen("127.0.0.1", int(line))
        offers = Offers({}, {"mine": LearntOffer(FakeAnnotator(click_radius_px=8))})
        service = Service(FakeAnnotator(), lambda text: print(text, file=sys.stderr), offers)
        print(os.getpid(), socket.getsockname()[1], flush=True)
        make_server(service, host="127.0.0.1", key=None).run(sockets=[socket])
        os._exit(0)
"""
"""Imports all once, so that a server that was killed is replaced at once."""
_REAL = "from napari_uninuc.cli.app import main; main()"


class Nursery:
    """Makes servers with the annotator for tests, each in a process of its own."""

    def __init__(self) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # lives as long as this
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-c", _NURSERY],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def start(self, port: int = 0) -> tuple[int, int]:
        """Start a server; its process and port."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{port}\n")
        self._process.stdin.flush()
        process, port = self._process.stdout.readline().split()
        return int(process), int(port)

    def errors(self) -> str:
        """What all its servers wrote to standard error."""
        self._errors.seek(0)
        return self._errors.read()

    def close(self) -> None:
        """Start no more."""
        self._process.communicate()


class Lives:
    """One address at which servers of a `Nursery` follow one another.

    Attributes
    ----------
    process, port : of the one that lives
    """

    def __init__(self, nursery: Nursery) -> None:
        self._nursery = nursery
        self.process, self.port = nursery.start()

    @contextlib.contextmanager
    def one_ends(self, after_s: float) -> Iterator[None]:
        """Kill the server in so many seconds, and start another; both are done after the block."""

        def replace() -> None:
            time.sleep(after_s)
            kill(self.process)
            self.process, _ = self._nursery.start(self.port)

        replacing = threading.Thread(target=replace)
        replacing.start()
        yield
        replacing.join()


def kill(process: int) -> None:
    """End a server of `Nursery` at once, and wait until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
        while True:
            os.kill(process, 0)
            time.sleep(0.001)


class Server:
    """`uninuc serve` in a process of its own."""

    def __init__(self) -> None:
        words = [_REAL, "serve", "--port", "0"]
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # lives as long as this
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-c", *words],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        assert self.process.stdout is not None
        self.port = 0
        for line in self.process.stdout:
            found = re.search(r"http://127\.0\.0\.1:(\d+)/sam/", line)
            self.port = int(found.group(1)) if found else self.port
            if line.startswith("Ctrl+C"):
                return
        raise SystemExit(self.errors())

    def errors(self) -> str:
        """What it wrote to standard error."""
        self._errors.seek(0)
        return self._errors.read()

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def megabytes(process: int) -> float:
    """Resident memory."""
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(process)], capture_output=True, check=True)
    return int(told.stdout) / 1024


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """Run a server for a block."""
    server = Server()
    try:
        yield server
    finally:
        server.kill()


def picture(side: int) -> np.ndarray:
    """Real tissue of `side` px, mirrored where the sample is smaller."""
    tissue = data.immunohistochemistry()
    return np.ascontiguousarray(np.pad(tissue, [(0, 512)] * 2 + [(0, 0)], "reflect")[:side, :side])


def p95_ms(seconds: list[float]) -> float:
    """95th percentile, ms."""
    return 1e3 * float(np.percentile(seconds, 95))


def in_words(seconds: list[float], cpu_s: float) -> str:
    """Median and p95 of all, p95 of the quietest fifth in a row, and what the server computed."""
    quietest = min(
        p95_ms(part.tolist()) for part in np.array_split(np.array(seconds), _PARTS_OF_IT)
    )
    return (
        f"p50 {1e3 * np.median(seconds):.0f} ms, p95 {p95_ms(seconds):.0f} ms, of the quietest "
        f"{len(seconds) // _PARTS_OF_IT} in a row {quietest:.0f} ms; the server computes "
        f"{1e3 * cpu_s / len(seconds):.0f} ms for each"
    )


def cpu_seconds(process: int) -> float:
    """What a process has computed so far, all threads; not a number outside Linux."""
    try:
        told = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return float("nan")
    return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")


def boxes(found: list[dict[str, Any]]) -> list[list[int]]:
    """Box (x0, y0, x1, y1) of each feature."""
    rings = [np.array(each["geometry"]["coordinates"][0], float) for each in found]
    return [[*ring.min(axis=0).astype(int), *ring.max(axis=0).astype(int)] for ring in rings]


def timed(work: Callable[[], object]) -> float:
    """Seconds a call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def exactness(_options: dict[str, int]) -> str:
    """Rasters of all answered shapes against the predictor's and the annotator's own masks."""
    from napari_uninuc.engine.annotator import load_annotator
    from napari_uninuc.engine.predictor import Predictor

    rgb = picture(512)
    annotator = load_annotator()
    predictor = Predictor(annotator.engine)
    predictor.set_image(rgb, mpp=0.25)
    own = predictor.segment()
    tile = Tile.from_array(rgb, 0.25)
    with serving() as server:
        qupath = Extension("127.0.0.1", server.port, "/0.25um/sam/")
        found = qupath.post("automask", automask_body(png_of(rgb)))
        painted = np.zeros(tile.shape, int)
        for feature, id_ in zip(found, own.table["id"], strict=True):
            painted[raster(feature, tile.shape)] = id_
        wrong = int((painted != own.labels).sum())
        asked = boxes(found)[:50]
        for x0, y0, x1, y1 in asked:
            answered = qupath.prompt(box_body(png_of(rgb), [int(v) for v in (x0, y0, x1, y1)]))
            mask = annotator.answer(tile, Prompt(box_yxyx=(y0, x0, y1, x1))).mask
            expected = np.zeros(tile.shape, bool)
            top, left, bottom, right = mask.box_yxyx
            expected[top:bottom, left:right] = mask.mask
            shown = raster(answered[0], tile.shape) if answered else np.zeros(tile.shape, bool)
            wrong += int((shown != expected).sum())
    annotator.close()
    return f"{len(found)} nuclei and {len(asked)} prompts, {wrong} px differ (floor: 0)"


def second_prompt(options: dict[str, int]) -> str:
    """QuPath's request on a picture that was asked about before, everything included."""
    png = png_of(picture(1024))
    with serving() as server:
        qupath = Extension("127.0.0.1", server.port, "/0.25um/sam/")
        asked = boxes(qupath.post("automask", automask_body(png)))
        bodies = [box_body(png, [int(v) for v in box]) for box in asked]
        first = timed(lambda: qupath.prompt(bodies[0]))
        before = cpu_seconds(server.process.pid)
        seconds = [
            timed(lambda k=k: qupath.prompt(bodies[k % len(bodies)]))
            for k in range(options["requests"])
        ]
        cpu = cpu_seconds(server.process.pid) - before
    return (
        f"1,024 px, PNG of {len(png) / 1e6:.1f} MB: {in_words(seconds, cpu)}; first "
        f"{1e3 * first:.0f} ms (floor: p95 100, aim 60)"
    )


class Distance:
    """A port whose bytes reach a server later, and come back later."""

    def __init__(self, port: int, seconds: float) -> None:
        self._port, self._seconds = port, seconds
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._port))
                for one, other in ((near, far), (far, near)):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        """Read at once and pass on later: what follows is not held up by what went before."""
        on_the_way: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()

        def deliver() -> None:
            with contextlib.suppress(OSError):
                while True:
                    due, content = on_the_way.get()
                    time.sleep(max(0.0, due - time.monotonic()))
                    if not content:
                        other.shutdown(socket.SHUT_WR)
                        return
                    other.sendall(content)

        threading.Thread(target=deliver, daemon=True).start()
        content = b"-"
        while content:
            try:
                content = one.recv(2**16)
            except OSError:
                content = b""
            on_the_way.put((time.monotonic() + self._seconds, content))

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()


def far_away(options: dict[str, int]) -> str:
    """A window's click, press to changed crop, over 50 ms of round trip."""
    tile = Tile.from_array(picture(1024), 0.25)
    with serving() as server:
        distance = Distance(server.port, _ROUND_TRIP_S / 2)
        remote = connect(ServerAddress(f"http://127.0.0.1:{distance.port}"))
        field = remote.fields(tile)[0]
        found = remote.segment_field(tile, field, remote.card.score_threshold)
        prompts = [Prompt(box_yxyx=one.mask.box_yxyx) for one in found]
        before = cpu_seconds(server.process.pid)
        seconds = [
            timed(lambda k=k: remote.answer(tile, prompts[k % len(prompts)]))
            for k in range(options["requests"])
        ]
        cpu = cpu_seconds(server.process.pid) - before
        remote.close()
        distance.close()
    return f"{in_words(seconds, cpu)} (floor: p95 250, aim 150)"


def fairness(options: dict[str, int]) -> str:
    """Four clients at once, each with a picture of its own; the slowest against one alone."""
    rgb = picture(1024)
    tiles = [Tile.from_array(np.roll(rgb, 64 * k, axis=1), 0.25) for k in range(_CLIENTS)]
    with serving() as server:
        made = [connect(ServerAddress(f"http://127.0.0.1:{server.port}")) for _ in tiles]
        places = [(y, x) for y in (90.0, 300.0) for x in (80.0, 400.0)]
        prompts = [Prompt(box_yxyx=(y, x, y + 24, x + 24)) for y, x in places]
        for remote, tile in zip(made, tiles, strict=True):
            remote.answer(tile, prompts[0])

        def work(k: int, seconds: list[float]) -> None:
            for n in range(options["requests"]):
                ask = partial(made[k].answer, tiles[k], prompts[n % len(prompts)])
                seconds.append(timed(ask))

        alone: list[float] = []
        work(0, alone)
        together: list[list[float]] = [[] for _ in tiles]
        threads = [threading.Thread(target=work, args=(k, each)) for k, each in enumerate(together)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for remote in made:
            remote.close()
    slowest = max(p95_ms(each) for each in together)
    return (
        f"alone p95 {p95_ms(alone):.0f} ms, slowest of {_CLIENTS} {slowest:.0f} ms: "
        f"{slowest / p95_ms(alone):.1f} times (floor: 5, aim 4)"
    )


def hostile(options: dict[str, int]) -> str:
    """Damaged requests; what the server wrote, and how much larger it has become."""
    png = png_of(make_tile((128, 128), 8).tile.rgb)
    nursery = Nursery()
    process, port = nursery.start()
    Fuzzer(port, png, random.Random(1)).run(200)  # what is loaded once
    before = megabytes(process)
    statuses = Fuzzer(port, png, random.Random(0)).run(options["fuzz"])
    after, written = megabytes(process), nursery.errors()
    kill(process)
    nursery.close()
    traces, odd = written.count("Traceback"), written.count("unexpected")
    return (
        f"{options['fuzz']} requests, {traces} tracebacks, {odd} mistakes, "
        f"{after - before:+.0f} MB (floor: 0, 200 MB); "
        + json.dumps({str(status): count for status, count in sorted(statuses.items())})
    )


def killed(options: dict[str, int]) -> str:
    """Work on while the server is killed and started anew, and count what is left."""
    tissue = make_tile((1024, 1024), options["kills"])
    rng = random.Random(0)
    nursery = Nursery()
    lives = Lives(nursery)
    remote = connect(ServerAddress(f"http://127.0.0.1:{lives.port}"), patience_s=120)
    places = list(tissue.centres_yx)
    waited: list[float] = []
    with tempfile.TemporaryDirectory() as root:
        session = AnnotationSession(tissue.tile, ClassPalette.of_names(["nucleus"]))
        problems: list[Exception] = []
        keeper = Autosave(session, root=Path(root), on_problem=problems.append)
        for k in range(options["kills"]):
            y, x = places[k]
            draft = session.hand.click((y, x), True)
            with lives.one_ends(rng.random() * 0.05):
                began = time.perf_counter()
                answer = remote.answer(tissue.tile, draft.prompt)
                waited.append(time.perf_counter() - began)
            session.hand.show(draft.generation, answer)
            session.hand.keep()
        keeper.close()
        folder = keeper.folder
        assert folder is not None
        left = len(restore(folder, tissue.tile).session.labels)
    missing, runs = _outlined_while_killed(remote, lives, tissue.tile, options["kills"] // 5, rng)
    kill(lives.process)
    nursery.close()
    remote.close()
    return (
        f"{options['kills']} kills, a nucleus added at each: {options['kills'] - left} lost, "
        f"{len(problems)} problems with the journal, longest click {max(waited):.1f} s; {runs} "
        f"more while all is outlined: {missing} nuclei missing (floor: 0)"
    )


def _outlined_while_killed(
    remote: RemoteAnnotator, lives: Lives, tile: Tile, kills: int, rng: random.Random
) -> tuple[int, int]:
    """Nuclei that a run did not bring because its server was killed, and how many runs."""
    local, missing = FakeAnnotator(), 0
    fields = local.fields(tile)
    for k in range(kills):
        field = fields[k % len(fields)]
        with lives.one_ends(rng.random() * 0.2):
            there = remote.segment_field(tile, field, 0.0)
        missing += abs(len(local.segment_field(tile, field, 0.0)) - len(there))
    return missing, kills


_PARTS: dict[str, Callable[[dict[str, int]], str]] = {
    "exactness": exactness,
    "second prompt": second_prompt,
    "far away": far_away,
    "fairness": fairness,
    "hostile": hostile,
    "killed": killed,
}


@click.command()
@click.option("--part", "parts", multiple=True, type=click.Choice(list(_PARTS)))
@click.option("--requests", default=200, show_default=True)
@click.option("--fuzz", default=10_000, show_default=True)
@click.option("--kills", default=100, show_default=True)
def main(parts: tuple[str, ...], **options: int) -> None:
    """Measure, and print one line a part."""
    os.environ["UNINUC_EMBEDDINGS_GB"] = "0"
    for name in parts or _PARTS:
        click.echo(f"{name}: {_PARTS[name](options)}")


if __name__ == "__main__":
    main()
