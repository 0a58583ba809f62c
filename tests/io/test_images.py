import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_uninuc.errors import ImageError
from napari_uninuc.io.images import read_image, read_image_with_notice

RGB = np.random.default_rng(1).integers(0, 256, (33, 47, 3), dtype=np.uint8)


def refuse(path, words):
    with pytest.raises(ImageError, match=words) as caught:
        read_image(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp"])
def test_lossless_rgb_survives(tmp_path, suffix):
    path = tmp_path / f"picture{suffix}"
    Image.fromarray(RGB).save(path, lossless=True)
    tile = read_image(path)
    np.testing.assert_array_equal(tile.rgb, RGB)
    assert tile.name == path.name
    assert tile.mpp is None


def test_jpeg_is_close(tmp_path):
    smooth = np.full((32, 32, 3), (200, 120, 180), dtype=np.uint8)
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    np.testing.assert_allclose(read_image(tmp_path / "a.jpg").rgb, smooth, atol=3)


def test_the_content_counts_not_the_suffix(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.jpg", format="PNG")
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg").rgb, RGB)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_palettes_become_colours(tmp_path, suffix):
    palette = Image.fromarray(RGB).quantize(16)
    palette.save(tmp_path / f"a{suffix}")
    expected = np.asarray(palette.convert("RGB"))
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}").rgb, expected)


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_inks_become_colours(tmp_path, suffix):
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    cyan.save(tmp_path / f"a{suffix}", quality=95)
    rgb = read_image(tmp_path / f"a{suffix}").rgb
    np.testing.assert_allclose(rgb, np.broadcast_to([0, 255, 255], rgb.shape), atol=3)


def test_grey_alpha_bilevel_and_transparent_pictures(tmp_path):
    grey = np.arange(24, dtype=np.uint8).reshape(4, 6)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png").rgb[..., 1], grey)
    Image.merge("LA", [Image.new("L", (3, 2), 7), Image.new("L", (3, 2), 0)]).save(
        tmp_path / "la.png"
    )
    assert (read_image(tmp_path / "la.png").rgb == 255).all()
    Image.fromarray(grey > 9).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_image(tmp_path / "bits.png").rgb[..., 0] > 0, grey > 9)
    Image.new("RGB", (3, 2), (1, 2, 3)).save(tmp_path / "key.png", transparency=(1, 2, 3))
    assert (read_image(tmp_path / "key.png").rgb == 255).all()


def test_sixteen_bits_become_eight(tmp_path):
    wide = np.array([[0, 257 * 10, 65535]], dtype=np.uint16)
    Image.fromarray(wide).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", wide)
    for name in ("a.png", "a.tif"):
        assert read_image(tmp_path / name).rgb[0, :, 0].tolist() == [0, 10, 255]


def test_one_pixel_is_a_picture(tmp_path):
    Image.new("RGB", (1, 1), (9, 8, 7)).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", np.full((1, 1), 9, dtype=np.uint8))
    assert read_image(tmp_path / "a.png").rgb.tolist() == [[[9, 8, 7]]]
    assert read_image(tmp_path / "a.tif").rgb.tolist() == [[[9, 9, 9]]]


@pytest.mark.parametrize("shape", [(1, 5, 3), (5, 1, 3), (1, 5), (5, 1)])
def test_one_pixel_wide_tiffs_keep_their_shape(tmp_path, shape):
    pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    photometric = "rgb" if len(shape) == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric=photometric)
    assert read_image(tmp_path / "a.tif").shape == shape[:2]


@pytest.mark.parametrize(
    "options",
    [
        {"photometric": "rgb", "planarconfig": "separate"},
        {"photometric": "minisblack"},
        {"photometric": "minisblack", "ome": True, "metadata": {"axes": "CYX"}},
        {"photometric": "rgb", "planarconfig": "separate", "tile": (16, 16), "compression": "lzw"},
    ],
)
def test_channels_first_tiffs_are_turned(tmp_path, options):
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(RGB, -1, 0), **options)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").rgb, RGB)


def test_white_is_zero_tiffs_are_inverted(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", RGB[..., 0], photometric="miniswhite")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").rgb[..., 0], 255 - RGB[..., 0])


@pytest.mark.parametrize(
    "options",
    [
        {"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"},
        {"resolution": (50_800, 50_800), "resolutionunit": "INCH"},
        {"imagej": True, "resolution": (2, 2), "metadata": {"unit": "um"}},
        {"ome": True, "metadata": {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}},
        {
            "ome": True,
            "metadata": {
                "PhysicalSizeX": 500,
                "PhysicalSizeXUnit": "nm",
                "PhysicalSizeY": 0.0005,
                "PhysicalSizeYUnit": "mm",
            },
        },
        {"description": "Aperio Image Library v11.2.1 \r\n33x47|AppMag = 20|MPP = 0.5000"},
    ],
)
def test_the_scale_is_read_from_what_tiffs_say(tmp_path, options):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RGB, photometric="rgb", **options)
    assert read_image(path).mpp == pytest.approx(0.5)
    assert read_image(path, mpp=0.25).mpp == 0.25


@pytest.mark.parametrize(
    "options",
    [
        {"resolution": (72, 72), "resolutionunit": "INCH"},
        {"resolution": (20_000, 10_000), "resolutionunit": "CENTIMETER"},
        {"resolution": (2, 2), "resolutionunit": "NONE"},
        {"ome": True, "metadata": {"PhysicalSizeX": 80.0, "PhysicalSizeY": 80.0}},
        {"description": "MPP = 0.5 but no scanner's"},
    ],
)
def test_implausible_scales_are_unknown(tmp_path, options):
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb", **options)
    assert read_image(tmp_path / "a.tif").mpp is None


def test_a_png_can_carry_a_scale(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png", dpi=(50_800, 50_800))
    assert read_image(tmp_path / "a.png").mpp == pytest.approx(0.5, rel=1e-3)


def test_the_full_resolution_of_a_slide_is_read(tmp_path):
    path = tmp_path / "slide.svs"
    thumbnail = np.zeros((8, 8, 3), dtype=np.uint8)
    with tifffile.TiffWriter(path) as tif:
        description = "Aperio Image Library v11.2.1\r\n47x33 (16x16)|AppMag = 40|MPP = 0.2500"
        layout = {"photometric": "rgb", "compression": "zlib", "metadata": None}
        tif.write(RGB, tile=(16, 16), description=description, **layout)
        tif.write(thumbnail, description="Aperio Image Library v11.2.1\r\nthumbnail", **layout)
    tile = read_image(path)
    np.testing.assert_array_equal(tile.rgb, RGB)
    assert tile.mpp == pytest.approx(0.25)


def test_the_first_frame_of_an_animation_is_read(tmp_path):
    frames = [Image.new("RGB", (4, 3), (shade, 0, 0)) for shade in (0, 255)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "a.gif").rgb.max() == 0


def test_stacks_of_planes_are_refused(tmp_path):
    stack = np.zeros((5, 20, 30), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "pages.tif", stack, photometric="minisblack")
    refuse(tmp_path / "pages.tif", "one plane")
    tifffile.imwrite(tmp_path / "z.tif", stack[:3], imagej=True, metadata={"axes": "ZYX"})
    refuse(tmp_path / "z.tif", "one plane")


def test_nothing_empty_and_folders_are_refused(tmp_path):
    refuse(tmp_path / "none.png", "nothing there")
    refuse(tmp_path, "folder")
    (tmp_path / "empty.tif").touch()
    refuse(tmp_path / "empty.tif", "empty")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_text_is_no_picture(tmp_path, suffix):
    (tmp_path / f"a{suffix}").write_text("This is not a picture.\n" * 9)
    refuse(tmp_path / f"a{suffix}", "readable picture")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".lzw.tif", ".tiles.tif"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_files_cut_short_are_refused(tmp_path, suffix, kept):
    path = tmp_path / f"a{suffix}"
    if suffix == ".tiles.tif":
        tifffile.imwrite(path, RGB, photometric="rgb", tile=(16, 16))
    elif suffix == ".lzw.tif":
        tifffile.imwrite(path, RGB, photometric="rgb", compression="lzw", rowsperstrip=4)
    elif suffix == ".tif":
        tifffile.imwrite(path, RGB, photometric="rgb")
    else:
        Image.fromarray(RGB).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    refuse(path, "readable|cut short")


def test_damaged_tiffs_are_refused(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\x00" + struct.pack("<I", 8) + b"\xff" * 64)
    refuse(path, "readable TIFF")


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 1e6])
def test_values_that_are_no_pixels_are_refused(tmp_path, value):
    tifffile.imwrite(tmp_path / "a.tif", np.full((4, 4), value, dtype=np.float32))
    refuse(tmp_path / "a.tif", "image")


def test_huge_pictures_are_refused_before_they_are_decoded(tmp_path):
    tifffile.imwrite(
        tmp_path / "long.tif", np.zeros((1, 30_001), dtype=np.uint8), compression="zlib"
    )
    refuse(tmp_path / "long.tif", "30000 px a side")
    Image.new("L", (30_001, 1)).save(tmp_path / "long.png")
    refuse(tmp_path / "long.png", "30000 px a side")


def test_decompression_bombs_are_refused(tmp_path, monkeypatch):
    Image.new("L", (100, 100)).save(tmp_path / "a.png")
    for limit in (9_000, 4_000):  # Pillow warns above the limit and raises above twice the limit
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        refuse(tmp_path / "a.png", "too large")


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_picture_as_dark_as_fluorescence_is_told(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    cells = np.full((64, 64, 3), (2, 3, 9), np.uint8)
    cells[20:30, 20:30] = (0, 0, 250)
    for pixels, told in ((cells, True), (255 - cells, False), (np.zeros_like(cells), False)):
        Image.fromarray(pixels).save(path)
        notice = read_image_with_notice(path)[1]
        assert ("dark, as fluorescence is" in notice) is told
