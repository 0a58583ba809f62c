"""The review by real keys: where it goes after a correction, and what the camera does."""

import numpy as np
import pytest
from driving import centre_of
from qtpy.QtCore import Qt

from napari_uninuc.core.nuclei import Status

SHIFT = Qt.KeyboardModifier.ShiftModifier
ACCEPT, NEXT, DELETE = Qt.Key.Key_A, Qt.Key.Key_N, Qt.Key.Key_Delete


@pytest.fixture
def outlined(room):
    """Thirty automatic nuclei."""
    room.open()
    room.outline()
    room.canvas.settle()
    return room


def in_hand(room):
    draft = room.session.hand.draft
    return None if draft is None else draft.nucleus_id


def answered(room):
    hand = room.session.hand
    return not hand.waiting and (hand.draft is None or hand.draft.answered)


def camera(room):
    return getattr(room.viewer, "scene", room.viewer).camera  # moved in napari 0.9


def click_beside(room, id_):
    y0, x0, _, x1 = room.session.labels.box(id_)
    image = room.bench.desk.bridge.image
    room.canvas.click((y0 - 1, (x0 + x1) / 2), image, keys=SHIFT)
    return answered(room)


def test_accepting_a_corrected_nucleus_goes_to_the_next_most_doubtful(outlined):
    queue = outlined.session.queue
    outlined.canvas.key(NEXT)
    for turn in range(6):
        id_, order = in_hand(outlined), queue.order()
        following = order[order.index(id_) + 1]
        click_beside(outlined, id_)
        if turn % 2:
            outlined.until(lambda: answered(outlined))  # else accepted before the outline is there
        outlined.canvas.key(ACCEPT)
        assert in_hand(outlined) == following
        outlined.until(lambda: answered(outlined))
        assert outlined.session.labels.nuclei[id_].status is Status.REVIEWED
        assert not queue.waits(id_)


def test_what_is_accepted_before_its_outline_arrives_stays_accepted(outlined):
    outlined.canvas.key(NEXT)
    id_ = in_hand(outlined)
    area = outlined.session.labels.area(id_)
    with outlined.annotator.held("answer"):
        click_beside(outlined, id_)
        outlined.canvas.key(ACCEPT)
    outlined.until(lambda: answered(outlined))
    assert outlined.session.labels.area(id_) != area
    assert outlined.session.labels.nuclei[id_].status is Status.REVIEWED


def test_a_new_nucleus_is_accepted_as_it_is_added(outlined, empty_place):
    outlined.canvas.key(NEXT)
    following = outlined.session.queue.order()[1]
    new = outlined.session.labels.next_id
    image = outlined.bench.desk.bridge.image
    outlined.canvas.click(empty_place(outlined.session.labels), image)
    outlined.canvas.key(ACCEPT)
    assert in_hand(outlined) == following
    outlined.until(lambda: answered(outlined))
    assert outlined.session.labels.nuclei[new].status is Status.REVIEWED


def test_deleting_the_one_under_review_goes_on(outlined):
    order = outlined.session.queue.order()
    outlined.canvas.key(NEXT)
    outlined.canvas.key(DELETE)
    assert in_hand(outlined) == order[1]
    outlined.widget.tools.verbs["delete"].click()
    assert in_hand(outlined) == order[2]
    assert not {*order[:2]} & set(outlined.session.labels.nuclei)


def test_deleting_another_one_does_not(outlined):
    order = outlined.session.queue.order()
    outlined.canvas.key(NEXT)
    image = outlined.bench.desk.bridge.image
    centres = {id_: np.array(centre_of(outlined.session.labels, id_)) for id_ in order}
    other = next(i for i in order[1:] if np.abs(centres[i] - centres[order[0]]).max() < 60)
    outlined.canvas.click(centres[other], image)
    centre = camera(outlined).center
    outlined.canvas.key(DELETE)
    assert outlined.session.labels.area(other) == 0
    assert in_hand(outlined) is None
    assert camera(outlined).center == centre


def test_deleting_the_last_one_ends_the_review_in_words(room):
    room.open(n_nuclei=2)
    room.outline()
    room.canvas.key(NEXT)
    room.canvas.key(ACCEPT)
    room.canvas.key(DELETE)
    assert in_hand(room) is None
    assert str(room.session.queue.progress) == "1 / 1 reviewed"
    room.until(lambda: room.widget.review.why.text() == "Every nucleus is reviewed.")
    for key in (NEXT, ACCEPT, DELETE):
        room.canvas.key(key)
        room.canvas.key(key, SHIFT)
    assert in_hand(room) in (None, room.bench.desk.reviewing.current)


def test_nothing_happens_in_an_empty_picture(room):
    room.open(n_nuclei=2)
    centre, zoom = camera(room).center, camera(room).zoom
    for key in (NEXT, ACCEPT, DELETE):
        room.canvas.key(key)
        room.canvas.key(key, SHIFT)
    assert in_hand(room) is None
    assert (camera(room).center, camera(room).zoom) == (centre, zoom)


def test_other_ways_of_changing_the_one_under_review_do_not_lose_the_way(outlined):
    """A class, a split, a merge, more outlines by the sliders, all outlined anew."""
    session, queue = outlined.session, outlined.session.queue
    session.classes = session.classes.joined(type(session.classes).of_names(("tumour", "stroma")))
    order = queue.order()
    outlined.canvas.key(NEXT)
    outlined.canvas.key(Qt.Key.Key_2)
    outlined.canvas.key(ACCEPT)
    assert in_hand(outlined) == order[1]
    y0, x0, y1, x1 = session.labels.box(order[1])
    session.split(order[1], (y0 - 2, (x0 + x1) / 2), (y1 + 2, (x0 + x1) / 2))
    outlined.canvas.key(ACCEPT)
    assert in_hand(outlined) == order[2]
    session.merge([order[-1], order[2]])
    outlined.canvas.key(NEXT)
    assert in_hand(outlined) == order[3]
    outlined.canvas.key(ACCEPT)
    outlined.outline()
    outlined.canvas.key(NEXT)
    assert in_hand(outlined) == queue.first([order[4]]) or in_hand(outlined) == queue.first()
    assert in_hand(outlined) not in order


# -- the camera -----------------------------------------------------------------------------


class Sizes:
    """A picture of small nuclei and large ones, walked to by hand."""

    def __init__(self, room):
        self.room = room
        room.open((400, 400), n_nuclei=0)
        pixels = np.zeros((400, 400), np.int32)
        self.small, self.large, self.huge = 1, 2, 3
        pixels[20:28, 20:28] = self.small
        pixels[100:140, 100:140] = self.large
        pixels[150:390, 150:390] = self.huge
        room.session.paint((0, 0, 400, 400), pixels)
        room.canvas.settle()
        self.reviewing = room.bench.desk.reviewing

    def go_to(self, id_):
        """Go on until there; returns the screen px at which it is shown."""
        for _ in range(4):
            if self.reviewing.go_next() == id_:
                break
        assert self.reviewing.current == id_
        y0, _, y1, _ = self.room.session.labels.box(id_)
        return (y1 - y0) * self.room.bench.desk.bridge.screen_px()


@pytest.fixture
def sizes(room):
    made = Sizes(room)
    yield made
    vars(made).clear()


def test_a_small_one_is_enlarged_and_a_large_one_after_it_is_seen_whole(sizes):
    before = camera(sizes.room).zoom
    assert sizes.go_to(sizes.small) == pytest.approx(90)
    near = camera(sizes.room).zoom
    assert near > before
    shown = sizes.go_to(sizes.large)
    assert 90 <= shown <= 180
    assert camera(sizes.room).zoom < near
    assert sizes.go_to(sizes.huge) <= 360
    assert sizes.go_to(sizes.small) == pytest.approx(90)


def test_a_zoom_of_ones_own_is_kept_where_the_nucleus_can_be_seen_in_it(sizes):
    sizes.go_to(sizes.small)
    own = camera(sizes.room).zoom = 8.0
    sizes.room.canvas.shot()
    assert sizes.go_to(sizes.large) == pytest.approx(320)
    assert camera(sizes.room).zoom == pytest.approx(own)
    assert sizes.go_to(sizes.huge) == pytest.approx(360), "too large for it"
    sizes.go_to(sizes.large)
    assert sizes.go_to(sizes.small) >= 90
    assert sizes.go_to(sizes.large) == pytest.approx(320), "and come back to"
