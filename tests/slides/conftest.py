"""Small pyramids of real tissue: Aperio-like TIFF, OME-TIFF, plain TIFF and OME-Zarr."""

import struct

import numpy as np
import pytest
import tifffile
import zarr
from skimage import data

LAYOUT = {"tile": (256, 256), "photometric": "rgb", "compression": "deflate"}


def tissue_pixels(height, width):
    """Real immunohistochemistry, mirrored where it is repeated; (H, W, 3) uint8."""
    piece = data.immunohistochemistry()
    pair = np.concatenate([piece, piece[:, ::-1]], axis=1)
    block = np.concatenate([pair, pair[::-1]], axis=0)
    repeats = (-(-height // block.shape[0]), -(-width // block.shape[1]), 1)
    return np.tile(block, repeats)[:height, :width]


def on_glass(rgb, shape, at=(0, 0), glass=(243, 242, 244)):
    """Lay pixels on empty glass of `shape`."""
    slide = np.empty((*shape, 3), np.uint8)
    slide[...] = glass
    slide[at[0] : at[0] + rgb.shape[0], at[1] : at[1] + rgb.shape[1]] = rgb
    return slide


def halves(rgb, count):
    """The picture and `count - 1` coarser ones, each the mean of 2 x 2 px of the one before."""
    levels = [rgb]
    for _ in range(count - 1):
        last = levels[-1].astype(np.uint16)
        last = last[: last.shape[0] // 2 * 2, : last.shape[1] // 2 * 2]
        levels.append(
            ((last[::2, ::2] + last[1::2, ::2] + last[::2, 1::2] + last[1::2, 1::2]) // 4).astype(
                np.uint8
            )
        )
    return levels


def write_svs(path, rgb, mpp=0.25, levels=3):
    """Aperio's order: full size, thumbnail, levels, label, macro; label and macro are red."""
    pyramid = halves(rgb, levels)
    head = "Aperio Image Library v11.2.1\r\n"
    scale = "" if mpp is None else f"|MPP = {mpp:.4f}"
    red = np.zeros((64, 96, 3), np.uint8)
    red[...] = (255, 0, 0)
    with tifffile.TiffWriter(path) as writer:

        def write(pixels, kind=0, **layout):
            height, width = pixels.shape[:2]
            text = f"{head}{width}x{height} [0,0 {width}x{height}] (256x256) J2K/RGB Q=70"
            writer.write(
                pixels, subfiletype=kind, description=text + scale, metadata=None, **layout
            )

        write(pyramid[0], **LAYOUT)
        write(pyramid[-1], photometric="rgb")
        for level in pyramid[1:]:
            write(level, **LAYOUT)
        for kind, name in ((1, "label"), (9, "macro")):
            writer.write(
                red,
                subfiletype=kind,
                description=f"{head}{name} 96x64",
                metadata=None,
                photometric="rgb",
            )
    return path


def write_ome_tiff(path, rgb, mpp=0.25, levels=3):
    pyramid = halves(rgb, levels)
    metadata = {"axes": "YXS"}
    if mpp is not None:
        metadata |= {"PhysicalSizeX": mpp, "PhysicalSizeY": mpp}
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(pyramid[0], subifds=levels - 1, metadata=metadata, **LAYOUT)
        for level in pyramid[1:]:
            writer.write(level, subfiletype=1, metadata=None, **LAYOUT)
    return path


def write_plain_tiff(path, rgb, mpp=0.25, levels=2):
    with tifffile.TiffWriter(path) as writer:
        for place, level in enumerate(halves(rgb, levels)):
            scale = {}
            if mpp is not None:
                px_per_cm = 10_000 / (mpp * 2**place)
                scale = {"resolution": (px_per_cm, px_per_cm), "resolutionunit": "CENTIMETER"}
            writer.write(level, subfiletype=int(place > 0), metadata=None, **scale, **LAYOUT)
    return path


def write_zarr(path, rgb, mpp=0.25, levels=3, version="0.4", unit="micrometer"):
    group = zarr.open_group(str(path), mode="w", zarr_format=2 if version == "0.4" else 3)
    datasets = []
    for place, level in enumerate(halves(rgb, levels)):
        pixels = np.moveaxis(level, -1, 0)
        array = group.create_array(
            str(place), shape=pixels.shape, dtype=np.uint8, chunks=(3, 256, 256)
        )
        array[...] = pixels
        step = (mpp or 1.0) * 2**place
        scale = {"type": "scale", "scale": [1.0, step, step]}
        datasets.append({"path": str(place), "coordinateTransformations": [scale]})
    space = {"type": "space"} | ({"unit": unit} if mpp is not None else {})
    axes = [{"name": "c", "type": "channel"}, {"name": "y", **space}, {"name": "x", **space}]
    described = {"multiscales": [{"axes": axes, "datasets": datasets, "version": version}]}
    group.attrs.update(
        described if version == "0.4" else {"ome": {"version": version, **described}}
    )
    return path


def write_scn(path, rgb, at=(0, 0), frame=None, mpp=0.25, step=4, scans=1):
    """Leica's: a red macro picture of the whole frame first, then scans that begin at `at` (y, x).

    Level 1 is `step` times coarser, a px of level 0 each. Several scans lie beside each other.
    """
    nm = round(mpp * 1000)
    height, width = rgb.shape[:2]
    frame = frame or (at[0] + height, at[1] + width * scans)
    macro = np.zeros((32, 48, 3), np.uint8)
    macro[...] = (255, 0, 0)
    images = [("macro", [(32, 48)], frame, (0, 0), 0)]
    coarse = np.ascontiguousarray(rgb[::step, ::step])
    for scan in range(scans):
        place = (at[0], at[1] + width * scan)
        shapes = [(height, width), coarse.shape[:2]]
        images.append((f"scan {scan}", shapes, (height, width), place, 1 + 2 * scan))
    text = "".join(_scn_image(*image, nm) for image in images)
    header = (
        '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">'
        f'<collection name="c" sizeX="{frame[1] * nm}" sizeY="{frame[0] * nm}">'
        f"<barcode>eA==</barcode>{text}</collection></scn>"
    )
    layout = {
        "tile": (64, 64),
        "photometric": "rgb",
        "compression": "jpeg",
        "compressionargs": {"level": 100, "outcolorspace": "rgb"},
        "metadata": None,
    }
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        writer.write(macro, description=header, **layout)
        for _ in range(scans):
            writer.write(rgb, **layout)
            writer.write(coarse, subfiletype=1, **layout)
    return path


def _scn_image(name, shapes, view, place, first_ifd, nm):
    sizes = "".join(
        f'<dimension sizeX="{width}" sizeY="{height}" r="{level}" ifd="{first_ifd + level}"/>'
        for level, (height, width) in enumerate(shapes)
    )
    objective = "0.60833" if name == "macro" else "40"
    return (
        f'<image name="{name}"><creationDate>2020-01-01T00:00:00Z</creationDate>'
        f'<device model="Leica SCN400;Leica SCN" version="1.4"/><pixels sizeX="{shapes[0][1]}" '
        f'sizeY="{shapes[0][0]}">{sizes}</pixels><view sizeX="{view[1] * nm}" '
        f'sizeY="{view[0] * nm}" offsetX="{place[1] * nm}" offsetY="{place[0] * nm}" '
        f'spacingZ="0"/><scanSettings><objectiveSettings><objective>{objective}</objective>'
        "</objectiveSettings><illuminationSettings><numericalAperture>0.65</numericalAperture>"
        "<illuminationSource>brightfield</illuminationSource></illuminationSettings>"
        "</scanSettings></image>"
    )


def never_stored(path, page, index):
    """Set offset and byte count of one tile to 0."""
    with tifffile.TiffFile(path) as tif:
        tags = [tif.pages[page].tags[name] for name in ("TileOffsets", "TileByteCounts")]
        kinds = {3: "<H", 4: "<I", 16: "<Q"}
        places = [(tag.valueoffset, kinds[int(tag.dtype)]) for tag in tags]
    with path.open("r+b") as file:
        for start, kind in places:
            file.seek(start + index * struct.calcsize(kind))
            file.write(struct.pack(kind, 0))


WRITERS = {
    "svs": (write_svs, "slide.svs"),
    "ome-tiff": (write_ome_tiff, "slide.ome.tif"),
    "tiff": (write_plain_tiff, "slide.tif"),
    "zarr-0.4": (write_zarr, "slide.zarr"),
    "zarr-0.5": (lambda *a, **k: write_zarr(*a, version="0.5", **k), "slide5.zarr"),
}


@pytest.fixture
def make_slide(tmp_path):
    """Write a slide of a kind of `WRITERS`; returns its path."""

    def make(kind, rgb, **options):
        write, name = WRITERS[kind]
        return write(tmp_path / name, rgb, **options)

    return make


@pytest.fixture
def opened():
    """Open a slide that is closed at the end of the test."""
    from napari_uninuc.slides.opening import open_slide

    slides = []

    def call(path, mpp=None):
        slides.append(open_slide(path, mpp))
        return slides[-1]

    yield call
    for slide in slides:
        slide.close()


@pytest.fixture(scope="session")
def tissue():
    return tissue_pixels


@pytest.fixture(scope="session")
def slide_writers():
    """`WRITERS`: kind -> function (path, rgb, ...) that writes it, and a file name."""
    return WRITERS


@pytest.fixture(scope="session")
def glass():
    return on_glass


@pytest.fixture(scope="session")
def scn():
    """Write a Leica SCN whose scan begins somewhere in a frame; see `write_scn`."""
    return write_scn


@pytest.fixture(scope="session")
def lose_tile():
    """Call one tile of a page of a TIFF never stored: (path, page, index)."""
    return never_stored
