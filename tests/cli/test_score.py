import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image
from skimage import data

from napari_uninuc.cli.app import run
from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.stain import Levels, StainVectors
from napari_uninuc.session import AnnotationSession
from napari_uninuc.session.autosave import Autosave
from napari_uninuc.slides.opening import open_slide
from napari_uninuc.slides.run import segment_slide
from napari_uninuc.testing import FakeAnnotator, make_tile


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    brown = folder / "brown.png"
    Image.fromarray(data.immunohistochemistry()[128:384, 128:384]).save(brown)
    blank = folder / "blank.png"
    Image.fromarray(np.full((128, 128, 3), (240, 240, 238), np.uint8)).save(blank)
    grey = folder / "grey.png"
    Image.fromarray(np.full((128, 128), 120, np.uint8)).save(grey)
    return folder


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_row_a_picture_and_an_empty_index_where_no_nucleus_is(pictures, tmp_path, capsys):
    target = tmp_path / "scores.csv"
    names = [str(pictures / f"{name}.png") for name in ("brown", "blank")]
    assert run(["score", *names, "--output", str(target), "--mpp", "0.25", "--device", "cpu"]) == 0
    brown, blank = rows_of(target)
    assert list(brown)[:6] == [
        "picture", "nuclei", "positive", "index", "index_low", "index_high",
    ]  # fmt: skip
    assert int(brown["nuclei"]) > 10
    assert float(brown["index"]) == pytest.approx(
        100 * int(brown["positive"]) / int(brown["nuclei"]), rel=1e-4
    )
    assert float(brown["area_mm2"]) == pytest.approx(0.004096)
    assert (blank["nuclei"], blank["index"], blank["h_score"]) == ("0", "", "")
    said = capsys.readouterr()
    assert "undefined" in said.out
    assert "hardly any DAB" in said.err


def test_a_grey_picture_is_refused_in_one_line(pictures, tmp_path, capsys):
    target = tmp_path / "scores.csv"
    assert run(["score", str(pictures / "grey.png"), "--output", str(target)]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert "grey" in said[0]
    assert not target.exists()


def test_a_class_nobody_knows_and_another_ending_are_refused(pictures, tmp_path, capsys):
    brown = str(pictures / "brown.png")
    assert run(["score", brown, "--output", str(tmp_path / "a.csv"), "--class", "tumour"]) == 2
    assert run(["score", brown, "--output", str(tmp_path / "a.xlsx")]) == 2
    assert "tumour" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_help_says_the_default_threshold(capsys):
    run(["score", "--help"])
    assert f"[default: {Levels().weak}]" in " ".join(capsys.readouterr().out.split())


def test_where_no_picture_can_be_read_an_earlier_table_stays(uninuc, tmp_path, monkeypatch):
    bare = SimpleNamespace(card=SimpleNamespace(classes=("nucleus",)))
    monkeypatch.setattr("napari_uninuc.cli.score.load_taught_predictor", lambda *_: bare)
    table = tmp_path / "all.csv"
    table.write_text("precious")
    broken = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in broken:
        path.write_bytes(b"no picture")
    status, out, err = uninuc("score", *broken, "--output", table)
    assert (status, out, err.count("\n")) == (2, "", 2)
    assert table.read_text() == "precious"


def test_a_session_is_counted_as_it_was_corrected_and_by_class(tmp_path, capsys):
    tissue = make_tile((200, 200), n_nuclei=12)
    session = AnnotationSession(tissue.tile, ClassPalette.of_names(["tumour", "other"]))
    autosave = Autosave(session, root=tmp_path / "sessions", on_problem=print)
    session.adopt(Segmentation.from_labels(tissue.labels, "tumour"))
    session.set_class([1, 2, 3], 1)
    session.set_stains({1: 3, 2: 1, 5: 2})
    autosave.close()
    target = tmp_path / "scores.csv"
    asked = ["score", str(autosave.folder), "--output", str(target)]
    assert run([*asked, "--each-class", "--threshold", "3"]) == 0
    rows = {row["class"]: row for row in rows_of(target)}
    assert {
        name: (row["nuclei"], row["positive"], row["overruled"]) for name, row in rows.items()
    } == {
        "all": ("12", "3", "3"),
        "tumour": ("9", "1", "1"),
        "other": ("3", "2", "2"),
    }
    assert "other: 66.7 % positive" in capsys.readouterr().out
    assert run([*asked, "--class", "tumour", "--threshold", "3"]) == 0
    (row,) = rows_of(target)
    assert (row["class"], row["nuclei"]) == ("tumour", "9")
    assert run([*asked, "--class", "stroma"]) == 2
    assert run(["score", str(tmp_path), "--output", str(target)]) == 2


@pytest.fixture(scope="module")
def outlined_slide(tmp_path_factory, request):
    """A brown slide of 700 x 520 px and the result of outlining it."""
    folder = tmp_path_factory.mktemp("slide")
    rgb = np.tile(data.immunohistochemistry()[100:450, 100:360], (2, 2, 1))
    tifffile.imwrite(folder / "ki67.tif", rgb, tile=(128, 128), photometric="rgb")
    slide = open_slide(folder / "ki67.tif", mpp=0.25)
    segment_slide(slide, FakeAnnotator, folder / "out", outputs=["labels", "parquet", "report"])
    slide.close()
    return folder, rgb


def test_a_slide_is_counted_as_its_labels_are(outlined_slide, tmp_path, capsys):
    folder, rgb = outlined_slide
    target = tmp_path / "slide.csv"
    words = ["score", str(folder / "out"), "--slide", str(folder / "ki67.tif"), "--mpp", "0.25"]
    assert run([*words, "--output", str(target), "--each-class", "--threshold", "0.1"]) == 0
    labels = np.asarray(zarr.open_group(str(folder / "out/labels.ome.zarr"), mode="r")["0"][...])
    ids = np.unique(labels)[1:]
    to_dab = StainVectors().unmixing()[:, 1]
    dab = np.maximum(-np.log10(np.maximum(rgb / 255, 1 / 255)) @ to_dab, 0)
    brown = np.array([dab[labels == id_].mean() for id_ in ids]) >= 0.1
    everything, of_class = rows_of(target)
    assert (int(everything["nuclei"]), int(everything["positive"])) == (len(ids), brown.sum())
    assert 0 < brown.sum() < len(ids)
    assert everything["class"] == "all"
    assert of_class["nuclei"] == everything["nuclei"]
    tissue = json.loads((folder / "out/run.json").read_text())["finished"]["tissue_mm2"]
    assert float(everything["area_mm2"]) == pytest.approx(tissue, rel=1e-5)


def test_a_result_goes_with_its_own_slide(outlined_slide, pictures, tmp_path, capsys):
    folder, rgb = outlined_slide
    target = tmp_path / "slide.csv"
    other = tmp_path / "other.tif"
    tifffile.imwrite(other, rgb[::-1], tile=(128, 128), photometric="rgb")
    result, slide = str(folder / "out"), str(folder / "ki67.tif")
    for words, expected in (
        ([result], "--slide"),
        ([result, "--slide", str(other), "--mpp", "0.25"], "expected a result of this slide"),
        ([str(pictures / "brown.png"), "--slide", slide], "uninuc slide wrote"),
        ([result, result, "--slide", slide], "one folder"),
    ):
        assert run(["score", *words, "--output", str(target)]) == 2
        assert expected in capsys.readouterr().err
    assert not target.exists()
