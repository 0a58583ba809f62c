"""Immunohistochemistry in numbers: how brown nuclei are, and what a report says of it.

Definitions and their sources are in docs/stain.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from scipy import stats

from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.segmentation import STAIN_SAID, Segmentation
from napari_uninuc.core.shapes import Places
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import ImageError

__all__ = [
    "LEVELS",
    "Compartment",
    "Levels",
    "StainScore",
    "StainVectors",
    "background_dab",
    "dab_density",
    "dab_of_pixels",
    "graded",
    "require_colour",
    "score_classes",
    "score_nuclei",
]

Compartment = Literal["nucleus", "ring", "both"]
"""Where brown is looked for: in the nucleus, in a ring around it (membrane), or in both, of which
the browner counts."""

LEVELS = ("0", "1+", "2+", "3+")

_RING_UM = 1.5
_BLACK = 1 / 255
_TISSUE = 0.15
"""Optical density above which a pixel is no glass (Macenko et al. 2009)."""
_EDGE_PERCENT = 1.0
_LOOKED_AT = 250_000
"""Pixels that tell the background; more do not change a median."""


@dataclass(frozen=True, slots=True)
class Levels:
    """Lowest optical densities of 1+, 2+ and 3+; what is 1+ or more is positive.

    Raises
    ------
    ImageError
        Not ascending numbers above 0.
    """

    weak: float = 0.2
    moderate: float = 0.4
    strong: float = 0.6

    def __post_init__(self) -> None:
        values = (self.weak, self.moderate, self.strong)
        if not (all(map(math.isfinite, values)) and 0 < values[0] <= values[1] <= values[2]):
            raise ImageError(f"thresholds of staining must be ascending and above 0, got {values}")

    @classmethod
    def from_weak(cls, weak: float) -> Self:
        """Shift the default steps so that ``weak`` is the first."""
        return cls(weak, weak + 0.2, weak + 0.4)

    def of(self, density: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Level of each nucleus, 0 to 3."""
        edges = np.array([self.weak, self.moderate, self.strong])
        return np.searchsorted(edges, density, side="right")


@dataclass(frozen=True, slots=True)
class StainVectors:
    """Optical density of red, green and blue that a unit of each stain has.

    Attributes
    ----------
    haematoxylin, dab : of each stain
    residual : what is neither; a third stain where one is known, else at right angles to both

    The default is Ruifrok and Johnston's (2001), with eosin as the third.
    """

    haematoxylin: tuple[float, float, float] = (0.65, 0.70, 0.29)
    dab: tuple[float, float, float] = (0.27, 0.57, 0.78)
    residual: tuple[float, float, float] | None = (0.07, 0.99, 0.11)

    @classmethod
    def estimated(cls, rgb: npt.NDArray[np.uint8]) -> Self:
        """Estimate both stains from a picture (Macenko et al. 2009); the browner one is DAB.

        Parameters
        ----------
        rgb : (H, W, 3)

        Raises
        ------
        ImageError
            Too little tissue, or a picture without colour.
        """
        density = _density(rgb.reshape(-1, 3)[:: max(1, rgb.size // 600_000)])
        tissue = density[(density > _TISSUE).any(axis=1)]
        require_colour(rgb)
        if len(tissue) < 100:
            raise ImageError(
                "stain vectors are estimated from stained tissue, got almost none; enter them"
            )
        _, axes = np.linalg.eigh(np.cov(tissue.T))
        plane = axes[:, 1:] * np.where(axes[:, 1:].sum(axis=0) < 0, -1, 1)
        along = tissue @ plane
        angle = np.arctan2(along[:, 0], along[:, 1])
        edges = np.percentile(angle, [_EDGE_PERCENT, 100 - _EDGE_PERCENT])
        found = [np.abs(plane @ (np.sin(each), np.cos(each))) for each in edges]
        blue, brown = sorted((each / np.linalg.norm(each) for each in found), key=_brownness)
        return cls(_three(blue), _three(brown), None)

    def unmixing(self) -> npt.NDArray[np.float64]:
        """Matrix (3, 3): densities (..., 3) @ it are haematoxylin, DAB and the rest.

        Raises
        ------
        ImageError
            Vectors that are alike, or not above 0.
        """
        first, second = np.array(self.haematoxylin), np.array(self.dab)
        third = np.cross(first, second) if self.residual is None else np.array(self.residual)
        rows = np.stack([first, second, third])
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        if (
            not np.isfinite(rows).all()
            or abs(float(np.linalg.det(rows / lengths.clip(1e-6)))) < 1e-3
        ):
            raise ImageError(
                f"stain vectors must be numbers and differ in colour, got {rows.tolist()}; "
                "correct one"
            )
        matrix: npt.NDArray[np.float64] = np.linalg.inv(rows)
        return matrix


def _three(vector: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    red, green, blue = (round(float(part), 4) for part in vector)
    return red, green, blue


def _brownness(vector: npt.NDArray[np.float64]) -> float:
    """Brown takes blue light away, haematoxylin red."""
    return float(vector[2] - vector[0])


def _density(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    density: npt.NDArray[np.float64] = -np.log10(np.maximum(rgb / 255, _BLACK))
    return density


def require_colour(rgb: npt.NDArray[np.uint8]) -> None:
    """Refuse a grey picture (H, W, 3): stains cannot be told apart in it; ImageError."""
    if (rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 1] == rgb[..., 2]).all():
        raise ImageError("brown is seen in colour pictures only, got a grey one; open the RGB scan")


def dab_density(
    rgb: npt.NDArray[np.uint8],
    masks: Sequence[InstanceMask],
    *,
    where: Compartment = "nucleus",
    vectors: StainVectors | None = None,
    mpp: float | None = None,
) -> npt.NDArray[np.float64]:
    """Mean optical density of DAB of each nucleus, (N,), 0 or more.

    Parameters
    ----------
    rgb : (H, W, 3)
    masks : px of the picture
    where : see `Compartment`; the ring is 1.5 um wide
    vectors : None takes Ruifrok and Johnston's
    mpp : micrometres per px; None takes 0.25

    Raises
    ------
    ImageError
        A grey picture, or vectors that cannot be told apart.
    """
    require_colour(rgb)
    shape = rgb.shape[0], rgb.shape[1]
    width = max(1, round(_RING_UM / (mpp or 0.25)))
    found = []
    if where != "ring":
        found.append(Places.inside(masks, shape))
    if where != "nucleus":
        found.append(Places.around(masks, shape, width))
    means = []
    for places in found:
        pixels = rgb[places.yx[:, 0], places.yx[:, 1]]
        means.append(places.mean(dab_of_pixels(pixels, vectors)))
    most: npt.NDArray[np.float64] = np.max(means, axis=0)
    return most


def dab_of_pixels(
    rgb: npt.NDArray[np.uint8], vectors: StainVectors | None = None
) -> npt.NDArray[np.float64]:
    """Optical density of DAB of pixels (N, 3), (N,), 0 or more.

    Raises
    ------
    ImageError
        Vectors that cannot be told apart.
    """
    to_dab = (vectors or StainVectors()).unmixing()[:, 1]
    return np.maximum(_density(rgb) @ to_dab, 0)


def background_dab(
    rgb: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int32],
    vectors: StainVectors | None = None,
) -> float:
    """Median optical density of DAB of tissue (H, W, 3) outside nuclei (H, W); NaN without any.

    What is glass is left out. Where it is high, brown is everywhere and no threshold is right.

    Raises
    ------
    ImageError
        Vectors that cannot be told apart.
    """
    step = max(1, math.isqrt(rgb.shape[0] * rgb.shape[1] // _LOOKED_AT))
    density = _density(rgb[::step, ::step])[labels[::step, ::step] == 0]
    tissue = density[(density > _TISSUE).any(axis=1)]
    brown = np.maximum(tissue @ (vectors or StainVectors()).unmixing()[:, 1], 0)
    return float(np.median(brown)) if len(brown) else math.nan


def graded(
    density: npt.NDArray[np.float64], said: npt.NDArray[np.float64], thresholds: Levels
) -> npt.NDArray[np.int64]:
    """Level of each nucleus, 0 to 3: what a person ``said`` (N,), else by its density (N,)."""
    known = np.isfinite(said)
    levels: npt.NDArray[np.int64] = np.where(
        known, np.where(known, said, 0).astype(np.int64), thresholds.of(density)
    )
    return levels


@dataclass(frozen=True, slots=True)
class StainScore:
    """What a report says; NaN where no nucleus is there to say it of.

    Attributes
    ----------
    nuclei, positive : counted
    counts : nuclei of level 0, 1+, 2+ and 3+
    index : percent positive, with its 95 % interval ``index_low`` .. ``index_high`` (Wilson 1927)
    h_score : 0 to 300; percents of 1+, 2+ and 3+ times 1, 2 and 3 (McCarty et al. 1985)
    allred : 0, or 2 to 8; proportion and intensity score together (Allred et al. 1998)
    area_mm2, density_per_mm2 : of the picture, and all nuclei in it; NaN without a scale
    threshold : optical density from which a nucleus is positive
    overruled : nuclei that a person has given a level, whatever was measured
    """

    HEADINGS: ClassVar[tuple[str, ...]] = (
        "counted",
        "positive",
        "index (95 % interval)",
        "0 / 1+ / 2+ / 3+",
        "H-score",
        "Allred",
        "area, mm2",
        "per mm2",
        "positive from OD",
        "overruled",
    )
    """Of `cells`."""

    nuclei: int
    positive: int
    counts: tuple[int, int, int, int]
    index: float
    index_low: float
    index_high: float
    h_score: float
    allred: float
    area_mm2: float
    density_per_mm2: float
    threshold: float
    overruled: int = 0

    @classmethod
    def of(
        cls,
        levels: npt.NDArray[np.int64],
        thresholds: Levels,
        area_mm2: float = math.nan,
        overruled: int = 0,
    ) -> Self:
        """Count levels (N,) of 0 to 3."""
        counts = np.bincount(levels, minlength=4)
        nuclei, positive = int(counts.sum()), int(counts[1:].sum())
        low, high = _wilson(positive, nuclei)
        weighted = float(counts @ np.arange(4))
        return cls(
            nuclei=nuclei,
            positive=positive,
            counts=(int(counts[0]), int(counts[1]), int(counts[2]), int(counts[3])),
            index=100 * positive / nuclei if nuclei else math.nan,
            index_low=low,
            index_high=high,
            h_score=100 * weighted / nuclei if nuclei else math.nan,
            allred=_allred(positive, nuclei, weighted),
            area_mm2=area_mm2,
            density_per_mm2=nuclei / area_mm2 if area_mm2 > 0 else math.nan,
            threshold=thresholds.weak,
            overruled=overruled,
        )

    @classmethod
    def measured(
        cls,
        density: npt.NDArray[np.float64],
        said: npt.NDArray[np.float64],
        thresholds: Levels,
        area_mm2: float = math.nan,
    ) -> Self:
        """Count nuclei by optical density (N,), or by what a person ``said``; NaN is nothing."""
        overruled = int(np.isfinite(said).sum())
        return cls.of(graded(density, said, thresholds), thresholds, area_mm2, overruled)

    def cells(self) -> list[str]:
        """What a report has in a row, see `HEADINGS`; what is undefined is said to be."""
        index = f"{self.index:.1f} % ({self.index_low:.1f} to {self.index_high:.1f})"
        area = math.isfinite(self.area_mm2)
        return [
            str(self.nuclei),
            str(self.positive),
            index if self.nuclei else "undefined",
            " / ".join(map(str, self.counts)),
            f"{self.h_score:.0f}" if self.nuclei else "undefined",
            f"{self.allred:.0f}" if self.nuclei else "undefined",
            f"{self.area_mm2:.4g}" if area else "unknown",
            f"{self.density_per_mm2:.0f}" if area else "unknown",
            f"{self.threshold:g}",
            str(self.overruled),
        ]

    def __str__(self) -> str:
        """One line for people."""
        if not self.nuclei:
            return "no nuclei: the labelling index is undefined"
        return (
            f"{self.index:.1f} % positive (95 % interval {self.index_low:.1f} to "
            f"{self.index_high:.1f}; {self.positive} of {self.nuclei} nuclei, from optical density "
            f"{self.threshold:g}), H-score {self.h_score:.0f}, "
            f"Allred {self.allred:.0f}"
            + (f"; {self.overruled} overruled by a person" if self.overruled else "")
        )


def _wilson(positive: int, nuclei: int) -> tuple[float, float]:
    """95 % interval of a share, in percent."""
    if nuclei == 0:
        return math.nan, math.nan
    found = stats.binomtest(positive, nuclei).proportion_ci(0.95, method="wilson")
    return 100 * float(found.low), 100 * float(found.high)


def _allred(positive: int, nuclei: int, weighted: float) -> float:
    """Proportion score 0 to 5 and mean intensity of what is positive, 1 to 3, together."""
    if nuclei == 0:
        return math.nan
    if positive == 0:
        return 0.0
    share = positive / nuclei
    proportion = 1 + sum(share >= edge for edge in (1 / 100, 1 / 10, 1 / 3, 2 / 3))
    return float(proportion + math.floor(weighted / positive + 0.5))


def score_nuclei(
    tile: Tile,
    nuclei: Segmentation,
    thresholds: Levels,
    *,
    where: Compartment = "nucleus",
    vectors: StainVectors | None = None,
) -> StainScore:
    """Score the nuclei of one picture; what a person said of one (`STAIN_SAID`) stands.

    Raises
    ------
    ImageError
        A grey picture, or vectors that cannot be told apart.
    """
    ((_, score),) = score_classes(tile, nuclei, thresholds, (), where=where, vectors=vectors)
    return score


def score_classes(
    tile: Tile,
    nuclei: Segmentation,
    thresholds: Levels,
    names: Sequence[str],
    *,
    where: Compartment = "nucleus",
    vectors: StainVectors | None = None,
) -> list[tuple[str, StainScore]]:
    """Score all nuclei of one picture, under the name ``all``, and those of each class named.

    Raises
    ------
    ImageError
        A grey picture, or vectors that cannot be told apart.
    """
    table = nuclei.table
    boxes = table[["y0", "x0", "y1", "x1"]].to_numpy().tolist()
    masks = [
        InstanceMask((y0, x0), nuclei.labels[y0:y1, x0:x1] == id_, 1.0, 0, 1.0)
        for id_, (y0, x0, y1, x1) in zip(table["id"].tolist(), boxes, strict=True)
    ]
    density = dab_density(tile.rgb, masks, where=where, vectors=vectors, mpp=tile.mpp)
    said = np.full(len(table), math.nan)
    if STAIN_SAID in table.columns:
        said = table[STAIN_SAID].to_numpy(np.float64)
    height, width = tile.shape
    area = math.nan if tile.mpp is None else height * width * (tile.mpp / 1000) ** 2
    chosen = {"all": np.ones(len(table), np.bool_)}
    chosen |= {name: (table["class"] == name).to_numpy() for name in names}
    return [
        (name, StainScore.measured(density[each], said[each], thresholds, area))
        for name, each in chosen.items()
    ]
