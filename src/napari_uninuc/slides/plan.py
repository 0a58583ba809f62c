"""What a run will do: at which level, in which tiles, and under which name it can be resumed."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import numpy as np

from napari_uninuc.core.geometry import Field
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.protocol import Annotator
from napari_uninuc.engine.restain import is_brown
from napari_uninuc.engine.settings import SegmentSettings, fewest_px
from napari_uninuc.errors import ImageError
from napari_uninuc.slides.protocol import Box, Slide, level_for
from napari_uninuc.slides.tissue import Tissue

__all__ = ["LATER", "ORIGIN", "SlidePlan", "fingerprint_of", "origin_of", "plan_slide", "space_of"]

ORIGIN = "origin_yx"
"""Setting of a run; left out where it is (0, 0)."""

LATER = ("classifier", "learnt", "learnt_sha256", "proposer")
"""Settings that runs of earlier versions do not state; left out where they are empty."""

_LARGEST_FIELD = 2**25
"""Px of a field; the model's own have 2**20, at 0.06 um per px about 2**24."""

_SAMPLE = 2**20
"""Bytes read from each end of a file to know it again."""

_STAIN_FIELDS = 8
_STAIN_SIDE = 256
"""The stain is judged from so many squares of so many px, spread over the tissue."""


@dataclass(frozen=True, slots=True)
class SlidePlan:
    """Everything that decides the result of a run, save the pixels themselves.

    Attributes
    ----------
    slide : name of the file, without its folder
    fingerprint : hex; of sizes, scale, pixels seen from afar and both ends of the file
    mpp : micrometres per px at full resolution
    level, downsample, shape : the level that is segmented; its px are what positions are in
    model, model_sha256 : whose outlines they are
    flips : whether the model looks at each field in a mirror too
    brown : the slide is immunohistochemistry (DAB), as a whole, whatever a single field shows
    classes : name of each class id
    score_threshold, min_area_um2, max_overlap : as in `SegmentSettings`, none left open
    fields : of the whole level, row-major
    tiles : indices of the fields that hold tissue, ascending
    origin_yx : where the slide's first pixel lies in the scanner's own frame, px of full
        resolution; all positions are counted from that pixel
    classifier : sha256 of what tells classes apart; empty where the model does
    learnt, learnt_sha256 : name and sha256 of the learnt state that the model was in; empty for the
        weights as they are
    proposer : what found nuclei, where it was chosen; empty for the model's own way
    """

    slide: str
    fingerprint: str
    mpp: float
    level: int
    downsample: float
    shape: tuple[int, int]
    model: str
    model_sha256: str
    flips: bool
    brown: bool
    classes: tuple[str, ...]
    score_threshold: float
    min_area_um2: float
    max_overlap: float
    fields: tuple[Field, ...]
    tiles: tuple[int, ...]
    origin_yx: tuple[int, int] = (0, 0)
    classifier: str = ""
    learnt: str = ""
    learnt_sha256: str = ""
    proposer: str = ""

    @property
    def level_mpp(self) -> float:
        """Micrometres per px of the level."""
        return self.mpp * self.downsample

    @property
    def min_area_px(self) -> int:
        """Fewest px of the level a nucleus may have."""
        return fewest_px(self.min_area_um2, self.level_mpp)

    def settings(self) -> dict[str, object]:
        """All of it but the list of fields, as plain values for a state file and a report."""
        values = asdict(self)
        fields = values.pop("fields")
        values["tiles"] = len(self.tiles)
        values["plan"] = hashlib.blake2b(
            json.dumps([fields, list(self.tiles)]).encode(), digest_size=16
        ).hexdigest()
        values["shape"], values["classes"] = list(self.shape), list(self.classes)
        del values[ORIGIN]
        if any(self.origin_yx):  # a run of a slide that fills its frame is what it always was
            values[ORIGIN] = list(self.origin_yx)
        for name in LATER:
            if not values[name]:
                del values[name]
        return values


def origin_of(settings: Mapping[str, Any]) -> tuple[int, int]:
    """Read where in the scanner's frame a run counted from; TypeError or ValueError for damage."""
    y, x = settings.get(ORIGIN, (0, 0))
    return int(y), int(x)


def space_of(plan: SlidePlan) -> UUID:
    """Space of the UUIDs of a slide's nuclei; with an id it gives one."""
    return uuid5(NAMESPACE_URL, f"uninuc:{plan.fingerprint}:{plan.model_sha256}")


def plan_slide(
    slide: Slide,
    tissue: Tissue,
    annotator: Annotator,
    settings: SegmentSettings | None = None,
    classifier: str = "",
    proposer: str = "",
) -> SlidePlan:
    """Choose the level and the tiles, as the model would for one picture of the whole level.

    Raises
    ------
    ImageError
        Pixels far too coarse to show nuclei, or a model that takes a slide as one picture.
    """
    choices, card = settings or SegmentSettings(), annotator.card
    level = level_for(slide, card.mpp or slide.mpp)
    shape, step = slide.levels[level].shape, slide.levels[level].downsample
    mpp = slide.mpp * step
    fields = tuple(annotator.fields(_without_pixels(shape, mpp)))
    _require_fields(slide, fields, card.id)
    threshold = choices.score_threshold
    tiles = [field for field in fields if tissue.touches(_in_um(field.inner_yxyx, mpp))]
    return SlidePlan(
        slide=slide.path.name,
        fingerprint=fingerprint_of(slide, tissue),
        mpp=slide.mpp,
        level=level,
        downsample=step,
        shape=shape,
        model=card.id,
        model_sha256=card.sha256,
        flips=card.flips,
        brown=_stained_brown(slide, level, tiles),
        classes=tuple(card.classes),
        score_threshold=card.score_threshold if threshold is None else threshold,
        min_area_um2=choices.min_area_um2,
        max_overlap=choices.max_overlap,
        fields=fields,
        tiles=tuple(field.index for field in tiles),
        origin_yx=slide.origin_yx,
        classifier=classifier,
        learnt=card.learnt,
        learnt_sha256=card.learnt_sha256,
        proposer=proposer,
    )


def _stained_brown(slide: Slide, level: int, tiles: Sequence[Field]) -> bool:
    """Judge the stain from the middles of some fields with tissue."""
    if not tiles:
        return False
    chosen = [tiles[k] for k in np.linspace(0, len(tiles) - 1, _STAIN_FIELDS).astype(int)]
    squares = [slide.read(level, _middle(field.inner_yxyx)).reshape(-1, 3) for field in chosen]
    return is_brown(np.concatenate(squares))


def _middle(box: Box) -> Box:
    y, x = (box[0] + box[2]) // 2, (box[1] + box[3]) // 2
    half = _STAIN_SIDE // 2
    return (
        max(box[0], y - half),
        max(box[1], x - half),
        min(box[2], y + half),
        min(box[3], x + half),
    )


def _require_fields(slide: Slide, fields: Sequence[Field], model: str) -> None:
    """Refuse a model that takes a picture as a whole, whatever its size."""
    y0, x0, y1, x1 = fields[0].outer_yxyx
    if (y1 - y0) * (x1 - x0) > _LARGEST_FIELD:
        raise ImageError(
            f"{slide.path}: expected a model that sees a slide in fields, got {model}, which takes "
            f"{y1 - y0} x {x1 - x0} px at once; choose uninuc-n, or a model that knows its scale"
        )


def _in_um(box: Box, mpp: float) -> tuple[float, float, float, float]:
    return box[0] * mpp, box[1] * mpp, box[2] * mpp, box[3] * mpp


def _without_pixels(shape: tuple[int, int], mpp: float) -> Tile:
    """Make a tile of a level's size that takes no memory; only its shape and scale are asked."""
    nothing = np.broadcast_to(np.zeros(3, np.uint8), (*shape, 3))
    return Tile(nothing, mpp, (0, 0), "", "")


def fingerprint_of(slide: Slide, tissue: Tissue) -> str:
    """Know a slide again wherever it lies, without reading all of it."""
    hasher = hashlib.blake2b(repr((slide.levels, slide.mpp)).encode(), digest_size=16)
    hasher.update(np.ascontiguousarray(tissue.overview).data)
    if slide.path.is_file():
        size = slide.path.stat().st_size
        hasher.update(str(size).encode())
        with slide.path.open("rb") as file:
            hasher.update(file.read(_SAMPLE))
            file.seek(max(0, size - _SAMPLE))
            hasher.update(file.read(_SAMPLE))
    return hasher.hexdigest()
