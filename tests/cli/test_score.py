import csv
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from skimage import data

from napari_uninuc.cli.app import run
from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.stain import Levels
from napari_uninuc.session import AnnotationSession
from napari_uninuc.session.autosave import Autosave
from napari_uninuc.testing import make_tile


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
