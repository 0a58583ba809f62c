import numpy as np
import pytest
from napari.components import ViewerModel

from napari_uninuc.core.tile import Tile
from napari_uninuc.gui.window.show import add_tile


@pytest.mark.parametrize("mpp", [None, 0.25])
def test_a_tile_becomes_a_layer_at_its_scale(tile_40x60, mpp):
    tile = Tile.from_array(tile_40x60.rgb, mpp=mpp, name="noise")
    viewer = ViewerModel()
    image = add_tile(viewer, tile)
    assert [layer.name for layer in viewer.layers] == ["noise"]
    np.testing.assert_array_equal(image.data, tile.rgb)
    np.testing.assert_allclose(image.scale, [mpp or 1.0] * 2)
    unit = "pixel" if mpp is None else "micrometer"
    assert [str(found) for found in image.units] == [unit] * 2
