"""Reports: what they count, what they show, and names that try to be markup."""

import base64
import io
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import OutputError
from napari_uninuc.journal.folder import read_heading
from napari_uninuc.journal.report import write_report
from napari_uninuc.session import AnnotationSession
from napari_uninuc.session.autosave import Actor, Autosave

EVIL = "<script>alert('x')</script> | [a](b) `c`"
MODEL = Actor("uninuc-n", "ab" * 32, {"score_threshold": 0.4, "device": "<b>"})


def fails(problem):
    raise AssertionError(repr(problem))


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A run of two nuclei, one deleted and brought back, one drawn, one reviewed."""
    rgb = np.random.default_rng(0).integers(0, 256, (60, 70, 3), dtype=np.uint8)
    tile = Tile.from_array(rgb, 0.25, name=EVIL)
    session = AnnotationSession(tile, ClassPalette.of_names(["nucleus", EVIL]))
    autosave = Autosave(session, root=tmp_path_factory.mktemp("sessions"), on_problem=fails)
    autosave.begin_run(MODEL)
    square = np.ones((8, 8), bool)
    with autosave.by(MODEL):
        found = [
            InstanceMask((5, 5), square, 0.9, 0, 0.8),
            InstanceMask((30, 30), square, 0.8, 1, 0.8),
        ]
        session.add_automatic(found, [None, None])
    session.delete([1])
    session.undo()
    session.paint((50, 50, 56, 56), np.full((6, 6), 9, np.int32))
    session.review([2])
    autosave.close()
    return autosave.folder, tile


class Tags(HTMLParser):
    """Every tag and text of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts, self.images = [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attrs)["src"])

    def handle_data(self, data):
        self.texts.append(data)


def test_a_page_says_what_happened_and_shows_it(kept, tmp_path):
    folder, tile = kept
    story = write_report(folder, read_heading(folder), tile, tmp_path / "a.html")
    assert (story.reviewed, story.total) == (1, 3)
    assert story.counts == (
        (EVIL, "reviewed", 1),
        ("nucleus", "automatic", 1),
        ("nucleus", "edited", 1),
    )
    assert {kind: (by, n) for kind, by, n in story.kinds} == {
        "outline all nuclei": ("uninuc-n", 1),
        "delete": ("person", 1),
        "undo delete": ("person", 1),
        "paint": ("person", 1),
        "review": ("person", 1),
    }
    assert sum(n for _, n in story.hours) == 4
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:00", hour) for hour, _ in story.hours)
    assert [change.kind for change in story.shown] == ["delete", "undo delete", "paint"]
    page = Tags((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert "script" not in page.tags
    assert "b" not in page.tags
    assert EVIL in page.texts
    assert "1 of 3 (33.3 %)" in page.texts
    assert "ab" * 32 in page.texts
    assert len(page.images) == 6


def test_thumbnails_are_the_picture_with_outlines(kept, tmp_path):
    folder, tile = kept
    story = write_report(folder, read_heading(folder), tile, tmp_path / "a.md")
    pictures = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(png))))
        for change in story.shown
        for png in (change.before, change.after)
    ]
    deleted_before, deleted_after = pictures[:2]
    yellow = np.array([255, 230, 0])
    assert (deleted_before == yellow).all(axis=-1).sum() == 4 * 23  # around 24 x 24 px
    assert not (deleted_after == yellow).all(axis=-1).any()
    np.testing.assert_array_equal(deleted_after[::3, ::3], tile.rgb[0:23, 0:23])


def test_markdown_holds_the_same_and_no_markup_of_names(kept, tmp_path):
    folder, tile = kept
    write_report(folder, read_heading(folder), tile, tmp_path / "a.md")
    text = (tmp_path / "a.md").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "[a](b)" not in text
    assert text.count("![before](data:image/png;base64,") == 3
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(re.sub(r"\\.", "", row).count("|") in (3, 4, 5) for row in rows)


def test_another_ending_is_refused(kept, tmp_path):
    folder, tile = kept
    with pytest.raises(OutputError, match=r"\.html or \.md"):
        write_report(folder, read_heading(folder), tile, tmp_path / "a.pdf")
    assert list(tmp_path.iterdir()) == []


def test_what_was_lost_is_in_the_report(kept, tmp_path):
    folder, tile = kept
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    journal = copy / "journal-0001"
    journal.write_bytes(journal.read_bytes()[:-200])
    story = write_report(copy, read_heading(copy), tile, tmp_path / "a.html")
    assert len(story.problems) == 1
    assert "journal-0001" in story.problems[0]
    assert story.problems[0] in Tags((tmp_path / "a.html").read_text(encoding="utf-8")).texts
