"""Outlines as segments, strokes by key, the marks of a desk, and the colours of nuclei."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from napari.layers import Labels
from vispy.scene import Node

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Nucleus, Status
from napari_uninuc.gui.canvas.marks import Mark
from napari_uninuc.gui.canvas.outlines import (
    box_segments,
    line_segments,
    outline_segments,
    simplified,
)
from napari_uninuc.gui.canvas.stroke_visual import triangles, vertices
from napari_uninuc.gui.canvas.strokes import Strokes, packed_colour
from napari_uninuc.gui.canvas.view_seen import Seen, View
from napari_uninuc.gui.layers.colours import ColourBy, NucleusColours
from napari_uninuc.gui.window.keymap import KEYS
from napari_uninuc.testing import make_label_map


@given(arrays(bool, (9, 11)))
def test_an_outline_goes_around_the_pixels_with_them_to_the_right(mask):
    """Every step of one px has a pixel of the mask on one side and none on the other."""
    padded, seen = np.pad(mask, 1), 0
    for x0, y0, x1, y1 in outline_segments(InstanceMask((5, -7), mask, 1.0, 0, 1.0)):
        length = abs(x1 - x0) + abs(y1 - y0)
        assert length >= 1
        dx, dy = (x1 - x0) / length, (y1 - y0) / length
        for step in np.arange(length) + 0.5:
            x, y = x0 + dx * step, y0 + dy * step
            right, left = (y + dx / 2, x - dy / 2), (y - dx / 2, x + dy / 2)
            inside = [padded[round(v - 5) + 1, round(u + 7) + 1] for v, u in (right, left)]
            assert inside == [True, False]
            seen += 1
    around = sum(int((np.diff(padded.astype(int), axis=axis) != 0).sum()) for axis in (0, 1))
    assert seen == around


@given(arrays(bool, (9, 11)))
def test_an_outline_in_fewer_segments_is_still_closed(mask):
    every = outline_segments(InstanceMask((5, -7), mask, 1.0, 0, 1.0))
    fewer = simplified(every)
    assert len(fewer) <= len(every)
    assert sorted(fewer[:, :2].tolist()) == sorted(fewer[:, 2:].tolist())
    if len(fewer):
        assert (fewer.min(axis=0) >= every.min(axis=0)).all()
        assert (fewer.max(axis=0) <= every.max(axis=0)).all()


def _ring(radius, hole, left=0):
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    far = y**2 + x**2
    mask = (far <= radius**2) & (far >= hole**2)
    return outline_segments(InstanceMask((0, left), mask, 1.0, 0, 1.0))


@pytest.mark.parametrize("hole", [0, 6])
def test_what_is_round_stays_where_it_was_in_fewer_segments(hole):
    every = _ring(12, hole)
    fewer = simplified(every)
    assert len(fewer) < len(every) / 2
    radii = np.hypot(*(fewer[:, :2] - 12.0).T)
    near = [abs(radii - wanted) for wanted in {12.3, hole or 12.3}]
    assert np.min(near, axis=0).max() < 1.0


def test_a_line_that_is_not_closed_stays_as_it_is():
    line = line_segments([(k % 2, k) for k in range(40)])
    np.testing.assert_array_equal(simplified(line), line)


def test_what_is_off_the_canvas_is_not_drawn_and_the_far_view_is_coarser():
    strokes, one = Strokes(Node(), 1.5, 3.0), _ring(12, 0)
    for number in range(10):
        strokes.set(number, _ring(12, 0, 100 * number), number)
    first, all_of_it = np.array([0.0, 0.0, 60.0, 30.0]), np.array([-5.0, -5.0, 1000.0, 30.0])
    assert strokes.choose(Seen(4.0, first)) == len(one)
    assert strokes.choose(Seen(4.0, all_of_it)) == 10 * len(one)
    assert strokes.choose(Seen(0.5, all_of_it)) == 10 * len(simplified(one))
    assert strokes.choose(Seen(4.0, first)) == len(one)  # nearer again, where all was drawn before
    strokes.remove(3)
    assert strokes.choose(Seen(4.0, all_of_it)) == 9 * len(one)
    assert triangles(np.array([2, 7]), np.array([1, 2]))[::6].tolist() == [8, 28, 32]


def test_a_line_passes_its_corners_and_a_box_the_edges_of_its_pixels():
    assert line_segments([(1, 2), (3, 4), (3, 4)]).tolist() == [[2, 1, 4, 3]]
    assert line_segments([(1, 2)]).shape == (0, 4)
    assert line_segments([(0, 0), (0, 5), (5, 5)], closed=True)[-1].tolist() == [5, 5, 0, 0]
    sides = box_segments((2.0, 3.0, 10.0, 12.0))
    assert len(sides) == 4
    assert (sides.min(), sides.max()) == (1.5, 11.5)


def test_the_corners_of_a_segment_are_four_of_the_same_places():
    made = vertices([[1, 2, 3, 4], [5, 6, 7, 8]])
    assert made["a_from"].tolist() == [[1, 2]] * 4 + [[5, 6]] * 4
    assert made["a_corner"].tolist() == [0, 1, 2, 3] * 2


_KEYS, _ACTS = st.integers(0, 5), st.sampled_from(["set", "set", "recolour", "remove", "clear"])


@given(
    st.lists(
        st.tuples(
            _KEYS, st.sampled_from(["set", "recolour", "remove", "clear"]), st.integers(0, 900)
        ),
        max_size=30,
    )
)
def test_what_is_drawn_under_a_key_is_what_was_put_there_last(acts):
    strokes, wanted = Strokes(Node(), 1.5, 3.0), {}
    for number, (key, act, count) in enumerate(acts):
        if act == "set":
            segments = np.arange(4 * count, dtype=np.float32).reshape(-1, 4) + number
            strokes.set(key, segments, number)
            wanted[key] = segments, number
        elif act == "recolour":
            strokes.recolour(dict.fromkeys(range(key), number))
            for each in wanted.keys() & set(range(key)):
                wanted[each] = wanted[each][0], number
        elif act == "remove":
            strokes.remove(key)
            wanted.pop(key, None)
        else:
            strokes.clear()
            wanted.clear()
        for each in range(6):
            assert (each in strokes) == (each in wanted)
            found = strokes.segments_of(each)
            np.testing.assert_array_equal(found, wanted.get(each, (np.zeros((0, 4)), 0))[0])
            if each in wanted:
                assert strokes.colour_of(each) == wanted[each][1]


@pytest.mark.parametrize("count", [1, 3, 200])
def test_many_are_recoloured_at_once_and_no_others(count, monkeypatch):
    strokes, sent = Strokes(Node(), 1.5, 3.0), []
    for key in range(300):
        strokes.set(key, np.full((key % 7, 4), key, np.float32), 5)
    buffer = np.zeros(len(strokes._painted), np.float32)
    buffer[:] = strokes._painted["a_colour"]

    def send(data, offset, copy):
        sent.append(len(data))
        buffer[offset : offset + len(data)] = data["a_colour"]

    monkeypatch.setattr(strokes._paint, "set_subdata", send)
    chosen = range(200) if count == 200 else range(36, 36 + 49 * count, 49)
    strokes.recolour({key: 1000 + key for key in chosen} | {"nobody": 3})
    assert len(sent) == (1 if count == 200 else count)
    np.testing.assert_array_equal(buffer, strokes._painted["a_colour"])
    for key in range(300):
        slot = strokes._slots[strokes._slot_of[key]]
        colours = buffer[4 * slot["start"] : 4 * (slot["start"] + slot["fine"])]
        assert set(colours.tolist()) <= {1000 + key if key in chosen else 5}
        assert strokes.colour_of(key) == (1000 + key if key in chosen else 5)
    strokes.recolour({key: 1000 + key for key in chosen})
    assert len(sent) == (1 if count == 200 else count)


def test_every_outline_is_drawn_in_its_colour_and_follows(desk):
    lines, session = desk.bridge.outlines._outlines, desk.session
    desk.bridge.flush()
    for id_ in session.labels.nuclei:
        expected = outline_segments(session.labels.mask(id_))
        np.testing.assert_array_equal(lines.segments_of(id_), expected)
    session.set_class([5], 1)
    assert lines.colour_of(5) == packed_colour(session.classes.colour_of(1))
    session.delete([5])
    assert 5 not in lines
    session.undo()
    session.recolour_class(1, "#123456")
    assert session.undo()
    session.redo()
    desk.bridge.flush()
    session.set_class([5], 1)
    assert lines.colour_of(5) == packed_colour("#123456")


@pytest.mark.parametrize("zoom", [0.4, 3.0])
def test_what_is_kept_as_a_picture_looks_like_what_is_drawn(desk, zoom, monkeypatch):
    """Halos of neighbours reach into what is drawn anew; each frame against one drawn whole."""
    session, lines = desk.session, desk.bridge.outlines._outlines
    camera = getattr(desk.viewer, "scene", desk.viewer).camera
    camera.zoom *= zoom
    desk.bridge.outlines.show_boxes = True
    desk.bridge.flush()
    desk.canvas.settle()
    node, drawn = lines._node, []
    choose, within = lines.choose, lines.choose_within
    monkeypatch.setattr(lines, "choose", lambda seen: drawn.append("all") or choose(seen))
    monkeypatch.setattr(lines, "choose_within", lambda seen: drawn.append("part") or within(seen))
    desk.canvas.shot()
    before = desk.canvas.shot()
    drawn.clear()
    y, x = desk.centre(5)
    first, *others = sorted(session.labels.nuclei)
    for act, expected in (
        (lambda: None, []),
        (lambda: session.set_class([5], 1), ["part"]),
        (lambda: session.delete([5, first]), ["part"]),
        (session.undo, ["part"]),
        (lambda: session.set_class(others, 2), ["part"]),
        (lambda: desk.canvas.move((y, x), desk.image), []),  # what is under the cursor is no part
        (lambda: (lines.clear(), desk.bridge.outlines.draw_all()), ["part"]),
    ):
        act()
        desk.bridge.flush()
        kept = desk.canvas.shot()
        assert sorted(set(drawn)) == expected
        node._picture._view, node._view_before = b"", b""
        whole = desk.canvas.shot()
        assert drawn[-1:] == ["all"]
        assert np.abs(kept.astype(int) - whole).max() <= 1
        desk.canvas.shot()  # a view that is seen again is kept again
        drawn.clear()
    assert (kept != before).any()


def test_a_rectangle_of_the_canvas_is_where_its_box_is():
    """At 200 %, turned and mirrored: the box of a rectangle lies in it, and goes back to it."""
    to_screen = np.array([[0.0, 3.0, 10.0], [2.0, 0.0, -4.0]])
    to_render = np.array([[2 / 400, 0.0, -1.0], [0.0, -2 / 300, 1.0]])
    view = View(to_screen, to_render, 2.0)
    assert (view.size, view.across) == ((400, 300), -6.0)
    box = view.seen((50, 60, 30, 40)).box_xyxy
    left, bottom, width, height = view.rectangle(box, 0.0)
    assert (left, bottom) == pytest.approx((50, 60), abs=1)
    assert (width, height) == pytest.approx((31, 41), abs=1)
    everywhere = np.array([-np.inf, -np.inf, np.inf, np.inf])
    assert view.rectangle(everywhere, 5.0) == (0, 0, 400, 300)
    assert view.rectangle(view.seen().box_xyxy + 1000.0, 5.0) is None
    assert view.seen().zoom == pytest.approx(6**0.5 / 2)


def test_an_outline_is_as_wide_at_any_zoom(desk):
    """Counted on a row of the screen through the left side of a square nucleus."""
    after = np.full((40, 40), desk.session.labels.next_id, np.int32)
    desk.session.paint((100, 100, 140, 140), after)
    desk.session.recolour_class(0, "#ff0000")
    camera = getattr(desk.viewer, "scene", desk.viewer).camera
    camera.center, widths = (*camera.center[:-2], 119.5, 100.0), []
    for zoom in (2.0, 12.0):
        camera.zoom = zoom
        desk.bridge.flush()
        desk.canvas.settle()
        shot = desk.canvas.shot().astype(int)
        x, y = desk.canvas.to_screen((119.5, 100.0), desk.image)
        scale = shot.shape[0] / desk.canvas.widget.height()
        row = shot[round(y * scale), round((x - 12) * scale) : round((x + 12) * scale)]
        widths.append(int(((row[:, 0] > 200) & (row[:, 1] < 60) & (row[:, 2] < 60)).sum()))
    assert scale == pytest.approx(desk.canvas.widget.devicePixelRatio())
    assert 1 <= widths[0] / scale <= 2.5
    assert abs(widths[0] - widths[1]) <= 1


def test_the_layer_is_drawn_as_soon_as_it_is_seen(desk):
    """Wholly transparent, as it is most of the time, it would cost a third of each frame."""
    nuclei, canvas = desk.bridge.nuclei, desk.viewer.window._qt_viewer.canvas
    bare = desk.canvas.shot()
    assert not canvas.layer_to_visual[nuclei].node.visible
    nuclei.opacity = 0.5
    filled = desk.canvas.shot()
    assert (filled != bare).any()
    nuclei.visible = False
    assert (desk.canvas.shot() != filled).any()
    nuclei.visible = True
    np.testing.assert_array_equal(desk.canvas.shot(), filled)
    nuclei.opacity = 0.0
    np.testing.assert_array_equal(desk.canvas.shot(), bare)
    desk.bridge.close()  # the layer stays, and is seen
    assert canvas.layer_to_visual[nuclei].node.visible


def test_the_nucleus_in_hand_has_outline_box_and_clicks(desk):
    y, x = desk.centre(5)
    desk.canvas.click((y, x), desk.image)
    marks = desk.bridge._marks
    expected = outline_segments(desk.session.labels.mask(5))
    np.testing.assert_array_equal(marks.shown(Mark.IN_HAND), expected)
    desk.session.hand.click((y + 1, x), False)
    desk.session.hand.click((y, x), True)
    desk.bridge.marks._on_patience()
    assert marks._shown_clicks == (((y + 1, x), (y, x)), (False, True))
    desk.session.hand.drop()
    assert not len(marks.shown(Mark.IN_HAND))
    assert marks._shown_clicks == ((), ())
    desk.session.select([3, 4])
    assert len(marks.shown(Mark.SELECTED, 4))
    desk.session.select([3])
    assert not len(marks.shown(Mark.SELECTED, 4))


def test_all_is_hidden_while_a_key_is_held(desk):
    assert [key.action for key in KEYS if key.held] == ["hide"]
    overlay = desk.bridge._overlay
    assert overlay.visible
    desk.bridge.blanked = True
    assert not overlay.visible
    desk.bridge.blanked = False
    desk.bridge.nuclei.visible = False
    assert not overlay.visible
    desk.bridge.nuclei.visible = True
    desk.viewer.dims.ndisplay = 3
    assert not overlay.visible
    desk.viewer.dims.ndisplay = 2
    assert overlay.visible


@pytest.mark.parametrize("id_", [1, 255, 65_536, 3_000_000])
def test_colours_of_any_id(id_):
    labels = LabelMap((32, 32))
    colours = NucleusColours(labels, ClassPalette.of_names(("a", "b", "c")))
    layer = Labels(np.full((4, 4), id_, dtype=np.int32), colormap=colours.colormap)
    colours.colormap.set_slot(id_, 2)
    assert layer.get_color(id_)[:3] == pytest.approx((0, 0x99 / 255, 1), abs=1e-3)
    texture = colours.colormap._data_to_texture(np.array([0, id_, id_ + 1], dtype=np.int32))
    assert texture.dtype == np.uint8
    assert texture[1] != texture[2] != texture[0]
    assert layer.get_color(0) is None


@given(st.floats(0, 1) | st.just(np.nan), st.sampled_from(list(Status)), st.integers(0, 200))
def test_every_nucleus_has_a_colour(score, status, class_id):
    labels = make_label_map((32, 32), 3)
    colours = NucleusColours(labels, ClassPalette.of_names(("a",)))
    rows = {1: Nucleus(1, class_id, score, 0.5, status)}
    for by in ColourBy:
        colours.by = by
        labels._rows.update(rows)
        colours.by = by
        assert colours.colormap.map(1)[3] == 1
