"""``uninuc segment``: outline every nucleus of image files."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from napari_uninuc.cli.messages import progress_bar, report_error, report_warning
from napari_uninuc.cli.options import (
    PathArgument,
    adapter_option,
    classifier_option,
    device_option,
    load_taught_predictor,
    model_option,
    mpp_option,
    proposer_option,
    score_threshold_option,
)
from napari_uninuc.cli.outputs import plan_outputs
from napari_uninuc.errors import ImageError, OutputError, PromptError

if TYPE_CHECKING:
    from napari_uninuc.engine.predictor import Predictor

_HALF = 0.5
"""Of a learnt state: less is said."""


def _known_suffix(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """Accept ``csv`` for ``.csv``, and formats only."""
    from napari_uninuc.io.formats import FORMATS

    if value is None:
        return None
    suffix = f".{value.lower().lstrip('.')}"
    if suffix not in FORMATS:
        raise click.BadParameter(f"{value!r} is not one of {', '.join(FORMATS)}")
    return suffix


@click.command(short_help="Outline every nucleus of images.")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...", type=PathArgument)
@click.option(
    "--output",
    required=True,
    metavar="PATH",
    type=PathArgument,
    help="Result; its suffix is the format. A folder for several images. "
    "An earlier result is replaced once the new one is complete.",
)
@model_option
@device_option
@mpp_option
@score_threshold_option
@classifier_option
@adapter_option
@proposer_option
@click.option(
    "--find",
    metavar="NAME",
    help="Keep the nuclei of a name only: 'inflammatory nuclei'. Names are those of --classifier "
    "or, without it, of what lies beside the weights.",
)
@click.option(
    "--flips/--no-flips",
    default=None,
    help="Look for nuclei in mirrored fields too: slower.  [default: the model's own]",
)
@click.option(
    "--format",
    "suffix",
    metavar="SUFFIX",
    callback=_known_suffix,
    help="Format of results in a folder: .tif, .ome.tif, .ome.zarr, .csv ...  [default: .tif]",
)
def segment(
    images: tuple[Path, ...],
    output: Path,
    model: str,
    device: str,
    mpp: float | None,
    score_threshold: float | None,
    classifier: Path | None,
    adapter: Path | None,
    proposer: str | None,
    find: str | None,
    flips: bool | None,
    suffix: str | None,
) -> int:
    """Outline every nucleus of one image or many.

    Labels are 0 for background and 1, 2, 3 ... for nuclei; .csv holds one row a nucleus;
    .ome.zarr holds the image too. The scale is read from the file where it is there.

    \b
    Examples:
      uninuc segment tile.png --output tile.tif
      uninuc segment scan.tif --output nuclei.csv --mpp 0.25
      uninuc segment *.png --output results --format .ome.zarr
      uninuc segment tile.png --output lymphoid.geojson --find "inflammatory nuclei"

    One image that cannot be read among many is reported, the others go on, and the exit
    status is 2.
    """
    pairs = plan_outputs(images, output, suffix)
    work = _Worker(
        model, device, mpp, _Choices(score_threshold, proposer, flips), classifier, adapter, find
    )
    if len(pairs) == 1:
        click.echo(work.segment(*pairs[0]))
        return 0
    failed = [source for source, target in pairs if not _done(work.segment, source, target)]
    click.echo(f"{len(pairs) - len(failed)} of {len(pairs)} images done")
    return 2 if failed else 0


def _done(segment_one: Callable[[Path, Path], str], source: Path, target: Path) -> bool:
    """Do one of many: what is wrong with this image must not stop the others."""
    try:
        click.echo(segment_one(source, target))
    except (ImageError, OutputError) as problem:
        report_error(str(problem))
        return False
    return True


class _Choices(NamedTuple):
    """What `Predictor.segment` is told; None leaves it to the model's card."""

    score_threshold: float | None
    proposer: str | None
    flips: bool | None


class _Worker:
    """Segments file after file with one predictor, loaded when the first image was readable."""

    def __init__(
        self,
        model: str,
        device: str,
        mpp: float | None,
        choices: _Choices,
        classifier: Path | None,
        adapter: Path | None,
        find: str | None,
    ) -> None:
        self._model, self._device = model, device
        self._mpp, self._choices = mpp, choices
        self._classifier, self._adapter, self._find = classifier, adapter, find
        self._predictor: Predictor | None = None

    def segment(self, source: Path, target: Path) -> str:
        """Segment `source` into `target` and say so in one line."""
        from napari_uninuc.engine.classing import only_named
        from napari_uninuc.engine.states import share_on
        from napari_uninuc.io.dicom_terms import FoundBy
        from napari_uninuc.io.formats import write_segmentation
        from napari_uninuc.io.images import read_image_with_notice

        tile, notice = read_image_with_notice(source, self._mpp)
        if notice:
            report_warning(notice)
        predictor = self._loaded()
        with progress_bar(source.name, "field") as progress:
            predictor.set_image(tile)
            segmentation = predictor.segment(**self._choices._asdict(), progress=progress)
        if self._find is not None:
            segmentation = only_named(segmentation, self._find, predictor.card.classes)
        card, share = predictor.card, share_on(predictor.engine, tile)
        if share is not None and share < _HALF:
            report_warning(
                f"{source.name}: {100 * share:.0f} % of the learnt state {card.learnt} is used: "
                "the picture looks otherwise than what it was taught on"
            )
        found_by = FoundBy(card.id, card.sha256)
        write_segmentation(segmentation, target, tile, found_by=found_by)
        return f"{source} -> {target}: {len(segmentation.table)} nuclei"

    def _loaded(self) -> "Predictor":
        if self._predictor is None:
            loaded = load_taught_predictor(
                self._model, self._device, self._classifier, self._adapter
            )
            if self._find is not None:
                _make_findable(loaded, self._find)
            self._predictor = loaded
        return self._predictor


def _make_findable(predictor: "Predictor", text: str) -> None:
    """Give a predictor the source of classes that knows a name.

    Raises
    ------
    PromptError
        None knows it; says what can be found.
    """
    from napari_uninuc.engine.classing import meant_of
    from napari_uninuc.engine.dense_parts import sources_beside

    own = predictor.class_source
    sources = (own,) if own is not None else sources_beside(predictor.engine)
    names = [name for each in sources for name in each.palette.names]
    if not names and len(predictor.card.classes) > 1:  # the detector tells classes itself
        meant_of(text, predictor.card.classes)
        return
    if not names:
        raise PromptError(
            f"{predictor.card.id} knows no names, got --find {text!r}; pass --classifier FILE, "
            "taught in the window by a few clicks (docs/classes.md)"
        )
    meant = meant_of(text, list(dict.fromkeys(names)))
    knowing = [each for each in sources if meant in each.palette.names]
    predictor.source = (knowing or list(sources))[0]
