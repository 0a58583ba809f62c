"""Regions of a slide are found again by the slide; sessions of before are read as they were."""

import json
from dataclasses import replace

import pytest

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.place import SlidePlace
from napari_uninuc.errors import SessionError
from napari_uninuc.journal.folder import read_heading
from napari_uninuc.journal.listing import find_regions, find_sessions
from napari_uninuc.session import AnnotationSession
from napari_uninuc.session.autosave import Autosave, restore

PRINT = "0123456789abcdef" * 2


def kept(tile, root, name=None):
    """Draw one nucleus, keep it; its folder."""
    session = AnnotationSession(tile, ClassPalette.of_names(["nucleus"]))
    autosave = Autosave(session, root=root, on_problem=pytest.fail)
    pixels = session.labels.pixels[:5, :5].copy()
    pixels[1:4, 1:4] = 1
    session.paint((0, 0, 5, 5), pixels)
    if name is not None:
        autosave.rename(name)
    assert autosave.close()
    return autosave.folder


def placed(tile, y=0, **other):
    place = SlidePlace("scan.svs", PRINT, 0, 1.0, (y, 0, y + 40, 60), **other)
    return replace(tile, place=place, name=f"scan, at {y}")


def test_regions_are_found_by_their_slide_and_renamed_on_disk(tile_40x60, tmp_path):
    low, high = placed(tile_40x60, 500), placed(tile_40x60, 100, result="run", own_from=9)
    folder = kept(low, tmp_path, "margin")
    kept(high, tmp_path)
    found = find_regions(PRINT, tmp_path)
    assert [each.place for each in found] == [high.place, low.place]
    assert [each.heading.name for each in found] == ["scan, at 100", "margin"]
    assert found[1].session.path == folder
    assert found[1].session.nuclei == 1
    assert restore(folder).session.tile.place == low.place  # with the picture kept beside it
    assert not find_regions("f" * 32, tmp_path)


def test_of_one_rectangle_the_session_changed_last_is_offered(tile_40x60, tmp_path):
    kept(placed(tile_40x60), tmp_path, "first")
    kept(placed(tile_40x60), tmp_path, "second")
    (found,) = find_regions(PRINT, tmp_path)
    assert found.heading.name == "second"
    place = placed(tile_40x60).place
    assert len(find_sessions(tile_40x60.digest, tmp_path, place)) == 2
    assert not find_sessions("0" * 32, tmp_path, place)


def test_a_picture_of_no_slide_is_written_as_ever(tile_40x60, tmp_path):
    folder = kept(tile_40x60, tmp_path)
    assert folder.parent.name == tile_40x60.digest
    assert "slide" not in json.loads((folder / "session.json").read_text())
    assert read_heading(folder).slide is None
    assert len(find_sessions(tile_40x60.digest, tmp_path)) == 1


def test_a_heading_with_a_place_that_cannot_be_is_refused(tile_40x60, tmp_path):
    folder = kept(placed(tile_40x60), tmp_path)
    heading = folder / "session.json"
    said = json.loads(heading.read_text())
    for wrong in ({"fingerprint": "../.."}, {"box_yxyx": [0, 0, 0, 0]}, {"downsample": 0}):
        heading.write_text(json.dumps(said | {"slide": said["slide"] | wrong}))
        with pytest.raises(SessionError, match="slide"):
            read_heading(folder)
        assert not find_regions(PRINT, tmp_path)
