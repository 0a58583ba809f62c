"""A picture in a napari window, ready to be corrected."""

from typing import TYPE_CHECKING, Any

from napari_uninuc.core.tile import Tile

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

__all__ = ["add_tile", "open_for_correction", "show_for_correction"]


def show_for_correction(tile: Tile) -> None:
    """Open a napari window with picture and widget, outline all nuclei, wait until it is closed."""
    import napari

    viewer = napari.Viewer(title="UniNuc")
    open_for_correction(viewer, tile)
    napari.run()


def open_for_correction(viewer: "napari.Viewer", tile: Tile) -> Any:
    """Add a picture and the panel to a viewer; nuclei are outlined as soon as it is open.

    Returns
    -------
    widget : the `CorrectNucleiWidget`, as napari made it from the manifest
    """
    layer = add_tile(viewer, tile)
    _, widget = viewer.window.add_plugin_dock_widget("napari-uninuc", "UniNuc: correct nuclei")
    bench = widget.workbench

    def outline() -> None:
        bench.desk_changed.disconnect(outline)
        bench.outline_all()

    bench.desk_changed.connect(outline)
    widget.picture.image.value = layer
    return widget


def add_tile(viewer: Any, tile: Tile) -> "Image":
    """Add a tile as an image layer, to scale in micrometres where its scale is known."""
    placed: dict[str, Any] = {}
    if tile.mpp is not None:
        placed = {"scale": (tile.mpp, tile.mpp), "units": ("micrometer", "micrometer")}
    layer: Image = viewer.add_image(tile.rgb, name=tile.name or "image", rgb=True, **placed)
    return layer
