from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.io import outlines
from napari_uninuc.io.filling import fill_polygon
from napari_uninuc.io.outlines import pack_nuclei, trace_nuclei

PICTURES = hnp.arrays(
    np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 3)
)


def filled(segmentation, origin_yx=(0, 0)):
    labels = np.zeros_like(segmentation.labels)
    for outline in trace_nuclei(segmentation, origin_yx):
        for polygon in outline.polygons_xy:
            (y, x), mask = fill_polygon(polygon, labels.shape, origin_yx)
            labels[y : y + mask.shape[0], x : x + mask.shape[1]][mask] = outline.id
    return labels


def area(ring):
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairwise(ring)) / 2


@given(PICTURES, st.tuples(st.integers(-50, 50), st.integers(-50, 10**6)))
def test_an_outline_is_its_pixels(labels, origin_yx):
    segmentation = Segmentation.from_labels(labels)
    np.testing.assert_array_equal(filled(segmentation, origin_yx), labels)
    outlined = list(trace_nuclei(segmentation))
    assert [each.id for each in outlined] == segmentation.table["id"].tolist()
    assert [each.area_px for each in outlined] == [
        int((labels == id_).sum()) for id_ in segmentation.table["id"]
    ]


@given(PICTURES)
def test_rings_are_simple_and_turn_the_right_way(labels):
    for outline in trace_nuclei(Segmentation.from_labels(labels)):
        rings = [ring for polygon in outline.polygons_xy for ring in polygon]
        for ring in rings:
            assert ring[0] == ring[-1]
            corners = [tuple(point) for point in ring[:-1]]
            assert len(set(corners)) == len(corners), "a ring that touches itself is not valid"
            assert all((x0 == x1) != (y0 == y1) for (x0, y0), (x1, y1) in pairwise(ring))
            turns = zip(ring[-2:-1] + ring, ring, ring[1:], strict=False)
            assert all((a[0] == b[0]) != (b[0] == c[0]) for a, b, c in turns), "corners only"
        assert sum(area(ring) for ring in rings) == outline.area_px
        for outer, *holes in outline.polygons_xy:
            assert area(outer) > 0
            assert all(area(hole) < 0 for hole in holes)


def test_pixels_that_touch_by_a_corner_are_two_polygons():
    (outline,) = trace_nuclei(Segmentation.from_labels(np.eye(2, dtype=np.int32)))
    assert outline.polygons_xy == [
        [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]],
        [[[1, 1], [2, 1], [2, 2], [1, 2], [1, 1]]],
    ]


def test_a_hole_that_touches_the_rim_by_a_corner_stays_a_hole():
    ring = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]], dtype=np.int32)
    (outline,) = trace_nuclei(Segmentation.from_labels(ring))
    ((outer, hole),) = outline.polygons_xy
    assert (area(outer), area(hole)) == (8, -1)
    assert [2, 2] in outer
    assert [2, 2] in hole


def test_neighbours_share_their_corners():
    labels = np.array([[1, 2], [1, 2]], dtype=np.int32)
    first, second = trace_nuclei(Segmentation.from_labels(labels))
    assert {(1, 0), (1, 2)} <= set(map(tuple, first.polygons_xy[0][0]))
    assert {(1, 0), (1, 2)} <= set(map(tuple, second.polygons_xy[0][0]))


@pytest.mark.parametrize("limit", [1, 40, 200])
def test_how_nuclei_are_packed_makes_no_difference(limit, monkeypatch):
    labels = np.random.default_rng(5).integers(0, 9, (30, 40)).astype(np.int32)
    segmentation = Segmentation.from_labels(labels)
    whole = [(each.id, each.polygons_xy) for each in trace_nuclei(segmentation)]
    monkeypatch.setattr(outlines, "BATCH_AREA", limit)
    monkeypatch.setattr(outlines, "_CANVAS_WIDTH", limit)
    assert [(each.id, each.polygons_xy) for each in trace_nuclei(segmentation)] == whole


def test_canvases_are_bounded_and_keep_nuclei_apart(monkeypatch):
    monkeypatch.setattr(outlines, "BATCH_AREA", 100)
    labels = np.kron(np.arange(1, 51).reshape(5, 10), np.ones((4, 4), int)).astype(np.int32)
    canvases = list(pack_nuclei(Segmentation.from_labels(labels)))
    assert [len(canvas.ids) for canvas in canvases] == [4] * 12 + [2]
    for canvas in canvases:
        for (dy, dx), id_, k in zip(
            canvas.shift_yx, canvas.ids, range(len(canvas.ids)), strict=True
        ):
            rows, columns = np.nonzero(canvas.owner == k + 1)
            assert (labels[rows + dy, columns + dx] == id_).all()
        assert not canvas.owner[[0, -1]].any()
        assert not canvas.owner[:, [0, -1]].any()


def test_rows_without_pixels_have_no_outline(two_nuclei):
    table = two_nuclei.table.copy()
    table.loc[0, "id"] = 99
    table.loc[1, ["y0", "y1"]] = [1000, 1010]
    assert not list(trace_nuclei(Segmentation(two_nuclei.labels, table, {})))
