import numpy as np
import pytest
from PIL import Image

from napari_uninuc.cli.overlay import draw_outlines, write_overlay
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import LabelsError, OutputError

YELLOW = (255, 230, 0)


@pytest.fixture
def grey_tile():
    return Tile.from_array(np.full((12, 16, 3), 120, np.uint8))


def square():
    labels = np.zeros((12, 16), np.int32)
    labels[3:8, 4:10] = 1
    return labels


def test_outline_is_the_inner_border_enlarged(grey_tile):
    rgb = draw_outlines(grey_tile, square(), scale=3)
    assert rgb.shape == (36, 48, 3)
    border = square() > 0
    border[4:7, 5:9] = False
    drawn = (rgb == YELLOW).all(axis=-1)
    np.testing.assert_array_equal(drawn, border.repeat(3, axis=0).repeat(3, axis=1))
    assert (rgb[~drawn] == 120).all()


def test_touching_nuclei_are_both_outlined(grey_tile):
    labels = square()
    labels[3:8, 10:15] = 2
    drawn = (draw_outlines(grey_tile, labels, scale=1) == YELLOW).all(axis=-1)
    assert drawn[5, 9]
    assert drawn[5, 10]


def test_written_png_is_what_was_drawn(grey_tile, tmp_path):
    write_overlay(grey_tile, square(), tmp_path / "new" / "o.png")
    written = np.asarray(Image.open(tmp_path / "new" / "o.png"))
    np.testing.assert_array_equal(written, draw_outlines(grey_tile, square()))
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        write_overlay(grey_tile, square(), tmp_path / "file" / "o.png")


def test_labels_of_another_picture_are_refused(grey_tile):
    with pytest.raises(LabelsError, match=r"\(12, 16\), got \(5, 5\)"):
        draw_outlines(grey_tile, np.zeros((5, 5), np.int32))
