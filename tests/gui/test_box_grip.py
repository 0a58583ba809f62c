"""The box of the nucleus in hand, dragged by its sides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qtpy.QtCore import Qt

from napari_uninuc.gui.canvas.box_grip import grip_at
from napari_uninuc.gui.canvas.marks import Mark

BOX = (10.0, 20.0, 30.0, 50.0)


@pytest.mark.parametrize(
    ("place", "sides"),
    [
        ((9.5, 35), (0,)),
        ((29.5, 35), (2,)),
        ((20, 19), (1,)),
        ((20, 50.5), (3,)),
        ((9, 19), (0, 1)),
        ((30, 50), (2, 3)),
        ((20, 35), None),
        ((5, 35), None),
        ((9.5, 60), None),
    ],
)
def test_a_side_is_gripped_near_it_only(place, sides):
    grip = grip_at(BOX, place, 2.0)
    assert (None if grip is None else grip.sides) == sides


_PLACE = st.tuples(st.floats(-50, 150), st.floats(-50, 150))


@given(_PLACE, _PLACE)
def test_a_box_stays_a_box_on_the_tile(pressed, released):
    grip = grip_at(BOX, pressed, 3.0)
    if grip is not None:
        y0, x0, y1, x1 = grip.moved(released, (100, 90))
        assert 0 <= y0 < y1 <= 100
        assert 0 <= x0 < x1 <= 90
        still = {0, 1, 2, 3} - set(grip.sides)
        assert all((y0, x0, y1, x1)[side] == BOX[side] for side in still)


def test_dragging_a_side_asks_anew_and_encodes_nothing(room):
    room.open(n_nuclei=20)
    room.outline()
    session, image = room.session, room.bench.desk.bridge.image
    boxes = {i: row.detected_box_yxyx for i, row in session.labels.nuclei.items()}
    id_ = next(i for i, box in boxes.items() if box and min(box) > 20 and max(box) < 230)
    session.hand.pick(id_)
    room.canvas.settle()
    box = session.labels.nuclei[id_].detected_box_yxyx
    assert len(room.bench.desk.bridge._marks.shown(Mark.BOX)) == 4
    before = list(room.annotator.calls)
    y, x = (box[0] + box[2]) / 2 - 0.5, box[3] - 0.5
    room.canvas.drag([(y, x), (y, x + 3), (y, x + 6)], image)
    room.until(lambda: session.hand.draft is not None and session.hand.draft.answered)
    draft = session.hand.draft
    assert draft.nucleus_id == id_
    assert draft.prompt.box_yxyx[:3] == box[:3]
    assert draft.prompt.box_yxyx[3] == pytest.approx(box[3] + 6, abs=1)
    assert room.annotator.calls[len(before) :].count("encode") == 0
    assert len(room.bench.desk.bridge._marks.shown(Mark.BOX)) == 4
    room.canvas.key(Qt.Key.Key_Escape)
    assert not len(room.bench.desk.bridge._marks.shown(Mark.BOX))


def test_boxes_of_all_nuclei_are_shown_by_a_key(room):
    room.open(n_nuclei=20)
    room.outline()
    outlines = room.bench.desk.bridge.outlines
    assert not any(id_ in outlines._boxes for id_ in room.session.labels.nuclei)
    room.widget.tools.verbs["boxes"].click()
    room.bench.desk.bridge.flush()
    boxed = [i for i, row in room.session.labels.nuclei.items() if row.detected_box_yxyx]
    assert boxed
    assert all(id_ in outlines._boxes for id_ in boxed)
    room.session.delete(boxed[:1])
    assert boxed[0] not in outlines._boxes
    table = room.session.segmentation().table
    assert table["found_y0"].notna().all()
