"""What samples of a picture file mean, whoever wrote them: colours, transparency, depth, gaps."""

import struct

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage import data

from napari_uninuc.errors import ImageError
from napari_uninuc.io.images import read_image, read_image_with_notice
from napari_uninuc.slides.tiff_slide import TiffSlide

TISSUE = np.ascontiguousarray(data.immunohistochemistry()[:192, :256])
LUMA_CHROMA = np.asarray(Image.fromarray(TISSUE).convert("YCbCr"))
TILES = {"tile": (64, 64), "metadata": None}


def off(seen, expected=TISSUE):
    """Mean difference, grey values."""
    return np.abs(seen.astype(int) - expected).mean()


def both(path):
    """The picture as `uninuc segment` reads it and as `uninuc slide` does."""
    slide = TiffSlide(path)
    seen = slide.read(0, (0, 0, *slide.levels[0].shape))
    slide.close()
    return read_image(path).rgb, seen


def lose(path, index, page=0):
    """Say of one tile or strip that it was never stored."""
    with tifffile.TiffFile(path) as tif:
        tags = tif.pages[page].tags
        places = [
            (tags[name].valueoffset, {3: "<H", 4: "<I", 16: "<Q"}[int(tags[name].dtype)])
            for code in ("Offsets", "ByteCounts")
            for name in (f"Tile{code}", f"Strip{code}")
            if name in tags
        ]
    with path.open("r+b") as file:
        for start, kind in places:
            file.seek(start + index * struct.calcsize(kind))
            file.write(struct.pack(kind, 0))


@pytest.mark.parametrize(
    "options",
    [
        {"compression": 33003, "photometric": "rgb", "description": "Aperio x|MPP = 0.25"},
        {"compression": "lzw", "photometric": "ycbcr"},
        {"compression": "zlib", "photometric": "ycbcr"},
        {"compression": "zlib", "photometric": "ycbcr", "predictor": True},
        {"compression": None, "photometric": "ycbcr"},
    ],
)
def test_luma_and_chroma_become_colours(tmp_path, options):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, LUMA_CHROMA, **options, **TILES)
    picture, slide = both(path)
    np.testing.assert_array_equal(picture, slide)
    assert off(picture) < 1.5


def test_aperio_jpeg2000_of_colours_is_so_whatever_the_tag_says(tmp_path):
    path = tmp_path / "a.tif"
    options = {"compression": 33005, "photometric": "ycbcr", "description": "Aperio x|MPP = 0.25"}
    tifffile.imwrite(path, TISSUE, **options, **TILES)
    for pixels in both(path):
        np.testing.assert_array_equal(pixels, TISSUE)


def test_jpeg_tiles_of_any_photometric_are_the_same_for_pictures_and_slides(tmp_path):
    for name, options in (("ycbcr", {}), ("rgb", {"outcolorspace": "rgb"})):
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(
            path,
            TISSUE,
            photometric="rgb",
            compression="jpeg",
            compressionargs={"level": 95, **options},
            **TILES,
        )
        picture, slide = both(path)
        np.testing.assert_array_equal(picture, slide)
        assert off(picture) < 3


def rgba(kind, planar):
    alpha = np.full(TISSUE.shape[:2], 255, np.uint8)
    alpha[:, :100] = 0
    alpha[:, 100] = 128
    colours = TISSUE.copy()
    if kind == "assocalpha":
        colours = np.rint(colours * (alpha[..., None] / 255)).astype(np.uint8)
    colours[:, :100] = 0
    stored = np.dstack([colours, alpha])
    extra = {"extrasamples": [kind], "photometric": "rgb", "compression": "zlib"}
    if planar:
        return np.moveaxis(stored, -1, 0), {**extra, "planarconfig": "separate"}
    return stored, extra


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha", "unspecified"])
def test_transparent_is_glass(tmp_path, kind, planar):
    path = tmp_path / "a.tif"
    stored, options = rgba(kind, planar)
    tifffile.imwrite(path, stored, **options, **TILES)
    picture, slide = both(path)
    np.testing.assert_array_equal(picture, slide)
    assert (picture[:, :100] == 255).all()
    np.testing.assert_array_equal(picture[:, 101:], TISSUE[:, 101:])
    half = TISSUE[:, 100].astype(int) + (255 - TISSUE[:, 100].astype(int)) * 127 / 255
    np.testing.assert_allclose(picture[:, 100], half, atol=2)


def test_a_fourth_sample_that_only_fills_up_hides_nothing(tmp_path):
    path = tmp_path / "a.tif"
    stored = np.dstack([TISSUE, np.zeros(TISSUE.shape[:2], np.uint8)])
    tifffile.imwrite(path, stored, photometric="rgb", extrasamples=["unspecified"], **TILES)
    for seen in both(path):
        np.testing.assert_array_equal(seen, TISSUE)


def planes(count, dtype=np.uint16):
    return np.random.default_rng(0).integers(0, 4000, (count, 64, 80)).astype(dtype)


def names(*said):
    return {"photometric": "minisblack", "metadata": {"axes": "CYX", "Channel": {"Name": said}}}


@pytest.mark.parametrize(
    ("file", "pixels", "options"),
    [
        ("a.ome.tif", planes(4), names("DAPI", "CD3", "CD8", "PanCK")),
        ("a.ome.tif", planes(4, np.uint8), names("a", "b", "c", "d")),
        ("a.ome.tif", planes(3), names("DAPI", "FITC", "Cy3")),
        ("a.ome.tif", planes(2), names("DAPI", "FITC")),
        ("a.ome.tif", planes(5), names(*"abcde")),
        ("a.ome.tif", planes(4), {"photometric": "minisblack", "metadata": {"axes": "CYX"}}),
        ("a.tif", planes(4), {"photometric": "minisblack"}),
        ("a.tif", planes(4), {}),  # tifffile calls these red, green, blue and alpha
        ("a.tif", planes(4), {"imagej": True, "metadata": {"axes": "CYX"}}),
        (
            "a.tif",
            np.moveaxis(planes(4), 0, -1),
            {"photometric": "minisblack", "planarconfig": "contig"},
        ),
        (
            "a.tif",
            np.moveaxis(planes(2), 0, -1),
            {"photometric": "minisblack", "planarconfig": "contig"},
        ),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_channels_of_fluorescence_are_refused(tmp_path, file, pixels, options):
    tifffile.imwrite(tmp_path / file, pixels, **options)
    with pytest.raises(ImageError, match=r"red, green and blue|one plane of") as caught:
        read_image(tmp_path / file)
    assert "\n" not in str(caught.value)
    assert file in str(caught.value)


@pytest.mark.parametrize("said", [("Red", "Green", "Blue"), ("C:0", "C:1", "C:2"), ("", "", "")])
def test_three_channels_of_colour_names_are_colours(tmp_path, said):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, np.moveaxis(TISSUE, -1, 0), ome=True, **names(*said))
    np.testing.assert_array_equal(read_image(path).rgb, TISSUE)


def test_grey_with_alpha_is_laid_over_white(tmp_path):
    grey = np.dstack([TISSUE[..., 0], np.where(np.arange(256) < 9, 0, 255) + TISSUE[..., 0] * 0])
    tifffile.imwrite(
        tmp_path / "a.tif",
        grey.astype(np.uint8),
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=["unassalpha"],
    )
    seen = read_image(tmp_path / "a.tif").rgb
    assert (seen[:, :9] == 255).all()
    np.testing.assert_array_equal(seen[:, 9:, 2], TISSUE[:, 9:, 0])


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_the_depth_that_a_file_says_is_used_without_a_word(tmp_path, bits):
    deep = (TISSUE.astype(np.uint16) << (bits - 8)) // 3  # dark: the values alone would mislead
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(
        path, deep, photometric="rgb", metadata={"axes": "YXS", "SignificantBits": bits}
    )
    tile, notice = read_image_with_notice(path)
    np.testing.assert_allclose(tile.rgb, TISSUE / 3, atol=1)
    assert notice == ""


def test_packed_depths_are_understood(tmp_path):
    twelve = TISSUE.astype(np.uint16) * 16
    tifffile.imwrite(tmp_path / "12.tif", twelve, photometric="rgb", bitspersample=12)
    assert off(read_image(tmp_path / "12.tif").rgb) < 1.1
    four = TISSUE[..., 0] // 16
    tifffile.imwrite(tmp_path / "4.tif", four, photometric="minisblack", bitspersample=4)
    np.testing.assert_array_equal(read_image(tmp_path / "4.tif").rgb[..., 1], four * 17)


@pytest.mark.parametrize("suffix", [".tif", ".png"])
@pytest.mark.parametrize(("bits", "told"), [(10, True), (12, True), (14, True), (16, False)])
def test_the_depth_is_read_from_the_values_and_said(tmp_path, suffix, bits, told):
    deep = TISSUE.astype(np.uint16) << (bits - 8)
    path = tmp_path / f"a{suffix}"
    if suffix == ".png":
        path.write_bytes(imagecodecs.png_encode(deep))
    else:
        tifffile.imwrite(path, deep, photometric="rgb")
    tile, notice = read_image_with_notice(path)
    assert off(tile.rgb) < 1.1
    assert (f"taken for {bits} bits" in notice) is told


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_the_depth_is_that_of_the_colours_and_not_of_alpha(tmp_path, suffix):
    alpha = np.full((*TISSUE.shape[:2], 1), 65535, np.uint16)
    alpha[:9] = 0
    deep = np.concatenate([TISSUE.astype(np.uint16) << 4, alpha], axis=-1)
    path = tmp_path / f"a{suffix}"
    if suffix == ".png":
        path.write_bytes(imagecodecs.png_encode(deep))
    else:
        tifffile.imwrite(path, deep, photometric="rgb", extrasamples=["unassalpha"])
    tile, notice = read_image_with_notice(path)
    assert (tile.rgb[:9] == 255).all()
    assert off(tile.rgb[9:], TISSUE[9:]) < 1.1
    assert "taken for 12 bits" in notice


@pytest.mark.parametrize("top", [1.0, 255.0])
def test_floats_have_one_of_two_ranges(tmp_path, top):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, (TISSUE / 255 * top).astype(np.float32), photometric="rgb")
    np.testing.assert_array_equal(read_image(path).rgb, TISSUE)


@pytest.mark.parametrize(
    ("options", "gap"),
    [
        ({"tile": (64, 64)}, (64, 0, 128, 64)),
        ({"rowsperstrip": 24}, (96, 0, 120, 256)),
        ({"tile": (64, 64), "planarconfig": "separate"}, (64, 0, 128, 64)),
    ],
)
def test_what_was_never_stored_is_glass_and_told(tmp_path, options, gap):
    path = tmp_path / "a.tif"
    planar = options.get("planarconfig") == "separate"
    tifffile.imwrite(
        path,
        np.moveaxis(TISSUE, -1, 0) if planar else TISSUE,
        photometric="rgb",
        compression="zlib",
        metadata=None,
        **options,
    )
    lose(path, 4)
    expected = TISSUE.copy()
    y0, x0, y1, x1 = gap
    expected[y0:y1, x0:x1] = 255
    for seen in both(path):
        np.testing.assert_array_equal(seen, expected)
    notice = read_image_with_notice(path)[1]
    assert notice.startswith(f"{path}: 1 of ")
    assert "tiles are missing and taken for glass" in notice


def test_a_grey_picture_has_glass_where_nothing_was_stored(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, TISSUE[..., 0], compression="zlib", **TILES)
    lose(path, 0)
    assert (read_image(path).rgb[:64, :64] == 255).all()
