"""What a run can write, and what came out of it."""

from collections.abc import Mapping
from dataclasses import dataclass

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
    """

    nuclei: Mapping[str, int]
    tissue_mm2: float
    tiles: int
    tiles_of_slide: int
    seconds: Mapping[str, float]
    outputs: tuple[str, ...]
    licence: str

    @property
    def count(self) -> int:
        """Nuclei of all classes."""
        return sum(self.nuclei.values())
