import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.tile import Tile
from napari_uninuc.session import AnnotationSession
from napari_uninuc.session.autosave import Autosave


def fails(problem):
    raise AssertionError(repr(problem))


@pytest.fixture
def session(tmp_path):
    """A closed session: nucleus 1 reviewed, 2 of class tumour."""
    rgb = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(tmp_path / "tissue.png")
    made = AnnotationSession(
        Tile.from_array(rgb, 0.5), ClassPalette.of_names(["nucleus", "tumour"])
    )
    autosave = Autosave(made, root=tmp_path / "sessions", on_problem=fails)
    for id_, y in ((1, 3), (2, 20)):
        made.paint((y, 3, y + 4, 9), np.full((4, 6), id_, np.int32))
    made.review([1])
    made.set_class([2], 1)
    autosave.close()
    return autosave.folder


def test_nuclei_and_report_at_once(uninuc, session, tmp_path):
    target, page = tmp_path / "out" / "a.csv", tmp_path / "out" / "a.html"
    before = {path: path.stat().st_mtime_ns for path in session.iterdir()}
    status, out, err = uninuc("export", session, "--output", target, "--report", page)
    assert (status, err) == (0, "")
    assert out == f"{session} -> {target}: 2 nuclei\n{session} -> {page}: 4 changes\n"
    table = pd.read_csv(target)
    assert list(table["id"]) == [1, 2]
    assert list(table["class"]) == ["nucleus", "tumour"]
    assert list(table["area_um2"]) == [6.0, 6.0]
    assert "1 of 2 (50.0 %)" in page.read_text()
    assert {path: path.stat().st_mtime_ns for path in session.iterdir()} == before


@pytest.mark.parametrize(
    ("option", "ids"),
    [(["--only-reviewed"], {1}), (["--only-class", "tumour"], {2})],
)
def test_only_a_part(uninuc, session, tmp_path, option, ids):
    target = tmp_path / "a.tif"
    assert uninuc("export", session, "--output", target, *option)[0] == 0
    assert set(np.unique(tifffile.imread(target))) == {0, *ids}


def test_a_damaged_session_is_exported_with_a_warning(uninuc, session, tmp_path):
    journal = session / "journal-0001"
    journal.write_bytes(journal.read_bytes()[:-60])
    status, out, err = uninuc("export", session, "--output", tmp_path / "a.csv")
    assert status == 0
    assert "2 nuclei" in out
    assert err.startswith("uninuc: warning: journal-0001 cannot be read from byte ")
    assert err.count("\n") == 1


def test_a_session_without_its_picture_needs_it(uninuc, refused, session, tmp_path):
    (session / "picture.tif").unlink()
    target = tmp_path / "a.csv"
    assert "--like" in refused("export", session, "--output", target)
    assert not target.exists()
    picture = tmp_path / "tissue.png"
    assert uninuc("export", session, "--output", target, "--like", picture)[0] == 0
    assert list(pd.read_csv(target)["area_um2"]) == [6.0, 6.0]


def test_bad_use_is_one_line(refused, session, tmp_path):
    assert "--output, --report or --training-set" in refused("export", session)
    assert "one session" in refused("export", session, session, "--output", tmp_path / "a.csv")
    assert ".html or .md" in refused("export", session, "--report", tmp_path / "a.txt")
    assert "ends in" in refused("export", session, "--output", tmp_path / "a.txt")
    missing = refused("export", tmp_path / "none", "--output", tmp_path / "a.csv")
    assert missing.startswith(f"{tmp_path / 'none'}: expected a session folder")
    (tmp_path / "empty").mkdir()
    assert "session.json" in refused("export", tmp_path / "empty", "--output", tmp_path / "a.csv")
    inside = refused("export", session, "--output", session / "a.csv")
    assert "outside" in inside
    for option, name in (("--output", "a.tif"), ("--report", "a.html")):
        picture = tmp_path / name
        picture.write_bytes(b"precious")
        assert "would replace" in refused("export", session, option, picture, "--like", picture)
        assert picture.read_bytes() == b"precious"
    line = refused("export", session, "--output", tmp_path / "a.csv", "--only-class", "x")
    assert "tumour" in line
    assert not (tmp_path / "a.csv").exists()


def test_sessions_become_a_set_to_train_on(uninuc, refused, session, tmp_path):
    from napari_uninuc.datasets.folder import read_folder

    folder = tmp_path / "corrected"
    status, out, err = uninuc("export", session, "--training-set", folder)
    assert (status, err) == (0, "")
    assert out == f"1 pictures -> {folder}\n"
    (image,) = read_folder(folder)
    labelled = image.read(0.5)
    assert set(np.unique(labelled.labels)) == {0, 1, 2}  # drawn by a person, both
    assert "exhaustive = false" in (folder / "card.toml").read_text()
    assert "with files" in refused("export", session, "--training-set", folder)
