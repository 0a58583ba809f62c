import numpy as np
import pytest
from napari.components import ViewerModel

from napari_uninuc.core.tile import Tile
from napari_uninuc.gui.show import open_segmentation


@pytest.mark.parametrize("mpp", [None, 0.25])
def test_picture_and_nuclei_become_layers(two_nuclei, tile_40x60, mpp):
    tile = Tile.from_array(tile_40x60.rgb, mpp=mpp, name="noise")
    viewer = ViewerModel()
    image, labels = open_segmentation(viewer, tile, two_nuclei)
    assert [layer.name for layer in viewer.layers] == ["noise", "nuclei"]
    assert viewer.layers.selection.active is labels
    np.testing.assert_array_equal(image.data, tile.rgb)
    np.testing.assert_array_equal(labels.data, two_nuclei.labels)
    for layer in (image, labels):
        np.testing.assert_allclose(layer.scale, [mpp or 1.0] * 2)
        unit = "pixel" if mpp is None else "micrometer"
        assert [str(found) for found in layer.units] == [unit] * 2
    assert list(labels.features["index"]) == [2, 7]
    assert list(labels.features["class"]) == ["epithelial", "inflammatory"]


def test_painting_on_the_layer_leaves_the_segmentation_alone(two_nuclei, tile_40x60):
    before = two_nuclei.labels.copy()
    _, labels = open_segmentation(ViewerModel(), tile_40x60, two_nuclei)
    labels.data[:] = 9
    np.testing.assert_array_equal(two_nuclei.labels, before)
