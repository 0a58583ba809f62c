"""Edits and notes as bytes and back, and bytes that nobody meant well."""

import json
import math
import zlib
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.edits import Edit
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.nuclei import Nucleus, Status
from napari_uninuc.errors import LabelsError, SessionError
from napari_uninuc.journal.edit_records import read_edit, write_edit
from napari_uninuc.journal.records import (
    Actor,
    ClassesChanged,
    Closed,
    FilterChanged,
    Gap,
    Record,
    RunStarted,
    ScaleChanged,
    pack_edit,
    pack_note,
)

SHAPE = (20, 24)
AT = datetime(2026, 3, 4, 5, 6, 7, 890123, UTC)
numbers = st.one_of(st.just(math.nan), st.floats(0, 1))
boxes = st.one_of(st.none(), st.tuples(*[st.floats(-9, 99)] * 4))
ids = st.integers(1, 2**31 - 1)


@st.composite
def edits(draw):
    """An edit of a crop of random ids, the pixels around it, and candidates."""
    pixels = draw(hnp.arrays(np.int32, SHAPE, elements=st.integers(0, 4)))
    y, x = draw(st.integers(0, SHAPE[0])), draw(st.integers(0, SHAPE[1]))
    h, w = draw(st.integers(0, SHAPE[0] - y)), draw(st.integers(0, SHAPE[1] - x))
    before = pixels[y : y + h, x : x + w].copy()
    after = draw(hnp.arrays(np.int32, (h, w), elements=st.sampled_from([0, 1, 2, 2**31 - 1])))
    after = np.where(draw(hnp.arrays(np.bool_, (h, w))), after, before)
    rows = [{}, {}]
    for id_ in draw(st.lists(ids, max_size=5, unique=True)):
        for side in rows:
            status = draw(st.sampled_from(Status))
            row = Nucleus(id_, draw(st.integers(0, 9)), draw(numbers), draw(numbers), status)
            side[id_] = draw(st.sampled_from([None, replace(row, detected_box_yxyx=draw(boxes))]))
    masks = {
        id_: InstanceMask(
            draw(st.tuples(st.integers(-9, 30), st.integers(-9, 30))),
            draw(hnp.arrays(np.bool_, st.tuples(st.integers(0, 9), st.integers(0, 9)))),
            draw(st.floats(0, 1)),
            draw(st.integers(0, 3)),
            draw(st.floats(0, 1)),
        )
        for id_ in rows[1]
    }
    return pixels, Edit(draw(st.text(max_size=9)), (y, x), before, after, *rows), masks


def same(one, other):
    return (
        one.verb == other.verb
        and one.origin_yx == other.origin_yx
        and np.array_equal(one.before, other.before)
        and np.array_equal(one.after, other.after)
        and one.rows_before == other.rows_before
        and one.rows_after == other.rows_after
    )


def payload(edit, masks, **changes):
    said = {"at": AT, "by": None, "move": "do", "nuclei": 3, "threshold": 0.5, "min_area_px": 7}
    return pack_edit(edit, masks, **said | changes)


@given(edits(), st.sampled_from([None, Actor("uninuc-n", "ab" * 32, {"mpp": 0.25, "x": True})]))
def test_an_edit_comes_back_as_it_was(made, actor):
    pixels, edit, masks = made
    record = Record(payload(edit, masks, by=actor, move="undo"))
    back, found = record.edit(pixels)
    assert same(back, edit)
    assert record.is_edit
    assert (record.head.at, record.head.by, record.head.move) == (AT, actor, "undo")
    assert (record.head.nuclei, record.head.threshold, record.head.min_area_px) == (3, 0.5, 7)
    assert found.keys() == masks.keys()
    for id_, mask in masks.items():
        assert np.array_equal(found[id_].mask, mask.mask)
        assert found[id_].origin_yx == mask.origin_yx
        assert (found[id_].score, found[id_].class_id) == (mask.score, mask.class_id)
        assert found[id_].predicted_iou == mask.predicted_iou


@pytest.mark.parametrize(
    "note",
    [
        RunStarted(AT, Actor("uninuc-n", "", {"score_threshold": 0.4, "device": "cpu"})),
        ClassesChanged(AT, (("nucleus", "#ffffff"), ("tümör <b>", "#000000"))),
        FilterChanged(AT, 0.25, 12),
        ScaleChanged(AT, None),
        ScaleChanged(AT, 0.5),
        Gap(AT, 4),
        Closed(AT),
    ],
)
def test_a_note_comes_back_as_it_was(note):
    record = Record(pack_note(note))
    assert record.head == note
    assert not record.is_edit
    with pytest.raises(SessionError, match="note"):
        record.edit(np.zeros(SHAPE, np.int32))


@given(edits(), st.data())
def test_a_damaged_edit_is_refused_or_read_but_nothing_else(made, data):
    pixels, edit, masks = made
    raw = bytearray(zlib.decompress(payload(edit, masks)[1:]))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw
    try:
        back, _ = Record(b"E" + zlib.compress(raw)).edit(pixels)
    except (SessionError, LabelsError):
        return
    assert back.after.size <= pixels.size


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_our_words(raw):
    for packed in (raw, b"E" + raw, b"E" + zlib.compress(raw), b"N" + zlib.compress(raw)):
        with pytest.raises(SessionError):
            _ = Record(packed).head


def test_sizes_that_no_edit_of_this_picture_has_are_refused():
    pixels = np.zeros(SHAPE, np.int32)
    edit = Edit.of_rows("class", {}, {})
    sizes, _ = write_edit(edit, {})
    for wrong in (
        replace(sizes, crop_yxhw=(0, 0, 21, 1)),
        replace(sizes, crop_yxhw=(19, 0, 1, 1), runs=2),
        replace(sizes, masks=1),
        replace(sizes, rows=1, masks=1, mask_bytes=10**9),
    ):
        with pytest.raises(SessionError):
            wrong.nbytes(pixels.shape)


def test_what_unpacks_to_more_than_it_says_is_not_unpacked():
    edit = Edit.of_rows("class", {}, {})
    good = zlib.decompress(payload(edit, {})[1:])
    bomb = zlib.compress(good + bytes(3 * 10**7), 9)
    with pytest.raises(SessionError, match="not its own"):
        Record(b"E" + bomb).edit(np.zeros(SHAPE, np.int32))
    text = (3 * 10**7).to_bytes(4, "little") + b" " * 3 * 10**7
    with pytest.raises(SessionError, match="bytes of text"):
        _ = Record(b"N" + zlib.compress(text, 9)).head


def test_runs_that_leave_their_crop_are_refused():
    pixels = np.zeros((4, 4), np.int32)
    row = Nucleus(1, 0, 0.5, 0.5, Status.EDITED)
    edit = Edit("add", (0, 0), pixels[:2], np.ones((2, 4), np.int32), {1: None}, {1: row})
    sizes, raw = write_edit(edit, {})
    with pytest.raises(SessionError, match="outside"):
        read_edit("add", replace(sizes, crop_yxhw=(0, 0, 1, 4)), raw, pixels)


def test_only_changed_pixels_take_room():
    rng = np.random.default_rng(0)
    before = rng.integers(0, 2**30, (200, 200), dtype=np.int32)
    after = before.copy()
    after[100, 100] = 5
    edit = Edit("paint", (0, 0), before, after, {}, {})
    assert len(payload(edit, {})) < 400
    assert same(Record(payload(edit, {})).edit(before)[0], edit)


def test_a_record_made_before_classes_were_in_it_is_read():
    edit = Edit.of_rows("class", {}, {})
    palette = ClassPalette.of_names(["nucleus"])
    how = {"at": AT, "by": None, "move": "do", "nuclei": 0, "threshold": 0.5, "min_area_px": 0}
    payload = pack_edit(edit, {}, **how, classes=palette)
    assert Record(payload).head.palette == palette
    plain = zlib.decompress(payload[1:])
    length = int.from_bytes(plain[:4], "little")
    said = json.loads(plain[4 : 4 + length])
    del said["classes"]
    older = json.dumps(said).encode()
    packed = zlib.compress(len(older).to_bytes(4, "little") + older + plain[4 + length :])
    assert Record(payload[:1] + packed).head.palette is None
