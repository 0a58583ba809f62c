"""The size of a pixel, in the words of each scanner and program."""

import numpy as np
import pytest
import tifffile

from napari_uninuc.io.images import read_image

RGB = np.zeros((16, 16, 3), np.uint8)
WRONG = {"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"}
"""What the tags say where the scanner says otherwise: 0.5 um."""


def mpp_of(path, **options):
    tifffile.imwrite(path, RGB, photometric="rgb", **options)
    return read_image(path).mpp


@pytest.mark.parametrize("said", ["0.2520", "0,2520", "0.252", "2.52e-1"])
def test_aperio_in_the_words_of_any_country(tmp_path, said):
    text = f"Aperio Image Library v11\r\n16x16|AppMag = 40|MPP = {said}|Left = 1,5"
    found = mpp_of(tmp_path / "a.svs", description=text, metadata=None, **WRONG)
    assert found == pytest.approx(0.252)


@pytest.mark.parametrize("number", ["0.25", "0,25"])
@pytest.mark.parametrize(
    ("template", "factor"),
    [
        (
            '<?xml version="1.0"?><DataObject ObjectType="DPUfsImport"><Attribute '
            'Name="DICOM_PIXEL_SPACING" Group="0x0028" Element="0x0030" PMSVR="IDoubleArray">'
            "&quot;{0}&quot; &quot;{0}&quot;</Attribute></DataObject>",
            1e-3,
        ),
    ],
)
def test_philips_in_millimetres(tmp_path, number, template, factor):
    small = number.replace("0.25", "0.00025").replace("0,25", "0,00025")
    found = mpp_of(tmp_path / "a.tif", description=template.format(small), metadata=None, **WRONG)
    assert found == pytest.approx(0.25)


@pytest.mark.parametrize("number", ["0.2325", "0,2325"])
def test_ventana_in_its_xmp(tmp_path, number):
    xmp = f'<Metadata><iScan Magnification="40" ScanRes="{number}" UnitNumber="2"/></Metadata>'
    tags = [(700, 1, None, xmp.encode(), True)]
    found = mpp_of(tmp_path / "a.tif", extratags=tags, metadata=None, **WRONG)
    assert found == pytest.approx(0.2325)


@pytest.mark.parametrize(
    ("value", "unit"),
    [(250, "nm"), (2500, "Å"), (250_000, "pm"), (0.00025, "mm"), (0.000025, "cm"), (2.5e-7, "m")],
)
def test_ome_in_every_unit_of_length(tmp_path, value, unit):
    size = {f"PhysicalSize{axis}": value for axis in "XY"}
    size |= {f"PhysicalSize{axis}Unit": unit for axis in "XY"}
    found = mpp_of(tmp_path / "a.ome.tif", metadata={"axes": "YXS", **size})
    assert found == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("unit", "um"),
    [("micron", 1), ("um", 1), ("\\u00B5m", 1), ("nm", 1e-3), ("mm", 1e3), ("inch", 25_400)],
)
def test_imagej_in_its_own_unit(tmp_path, unit, um):
    px_per_unit = um / 0.25
    found = mpp_of(
        tmp_path / "a.tif",
        imagej=True,
        resolution=(px_per_unit, px_per_unit),
        metadata={"unit": unit},
    )
    assert found == pytest.approx(0.25, rel=1e-4)


@pytest.mark.parametrize(
    ("unit", "um"), [("INCH", 25_400), ("CENTIMETER", 1e4), ("MILLIMETER", 1e3), ("MICROMETER", 1)]
)
def test_tags_in_every_unit(tmp_path, unit, um):
    px = um / 0.25
    found = mpp_of(tmp_path / "a.tif", resolution=(px, px), resolutionunit=unit)
    assert found == pytest.approx(0.25, rel=1e-4)
