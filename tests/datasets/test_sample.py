"""The tile that comes with scikit-image."""

from napari_uninuc.datasets.sample import immunohistochemistry_tile


def test_sample_is_a_real_picture_of_unknown_scale():
    tile = immunohistochemistry_tile()
    assert tile.shape == (512, 512)
    assert tile.mpp is None
    assert tile.rgb.std() > 20
