"""``uninuc slide``: outline every nucleus of whole slides."""

import csv
import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from napari_uninuc.cli.messages import progress_bar, report_error, report_warning
from napari_uninuc.cli.options import (
    PathArgument,
    adapter_option,
    classifier_option,
    device_option,
    model_option,
    mpp_option,
    proposer_option,
    read_source,
    score_threshold_option,
)
from napari_uninuc.errors import ImageError, OutputError
from napari_uninuc.slides.summary import OUTPUTS, SlideSummary

if TYPE_CHECKING:
    from napari_uninuc.engine.annotator import TorchAnnotator
    from napari_uninuc.slides.jobs import Each, Runner

_BETWEEN_CELLS = (",", ";", "\t")
"""The one that the first line has most of counts; where it has none, it is one column."""

_FEW = 3
"""Up to so many processes need longer to put tiles together than threads of one do: 26 s of CPU
against 12 (docs/slides.md)."""

_DOUBLE_SUFFIXES = (".ome.tif", ".ome.tiff", ".ome.zarr")


@click.command(short_help="Outline every nucleus of whole slides.")
@click.argument("slides", nargs=-1, required=True, metavar="SLIDE...", type=PathArgument)
@click.option(
    "--output",
    required=True,
    metavar="OUT",
    type=PathArgument,
    help="Folder for the results; for several slides, one folder a slide in it.",
)
@model_option
@device_option
@mpp_option
@score_threshold_option
@classifier_option
@adapter_option
@proposer_option
@click.option(
    "--without",
    type=click.Choice(list(OUTPUTS)),
    multiple=True,
    help="Leave out an output; may be given several times.",
)
@click.option("--keep-tiles", is_flag=True, help="Leave the files of single tiles in OUT/tiles.")
@click.option(
    "--overwrite",
    is_flag=True,
    help="Make outputs anew from kept tiles though regions were corrected and merged back into "
    "them; what was corrected is lost.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes on this machine, one model each.  [default: this process alone]",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Of a running dask.distributed cluster (tcp://host:8786), whose workers see slides and "
    "OUT under the same paths.",
)
def slide(
    slides: tuple[Path, ...],
    output: Path,
    model: str,
    device: str,
    mpp: float | None,
    score_threshold: float | None,
    classifier: Path | None,
    adapter: Path | None,
    proposer: str | None,
    without: tuple[str, ...],
    keep_tiles: bool,
    overwrite: bool,
    workers: int | None,
    scheduler: str | None,
) -> int:
    """Outline every nucleus of whole slides, tile by tile, without seams.

    SLIDE is an SVS, NDPI, MRXS, SCN, DICOM, TIFF or OME-TIFF file, an OME-Zarr folder, or a .csv
    file with columns slide and, if need be, mpp. Glass is skipped. Whatever stops a run, the same
    command goes on with the tiles that are not done yet.

    \b
    Examples:
      uninuc slide scan.svs --output results
      uninuc slide scan.tif --output results --mpp 0.25 --without geojson
      uninuc slide *.svs --output results --workers 4
      uninuc slide cohort.csv --output results --scheduler tcp://head:8786
    """
    if workers is not None and scheduler is not None:
        raise click.UsageError("give --workers or --scheduler, not both")
    wanted = plan_slides(slides, output, mpp)
    choices = _Choices(
        ModelSource(model, device, classifier, adapter, proposer),
        score_threshold,
        tuple(name for name in OUTPUTS if name not in without),
        keep_tiles,
        overwrite,
    )
    with _hands(workers, scheduler) as hands:
        if len(wanted) == 1:
            click.echo(_segment(wanted[0], choices, hands))
            return 0
        failed = [each for each in wanted if not _done(each, choices, hands)]
    click.echo(f"{len(wanted) - len(failed)} of {len(wanted)} slides done")
    return 2 if failed else 0


class Wanted(NamedTuple):
    """A slide, its scale where the user gave one, and the folder of its results."""

    slide: Path
    mpp: float | None
    folder: Path


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Loads a model; travels to other processes."""

    model: str
    device: str
    classifier: Path | None = None
    adapter: Path | None = None
    proposer: str | None = None

    def classifier_sha256(self) -> str:
        """Of the classifier's file, or of the part beside the weights; empty without one."""
        if self.classifier is None:
            return ""
        path = self.classifier
        if not path.exists():
            from napari_uninuc.engine.dense_parts import part_path
            from napari_uninuc.network.registry import find_model

            path = part_path(path, find_model(self.model).weights_path.parent)
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""

    def other_proposer(self) -> str:
        """What finds nuclei, where it is not what the model's card says; else empty."""
        from napari_uninuc.network.registry import find_model

        own = find_model(self.model).card.proposer
        return self.proposer if self.proposer and self.proposer != own else ""

    def __call__(self) -> "TorchAnnotator":
        """Load it, on the GPU of this worker's turn where there are several."""
        from napari_uninuc.engine.annotator import load_annotator
        from napari_uninuc.engine.cache import EmbeddingCache

        annotator = load_annotator(
            self.model,
            _device_here(self.device),
            embeddings_gb=0,
            adapter=self.adapter,
            proposer=self.other_proposer() or None,
        )
        if self.classifier is None:
            annotator.engine.cache = EmbeddingCache(0)  # no tile is looked at twice
            return annotator
        from napari_uninuc.engine.classifying import ClassifyingAnnotator

        return ClassifyingAnnotator.around(
            annotator, read_source(self.classifier, annotator.engine)
        )


class _Choices(NamedTuple):
    source: ModelSource
    score_threshold: float | None
    outputs: tuple[str, ...]
    keep_tiles: bool
    overwrite: bool


def plan_slides(slides: Sequence[Path], output: Path, mpp: float | None) -> list[Wanted]:
    """List slides with the folder of each; a .csv stands for those it names.

    Raises
    ------
    ImageError
        A .csv without a column "slide", with an mpp that is none, or that cannot be read.
    OutputError
        Two slides of one name.
    """
    listed = [each for path in slides for each in _listed(path, mpp)]
    if len(slides) == 1 and slides[0].suffix.lower() != ".csv":
        return [Wanted(*listed[0], output)]
    wanted = [Wanted(*each, output / _stem(each[0])) for each in listed]
    first: dict[str, Path] = {}
    for each in wanted:
        other = first.setdefault(each.folder.name.casefold(), each.slide)
        if other is not each.slide:
            raise OutputError(
                f"{each.slide} and {other} would both be written to {each.folder}; rename one, or "
                "run them apart"
            )
    return wanted


def _listed(path: Path, mpp: float | None) -> Iterator[tuple[Path, float | None]]:
    if path.suffix.lower() != ".csv":
        yield path, mpp
        return
    for row in _rows(path):
        yield path.parent / row["slide"], _mpp(path, row.get("mpp")) or mpp


def _rows(path: Path) -> list[dict[str, str]]:
    """Read a list of slides as a spreadsheet of any country saves it; column names lower case."""
    lines = _text(path).splitlines()
    if lines and lines[0].lower().startswith("sep="):  # Excel's word for what lies between cells
        del lines[0]
    head = lines[0] if lines else ""
    between = max(_BETWEEN_CELLS, key=head.count)
    try:
        head_cells, *rows = [*csv.reader(lines, delimiter=between, strict=True)] or [[]]
    except csv.Error as problem:
        raise ImageError(f"{path}: cannot be read ({problem}); check the file") from None
    names = [cell.strip().lower() for cell in head_cells]
    filled = [[cell.strip() for cell in row] for row in rows if any(cell.strip() for cell in row)]
    longer = next((row for row in filled if any(row[len(names) :])), None)
    if longer is not None:
        raise ImageError(
            f"{path}: expected {len(names)} cells in a row as in the first line, got "
            f"{len(longer)} in {between.join(longer)!r}; a number with a decimal comma needs "
            "quotes, or semicolons between cells"
        )
    listed = [dict(zip(names, row, strict=False)) for row in filled]
    if not listed or not all(row.get("slide") for row in listed):
        raise ImageError(
            f"{path}: expected a column slide with a path in every row, got none; name it in the "
            "first line"
        )
    return listed


def _text(path: Path) -> str:
    """Read text as spreadsheets write it: UTF-8, UTF-16 with its mark, or Windows' own."""
    try:
        stored = path.read_bytes()
        if stored.startswith((b"\xff\xfe", b"\xfe\xff")):
            return stored.decode("utf-16")
        try:
            return stored.decode("utf-8-sig")
        except UnicodeDecodeError:
            return stored.decode("cp1252")
    except (OSError, UnicodeDecodeError) as problem:
        raise ImageError(f"{path}: cannot be read ({problem}); check the file") from None


def _mpp(path: Path, text: str | None) -> float | None:
    """Read a cell of the column mpp, its decimals behind a point or a comma; None where empty."""
    if not text:
        return None
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise ImageError(f"{path}: mpp must be a number above 0, got {text!r}; correct it")
    return value


def _stem(path: Path) -> str:
    """Cut off the suffix, both parts of a double one."""
    double = next((s for s in _DOUBLE_SUFFIXES if path.name.lower().endswith(s)), path.suffix)
    return path.name[: -len(double)] if double else path.name


class _Hands(NamedTuple):
    """Who does tiles, and who puts them together."""

    runner: "Runner"
    each: "Each"


@contextmanager
def _hands(workers: int | None, scheduler: str | None) -> Iterator[_Hands]:
    from napari_uninuc.slides.cluster import on_cluster, on_processes
    from napari_uninuc.slides.jobs import each_here, run_here

    if scheduler is not None:
        with on_cluster(scheduler) as cluster:
            yield _Hands(cluster.run, cluster.each)
    elif workers is not None:
        with on_processes(workers) as cluster:
            yield _Hands(cluster.run, cluster.each if workers > _FEW else each_here)
    else:
        yield _Hands(run_here, each_here)


def _done(wanted: Wanted, choices: _Choices, hands: _Hands) -> bool:
    """Do one of many: what is wrong with this slide must not stop the others."""
    try:
        click.echo(_segment(wanted, choices, hands))
    except (ImageError, OutputError) as problem:
        report_error(str(problem))
        return False
    return True


def _segment(wanted: Wanted, choices: _Choices, hands: _Hands) -> str:
    """Segment a slide and say in one line what was found."""
    from napari_uninuc.engine.settings import SegmentSettings
    from napari_uninuc.slides.opening import open_slide
    from napari_uninuc.slides.run import segment_slide

    opened = open_slide(wanted.slide, wanted.mpp)
    try:
        if opened.notice:
            report_warning(opened.notice)
        with progress_bar(wanted.slide.name, "tile") as progress:
            summary = segment_slide(
                opened,
                choices.source,
                wanted.folder,
                settings=SegmentSettings(score_threshold=choices.score_threshold),
                outputs=choices.outputs,
                classifier=choices.source.classifier_sha256(),
                proposer=choices.source.other_proposer(),
                keep_tiles=choices.keep_tiles,
                overwrite=choices.overwrite,
                runner=hands.runner,
                each=hands.each,
                progress=progress,
                notice=report_warning,
            )
    except KeyboardInterrupt:
        report_warning(
            f"{wanted.folder}: stopped; tiles that were done are kept, run the same command again "
            "to go on"
        )
        raise
    finally:
        opened.close()
    return f"{wanted.slide} -> {wanted.folder}: {_in_words(summary)}"


def _in_words(summary: SlideSummary) -> str:
    if not summary.tissue_mm2:
        return "no tissue found, 0 nuclei"
    density = summary.count / summary.tissue_mm2
    return (
        f"{summary.count} nuclei on {summary.tissue_mm2:.2f} mm2 of tissue, {density:.0f} per mm2"
    )


def _device_here(device: str) -> str:
    """Spread the workers of one machine over its GPUs, by the number dask gave each."""
    if device not in ("auto", "cuda"):
        return device
    try:
        from distributed import get_worker

        turn = int(get_worker().name)
    except (ImportError, ValueError, TypeError):  # no worker, or one with a name of its own
        return device
    import torch

    count = torch.cuda.device_count()
    return f"cuda:{turn % count}" if count > 1 else device
