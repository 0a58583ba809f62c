"""Scanners' own files: the scanned part of the frame, what is missing, what cannot be read."""

import numpy as np
import pytest
import tifffile

from napari_uninuc.errors import ImageError
from napari_uninuc.io.images import read_image
from napari_uninuc.slides.opening import is_slide, open_slide
from napari_uninuc.slides.tiff_slide import TiffSlide
from napari_uninuc.slides.vendor_slide import VendorSlide, vendor_of

openslide = pytest.importorskip("openslide")

APERIO = "Aperio Image Library v11.2.1\r\n{0}x{1} [0,0 {0}x{1}] (256x256)|AppMag = 40|MPP = 0.25"
MORE = {"photometric": "rgb", "compression": "zlib", "metadata": None}


def aperio(path, rgb, thumbnail=None, **layout):
    """Base, thumbnail, one level four times coarser; tiles of 128 px."""
    layout = MORE | {"description": APERIO.format(rgb.shape[1], rgb.shape[0])} | layout
    with tifffile.TiffWriter(path) as writer:
        writer.write(rgb, tile=(128, 128), **layout)
        small = np.ascontiguousarray(rgb[::8, ::8])
        writer.write(small, rowsperstrip=16, **{**layout, **(thumbnail or {})})
        writer.write(np.ascontiguousarray(rgb[::4, ::4]), tile=(128, 128), **layout)
    return path


# -- the scanned part ------------------------------------------------------------------------


@pytest.mark.parametrize("at", [(0, 0), (200, 100), (256, 512)])
def test_a_slide_is_its_scanned_part(opened, scn, tissue, tmp_path, at):
    rgb = tissue(320, 384)
    path = scn(tmp_path / "s.scn", rgb, at, frame=(700, 960))
    bare = openslide.OpenSlide(str(path))
    assert bare.dimensions == (960, 700)
    slide = opened(path)
    assert isinstance(slide, VendorSlide)
    assert (slide.origin_yx, slide.mpp) == (at, 0.25)
    assert [level.shape for level in slide.levels] == [(320, 384), (80, 96)]
    assert [level.downsample for level in slide.levels] == [1, 4]
    np.testing.assert_allclose(slide.read(0, (10, 20, 320, 384)), rgb[10:, 20:], atol=3)
    np.testing.assert_allclose(slide.read(1, (3, 5, 80, 96)), rgb[::4, ::4][3:, 5:], atol=3)


def test_levels_of_a_part_that_they_do_not_divide(opened, scn, tissue, tmp_path):
    """QuPath counts level px from the first px of the part too, wherever those of the frame lie."""
    rgb = tissue(301, 402)
    slide = opened(scn(tmp_path / "s.scn", rgb, (203, 101), frame=(700, 960)))
    step = slide.levels[1].downsample
    assert step == pytest.approx(4, rel=0.01)  # of the frame, whose coarser size is rounded too
    assert [each.shape for each in slide.levels] == [(301, 402), (int(301 / step), int(402 / step))]
    seen = slide.read(1, (10, 10, 60, 60)).astype(int)
    by_place = np.abs(
        [
            [seen - rgb[::4, ::4][10 + dy : 60 + dy, 10 + dx : 60 + dx] for dx in (-1, 0, 1)]
            for dy in (-1, 0, 1)
        ]
    ).mean(axis=(2, 3, 4))
    assert np.unravel_index(by_place.argmin(), by_place.shape) == (1, 1)


def test_bounds_that_cannot_be_are_not_believed(opened, scn, tissue, tmp_path, monkeypatch):
    path = scn(tmp_path / "s.scn", tissue(128, 128), (64, 64), frame=(256, 256))
    whole = openslide.OpenSlide.properties.fget
    for key, value in (("x", "-5"), ("width", "0"), ("y", "400"), ("height", "x")):
        spoilt = {f"openslide.bounds-{key}": value}
        monkeypatch.setattr(
            openslide.OpenSlide, "properties", property(lambda s, m=spoilt: {**whole(s), **m})
        )
        slide = opened(path)
        assert (slide.origin_yx, slide.levels[0].shape) == ((0, 0), (256, 256))


def test_tifffile_reads_the_scan_and_not_the_macro(scn, tissue, tmp_path):
    """Without openslide, and `uninuc segment`, see the same pixels at the same places."""
    rgb = tissue(256, 320)
    path = scn(tmp_path / "s.scn", rgb, (130, 70), frame=(512, 640), mpp=0.5)
    ours, theirs = TiffSlide(path), open_slide(path)
    assert isinstance(theirs, VendorSlide)
    assert (ours.levels, ours.mpp) == (theirs.levels, theirs.mpp)
    assert ours.mpp == 0.5
    np.testing.assert_allclose(ours.read(0, (0, 0, 256, 320)), rgb, atol=3)
    np.testing.assert_array_equal(ours.read(0, (0, 0, 256, 320)), theirs.read(0, (0, 0, 256, 320)))
    tile = read_image(path)
    assert (tile.shape, tile.mpp) == ((256, 320), 0.5)
    ours.close()
    theirs.close()


def test_several_scans_are_for_openslide_alone(opened, scn, tissue, tmp_path):
    path = scn(tmp_path / "s.scn", tissue(128, 128), (30, 40), frame=(300, 400), scans=2)
    slide = opened(path, mpp=0.25)
    assert (slide.origin_yx, slide.levels[0].shape) == ((30, 40), (128, 256))
    for read in (TiffSlide, read_image):
        with pytest.raises(ImageError, match="a slide of 2, which openslide puts together"):
            read(path)


# -- what is missing --------------------------------------------------------------------------


def test_missing_tiles_are_told_whoever_reads(opened, lose_tile, tissue, tmp_path):
    rgb = tissue(512, 512)
    path = aperio(tmp_path / "s.svs", rgb)
    lose_tile(path, 0, 0)
    slide, ours = opened(path), TiffSlide(path)
    assert isinstance(slide, VendorSlide)
    assert slide.notice == f"{path}: 1 of 16 tiles are missing and taken for glass" == ours.notice
    expected = rgb.copy()
    expected[:128, :128] = 255
    for each in (slide, ours):
        np.testing.assert_array_equal(each.read(0, (0, 0, 512, 512)), expected)
    ours.close()


def test_missing_tiles_of_a_coarser_level_are_told_too(opened, lose_tile, tissue, tmp_path, scn):
    """openslide shows what a finer level has there, of Aperio's; tifffile shows glass."""
    path = aperio(tmp_path / "s.svs", tissue(512, 512))
    lose_tile(path, 2, 0)
    slide, ours = opened(path), TiffSlide(path)
    assert "1 of 1 tiles of level 1 are missing" in slide.notice
    assert "from a finer one" in slide.notice
    assert slide.read(1, (0, 0, 100, 100)).mean() < 200
    assert "1 of 1 tiles of level 1 are missing and taken for glass" in ours.notice
    assert (ours.read(1, (0, 0, 100, 100)) == 255).all()
    ours.close()
    leica = scn(tmp_path / "s.scn", tissue(256, 256), (9, 9))
    lose_tile(leica, 1, 5)
    slide = opened(leica)
    assert "1 of 16 tiles" in slide.notice
    assert (slide.read(0, (64, 64, 128, 128)) == 255).all()


def test_a_whole_slide_has_no_notice(opened, scn, tissue, tmp_path):
    assert opened(aperio(tmp_path / "s.svs", tissue(300, 300))).notice == ""
    assert opened(scn(tmp_path / "s.scn", tissue(128, 128), (9, 9))).notice == ""


# -- what cannot be read ----------------------------------------------------------------------


def grey(rgb):
    return np.ascontiguousarray(rgb[..., 0]), {"photometric": "minisblack"}


def deep(rgb):
    return rgb.astype(np.uint16) * 257, {}


@pytest.mark.parametrize("change", [grey, deep])
def test_what_is_no_stained_tissue_is_refused_whoever_reads(tissue, tmp_path, change):
    pixels, layout = change(tissue(300, 300))
    path = aperio(tmp_path / "s.svs", pixels, **layout)
    assert vendor_of(path) == "aperio"
    for read in (open_slide, TiffSlide):
        with pytest.raises(ImageError, match="expected an 8-bit RGB slide") as caught:
            read(path)
        assert "openslide" not in str(caught.value)


def test_what_openslide_refuses_is_left_to_tifffile(opened, tissue, tmp_path):
    rgb = tissue(300, 300)
    path = aperio(tmp_path / "s.svs", rgb, thumbnail={"compression": 33005})
    with pytest.raises(ImageError, match="thumbnail") as caught:
        VendorSlide(path)
    assert "save it anew" in str(caught.value)
    slide = opened(path)
    assert isinstance(slide, TiffSlide)
    assert is_slide(path)
    np.testing.assert_array_equal(slide.read(0, (0, 0, 300, 300)), rgb)
    assert len(slide.levels) == 2


SYNTAXES = {
    "1.2.840.10008.1.2.5": "RLE",
    "1.2.840.10008.1.2.4.80": "JPEG-LS",
    "1.2.840.10008.1.2.4.110": "JPEG XL",
    "1.2.840.10008.1.2.1.99": "deflated",
    "1.2.840.10008.1.2": "implicit little endian",
    "1.2.840.10008.9.9": "unusual",
}


@pytest.mark.parametrize(("syntax", "name"), SYNTAXES.items())
def test_dicom_of_other_syntaxes_is_named(tmp_path, syntax, name):
    path = tmp_path / "s.dcm"
    path.write_bytes(dicom_head(syntax))
    with pytest.raises(ImageError, match="transfer syntax") as caught:
        VendorSlide(path)
    said = str(caught.value)
    assert name in said
    assert syntax in said
    assert "convert it" in said
    assert "fetch" not in said
    assert "\n" not in said


def test_damaged_dicom_is_not_blamed_on_its_syntax(tmp_path):
    path = tmp_path / "s.dcm"
    path.write_bytes(dicom_head("1.2.840.10008.1.2.1"))
    with pytest.raises(ImageError, match="if it is damaged, fetch it again"):
        VendorSlide(path)


def dicom_head(syntax):
    """A meta header alone: a slide that says how it is packed."""

    def element(number, kind, value):
        value = value.encode() + b"\0" * (len(value) % 2)
        head = b"\x02\x00" + number.to_bytes(2, "little") + kind
        return head + len(value).to_bytes(2, "little") + value

    meta = element(2, b"UI", "1.2.840.10008.5.1.4.1.1.77.1.6") + element(3, b"UI", "1.2.3")
    meta += element(0x10, b"UI", syntax)
    length = b"\x02\x00\x00\x00UL\x04\x00" + len(meta).to_bytes(4, "little")
    return b"\0" * 128 + b"DICM" + length + meta
