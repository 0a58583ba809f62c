"""What every reader is given before it is spoilt, and how it is called."""

import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from fuzz_networks import (
    make_cards,
    make_checkpoints,
    make_sam2,
    make_weights,
    read_card,
    read_checkpoint,
    read_sam2,
    read_weights,
)
from PIL import Image

from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile

sys.path.append(str(Path(__file__).parents[1] / "tests" / "io"))
from dicom_slides import foreign
from outline_layouts import write_files

__all__ = ["READERS", "Reader"]

_SHAPE = (40, 48)
_RECIPES = {
    "train": """architecture = "uninuc-n"
output = "runs/mine"
steps = 20
[crops]
size = 64
zoom = [0.5, 2.0]
[[datasets]]
name = "discs"
path = "nuclei"
include = ["a_*"]
weight = 2.0
mpp = 0.25
[prompts]
corrections = 2
[optimiser]
lr = 1e-3
""",
    "evaluate": """model = "otsu-watershed"
output = "runs/evaluate"
seed = 3
[[datasets]]
name = "discs"
path = "nuclei"
exclude = "b_*"
[interactive]
kinds = ["box"]
with_mask = [true]
max_nuclei = 20
""",
}


class Reader(NamedTuple):
    """One reader.

    Attributes
    ----------
    cases : of a full run
    make : puts whole inputs into a folder, each an entry of its own
    read : reads one of them; returns how many pixels it got
    links : files may be links to anywhere, as in the caches of models
    """

    cases: int
    make: Callable[[Path], object]
    read: Callable[[Path], int]
    links: bool = False


def nuclei() -> Segmentation:
    """Three nuclei of two classes with scores and states, one with a hole."""
    labels = np.zeros(_SHAPE, np.int32)
    labels[2:12, 3:14] = 4
    labels[6, 6] = 0
    labels[20:26, 10:18] = 9
    labels[30:34, 40:48] = 300
    table = Segmentation.from_labels(labels).table
    table = table.assign(status=["reviewed", "edited", "automatic"], score=[0.5, 0.6, 0.7])
    table["class"] = ["tumour", "nucleus", "tumour"]
    return Segmentation(labels, table, {})


def tile() -> Tile:
    """Noise at 0.25 um per px."""
    rgb = np.random.default_rng(0).integers(0, 256, (*_SHAPE, 3), dtype=np.uint8)
    return Tile.from_array(rgb, 0.25, (7, 9), "noise")


def _make_pictures(folder: Path) -> None:
    import tifffile

    rgb, ids = tile().rgb, nuclei().labels
    image = Image.fromarray(rgb)
    for suffix in ("png", "jpg", "bmp", "webp", "gif"):
        image.save(folder / f"rgb.{suffix}")
    image.convert("P").save(folder / "palette.png", dpi=(300, 300))
    Image.fromarray(ids.astype(np.uint16)).save(folder / "grey.png")
    image.convert("RGBA").save(folder / "alpha.png")
    _save_tiffs(folder, rgb)
    tifffile.imwrite(folder / "planes.ome.tif", np.moveaxis(rgb, -1, 0), photometric="rgb")


def _save_tiffs(folder: Path, pixels: np.ndarray) -> None:
    import tifffile

    kind: dict[str, Any] = {"photometric": "rgb" if pixels.ndim == 3 else "minisblack"}
    for name in ("zlib", "lzw", "packbits"):
        tifffile.imwrite(folder / f"{name}.tif", pixels, compression=name, **kind)
    tifffile.imwrite(folder / "plain.tif", pixels, resolution=(40_000, 40_000), **kind)
    tifffile.imwrite(folder / "tiles.tif", pixels, tile=(16, 16), compression="zlib", **kind)
    tifffile.imwrite(folder / "imagej.tif", pixels, imagej=True)


def _make_label_pictures(folder: Path) -> None:
    ids = nuclei().labels
    Image.fromarray(ids.astype(np.uint16)).save(folder / "wide.png")
    Image.fromarray(ids.astype(np.uint8)).save(folder / "narrow.png")
    palette = Image.fromarray(ids.astype(np.uint8), mode="P")
    palette.putpalette(list(range(256)) * 3)
    palette.save(folder / "palette.png")


def _make_label_tiffs(folder: Path) -> None:
    _save_tiffs(folder, nuclei().labels.astype(np.uint16))
    _write(folder, "ours.tif", "ours.ome.tif")


def _write(folder: Path, *names: str) -> None:
    from napari_uninuc.io.formats import write_segmentation

    for name in names:
        write_segmentation(nuclei(), folder / name, tile(), 0.25)


def _make_zarrs(version: Any) -> Callable[[Path], None]:
    from napari_uninuc.io.ome_zarr import write_ome_zarr

    def make(folder: Path) -> None:
        write_ome_zarr(nuclei(), folder / "labels.ome.zarr", 0.25, None, version)
        write_ome_zarr(nuclei(), folder / "both.ome.zarr", 0.25, tile(), version)

    return make


def _make_geojsons(folder: Path) -> None:
    _write(folder, "ours.geojson", "ours.geojson.gz")
    (folder / "foreign.geojson").write_text(
        '[{"type":"Feature","id":"a","geometry":{"type":"MultiPolygon","coordinates":'
        "[[[[2.5,3],[9,3],[9,12],[2.5,3]],[[4,4],[5,4],[5,5],[4,4]]],[[[20,20],[30,20],[30,30]]]]},"
        '"properties":{"classification":{"name":"Tumor","colorRGB":-3670016},"measurements":'
        '[{"name":"score","value":0.5}]}}]',
        encoding="utf-8",
    )


def _make_cocos(folder: Path) -> None:
    _write(folder, "ours.coco.json")
    (folder / "foreign.json").write_text(
        '{"images":[{"id":1,"height":40,"width":48}],"categories":[{"id":1,"name":"cell"}],'
        '"annotations":[{"id":1,"image_id":1,"category_id":1,"segmentation":[[2,3,9,3,9,12]],'
        '"bbox":[2,3,7,9],"area":31,"iscrowd":0},{"id":2,"image_id":1,"category_id":1,"iscrowd":1,'
        '"segmentation":{"size":[40,48],"counts":[100,20,20,20,1760]}}]}',
        encoding="utf-8",
    )


def _make_outlines(folder: Path) -> None:
    """Files of other programs, as the tests lay them out, and ours; named for `_read_labels`."""
    _write(folder, "ours.rois.zip", "ours.ann.dcm", "ours.seg.dcm", "ours_seg.npy")
    with tempfile.TemporaryDirectory() as name:
        for path in write_files(Path(name)).values():
            shutil.copy(path, folder / f"foreign-{path.name}")


def _make_dicom(folder: Path) -> None:
    """Annotations and segmentations of ours, and segmentations of others."""
    _write(folder, "ours.ann.dcm", "ours.seg.dcm")
    numbers = np.minimum(nuclei().labels, 10).astype(np.uint8)
    numbers[numbers == 4], numbers[numbers > 4] = 1, 2
    for kind in ("LABELMAP", "BINARY"):
        for full in (True, False):
            path = folder / f"whole-{kind}-{full}.dcm"
            foreign(path, kind, numbers, ["tumour", "stroma"], full=full, tile=(16, 24))


def _make_sessions(folder: Path) -> None:
    """One session from nothing, one that began with nuclei, each closed and gone on with."""
    from napari_uninuc.core.classes import ClassPalette
    from napari_uninuc.session import AnnotationSession
    from napari_uninuc.session.autosave import Actor, Autosave, restore

    def fail(problem: Exception) -> None:
        raise problem

    palette = ClassPalette.of_names(["nucleus", "tumour"])
    for name, full in (("begun", False), ("full", True)):
        session = AnnotationSession(tile(), palette)
        found = [InstanceMask((y, y), np.ones((6, 6), bool), y / 40, 0, 0.8) for y in (3, 20, 30)]
        if full:
            session.add_automatic(found, [None] * 3)
        kept: Path | None = None
        for turn in range(2):
            with closing(
                Autosave(session, kept, root=folder / "root", on_problem=fail)
            ) as autosave:
                with autosave.by(Actor("uninuc-n", "ab" * 32, {"score_threshold": 0.4})):
                    session.add_automatic(found, [None] * 3)
                session.paint((2, 30, 7, 36), np.full((5, 6), session.labels.next_id, np.int32))
                session.set_class(list(session.labels.nuclei)[:1], 1 - turn)
                session.undo()
            kept = autosave.folder
            assert kept is not None
            session = restore(kept, tile()).session
        shutil.copytree(kept, folder / name / tile().digest / "20260101T000000.000000Z")
        shutil.rmtree(folder / "root")


def _make_recipe(kind: str) -> Callable[[Path], object]:
    return lambda folder: (folder / f"{kind}.toml").write_text(_RECIPES[kind], encoding="utf-8")


def _read_picture(path: Path) -> int:
    from napari_uninuc.io.images import read_image

    return read_image(path).rgb[..., 0].size


def _read_labels(path: Path) -> int:
    from napari_uninuc.io.labels import read_segmentation

    shape = _SHAPE if path.name.startswith("foreign") else None
    return read_segmentation(path, shape).segmentation.labels.size


def _read_zarr(path: Path) -> int:
    from napari_uninuc.io.ome_zarr_labels import read_zarr_picture, zarr_holds_our_labels

    zarr_holds_our_labels(path)
    count = _read_labels(path)
    picture = read_zarr_picture(path)
    return count + (0 if picture is None else picture.size)


def _read_session(root: Path) -> int:
    """List, report and restore, as the window and `uninuc export` do."""
    from napari_uninuc.journal.folder import read_heading
    from napari_uninuc.journal.listing import find_sessions
    from napari_uninuc.journal.story import tell_story
    from napari_uninuc.session.autosave import restore

    find_sessions(tile().digest, root)
    folder = root / tile().digest / "20260101T000000.000000Z"
    restored = restore(folder)
    assert restored.problem is None or "\n" not in restored.problem, restored.problem
    tell_story(folder, read_heading(folder), restored.session.tile)
    return restored.session.labels.pixels.size


def _read_recipe(path: Path) -> int:
    from napari_uninuc.datasets.recipes import load_toml_recipe
    from napari_uninuc.evaluation.recipe import read_recipe
    from napari_uninuc.training.recipe import TrainRecipe

    if path.name.startswith("train"):
        load_toml_recipe(path, TrainRecipe)
    else:
        read_recipe(path)
    return 0


READERS: dict[str, Reader] = {
    "picture": Reader(2000, _make_pictures, _read_picture),
    "label picture": Reader(800, _make_label_pictures, _read_labels),
    "label TIFF": Reader(1200, _make_label_tiffs, _read_labels),
    "OME-Zarr 0.4": Reader(700, _make_zarrs("0.4"), _read_zarr),
    "OME-Zarr 0.5": Reader(700, _make_zarrs("0.5"), _read_zarr),
    "GeoJSON": Reader(900, _make_geojsons, _read_labels),
    "COCO": Reader(700, _make_cocos, _read_labels),
    "outlines of others": Reader(1500, _make_outlines, _read_labels),
    "DICOM": Reader(900, _make_dicom, _read_labels),
    "session": Reader(1200, _make_sessions, _read_session),
    "train recipe": Reader(400, _make_recipe("train"), _read_recipe),
    "evaluate recipe": Reader(400, _make_recipe("evaluate"), _read_recipe),
    "model card": Reader(400, make_cards, read_card, links=True),
    "weights": Reader(400, make_weights, read_weights),
    "SAM 2 checkpoint": Reader(400, make_sam2, read_sam2),
    "training checkpoint": Reader(400, make_checkpoints, read_checkpoint, links=True),
}
"""By name; the cases of a full run are 13,000 together."""
