import numpy as np
import pytest
import tifffile
import zarr

from napari_uninuc.errors import ImageError
from napari_uninuc.slides.opening import open_slide
from napari_uninuc.slides.protocol import level_for, levels_of

KINDS = ("svs", "ome-tiff", "tiff", "zarr-0.4", "zarr-0.5")


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_gives_the_pixels_that_were_written(opened, make_slide, tissue, kind):
    rgb = tissue(700, 1030)
    slide = opened(make_slide(kind, rgb))
    assert slide.mpp == pytest.approx(0.25)
    assert slide.levels[0].shape == (700, 1030)
    assert [level.downsample for level in slide.levels] == [1.0, 2.0, 4.0][: len(slide.levels)]
    for box in [(0, 0, 700, 1030), (250, 255, 513, 514), (699, 1029, 700, 1030)]:
        y0, x0, y1, x1 = box
        np.testing.assert_array_equal(slide.read(0, box), rgb[y0:y1, x0:x1])
    half = rgb.astype(np.uint16)
    half = (half[::2, ::2] + half[1::2, ::2] + half[::2, 1::2] + half[1::2, 1::2]) // 4
    np.testing.assert_array_equal(slide.read(1, (10, 20, 300, 500)), half[10:300, 20:500])
    slide.close()
    slide.close()


def test_tifffile_reads_aperio_as_openslide_does(make_slide, tissue):
    from napari_uninuc.slides.tiff_slide import TiffSlide
    from napari_uninuc.slides.vendor_slide import VendorSlide, vendor_of

    pytest.importorskip("openslide")
    path = make_slide("svs", tissue(700, 1030))
    assert vendor_of(path) == "aperio"
    ours, theirs = TiffSlide(path), VendorSlide(path)
    assert (ours.levels, ours.mpp) == (theirs.levels, theirs.mpp)
    for level in range(3):
        box = (3, 5, 170, 250)
        # Where a size was rounded openslide shifts by a thousandth of a pixel and blends.
        off = ours.read(level, box).astype(int) - theirs.read(level, box)
        assert np.abs(off).max() <= (level == 2)
    ours.close()
    theirs.close()


def test_label_and_macro_are_no_level(opened, make_slide, tissue):
    slide = opened(make_slide("svs", tissue(700, 1030)))
    for level in range(len(slide.levels)):
        pixels = slide.read(level, (0, 0, *slide.levels[level].shape))
        assert not (pixels == (255, 0, 0)).all(axis=2).any()


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_scale_the_user_is_asked(opened, make_slide, tissue, kind):
    path = make_slide(kind, tissue(300, 300), mpp=None)
    with pytest.raises(ImageError, match=r"expected micrometres per pixel .* --mpp"):
        open_slide(path)
    slide = opened(path, mpp=0.5)
    assert slide.mpp == 0.5


def test_an_absurd_scale_is_not_believed(make_slide, tissue):
    with pytest.raises(ImageError, match="--mpp"):
        open_slide(make_slide("tiff", tissue(300, 300), mpp=353.0))
    with pytest.raises(ImageError, match="--mpp"):
        open_slide(make_slide("zarr-0.4", tissue(300, 300), mpp=0.25, unit="millimeter"))


@pytest.mark.parametrize(
    ("wanted", "level"), [(0.2, 0), (0.25, 0), (0.49, 0), (0.5, 1), (0.499, 1), (3.0, 2), (1.0, 2)]
)
def test_level_is_the_coarsest_that_is_fine_enough(opened, make_slide, tissue, wanted, level):
    slide = opened(make_slide("ome-tiff", tissue(700, 1030)))
    assert level_for(slide, wanted) == level


def test_ratios_of_rounded_sizes_are_whole():
    levels = levels_of([(8001, 4003), (4000, 2001), (2000, 1000), (700, 350)])
    assert [level.downsample for level in levels] == [1, 2, 4, pytest.approx(11.43, abs=0.01)]


@pytest.mark.parametrize("kind", ["svs", "ome-tiff", "tiff"])
def test_a_slide_cut_short_is_refused_when_opened(opened, make_slide, tissue, kind):
    path = make_slide(kind, tissue(700, 700))
    whole = path.read_bytes()
    page = tifffile.TiffFile(path).pages[0]
    page.parent.close()
    # The directory stays readable: what is lost are pixels, as after a broken download.
    path.write_bytes(whole[: max(page.dataoffsets) + 10])
    with pytest.raises(ImageError, match=r"cut short|readable slide") as caught:
        open_slide(path)
    assert "\n" not in str(caught.value)


def test_missing_tiles_are_glass_and_said(opened, tmp_path, tissue):
    rgb = tissue(512, 512)
    path = tmp_path / "sparse.tif"
    tiles = [rgb[:256, :256], None, rgb[256:, :256], rgb[256:, 256:]]
    with tifffile.TiffWriter(path) as writer:
        writer.write(
            (b"" if tile is None else tile.tobytes() for tile in tiles),
            shape=rgb.shape,
            dtype=np.uint8,
            tile=(256, 256),
            photometric="rgb",
            resolution=(40_000, 40_000),
            resolutionunit="CENTIMETER",
        )
    slide = opened(path)
    assert "1 of 4 tiles are missing" in slide.notice
    read = slide.read(0, (0, 0, 512, 512))
    assert (read[:256, 256:] == 255).all()
    np.testing.assert_array_equal(read[256:], rgb[256:])


def test_a_damaged_tile_is_named(opened, make_slide, tissue):
    path = make_slide("ome-tiff", tissue(700, 700))
    with tifffile.TiffFile(path) as tif:
        offset = tif.pages[0].dataoffsets[4]
    raw = bytearray(path.read_bytes())
    raw[offset : offset + 200] = bytes(200)
    path.write_bytes(bytes(raw))
    slide = opened(path)
    assert slide.read(0, (0, 0, 100, 100)).shape == (100, 100, 3)
    with pytest.raises(ImageError, match="tile 4 of level 0 cannot be decoded"):
        slide.read(0, (300, 300, 400, 400))


def fluorescence(path):
    planes = np.zeros((3, 300, 300), np.uint8)
    tifffile.imwrite(path, planes, ome=True, metadata={"axes": "CYX"}, photometric="minisblack")


def sixteen_bits(path):
    tifffile.imwrite(path, np.zeros((300, 300, 3), np.uint16), photometric="rgb", tile=(256, 256))


def grey(path):
    tifffile.imwrite(path, np.zeros((300, 300), np.uint8), tile=(256, 256))


def four_channels(path):
    """Tifffile calls four planes red, green, blue and alpha."""
    planes = np.random.default_rng(0).integers(0, 200, (4, 300, 300)).astype(np.uint8)
    tifffile.imwrite(path, planes, ome=False, photometric="rgb", planarconfig="separate")


@pytest.mark.parametrize("write", [fluorescence, four_channels, sixteen_bits, grey])
def test_what_is_not_stained_tissue_is_refused(tmp_path, write):
    path = tmp_path / "slide.ome.tif"
    write(path)
    with pytest.raises(ImageError, match="expected an 8-bit RGB slide"):
        open_slide(path, mpp=0.25)


def test_a_codec_that_is_not_there_is_said_at_once(tmp_path, tissue, monkeypatch):
    path = tmp_path / "slide.tif"
    pixels = tissue(300, 300)
    tifffile.imwrite(path, pixels, tile=(256, 256), photometric="rgb", compression="jpeg2000")
    open_slide(path, mpp=0.25).close()

    def gone(*_, **__):
        raise ValueError("<COMPRESSION.JPEG2000: 34712> requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPage, "decode", property(lambda self: gone))
    with pytest.raises(ImageError, match=r"cannot be decoded \(.*JPEG2000.*save it anew"):
        open_slide(path, mpp=0.25)


def test_ome_zarr_says_its_scale_in_any_way_that_labels_may(make_slide, tissue):
    path = make_slide("zarr-0.4", tissue(300, 300), levels=1)
    group = zarr.open_group(str(path))
    (stored,) = group.attrs["multiscales"]
    scale, shift = {"type": "scale", "scale": [1, 0.5, 0.5]}, {"type": "translation"}
    steps = [scale, {**shift, "translation": [0, 100, 50]}]
    stored["datasets"][0]["coordinateTransformations"] = [
        {"type": "sequence", "transformations": steps}
    ]
    stored["coordinateTransformations"] = [scale]
    for axis in stored["axes"]:
        axis["name"] = axis["name"].upper()
    red, green, blue = ({"color": colour} for colour in ("#ff0000", "#00ff00", "#0000ff"))
    group.attrs.update({"multiscales": [stored], "omero": {"channels": [red, green, blue]}})
    slide = open_slide(path)
    assert (slide.mpp, slide.origin_yx) == (0.25, (0, 0))
    np.testing.assert_array_equal(slide.read(0, (0, 0, 300, 300)), tissue(300, 300))


@pytest.mark.parametrize("axes", [None, ["t", "c", "z", "y", "x"]])
def test_ome_zarr_before_axes_had_units(tmp_path, tissue, axes):
    path = tmp_path / "a.zarr"
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    pixels = np.moveaxis(tissue(300, 300), -1, 0)[None, :, None]
    group.create_array("0", data=np.ascontiguousarray(pixels), chunks=(1, 3, 1, 256, 256))
    said = {} if axes is None else {"axes": axes}
    group.attrs["multiscales"] = [{"datasets": [{"path": "0"}], **said}]
    with pytest.raises(ImageError, match="--mpp"):
        open_slide(path)
    slide = open_slide(path, mpp=0.25)
    np.testing.assert_array_equal(slide.read(0, (0, 0, 300, 300)), tissue(300, 300))


def test_ome_zarr_of_something_else_is_refused(tmp_path, make_slide, tissue):
    path = make_slide("zarr-0.4", tissue(300, 300))
    group = zarr.open_group(str(path))
    group.attrs["omero"] = {
        "channels": [{"color": "0000FF"}, {"color": "00FF00"}, {"color": "FF0000"}]
    }
    with pytest.raises(ImageError, match="8-bit RGB"):
        open_slide(path)
    group.attrs["image-label"] = {}
    with pytest.raises(ImageError, match="expected an OME-Zarr picture"):
        open_slide(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="folder"):
        open_slide(tmp_path / "empty")


def test_foreign_and_missing_files_are_refused(tmp_path):
    (tmp_path / "note.svs").write_text("not a slide")
    for name, said in (("note.svs", "expected a slide"), ("gone.svs", "nothing there")):
        with pytest.raises(ImageError, match=said):
            open_slide(tmp_path / name)


@pytest.mark.parametrize(
    ("level", "box"), [(0, (0, 0, 301, 10)), (0, (5, 5, 5, 9)), (7, (0, 0, 1, 1))]
)
def test_boxes_outside_are_refused(opened, make_slide, tissue, level, box):
    slide = opened(make_slide("ome-tiff", tissue(300, 300)))
    with pytest.raises(ImageError, match=r"must lie in|levels are"):
        slide.read(level, box)


def test_strips_are_read_too(opened, tmp_path, tissue):
    rgb = tissue(600, 400)
    path = tmp_path / "strips.tif"
    tifffile.imwrite(path, rgb, photometric="rgb", rowsperstrip=16)
    slide = opened(path, mpp=0.25)
    np.testing.assert_array_equal(slide.read(0, (100, 30, 331, 301)), rgb[100:331, 30:301])


def test_planes_apart_are_read_too(opened, tmp_path, tissue):
    rgb = tissue(600, 400)
    path = tmp_path / "planes.tif"
    planes = np.moveaxis(rgb, -1, 0)
    tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate", tile=(128, 128))
    slide = opened(path, mpp=0.25)
    np.testing.assert_array_equal(slide.read(0, (100, 30, 331, 301)), rgb[100:331, 30:301])


def test_jpeg_tiles_without_a_vendors_mark_are_read(opened, tmp_path, tissue):
    """Each directory tells its tables: looking them up must not move the place that is read."""
    rgb = tissue(600, 520)
    path = tmp_path / "jpeg.tif"
    layout = {"tile": (128, 128), "photometric": "rgb", "compression": "jpeg", "metadata": None}
    layout |= {"compressionargs": {"level": 95}}
    with tifffile.TiffWriter(path) as writer:
        for step in (1, 2):
            px_per_cm = 40_000 / step
            writer.write(
                np.ascontiguousarray(rgb[::step, ::step]),
                subfiletype=int(step > 1),
                resolution=(px_per_cm, px_per_cm),
                resolutionunit="CENTIMETER",
                **layout,
            )
    stored = tifffile.imread(path)
    slide = opened(path)
    np.testing.assert_array_equal(slide.read(0, (0, 0, 600, 520)), stored)
    np.testing.assert_allclose(slide.read(1, (0, 0, 300, 260)), rgb[::2, ::2], atol=60)
    np.testing.assert_array_equal(slide.read(0, (130, 7, 131, 500)), stored[130:131, 7:500])


def test_missing_tiles_of_coarser_levels_are_told(opened, make_slide, lose_tile, tissue):
    path = make_slide("tiff", tissue(700, 700))
    lose_tile(path, 1, 1)
    slide = opened(path)
    assert slide.notice == (f"{path}: 1 of 4 tiles of level 1 are missing and taken for glass")
    assert (slide.read(1, (0, 256, 256, 350)) == 255).all()
    assert (slide.read(1, (0, 0, 256, 256)) < 255).any()


def lost_chunks(path, level, names):
    for name in names:
        (path / str(level) / name).unlink()


@pytest.mark.parametrize(("kind", "name"), [("zarr-0.4", "0.{}.{}"), ("zarr-0.5", "c/0/{}/{}")])
def test_lost_chunks_are_glass_and_told(opened, make_slide, tissue, kind, name):
    rgb = tissue(700, 1030)
    path = make_slide(kind, rgb)
    assert opened(path).notice == ""
    lost_chunks(path, 0, [name.format(1, 2), name.format(2, 4)])
    lost_chunks(path, 2, [name.format(0, 1)])
    slide = opened(path)
    assert "2 of 15 chunks, 1 of 2 chunks of level 2 are missing" in slide.notice
    expected = rgb.copy()
    expected[256:512, 512:768] = expected[512:, 1024:] = 255
    for box in ((0, 0, 700, 1030), (300, 400, 513, 900), (600, 1029, 601, 1030)):
        y0, x0, y1, x1 = box
        np.testing.assert_array_equal(slide.read(0, box), expected[y0:y1, x0:x1])
    assert (slide.read(2, (0, 256, 175, 257)) == 255).all()
    assert (slide.read(2, (0, 0, 175, 256)) < 255).any()


@pytest.mark.parametrize("fill", [0, 255])
def test_one_colour_lost_and_shards(opened, make_slide, tissue, fill):
    path = make_slide("zarr-0.5", tissue(512, 512), levels=1)
    rgb = np.moveaxis(tissue(512, 512), -1, 0)
    group = zarr.open_group(str(path), mode="r+")
    array = group.create_array(
        "0",
        shape=rgb.shape,
        dtype=np.uint8,
        chunks=(1, 64, 64),
        shards=(1, 256, 256),
        fill_value=fill,
        overwrite=True,
    )
    array[...] = rgb
    lost_chunks(path, 0, ["c/1/0/1"])
    slide = opened(path)
    seen = slide.read(0, (0, 0, 512, 512))
    if fill:  # what was not stored is white in its writer's own words
        assert slide.notice == ""
        assert (seen[:256, 256:, 1] == 255).all()
    else:
        assert "1 of 12 chunks are missing" in slide.notice
        assert (seen[:256, 256:] == 255).all()
    np.testing.assert_array_equal(seen[256:], tissue(512, 512)[256:])
