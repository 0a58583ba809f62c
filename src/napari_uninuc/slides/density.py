"""Nuclei per square millimetre over the slide, of each class."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import tifffile

from napari_uninuc.io.targets import replacing
from napari_uninuc.slides.nuclei import Nuclei
from napari_uninuc.slides.plan import SlidePlan

__all__ = ["CELL_UM", "Density"]

CELL_UM = 64.0
"""Side of a cell of the map, micrometres."""


@dataclass(frozen=True, slots=True, eq=False)
class Density:
    """Counts nuclei in square cells, by the middle of their box.

    Attributes
    ----------
    counts : (classes, h, w) int64
    classes : names
    """

    counts: npt.NDArray[np.int64]
    classes: tuple[str, ...]

    @classmethod
    def of(cls, plan: SlidePlan) -> "Density":
        """Begin with no nuclei."""
        rows, columns = (
            max(1, int(np.ceil(side * plan.level_mpp / CELL_UM))) for side in plan.shape
        )
        return cls(np.zeros((len(plan.classes), rows, columns), np.int64), plan.classes)

    def add(self, nuclei: Nuclei, mpp: float) -> None:
        """Count nuclei whose px are `mpp` um."""
        boxes = nuclei.runs.boxes
        cells = ((boxes[:, :2] + boxes[:, 2:]) / 2 * mpp / CELL_UM).astype(np.int64)
        np.add.at(self.counts, (nuclei.class_id, cells[:, 0], cells[:, 1]), 1)

    @classmethod
    def of_rows(cls, plan: SlidePlan, rows: pd.DataFrame) -> "Density":
        """Count nuclei of a table: columns class, y0, x0, y1 and x1, px of full resolution."""
        density = cls.of(plan)
        last = np.array(density.counts.shape[1:]) - 1
        first, end = (rows[[f"y{k}", f"x{k}"]].to_numpy(np.float64) for k in (0, 1))
        cells = np.minimum(((first + end) / 2 * plan.mpp / CELL_UM).astype(np.int64), last)
        places = rows["class"].map({name: k for k, name in enumerate(plan.classes)})
        np.add.at(density.counts, (places.to_numpy(np.int64), cells[:, 0], cells[:, 1]), 1)
        return density

    @property
    def per_mm2(self) -> npt.NDArray[np.float32]:
        """(1 + classes, h, w) nuclei per mm2 of slide: all, then class by class."""
        every = np.concatenate([self.counts.sum(axis=0, keepdims=True), self.counts])
        return (every / (CELL_UM / 1000) ** 2).astype(np.float32)

    def write(self, path: Path) -> None:
        """Write `per_mm2` as OME-TIFF, one channel "all" and one a class.

        Raises
        ------
        OutputError
            The file cannot be written.
        """
        metadata = {
            "axes": "CYX",
            "Channel": {"Name": ["all", *self.classes]},
            "PhysicalSizeX": CELL_UM,
            "PhysicalSizeY": CELL_UM,
            "PhysicalSizeXUnit": "µm",
            "PhysicalSizeYUnit": "µm",
        }
        with replacing(path) as part, tifffile.TiffWriter(part, ome=True) as writer:
            writer.write(
                self.per_mm2, photometric="minisblack", compression="zlib", metadata=metadata
            )
