"""``uninuc compare`` on sessions and on files."""

import json
from contextlib import closing

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image
from planting import PLANTS, plant

from napari_uninuc import Segmentation
from napari_uninuc.cli.app import run
from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.tile import Tile
from napari_uninuc.io.formats import write_segmentation
from napari_uninuc.session import AnnotationSession
from napari_uninuc.session.autosave import Autosave

PLANTED = [*PLANTS, *["same"] * 12]
COUNTS = ("matched", "class_differs", "split", "merged", "only_a", "only_b")


def nuclei_of(reading) -> Segmentation:
    labels = reading.pixels((0, 0, *reading.shape))
    bare = Segmentation.from_labels(labels)
    return Segmentation(labels, bare.table.assign(**{"class": reading.classes}), {})


@pytest.fixture
def readers(tmp_path):
    """Two GeoJSON files, the picture, and what is to be found."""
    a, b, expected = plant(PLANTED, 5)
    rgb = np.full((*a.shape, 3), 220, np.uint8)
    Image.fromarray(rgb).save(tmp_path / "tile.png")
    tile = Tile.from_array(rgb, 0.25, name="tile")
    for reading in (a, b):
        write_segmentation(nuclei_of(reading), tmp_path / f"{reading.name}.geojson", tile)
    return tmp_path, tile, (a, b), expected


def numbers(folder, name="report"):
    return json.loads((folder / f"{name}.json").read_text())


def test_files_with_their_classes(readers, capsys):
    folder, _, _, expected = readers
    words = ["compare", "a.geojson", "b.geojson", "--like", "tile.png", "--output", "report.html"]
    words += ["--table", "findings.csv"]
    places = [str(folder / word) if "." in word else word for word in words]
    assert run(places) == 0
    found = numbers(folder)
    assert [found[name] for name in COUNTS] == [15, 1, 1, 1, 1, 1]
    listed = {
        (each["kind"], frozenset(each["a_ids"]), frozenset(each["b_ids"]))
        for each in found["disagreements"]
    }
    assert listed == {(kind.value, one, other) for kind, one, other in expected}
    assert found["f1"]["0.6"] == pytest.approx(2 * 15 / 38)
    assert 0.9 < found["mean_iou"] < 1
    assert 0 < found["kappa"] < 1
    page = (folder / "report.html").read_text()
    assert page.count("<img") == 2 * len(expected)
    table = pd.read_csv(folder / "findings.csv")
    assert len(table) == len(expected) + 14
    assert "15 matched, 1 class differs, 1 split" in capsys.readouterr().out


def test_sessions_bring_their_picture(readers, tmp_path):
    folder, tile, pair, expected = readers
    sessions = []
    for reading in pair:
        session = AnnotationSession(tile, ClassPalette.of_names(["x", "y"]))
        with closing(Autosave(session, root=tmp_path / reading.name, on_problem=print)) as saved:
            session.adopt(nuclei_of(reading))
        sessions.append(saved.folder)
    assert run(["compare", *map(str, sessions), "--output", str(folder / "report.html")]) == 0
    found = numbers(folder)
    assert len(found["disagreements"]) == len(expected)
    assert found["a"] != found["b"]
    assert "<img" in (folder / "report.html").read_text()


def test_three_readers(readers):
    folder, *_ = readers
    files = [str(folder / name) for name in ("a.geojson", "b.geojson", "a.geojson")]
    assert run(["compare", *files, "--output", str(folder / "report.html")]) == 0
    found = numbers(folder)
    assert [each["matched"] for each in found["pairs"]] == [15, 19, 15]
    assert 0 < found["fleiss_kappa"] < 1
    assert found["pairs"][1]["f1"]["0.95"] == 1


def test_masks_without_classes(readers):
    folder, _, pair, _ = readers
    for reading in pair:
        tifffile.imwrite(folder / f"{reading.name}.tif", reading.pixels((0, 0, *reading.shape)))
    files = [str(folder / name) for name in ("a.tif", "b.tif")]
    assert run(["compare", *files, "--output", str(folder / "report.html")]) == 0
    found = numbers(folder)
    assert [found[name] for name in COUNTS] == [15, 0, 1, 1, 1, 1]
    assert found["kappa"] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.geojson", "gone.geojson", "--output", "report.html"], "gone.geojson"),
        (["a.geojson", "b.geojson", "--output", "report.pdf"], "ends in .html"),
        (["a.geojson", "small.tif", "--output", "report.html"], "readings of one picture"),
        (
            ["a.geojson", "b.geojson", "--output", "report.html", "--table", "t.xlsx"],
            "ends in .csv or .parquet",
        ),
    ],
)
def test_bad_input_is_told_in_one_line_and_leaves_nothing(readers, capsys, words, said):
    folder, *_ = readers
    tifffile.imwrite(folder / "small.tif", np.ones((9, 9), np.uint8))
    before = sorted(folder.iterdir())
    assert run(["compare", *(str(folder / w) if "." in w else w for w in words)]) == 2
    error = capsys.readouterr().err.strip()
    assert said in error
    assert "\n" not in error
    assert sorted(folder.iterdir()) == before


def test_two_readers_without_a_nucleus(tmp_path, capsys):
    for name in ("a.tif", "b.tif"):
        tifffile.imwrite(tmp_path / name, np.zeros((40, 60), np.uint16))
    words = [str(tmp_path / name) for name in ("a.tif", "b.tif")]
    assert run(["compare", *words, "--output", str(tmp_path / "report.html")]) == 0
    assert "nan" not in capsys.readouterr().out
    found = numbers(tmp_path)
    assert [found[name] for name in COUNTS] == [0] * 6
    assert found["f1"]["0.5"] is None
