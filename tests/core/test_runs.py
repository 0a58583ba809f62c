import pickle

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_uninuc.core.runs import Runs, runs_of_crops, spans

SHAPE = (40, 50)


def random_crops(seed, count):
    """Crops of noise and of solid shapes, anywhere on a picture and a little beyond."""
    rng = np.random.default_rng(seed)
    boxes, crops = [], []
    for _ in range(count):
        height, width = rng.integers(1, 12, 2)
        y, x = (int(rng.integers(-5, side)) for side in SHAPE)
        crops.append(rng.random((height, width)) < rng.choice([0.3, 0.8, 1.0]))
        boxes.append((y, x, y + int(height), x + int(width)))
    return np.array(boxes, np.int64).reshape(-1, 4), crops


def runs_of(boxes, crops):
    """Crops with some rubbish between them, as padding of packed bits may be."""
    parts, first = [np.zeros(0, np.uint8)], []
    for crop in crops:
        parts += [np.ones(3, np.uint8), crop.ravel().astype(np.uint8)]
        first.append(sum(map(len, parts[:-1])))
    bits = np.concatenate(parts)
    for place, crop in zip(first, crops, strict=True):
        bits[place - 3 : place] = 0
        assert bits[place : place + crop.size].sum() == crop.sum()
    return runs_of_crops(bits, np.array(first, np.int64), boxes)


def places(box, crop):
    ys, xs = np.nonzero(crop)
    return list(zip((ys + box[0]).tolist(), (xs + box[1]).tolist(), strict=True))


def pixels_of(runs):
    owner, y, x = runs.pixels()
    found = [[] for _ in range(len(runs))]
    for who, *place in zip(owner.tolist(), y.tolist(), x.tolist(), strict=True):
        found[who].append(tuple(place))
    return found


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), count=st.integers(0, 30))
def test_runs_say_what_crops_do(seed, count):
    boxes, crops = random_crops(seed, count)
    some = [k for k, crop in enumerate(crops) if crop.any()]
    runs = runs_of(boxes, crops)
    assert [k for k, n in enumerate(runs.counts.tolist()) if n] == some
    runs = runs.take(runs.counts > 0)
    truth = [places(boxes[k], crops[k]) for k in some]
    assert pixels_of(runs) == truth  # row by row, from left to right
    assert runs.areas.tolist() == [len(each) for each in truth]
    for box, crop, pixels in zip(runs.boxes.tolist(), runs.crops(), truth, strict=True):
        assert crop.any(axis=0)[[0, -1]].all()
        assert crop.any(axis=1)[[0, -1]].all()
        assert places(box, crop) == pixels
        assert crop.shape == (box[2] - box[0], box[3] - box[1])
    every = [set(each) for each in truth]
    shared = [any(a & b for j, b in enumerate(every) if j != i) for i, a in enumerate(every)]
    assert runs.clashing().tolist() == shared
    for crop, plain in zip(runs.crops(), runs.plain().tolist(), strict=True):
        opens = (np.diff(crop, axis=1, prepend=False) & crop).sum(axis=1)
        assert plain == (ndimage.label(crop)[1] == 1 and (opens == 1).all())
    inside, kept = runs.cut((0, 0, *SHAPE))
    cut = [[(y, x) for y, x in each if 0 <= y < SHAPE[0] and 0 <= x < SHAPE[1]] for each in truth]
    assert pixels_of(inside) == [each for each in cut if each]
    assert kept.tolist() == [bool(each) for each in cut]
    order = np.random.default_rng(seed).permutation(len(runs))
    twice = Runs.joined([runs.take(order), Runs.none(), runs])
    assert pixels_of(twice) == [truth[k] for k in order] + truth
    assert pixels_of(pickle.loads(pickle.dumps(runs))) == truth
    far = runs.moved(np.full(len(runs), 70_000), np.full(len(runs), 9))
    assert pixels_of(pickle.loads(pickle.dumps(far))) == pixels_of(far)
    moved = runs.moved(np.arange(len(runs)), -np.arange(len(runs)))
    assert pixels_of(moved) == [[(y + k, x - k) for y, x in each] for k, each in enumerate(truth)]


def test_spans():
    assert spans(np.array([5, 0, 9]), np.array([2, 0, 3])).tolist() == [5, 6, 9, 10, 11]
    assert len(spans(np.zeros(0, np.int64), np.zeros(0, np.int64))) == 0
