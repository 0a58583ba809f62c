"""What the metadata of an OME-Zarr pyramid (NGFF 0.1 to 0.5) says of where its pixels lie."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_uninuc.io.filling import MAX_COORDINATE
from napari_uninuc.io.resolution import mpp_of_scale

__all__ = ["Placement", "placement_of"]


@dataclass(frozen=True, slots=True)
class Placement:
    """Axes, scale and place of the finest level.

    Attributes
    ----------
    axes : names of the axes of the array, in lower case; "" for those without
    mpp : micrometres per px; None where scale or unit are not said, or not plausible
    origin_yx : first pixel in px of this level from the origin of its coordinates; (0, 0) where
        it is not said
    notice : what could not be understood, as one line; empty where all was
    """

    axes: tuple[str, ...]
    mpp: float | None
    origin_yx: tuple[int, int]
    notice: str = ""

    @property
    def y_axis(self) -> int:
        """Which axis of the array y is."""
        return self.axes.index("y")

    @property
    def x_axis(self) -> int:
        """Which axis of the array x is."""
        return self.axes.index("x")


def placement_of(multiscale: Mapping[str, Any], ndim: int) -> Placement:
    """Read one element of ``multiscales``.

    The transformations of the level come first, then those of the whole pyramid, each list in
    its order (NGFF 0.4, section multiscales). Before 0.4 there were none, and before 0.3 no axes.

    Parameters
    ----------
    multiscale : as stored
    ndim : number of axes of its arrays; of those that have no name the first are meant

    Raises
    ------
    ValueError, TypeError, LookupError
        Not metadata of an array of so many axes.
    """
    axes = _axes(multiscale, ndim)
    names = [str(axis.get("name", "")).lower() for axis in axes]
    if not {"y", "x"} <= set(names):
        raise ValueError(f"axes {', '.join(names)[:80]} without y and x")
    y, x = names.index("y"), names.index("x")
    whole = (*[""] * (ndim - len(axes)), *names)
    steps, offsets, kinds = _joined(multiscale, len(axes))
    if not np.isfinite(steps).all() or not steps[[y, x]].all():
        raise ValueError(f"a scale of {steps.tolist()}")
    odd = sorted(kinds - {"scale", "translation", "identity"})
    if odd:
        notice = f"scale and place are not read, which are said by {', '.join(odd)[:80]!r}"
        return Placement(whole, None, (0, 0), notice)
    units = {str(axes[place].get("unit") or "") for place in (y, x)}
    unit = units.pop() if len(units) == 1 else ""
    known = "scale" in kinds and bool(unit)
    mpp = mpp_of_scale((float(steps[y]), float(steps[x])), unit) if known else None
    with np.errstate(all="ignore"):
        place_yx = offsets[[y, x]] / steps[[y, x]]
    return Placement(whole, mpp, _origin(place_yx))


def _axes(multiscale: Mapping[str, Any], ndim: int) -> list[Mapping[str, Any]]:
    """Find name and unit of each axis, as mappings (0.4), names (0.3) or of nothing (0.1)."""
    stated = multiscale.get("axes")
    if stated is None:
        stated = "tczyx"[-ndim:]
    if len(stated) > ndim:
        raise ValueError(f"{len(stated)} axes for an array of {ndim}")
    return [axis if isinstance(axis, Mapping) else {"name": axis} for axis in stated]


def _joined(multiscale: Mapping[str, Any], count: int) -> tuple[Any, Any, set[str]]:
    """Join all transformations: scale and shift of each axis, and the kinds there were."""
    steps, offsets, kinds = np.ones(count), np.zeros(count), set()
    with np.errstate(all="ignore"):  # endless numbers are refused, or taken for none
        for step in _steps(multiscale):
            kinds.add(step["type"])
            if step["type"] == "scale":
                factors = _numbers(step, "scale", count)
                steps, offsets = steps * factors, offsets * factors
            elif step["type"] == "translation":
                offsets = offsets + _numbers(step, "translation", count)
    return steps, offsets, kinds


def _steps(multiscale: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Give one transformation after the other, those of sequences too."""
    level = multiscale["datasets"][0].get("coordinateTransformations") or []
    waiting = [*level, *_first_system(multiscale.get("coordinateTransformations") or [])]
    while waiting:
        step = waiting.pop(0)
        if step["type"] == "sequence":
            waiting = [*step["transformations"], *waiting]
        else:
            yield step


def _first_system(steps: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Keep what leads to the first coordinate system: SpatialData lists several, side by side."""

    def target(step: Mapping[str, Any]) -> Any:
        output = step.get("output")
        return output.get("name") if isinstance(output, Mapping) else output

    return [step for step in steps if target(step) == target(steps[0])]


def _numbers(step: Mapping[str, Any], key: str, count: int) -> Any:
    stated = step.get(key)
    if not isinstance(stated, list) or len(stated) != count:
        raise ValueError(f"a {key} without a number for each of {count} axes")
    return np.array(stated, dtype=np.float64)


def _origin(place_yx: Any) -> tuple[int, int]:
    y, x = (float(value) for value in place_yx)
    return (round(y), round(x)) if abs(y) <= MAX_COORDINATE >= abs(x) else (0, 0)
