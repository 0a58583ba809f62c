"""A slide from the first look at its tissue to the last output."""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from time import perf_counter

from napari_uninuc.engine.protocol import Annotator
from napari_uninuc.engine.settings import SegmentSettings
from napari_uninuc.errors import OutputError
from napari_uninuc.io.geojson_lines import LineFrame
from napari_uninuc.slides.density import Density
from napari_uninuc.slides.jobs import Each, Runner, TileJob, each_here, held_annotator, run_here
from napari_uninuc.slides.labels import label_squares
from napari_uninuc.slides.merge_back import carry_on, is_merging
from napari_uninuc.slides.nuclei import Nuclei
from napari_uninuc.slides.pieces import Piece, Written, pieces_of, write_up
from napari_uninuc.slides.plan import SlidePlan, plan_slide, space_of
from napari_uninuc.slides.protocol import Slide
from napari_uninuc.slides.report import write_report
from napari_uninuc.slides.results import open_result
from napari_uninuc.slides.seams import SettledRow, settle
from napari_uninuc.slides.sinks import Sink, geojson_sink, parquet_sink
from napari_uninuc.slides.squares import Square, Squares, paint
from napari_uninuc.slides.state import RunFolder, claimed
from napari_uninuc.slides.summary import OUTPUTS, SlideSummary
from napari_uninuc.slides.tiles import (
    KeptTile,
    read_notices,
    read_tile_nuclei,
    tile_path,
)
from napari_uninuc.slides.tissue import Tissue, find_tissue

__all__ = ["segment_slide"]

Progress = Callable[[int, int], None]
"""Called with (tiles done, tiles in all)."""
Notice = Callable[[str], object]
"""Called with one line that a user should read."""


def segment_slide(
    slide: Slide,
    load: Callable[[], Annotator],
    folder: Path,
    *,
    settings: SegmentSettings | None = None,
    outputs: Collection[str] = tuple(OUTPUTS),
    classifier: str = "",
    proposer: str = "",
    keep_tiles: bool = False,
    overwrite: bool = False,
    runner: Runner = run_here,
    each: Each = each_here,
    progress: Progress | None = None,
    notice: Notice | None = None,
) -> SlideSummary:
    """Outline every nucleus of a slide, or carry on where an earlier run was stopped.

    Each tile is kept as soon as it is done, so whatever ends a run costs one tile at most. Done
    tiles are then put together row by row; memory does not grow with the slide.

    Parameters
    ----------
    load : makes the annotator; picklable
    folder : made if missing; belongs to this slide, model and settings alone
    settings : None takes the model's and ours
    outputs : names of `OUTPUTS`
    classifier : sha256 of what tells the annotator's classes apart; empty where the model does
    proposer : what the annotator finds nuclei with, where it was chosen; empty for the model's way
    keep_tiles : leave the files of single tiles, from which other outputs can be made later
    overwrite : make outputs anew from kept tiles though regions were merged back into them since;
        those corrections are lost
    runner : does the tiles; here by default
    each : measures, traces and paints when they are put together; here by default, in some
        threads. Workers must see the folder under the same path. The result is the same
    progress : told at the start and after every tile
    notice : told once each line that a model on any worker says for the user, as it comes: its
        GPU is full and the CPU computes, ... The report has them too

    Raises
    ------
    ImageError
        Pixels that cannot be read, or are too coarse to show nuclei.
    OutputError
        The folder holds something else, another run, or corrections that would be lost; or it
        cannot be written.
    DeviceError, CheckpointError
        As the model and the runner do.

    Examples
    --------
    A piece of tissue on glass, and an annotator that needs no model; `load_annotator` makes one of
    a model:

    >>> from pathlib import Path
    >>> import numpy as np
    >>> import tifffile
    >>> from napari_uninuc.slides.opening import open_slide
    >>> from napari_uninuc.slides.run import segment_slide
    >>> from napari_uninuc.testing import FakeAnnotator, make_tile
    >>> pixels = np.full((768, 768, 3), 244, np.uint8)
    >>> pixels[128:640, 128:640] = make_tile((512, 512), n_nuclei=40).tile.rgb
    >>> tifffile.imwrite("slide.tif", pixels, tile=(256, 256))
    >>> slide = open_slide("slide.tif", mpp=0.25)
    >>> folder = Path("result")
    >>> summary = segment_slide(slide, FakeAnnotator, folder, outputs=["geojson", "parquet"])
    >>> summary.count, sorted(path.name for path in folder.iterdir())
    (40, ['nuclei.geojson.gz', 'nuclei.parquet', 'run.json'])
    >>> slide.close()
    """
    with claimed(folder):
        began = perf_counter()
        tissue = find_tissue(slide)
        annotator = held_annotator(load)
        plan = plan_slide(slide, tissue, annotator, settings, classifier, proposer)
        state = RunFolder(folder, plan)
        if is_merging(folder):
            carry_on(open_result(folder))
            state = RunFolder(folder, plan)
        earlier = _earlier(state)
        if earlier is not None:
            if not _makes_anew(state, earlier, outputs, overwrite):
                return earlier
            outputs = {*outputs, *earlier.outputs}
        account = _Account({"tissue": perf_counter() - began})
        _do_tiles(slide, plan, state, load, runner, progress or _silent, notice or _unheard)
        licence = annotator.card.licence
        summary = _put_together(slide, tissue, plan, state, outputs, account, licence, each)
        state.finish(summary.stored(), keep_tiles=keep_tiles)
        return summary


def _earlier(state: RunFolder) -> SlideSummary | None:
    """What a finished run left; None where there is none."""
    if state.finished is None:
        return None
    try:
        return SlideSummary.of(state.finished)
    except (KeyError, TypeError) as problem:
        raise OutputError(
            f"{state.path}: expected the state of a run, got damage ({problem}); name another "
            "folder, or remove this one"
        ) from None


def _makes_anew(
    state: RunFolder, earlier: SlideSummary, outputs: Collection[str], overwrite: bool
) -> bool:
    """Whether a finished run must be put together once more; OutputError where it must not."""
    missing = [
        OUTPUTS[name]
        for name in outputs
        if name not in earlier.outputs or not (state.path / OUTPUTS[name]).exists()
    ]
    if not missing and not (overwrite and earlier.merged):
        return False
    wanted = ", ".join(missing) or "every output, as --overwrite says,"
    if state.todo():
        raise OutputError(
            f"{state.path}: expected the tiles of a finished run to make {wanted} from, got none: "
            "they are gone; name another folder, or remove this one"
        )
    if earlier.merged and not overwrite:
        raise OutputError(
            f"{state.path}: making {wanted} from its tiles would undo what was corrected in "
            f"{earlier.merged} merged regions; pass --overwrite to lose that, or name another "
            "folder"
        )
    return True


def _do_tiles(
    slide: Slide,
    plan: SlidePlan,
    state: RunFolder,
    load: Callable[[], Annotator],
    runner: Runner,
    progress: Progress,
    notice: Notice,
) -> None:
    job = TileJob(
        slide=slide.path.absolute(),
        fingerprint=plan.fingerprint,
        mpp=plan.mpp,
        level=plan.level,
        level_mpp=plan.level_mpp,
        brown=plan.brown,
        score_threshold=plan.score_threshold,
        model_sha256=plan.model_sha256,
        load=load,
        folder=state.tiles.absolute(),
    )
    todo = state.todo()
    count, total = len(plan.tiles) - len(todo), len(plan.tiles)
    said: set[str] = set()

    def done(index: int) -> None:
        nonlocal count
        count += 1
        for text in read_notices(tile_path(state.tiles, index)):
            if text not in said:
                said.add(text)
                notice(text)
        progress(count, total)

    progress(count, total)
    if todo:
        runner(job, [plan.fields[index] for index in todo], done)


def _put_together(
    slide: Slide,
    tissue: Tissue,
    plan: SlidePlan,
    state: RunFolder,
    outputs: Collection[str],
    account: "_Account",
    licence: str,
    each: Each,
) -> SlideSummary:
    """Settle the tiles and write every output but the state."""
    began = perf_counter()
    density = Density.of(plan)
    places = {name: state.path / file for name, file in OUTPUTS.items()}
    with ExitStack() as stack:
        squares: Squares | None = None
        if "labels" in outputs:
            squares = stack.enter_context(label_squares(places["labels"], plan))
        sinks: list[Sink] = []
        if "parquet" in outputs:
            sinks.append(stack.enter_context(parquet_sink(places["parquet"])))
        if "geojson" in outputs:
            full = slide.levels[0].shape
            sinks.append(stack.enter_context(geojson_sink(places["geojson"], plan, full)))
        jobs = _jobs(settle(_results(plan, state, account), plan), plan, outputs, density, squares)
        # Closed first whatever happens: nobody may write into what is cleared away.
        for written in stack.enter_context(closing(each(_do, jobs))):
            if written is not None:
                for sink in sinks:
                    sink(written)
        for square in () if squares is None else squares.late():
            paint(square)
    if "density" in outputs:
        density.write(places["density"])
    account.seconds["put together"] = perf_counter() - began
    counts = density.counts.sum(axis=(1, 2)).tolist()
    summary = SlideSummary(
        nuclei=dict(zip(plan.classes, counts, strict=True)),
        tissue_mm2=tissue.area_mm2,
        tiles=len(plan.tiles),
        tiles_of_slide=len(plan.fields),
        seconds={step: round(value, 3) for step, value in account.seconds.items()},
        outputs=tuple(name for name in OUTPUTS if name in outputs),
        licence=licence,
        devices=account.devices,
        notices=tuple(account.notices),
    )
    if "report" in outputs:
        write_report(places["report"], plan, summary, tissue, density)
    return summary


def _jobs(
    rows: Iterable[SettledRow],
    plan: SlidePlan,
    outputs: Collection[str],
    density: Density,
    squares: Squares | None,
) -> Iterator[Piece | Square]:
    """Settle row by row, and give out what can be written up and painted."""
    wanted = {"rows": "parquet" in outputs, "lines": "geojson" in outputs}
    frame = LineFrame(space_of(plan), plan.level_mpp, plan.downsample, plan.classes)
    first = True
    for row in rows:
        density.add(row.nuclei, plan.level_mpp)
        for nuclei, sizes in pieces_of(row.nuclei) if any(wanted.values()) else ():
            yield Piece(nuclei, sizes, frame, plan.mpp, first=first, **wanted)
            first = False
        if squares is not None:
            squares.add(row.nuclei)
            yield from squares.finished(row.low)


def _do(job: Piece | Square) -> Written | None:
    if isinstance(job, Piece):
        return write_up(job)
    paint(job)
    return None


class _Account:
    """What single tiles took and said, added up; ``notices`` is a dict for its order alone."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds = seconds | {"read": 0.0, "outline": 0.0}
        self.devices: dict[str, int] = {}
        self.notices: dict[str, None] = {}

    def add(self, result: KeptTile) -> None:
        for step, spent in result.seconds.items():
            self.seconds[step] = self.seconds.get(step, 0.0) + spent
        if result.device:
            self.devices[result.device] = self.devices.get(result.device, 0) + 1
        self.notices |= dict.fromkeys(result.notices)


def _results(plan: SlidePlan, state: RunFolder, account: _Account) -> Iterator[Nuclei]:
    """Read the tiles in order, adding up what they took."""
    for index in plan.tiles:
        result = read_tile_nuclei(tile_path(state.tiles, index))
        account.add(result)
        yield result.nuclei


def _silent(done: int, total: int) -> None:
    """Tell nobody."""


def _unheard(text: str) -> None:
    """Tell nobody."""
