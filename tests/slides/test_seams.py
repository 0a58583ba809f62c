import numpy as np
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_uninuc.core.geometry import plan_fields
from napari_uninuc.core.instances import InstanceMask, paint_masks, resolve_overlaps
from napari_uninuc.engine.owners import field_of
from napari_uninuc.engine.protocol import FoundNucleus
from napari_uninuc.slides.labels import label_squares
from napari_uninuc.slides.nuclei import Nuclei
from napari_uninuc.slides.plan import SlidePlan
from napari_uninuc.slides.seams import settle
from napari_uninuc.slides.squares import CHUNK_SIDE, LEVELS, SIDE, paint

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
    return [Nuclei.of_found(index, found[index]) for index in plan.tiles], found


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
    results, found = by_tile(masks, fields, plan)
    settled = Nuclei.joined([row.nuclei for row in settle(results, plan)])
    every = [one.mask for index in plan.tiles for one in found[index]]
    expected = resolve_overlaps(every, shape, max_overlap=0.5, min_area=5)
    painted = painted_at_once(settled, shape)
    truth = paint_masks(expected, shape)
    assert sorted(settled.id.tolist()) == list(range(1, len(expected) + 1))
    pairs = set(zip(painted.ravel().tolist(), truth.ravel().tolist(), strict=True)) - {(0, 0)}
    assert len(pairs) == len(expected)  # one id here is one id there, pixel by pixel
    said = zip(settled.score.tolist(), settled.class_id.tolist(), strict=True)
    scores = dict(zip(settled.id.tolist(), said, strict=True))
    for here, there in pairs:
        assert scores[here] == (expected[there - 1].score, expected[there - 1].class_id)
    for id_, (y0, x0, y1, x1), crop in zip(
        settled.id, settled.runs.boxes.tolist(), settled.runs.crops(), strict=True
    ):
        np.testing.assert_array_equal(painted[y0:y1, x0:x1] == id_, crop)


def painted_at_once(settled, shape):
    painted = np.zeros(shape, np.int32)
    owner, y, x = settled.runs.pixels()
    assert len(np.unique(y * shape[1] + x)) == len(y)
    painted[y, x] = settled.id[owner]
    return painted


def test_nothing_is_settled_before_its_turn():
    fields = plan_fields((280, 100), 120, 20)
    assert len(fields) == 3
    plan = make_plan(fields, (280, 100))
    cut = fields[0].inner_yxyx[2]

    def disc(y, score):
        crop = np.hypot(*np.mgrid[-5:6, -5:6]) < 5.5
        return FoundNucleus(InstanceMask((y - 5, 40), crop, score, 0, 0.5), BOX)

    results = [
        Nuclei.of_found(0, (disc(20, 0.3), disc(cut - 1, 0.4))),
        Nuclei.of_found(1, (disc(cut, 0.9),)),
        Nuclei.of_found(2, ()),
    ]
    groups = [row.nuclei.score.tolist() for row in settle(results, plan)]
    assert groups == [[0.3], [0.9], []]  # 0.4 waited for 0.9, which is the same nucleus


def test_squares_are_painted_whole_in_whatever_order(tmp_path):
    """Nuclei at borders of squares and beyond, some that come after their square."""
    shape = (SIDE + 300, SIDE * 2 + 7)
    rng = np.random.default_rng(0)
    masks = [cut_to(mask, (0, 0, *shape)) for mask in random_masks(rng, shape, 300, 60)]
    masks.append(InstanceMask((SIDE - 9, 3), np.ones((30, 2 * SIDE), bool), 0.9, 0, 0.5))
    plan = make_plan(plan_fields(shape, 5000, 10), shape)
    found = [FoundNucleus(mask, BOX) for mask in resolve_overlaps(masks, shape)]
    (row,) = settle([Nuclei.of_found(0, found)], plan)
    expected = painted_at_once(row.nuclei, shape)
    late = rng.random(len(row.nuclei)) < 0.3
    with label_squares(tmp_path / "labels.ome.zarr", plan) as squares:
        squares.add(row.nuclei.take(~late))
        early = list(squares.finished(SIDE))
        assert {square.place[0] for square in early} == {0}
        squares.add(row.nuclei.take(late))
        rest = list(squares.finished(2**40))
        assert not {square.place for square in early} & {square.place for square in rest}
        assert len(rest) == 3
        for square in [*reversed(rest), *early]:
            paint(square)
        for square in squares.late():
            assert square.again
            paint(square)
    group = zarr.open_group(str(tmp_path / "labels.ome.zarr"), mode="r")
    for level in range(5):
        np.testing.assert_array_equal(group[str(level)][...], expected[:: 2**level, :: 2**level])


def test_no_two_squares_share_a_chunk():
    assert all(SIDE // 2**level % CHUNK_SIDE == 0 for level in range(LEVELS))


def test_only_painted_chunks_are_written(tmp_path):
    shape = (5000, 5000)
    plan = make_plan(plan_fields(shape, 5000, 10), shape)
    one = FoundNucleus(InstanceMask((2000, 2000), np.ones((5, 5), bool), 1.0, 0, 1.0), BOX)
    (row,) = settle([Nuclei.of_found(0, [one])], plan)
    with label_squares(tmp_path / "labels.ome.zarr", plan) as squares:
        squares.add(row.nuclei)
        for square in squares.finished(row.low):
            paint(square)
    folder = tmp_path / "labels.ome.zarr"
    chunks = [path for path in folder.rglob("[0-9]") if path.is_file()]
    assert {str(path.relative_to(folder)) for path in chunks} == {
        *("0/3/3", "1/1/1", "2/0/0", "3/0/0", "4/0/0")
    }
