"""A finished segmentation in a napari window."""

from typing import TYPE_CHECKING, Any

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile

if TYPE_CHECKING:
    import napari

__all__ = ["open_segmentation", "show_segmentation"]


def show_segmentation(tile: Tile, segmentation: Segmentation) -> None:
    """Open a napari window with picture and nuclei, and wait until it is closed."""
    import napari

    open_segmentation(napari.Viewer(title="UniNuc"), tile, segmentation)
    napari.run()


def open_segmentation(
    viewer: "napari.components.ViewerModel", tile: Tile, segmentation: Segmentation
) -> tuple[Any, Any]:
    """Add picture and nuclei to a viewer.

    Parameters
    ----------
    viewer : layers are added on top of what it shows
    tile : drawn to scale in micrometres where its scale is known, else in px
    segmentation : of that tile; its table becomes the features of the labels

    Returns
    -------
    image, labels : the layers added; the labels layer is called "nuclei", is selected and
        drawn as outlines two px wide. Editing it changes a copy, not `segmentation`
    """
    placed: dict[str, Any] = {}
    if tile.mpp is not None:
        placed = {"scale": (tile.mpp, tile.mpp), "units": ("micrometer", "micrometer")}
    image = viewer.add_image(tile.rgb, name=tile.name or "image", rgb=True, **placed)
    features = segmentation.table.rename(columns={"id": "index"})
    labels = viewer.add_labels(
        segmentation.labels.copy(), name="nuclei", features=features, **placed
    )
    labels.contour = 2
    return image, labels
