from xml.etree import ElementTree

import numpy as np
import pytest
import skimage.io
import tifffile
from PIL import Image

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.io import tiff
from napari_uninuc.io.images import read_image
from napari_uninuc.io.labels import read_labels, read_segmentation
from napari_uninuc.io.tiff import (
    origin_of_ours,
    tiff_holds_our_labels,
    write_ome_tiff,
    write_tiff,
)


@pytest.fixture
def crowd() -> Segmentation:
    """A picture of 300 x 300 with 90,000 ids, one a pixel but the first."""
    return Segmentation.from_labels(np.arange(90_000).reshape(300, 300))


def test_a_tiff_is_the_labels_to_other_readers(two_nuclei, tmp_path):
    write_tiff(two_nuclei, tmp_path / "a.tif", mpp=0.25)
    for labels in (
        tifffile.imread(tmp_path / "a.tif"),
        skimage.io.imread(tmp_path / "a.tif"),
        np.asarray(Image.open(tmp_path / "a.tif")),
    ):
        assert labels.dtype == np.uint16
        np.testing.assert_array_equal(labels, two_nuclei.labels)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        page = tif.pages[0]
        assert page.get_resolution("MICROMETER") == pytest.approx((4, 4))


def test_no_scale_is_written_where_none_is_known(two_nuclei, tmp_path):
    write_tiff(two_nuclei, tmp_path / "a.tif")
    write_ome_tiff(two_nuclei, tmp_path / "a.ome.tif")
    assert read_image(tmp_path / "a.tif").mpp is None
    assert read_image(tmp_path / "a.ome.tif").mpp is None
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        assert "PhysicalSize" not in tif.ome_metadata


def test_an_ome_tiff_says_what_it_is(two_nuclei, tmp_path):
    write_ome_tiff(two_nuclei, tmp_path / "a.ome.tif", mpp=0.25)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        np.testing.assert_array_equal(tif.asarray(), two_nuclei.labels)
        image = ElementTree.fromstring(tif.ome_metadata).find("{*}Image")
    assert image.get("Name") == "nuclei"
    pixels = image.find("{*}Pixels")
    stated = {key: pixels.get(key) for key in ("SizeX", "SizeY", "Type", "PhysicalSizeXUnit")}
    assert stated == {"SizeX": "60", "SizeY": "40", "Type": "uint16", "PhysicalSizeXUnit": "µm"}
    assert float(pixels.get("PhysicalSizeX")) == float(pixels.get("PhysicalSizeY")) == 0.25
    assert read_image(tmp_path / "a.ome.tif").mpp == 0.25


@pytest.mark.parametrize(
    ("write", "name", "dtype"),
    [(write_tiff, "a.tif", np.uint32), (write_ome_tiff, "a.ome.tif", np.int32)],
)
def test_more_than_65535_ids_survive(crowd, tmp_path, write, name, dtype):
    write(crowd, tmp_path / name)
    stored = tifffile.imread(tmp_path / name)
    assert stored.dtype == dtype
    np.testing.assert_array_equal(stored, crowd.labels)
    np.testing.assert_array_equal(read_labels(tmp_path / name), crowd.labels)


def test_65535_is_the_last_id_of_the_narrow_type(tmp_path):
    for highest, dtype in ((65_535, np.uint16), (65_536, np.uint32)):
        write_tiff(Segmentation.from_labels(np.array([[highest]])), tmp_path / "a.tif")
        stored = tifffile.imread(tmp_path / "a.tif")
        assert stored.dtype == dtype
        assert stored.max() == highest


@pytest.mark.parametrize("highest", [300, 70_000])
def test_a_tiff_has_what_imagej_opens_and_no_more(tmp_path, highest):
    """ImageJ 1.53: "cannot open tiled TIFFs", no BigTIFF, and a predictor is passed over."""
    labels = np.zeros((3000, 2500), np.int32)
    labels[100:140, 200:260] = highest
    labels[2999, 2499] = 9
    write_tiff(Segmentation.from_labels(labels), tmp_path / "a.tif", mpp=0.25)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert not tif.is_bigtiff
        (page,) = tif.pages
        assert not page.is_tiled
        assert page.rowsperstrip < 300, "no strip needs much memory"
        assert (page.predictor, page.compression, page.subifds) == (1, 8, None)
        assert (page.photometric, page.samplesperpixel) == (1, 1)
        assert page.bitspersample == (16 if highest < 2**16 else 32)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), labels)


def test_offsets_are_narrow_as_long_as_imagej_can_read_the_file(tmp_path, monkeypatch):
    labels = Segmentation.from_labels(np.ones((300, 300), np.int32))
    for limit, is_big in ((180_000, False), (179_999, True)):
        monkeypatch.setattr(tiff, "_BIG", limit)
        write_tiff(labels, tmp_path / "a.tif")
        with tifffile.TiffFile(tmp_path / "a.tif") as tif:
            assert tif.is_bigtiff is is_big


def test_a_large_ome_tiff_is_a_pyramid_of_subifds(tmp_path):
    write, name = write_ome_tiff, "a.ome.tif"
    labels = np.zeros((701, 5001), np.int32)
    labels[100:140, 200:260] = 70_000
    labels[700, 5000] = 9
    write(Segmentation.from_labels(labels), tmp_path / name, mpp=0.5)
    with tifffile.TiffFile(tmp_path / name) as tif:
        (series,) = tif.series
        assert [level.shape for level in series.levels] == [(701, 5001), (351, 2501), (176, 1251)]
        for k, level in enumerate(series.levels):
            stored = level.asarray()
            np.testing.assert_array_equal(stored, labels[:: 2**k, :: 2**k])
            assert level.keyframe.is_tiled
            assert level.keyframe.get_resolution("MICROMETER") == pytest.approx(
                (2 / 2**k,) * 2, rel=1e-4
            )
        assert len(tif.pages) == 1, "levels hang below the picture"
        assert [page.subfiletype for page in tif.pages[0].pages] == [1, 1]
    np.testing.assert_array_equal(tifffile.imread(tmp_path / name), labels)
    np.testing.assert_array_equal(skimage.io.imread(tmp_path / name), labels)
    np.testing.assert_array_equal(read_labels(tmp_path / name), labels)


def test_an_ome_tiff_follows_the_schema_and_keeps_its_place(two_nuclei, tmp_path):
    path = tmp_path / "a.ome.tif"
    write_ome_tiff(two_nuclei, path, 0.25, (-3, 70_000))
    with tifffile.TiffFile(path) as tif:
        root = ElementTree.fromstring(tif.ome_metadata)
        assert origin_of_ours(tif.ome_metadata) == (-3, 70_000)
    # Bio-Formats reads the first image's one TiffData, and annotations by reference.
    (reference,) = root.findall("{*}Image/{*}AnnotationRef")
    (annotation,) = root.findall("{*}StructuredAnnotations/{*}MapAnnotation")
    assert reference.get("ID") == annotation.get("ID")
    assert len(root.findall("{*}Image/{*}Pixels/{*}TiffData")) == 1
    assert read_segmentation(path).origin_yx_slide == (-3, 70_000)


def test_files_of_ours_are_told_from_others(two_nuclei, tmp_path):
    write_ome_tiff(two_nuclei, tmp_path / "ours.ome.tif")
    tifffile.imwrite(tmp_path / "other.ome.tif", two_nuclei.labels, metadata={"axes": "YX"})
    (tmp_path / "text.ome.tif").write_text("text", encoding="utf-8")
    assert tiff_holds_our_labels(tmp_path / "ours.ome.tif")
    for name in ("other", "text", "none"):
        assert not tiff_holds_our_labels(tmp_path / f"{name}.ome.tif")
    assert origin_of_ours("<no") is None
