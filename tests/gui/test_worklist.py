"""A folder of pictures as a list of work."""

import numpy as np
from PIL import Image as Pillow
from qtpy.QtCore import Qt

from napari_uninuc.gui.work.walk import NOT_BEGUN, State, Walk
from napari_uninuc.io.labels import read_labels
from napari_uninuc.testing import make_tile


def test_a_walk_opens_one_after_the_other_and_stops_at_the_ends():
    opened = []
    walk = Walk(opened.append)
    walk.go_next()
    walk.begin(["a", "b"])
    walk.go_next()
    walk.go_next()
    walk.go_next()
    walk.go_previous()
    walk.go_previous()
    assert opened == ["a", "b", "a"]
    walk.note("a", State(1, 3))
    walk.note("b", State(0, 4))
    walk.note("elsewhere", State(9, 9))
    assert walk.total == State(1, 7)
    walk.begin(["c"])
    assert walk.current is None
    assert walk.state_of("a") is None


def test_states_in_words():
    words = [str(each) for each in (NOT_BEGUN, State(0, 5), State(2, 5), State(5, 5))]
    assert words == ["not begun", "5 outlined", "2 of 5 reviewed", "done, 5"]


def test_a_folder_is_gone_through_and_exported(room, tmp_path, said):
    folder, out = tmp_path / "pictures", tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    for seed in range(3):
        tissue = make_tile((96, 96), 8, seed=seed)
        Pillow.fromarray(tissue.tile.rgb).save(folder / f"tissue {seed}.png")
    (folder / "notes.txt").write_text("no picture")
    panel = room.widget.folder
    walk = panel.walk

    def at(number):
        def there():
            desk = room.bench.desk
            return desk is not None and desk.session.tile.name == f"tissue {number}.png"

        room.until(there)
        room.idle()

    panel.open_folder(folder)
    at(0)
    assert [path.name for path in walk.items] == [f"tissue {n}.png" for n in range(3)]
    room.outline()
    first = room.session.labels.pixels.copy()
    ids = list(room.session.labels.nuclei)
    room.session.review(ids[:2])
    room.canvas.key(Qt.Key.Key_PageDown)
    at(1)
    assert walk.state_of(walk.items[0]) == State(2, len(ids))
    assert len(room.viewer.layers) == 2  # the picture before is put away with its nuclei
    room.canvas.key(Qt.Key.Key_PageUp)
    at(0)
    np.testing.assert_array_equal(room.session.labels.pixels, first)
    assert room.session.steps.history.can_undo
    room.session.review(ids)
    room.until(lambda: walk.state_of(walk.items[0]) == State(len(ids), len(ids)))
    panel.export_all(out, ".tif")
    room.idle()
    assert [path.name for path in sorted(out.iterdir())] == ["tissue 0-nuclei.tif"]
    np.testing.assert_array_equal(read_labels(out / "tissue 0-nuclei.tif"), first)
    assert any("1 pictures" in str(words) for words in said)


def at(room, name):
    room.until(lambda: room.bench.desk is not None and room.bench.desk.session.tile.name == name)
    room.idle()


def test_a_broken_picture_stops_nothing_and_gets_nobody_elses_nuclei(room, tmp_path, said):
    folder, out = tmp_path / "pictures", tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    for name in ("a", "c"):
        Pillow.fromarray(make_tile((96, 96), 8).tile.rgb).save(folder / f"{name}.png")
    Pillow.fromarray(make_tile((96, 96), 9, seed=3).tile.rgb).save(folder / "c.png")
    (folder / "b.png").write_bytes(b"no picture")
    panel = room.widget.folder
    panel.open_folder(folder)
    at(room, "a.png")
    room.outline()
    first = room.session.labels.pixels.copy()
    room.canvas.key(Qt.Key.Key_PageDown)
    room.until(lambda: any("b.png" in str(words) for words in said))
    assert room.session.tile.name == "a.png"  # what is seen is worked at still
    panel.export_all(out, ".tif")
    room.idle()
    assert [path.name for path in sorted(out.iterdir())] == ["a-nuclei.tif"]
    np.testing.assert_array_equal(read_labels(out / "a-nuclei.tif"), first)
    room.canvas.key(Qt.Key.Key_PageDown)
    at(room, "c.png")
    room.outline()
    said.clear()
    panel.export_all(out, ".tif")
    room.idle()
    assert [path.name for path in sorted(out.iterdir())] == ["a-nuclei.tif", "c-nuclei.tif"]
    np.testing.assert_array_equal(read_labels(out / "c-nuclei.tif"), room.session.labels.pixels)
    assert "b.png" in str(said[0])
    assert "2 pictures" in str(said[1])


def test_a_deleted_picture_is_opened_again_by_a_double_click(room, tmp_path):
    Pillow.fromarray(make_tile((96, 96), 8).tile.rgb).save(tmp_path / "a.png")
    panel = room.widget.folder
    panel.open_folder(tmp_path)
    at(room, "a.png")
    room.viewer.layers.clear()
    room.until(lambda: room.bench.desk is None)
    panel.list.itemDoubleClicked.emit(panel.list.topLevelItem(0), 0)
    at(room, "a.png")
