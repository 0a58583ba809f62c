from pathlib import Path

import numpy as np
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_uninuc.core.geometry import plan_fields
from napari_uninuc.core.instances import InstanceMask, paint_masks, resolve_overlaps
from napari_uninuc.engine.owners import field_of
from napari_uninuc.engine.protocol import FoundNucleus
from napari_uninuc.slides import canvas as canvases
from napari_uninuc.slides.canvas import CHUNK_SIDE, LabelCanvas
from napari_uninuc.slides.plan import SlidePlan
from napari_uninuc.slides.seams import settle
from napari_uninuc.slides.tiles import TileResult

BOX = (0.0, 0.0, 1.0, 1.0)


def make_plan(fields, shape, min_area=1.0, tiles=None):
    every = tuple(field.index for field in fields) if tiles is None else tiles
    return SlidePlan(
        slide="s",
        fingerprint="f",
        mpp=1.0,
        level=0,
        downsample=1.0,
        shape=shape,
        model="m",
        model_sha256="",
        flips=False,
        brown=False,
        classes=("a", "b"),
        score_threshold=0.5,
        min_area_um2=min_area,
        max_overlap=0.5,
        fields=tuple(fields),
        tiles=every,
    )


def empty_canvas(shape, in_memory=4):
    array = zarr.create_array(
        zarr.storage.MemoryStore(), shape=shape, dtype=np.int32, chunks=(CHUNK_SIDE, CHUNK_SIDE)
    )
    return LabelCanvas(array, in_memory), array


def random_masks(rng, shape, count, largest):
    """Ragged blobs, often one on top of the other, some on two seams, some of equal score."""
    masks = []
    for _ in range(count):
        height, width = rng.integers(3, largest, 2)
        y, x = (int(rng.integers(0, side)) for side in shape)
        crop = np.hypot(*np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]) < 1.1
        crop &= rng.random(crop.shape) > 0.1
        score = round(float(rng.random()), 1)
        masks.append(InstanceMask((y, x), crop, score, int(rng.integers(2)), 0.5))
    return masks


def by_tile(masks, fields, plan):
    """Give each mask to the tile that owns its middle, and one in four to a neighbour as well."""
    rng = np.random.default_rng(len(masks))
    found = {field.index: [] for field in fields}
    for mask in masks:
        y0, x0, y1, x1 = mask.box_yxyx
        owner = field_of(fields, ((y0 + y1) / 2, (x0 + x1) / 2)).index
        others = [owner] + ([int(rng.integers(len(fields)))] if rng.random() < 0.25 else [])
        for index in dict.fromkeys(others):
            cut = cut_to(mask, fields[index].outer_yxyx)
            if cut.mask.any():
                found[index].append(FoundNucleus(cut, BOX))
    return [TileResult(index, tuple(found[index]), {}) for index in plan.tiles]


def cut_to(mask, box):
    """A tile's masks end at its border, as its pixels do."""
    crop = mask.mask.copy()
    (y, x), (height, width) = mask.origin_yx, crop.shape
    rows, columns = np.arange(y, y + height), np.arange(x, x + width)
    crop[(rows < box[0]) | (rows >= box[2])] = False
    crop[:, (columns < box[1]) | (columns >= box[3])] = False
    keep = np.nonzero(crop)
    if not keep[0].size:
        return InstanceMask((y, x), np.zeros((0, 0), bool), mask.score, 0, 0.5)
    top, left = keep[0].min(), keep[1].min()
    tight = crop[top : keep[0].max() + 1, left : keep[1].max() + 1]
    return InstanceMask((y + int(top), x + int(left)), tight, mask.score, mask.class_id, 0.5)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    shape=st.tuples(st.integers(60, 260), st.integers(60, 260)),
    size=st.sampled_from([64, 80, 200]),
    count=st.integers(0, 250),
    largest=st.sampled_from([12, 40]),
)
def test_settling_row_by_row_is_settling_at_once(seed, shape, size, count, largest):
    fields = plan_fields(shape, size, 10)
    plan = make_plan(fields, shape, min_area=5.0)
    masks = random_masks(np.random.default_rng(seed), shape, count, largest)
    results = by_tile(masks, fields, plan)
    canvas, array = empty_canvas(shape)
    settled = [each for group in settle(results, plan, canvas) for each in group]
    canvas.flush()
    every = [one.mask for result in results for one in result.found]
    expected = resolve_overlaps(every, shape, max_overlap=0.5, min_area=5)
    painted = np.asarray(array[...])
    truth = paint_masks(expected, shape)
    assert sorted(each.id for each in settled) == list(range(1, len(expected) + 1))
    pairs = set(zip(painted.ravel().tolist(), truth.ravel().tolist(), strict=True)) - {(0, 0)}
    assert len(pairs) == len(expected)  # one id here is one id there, pixel by pixel
    scores = {each.id: (each.mask.score, each.mask.class_id) for each in settled}
    for here, there in pairs:
        assert scores[here] == (expected[there - 1].score, expected[there - 1].class_id)
    for each in settled:
        y0, x0, y1, x1 = each.mask.box_yxyx
        np.testing.assert_array_equal(painted[y0:y1, x0:x1] == each.id, each.mask.mask)


def test_nothing_is_settled_before_its_turn():
    fields = plan_fields((280, 100), 120, 20)
    assert len(fields) == 3
    plan = make_plan(fields, (280, 100))
    cut = fields[0].inner_yxyx[2]

    def disc(y, score):
        crop = np.hypot(*np.mgrid[-5:6, -5:6]) < 5.5
        return FoundNucleus(InstanceMask((y - 5, 40), crop, score, 0, 0.5), BOX)

    results = [
        TileResult(0, (disc(20, 0.3), disc(cut - 1, 0.4)), {}),
        TileResult(1, (disc(cut, 0.9),), {}),
        TileResult(2, (), {}),
    ]
    canvas, _ = empty_canvas((280, 100))
    groups = [[each.mask.score for each in group] for group in settle(results, plan, canvas)]
    assert groups == [[0.3], [0.9], []]  # 0.4 waited for 0.9, which is the same nucleus


def test_canvas_larger_than_its_memory(tmp_path):
    shape = (CHUNK_SIDE * 2 + 7, CHUNK_SIDE * 3)
    array = zarr.create_array(
        str(tmp_path / "labels.zarr"), shape=shape, dtype=np.int32, chunks=(CHUNK_SIDE,) * 2
    )
    canvas = LabelCanvas(array, in_memory=1)
    masks = random_masks(np.random.default_rng(0), shape, 200, 60)
    masks = [cut_to(mask, (0, 0, *shape)) for mask in masks]
    expected = np.zeros(shape, np.int32)
    for number, mask in enumerate(masks, start=1):
        y0, x0, y1, x1 = mask.box_yxyx
        window = expected[y0:y1, x0:x1]
        np.testing.assert_array_equal(canvas.free(mask), mask.mask & (window == 0))
        canvas.paint(mask, number)
        window[mask.mask] = number
        assert len(canvas._chunks) <= 1
    canvas.flush()
    np.testing.assert_array_equal(array[...], expected)


def test_only_painted_chunks_are_written(tmp_path):
    array = zarr.create_array(
        str(tmp_path / "labels.zarr"), shape=(5000, 5000), dtype=np.int32, chunks=(CHUNK_SIDE,) * 2
    )
    canvas = LabelCanvas(array)
    mask = InstanceMask((2000, 2000), np.ones((5, 5), bool), 1.0, 0, 1.0)
    canvas.free(mask)
    canvas.paint(mask, 1)
    canvas.flush()
    files = [path for path in Path(tmp_path / "labels.zarr").rglob("*") if path.is_file()]
    assert len(files) == 2  # its metadata and one chunk
    assert canvases.CHUNKS_IN_MEMORY * CHUNK_SIDE**2 * 4 < 256 * 2**20
