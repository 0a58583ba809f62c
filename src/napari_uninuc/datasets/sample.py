"""The tile that ships inside scikit-image, for demos and tests without any download."""

from skimage import data

from napari_uninuc.core.tile import Tile


def immunohistochemistry_tile() -> Tile:
    """Read scikit-image's immunohistochemistry tile: colonic glands, FHL2 brown, nuclei blue.

    Returns
    -------
    tile : (512, 512, 3) uint8, name "immunohistochemistry"
        ``mpp`` is None: scikit-image does not state the magnification. The file comes with
        scikit-image; nothing is fetched.
    """
    return Tile.from_array(data.immunohistochemistry(), name="immunohistochemistry")
