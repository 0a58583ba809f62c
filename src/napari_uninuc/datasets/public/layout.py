"""What a public data set is: where it comes from, how it is split, and its images, unread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from napari_uninuc.core.tile import Tile
from napari_uninuc.datasets.folder import LabelledImage, LabelledTile
from napari_uninuc.errors import DatasetError, ImageError, LabelsError

__all__ = ["Layout", "Loaded", "PublicImage"]


class Loaded(NamedTuple):
    """Arrays of one labelled image, as the files hold them.

    Attributes
    ----------
    pixels : anything `napari_uninuc.core.tile.to_rgb8` accepts
    labels : (H, W) int32, 0 background
    classes : class name by nucleus id; None where the data set has no classes
    """

    pixels: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]
    classes: dict[int, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicImage(LabelledImage):
    """One image of a public data set; nothing is decoded until `read`.

    Attributes
    ----------
    name : split or fold, a slash, the image's own name
    image_path, labels_path : the files it comes from; stacks hold many images
    split : as the layout calls it
    scale_mpp : micrometres per px as published; None where that is unknown or mixed
    load : decodes the arrays; raises DatasetError, ImageError or LabelsError
    """

    split: str
    scale_mpp: float | None
    load: Callable[[], Loaded]

    @classmethod
    def of_files(
        cls,
        split: str,
        image: Path,
        labels: Path,
        mpp: float | None,
        load: Callable[[Path, Path], Loaded],
    ) -> PublicImage:
        """A picture in a file of its own, beside one of its labels; named after the picture."""
        return cls(
            name=f"{split}/{image.stem}",
            image_path=image,
            labels_path=labels,
            split=split,
            scale_mpp=mpp,
            load=partial(load, image, labels),
        )

    def read(self, mpp: float | None = None) -> LabelledTile:
        """Decode picture, labels and classes.

        Parameters
        ----------
        mpp : micrometres per px of the picture; None where unknown. `scale_mpp` has the
            published one

        Raises
        ------
        DatasetError
            A file is missing, damaged or cut short, or the labels have another size.
        """
        try:
            loaded = self.load()
            tile = Tile.from_array(loaded.pixels, mpp, name=self.name)
        except (ImageError, LabelsError) as error:
            text = str(error)
            known = text.startswith((str(self.image_path), str(self.labels_path)))
            raise DatasetError(text if known else f"{self.image_path}: {text}") from error
        if loaded.labels.shape != tile.shape:
            raise DatasetError(
                f"{self.labels_path}: labels must be {tile.shape} (H, W) like the picture "
                f"{self.image_path.name}, got {loaded.labels.shape}; download the data set again"
            )
        return LabelledTile(tile, loaded.labels, loaded.classes)


@dataclass(frozen=True, slots=True)
class Layout:
    """A public data set and how to read it as unzipped.

    Attributes
    ----------
    name : what recipes and ``uninuc data`` call it
    title : stain, tissue
    expects : the files, in words
    marks : how it is recognised: patterns below the root that must all match; the first of
        the alternatives that is found anywhere counts
    list_images : lists every image below a root that `marks` found
    splits : names that recipes may ask for
    split_rule : where the split comes from, in words
    mpp : micrometres per px as published; None where unknown or mixed
    classes : names that nuclei carry; empty where there are none
    licence, source : as published; an address as text
    counts : images a split has ("all" for the whole); several where releases differ
    archives : sha256 of the files to download, by name
    exhaustive : every nucleus is labelled; false where the labels keep to some kinds of cell
    variant_of : another layout of the same files, which is the one that is guessed
    """

    name: str
    title: str
    expects: str
    marks: tuple[tuple[str, ...], ...]
    list_images: Callable[[Path], list[PublicImage]]
    splits: tuple[str, ...]
    split_rule: str
    mpp: float | None
    licence: str
    source: str
    classes: tuple[str, ...] = ()
    counts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    archives: Mapping[str, str] = field(default_factory=dict)
    exhaustive: bool = True
    variant_of: str | None = None

    def root(self, folder: Path) -> Path | None:
        """Find the folder that holds the files: `folder` itself, or up to three below it."""
        for patterns in self.marks:
            for prefix in ("", "*/", "*/*/", "*/*/*/"):
                for found in sorted(_roots(folder, prefix, patterns[0])):
                    if all(any(found.glob(pattern)) for pattern in patterns):
                        return found
        return None


def _roots(folder: Path, prefix: str, pattern: str) -> set[Path]:
    """Find where a pattern may begin; what follows its ``**`` is not looked at yet."""
    head = pattern.partition("/**")[0]
    found = {match.parents[head.count("/")] for match in folder.glob(prefix + head)}
    return {root for root in found if "__MACOSX" not in root.parts}
