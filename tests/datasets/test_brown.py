"""H&E painted as immunohistochemistry: where brown lies, and that it is as in real sections."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_uninuc.datasets.brown import paint_brown
from napari_uninuc.datasets.stains import RGB_FROM_HED, amounts_of, shown
from napari_uninuc.datasets.transforms import random_stain

SIDE = 96


@pytest.fixture(scope="module")
def tissue():
    """Amounts of H&E and labels of nine nuclei, some of them touching."""
    labels = np.zeros((SIDE, SIDE), np.int32)
    ys, xs = np.mgrid[:SIDE, :SIDE]
    centres = [(y, x) for y in (20, 48, 76) for x in (20, 40, 76)]
    for k, (y, x) in enumerate(centres):
        labels[(ys - y) ** 2 + (xs - x) ** 2 <= 100] = 10 * (k + 1)  # ids with gaps
    amounts = torch.zeros(3, SIDE, SIDE)
    amounts[0] = torch.from_numpy(np.where(labels > 0, 0.7, 0.05))
    amounts[1] = 0.4
    return amounts, labels


def many(tissue, count=60):
    amounts, labels = tissue
    return [paint_brown(amounts, labels, np.random.default_rng(k)).numpy() for k in range(count)]


def distance_from_nuclei(labels):
    from scipy import ndimage

    return ndimage.distance_transform_edt(labels == 0)


def test_stains_there_and_back_are_the_picture():
    image = torch.rand(3, 9, 7, generator=torch.Generator().manual_seed(0)).clamp(min=0.01)
    assert torch.allclose(shown(amounts_of(image)), image, atol=1e-4)
    brown = torch.pow(10.0, -0.5 * RGB_FROM_HED[2])[:, None, None]
    assert torch.allclose(amounts_of(brown)[:, 0, 0], torch.tensor([0, 0, 0.5]), atol=1e-4)


def test_brown_lies_in_nuclei_or_around_them(tissue):
    labels = tissue[1]
    distance = distance_from_nuclei(labels)
    inside, near, far = distance == 0, (distance > 3) & (distance < 12), distance > 18
    nuclear = around = 0
    for _, _, dab in many(tissue):
        if dab.max() < 0.2:  # a negative section
            continue
        assert dab[far].mean() < 0.25 * np.percentile(dab, 99) + 0.12
        nuclear += dab[inside].max() > 2 * dab[near].max()
        around += dab[near].max() > dab[inside].max()
    assert nuclear > 15
    assert around > 5


def test_each_nucleus_has_its_own_strength_and_some_have_none(tissue):
    labels = tissue[1]
    spreads, negative = [], 0
    for _, _, dab in many(tissue):
        means = np.array([dab[labels == id_].mean() for id_ in np.unique(labels)[1:]])
        spreads.append(means.std() / max(means.mean(), 1e-6))
        negative += (means < 0.06).any() and means.max() > 0.2
    assert np.median(spreads) > 0.2
    assert negative > 5


def test_the_counterstain_is_paler_and_eosin_is_gone(tissue):
    labels = tissue[1]
    for blue, pink, dab in many(tissue):
        assert pink.max() <= 0.1 * 0.4 + 1e-6
        assert blue[labels > 0].mean() < 0.75
        assert dab.min() >= 0
        assert np.isfinite(dab).all()


@given(st.integers(0, 2**32 - 1), st.sampled_from(["none", "all", "one pixel"]))
def test_any_labels_give_a_picture(seed, kind):
    labels = np.zeros((16, 16), np.int32)
    if kind == "all":
        labels[:] = 3
    elif kind == "one pixel":
        labels[5, 5] = 1
    rng = np.random.default_rng(seed)
    image = torch.from_numpy(rng.random((3, 16, 16)).astype(np.float32))
    painted = random_stain(image, labels, rng, ihc_share=1.0)
    assert painted.shape == image.shape
    assert painted.dtype == torch.float32
    assert 0 <= painted.min() <= painted.max() <= 1


def test_it_is_done_as_often_as_asked(tissue):
    amounts, labels = tissue
    image = shown(amounts)

    def share_without_eosin(asked):
        done = [random_stain(image, labels, np.random.default_rng(k), asked) for k in range(120)]
        return np.mean([float(amounts_of(one)[1].mean()) < 0.15 for one in done])

    assert share_without_eosin(0.0) < 0.05
    assert share_without_eosin(0.25) == pytest.approx(0.25, abs=0.1)
    assert share_without_eosin(1.0) > 0.9
