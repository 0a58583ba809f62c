"""What a run can write, and what came out of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["OUTPUTS", "SlideSummary"]

OUTPUTS = {
    "labels": "labels.ome.zarr",
    "geojson": "nuclei.geojson.gz",
    "parquet": "nuclei.parquet",
    "density": "density.ome.tif",
    "report": "report.html",
}
"""What a run can write, and the file it becomes."""


@dataclass(frozen=True, slots=True)
class SlideSummary:
    """What came out of a run.

    Attributes
    ----------
    nuclei : by class
    tissue_mm2 : square millimetres
    tiles, tiles_of_slide : outlined, and all there would be with the glass
    seconds : by step; "read" and "outline" add up over all workers
    outputs : names of `OUTPUTS` that are there
    licence : of the weights
    devices : tiles that each device outlined, by its name for people
    notices : what models said that a user should read: a GPU that was full, ...
    merged : regions that were corrected and merged back since; `nuclei` counts what they left
    """

    nuclei: Mapping[str, int]
    tissue_mm2: float
    tiles: int
    tiles_of_slide: int
    seconds: Mapping[str, float]
    outputs: tuple[str, ...]
    licence: str
    devices: Mapping[str, int] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    merged: int = 0

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "SlideSummary":
        """Make it of what `stored` gave; TypeError or KeyError for anything else."""
        lists = {name: tuple(stored.get(name, ())) for name in ("outputs", "notices")}
        return cls(**{**stored, **lists})

    def stored(self) -> dict[str, Any]:
        """Give plain values for a state file."""
        return asdict(self) | {"outputs": list(self.outputs), "notices": list(self.notices)}

    @property
    def count(self) -> int:
        """Nuclei of all classes."""
        return sum(self.nuclei.values())
