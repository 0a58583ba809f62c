"""Maps to nuclei, beside plain definitions."""

import numpy as np
import pytest
from scipy import ndimage

from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.engine.dense import (
    DenseMaps,
    SeedSettings,
    cut_basins,
    find_seeds,
    points_of,
    suppress,
)
from napari_uninuc.engine.outliners import stability
from napari_uninuc.errors import PromptError

SHARP = SeedSettings(smooth_foreground=0, smooth_distances=0)


def taught(labels: np.ndarray) -> DenseMaps:
    """What a head says that knows everything: PathoSAM's three maps, by definition."""
    boundary, centre = np.ones(labels.shape), np.ones(labels.shape)
    ys, xs = np.indices(labels.shape)
    for id_ in np.unique(labels[labels > 0]):
        mask = labels == id_
        depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        boundary[mask] = 1 - depth[mask] / depth.max()
        y, x = np.unravel_index(depth.argmax(), depth.shape)
        away = np.hypot(ys - y, xs - x)
        centre[mask] = away[mask] / max(away[mask].max(), 1)
    return DenseMaps(
        *[each.astype(np.float32) for each in (labels > 0, boundary)], centre.astype(np.float32)
    )


@pytest.fixture
def touching():
    """Two discs that share a border, and one alone, in (60, 80)."""
    labels = np.zeros((60, 80), np.int32)
    ys, xs = np.mgrid[:60, :80]
    for id_, (y, x) in enumerate(((20, 20), (20, 39), (45, 60)), start=1):
        labels[((ys - y) ** 2 + (xs - x) ** 2 <= 100) & (labels == 0)] = id_
    return labels


@pytest.mark.parametrize("settings", [SHARP, SeedSettings()], ids=["sharp", "as printed"])
def test_true_maps_give_the_nuclei_back(touching, settings):
    seeds = find_seeds(taught(touching), settings)
    basins = cut_basins(seeds)
    assert basins.max() == 3
    for id_ in (1, 2, 3):
        mine = touching == id_
        found = basins == np.bincount(basins[mine]).argmax()
        assert (found & mine).sum() / (found | mine).sum() > 0.9


def test_each_seed_holds_its_point_as_deep_as_any(touching):
    seeds = find_seeds(taught(touching), SeedSettings())
    points = points_of(seeds).astype(int)
    assert len(points) == seeds.labels.max() == 3
    for id_, (y, x) in enumerate(points, start=1):
        piece = seeds.labels == id_
        assert piece[y, x]
        others = np.argwhere(~piece)
        reach = [np.hypot(*(others - place).T).min() for place in np.argwhere(piece)]
        assert np.hypot(*(others - (y, x)).T).min() == pytest.approx(max(reach))


def test_a_head_without_centres_rules_nothing_out(touching):
    maps = taught(touching)
    alone = find_seeds(DenseMaps(maps.nucleus, maps.boundary), SHARP).labels > 0
    both = find_seeds(maps, SHARP).labels > 0
    assert np.array_equal(both, alone & (maps.centre < 0.5))


def test_distance_is_boundary_turned_round():
    maps = np.random.default_rng(0).random((3, 4, 5)).astype(np.float32)
    made = DenseMaps.named(("nucleus", "distance", "contact"), maps)
    assert np.array_equal(made.boundary, 1 - maps[1])
    assert made.centre is None
    with pytest.raises(PromptError, match="got contact, colour"):
        DenseMaps.named(("contact", "colour"), maps[:2])


def test_maps_of_the_mirror_are_turned_back(touching):
    maps = taught(touching)
    turned = DenseMaps(*[each[:, ::-1] for each in (maps.nucleus, maps.boundary, maps.centre)])
    mean = maps.averaged(turned)
    assert np.array_equal(mean.boundary, maps.boundary)
    assert np.array_equal(mean.centre, maps.centre)


def test_suppression_is_the_greedy_rule():
    rng = np.random.default_rng(0)
    for case in range(60):
        most, masks = (0.0, 0.3, 0.5, 0.9)[case % 4], []
        for _ in range(int(rng.integers(0, 10))):
            (y, x), shape = rng.integers(0, 10, 2).tolist(), tuple(rng.integers(1, 10, 2))
            crop = np.ones(shape, bool)
            crop[0, 0] = crop.size == 1
            masks.append(InstanceMask((y, x), crop, float(rng.integers(0, 9)) / 8, 0, 0.5))
        expected, kept = greedy(masks, most), suppress(masks, most)
        assert [id(mask) for mask in kept] == [id(masks[k]) for k in expected]


def greedy(masks, most) -> list[int]:
    """Take the best, drop what overlaps it too much, and so on, on painted masks."""
    painted = []
    for mask in masks:
        y0, x0, y1, x1 = mask.box_yxyx
        full = np.zeros((20, 20), bool)
        full[y0:y1, x0:x1] = mask.mask
        painted.append(full)
    taken: list[int] = []
    for k in sorted(range(len(masks)), key=lambda k: -masks[k].score):
        one, better = painted[k], [painted[j] for j in taken]
        if all((one & each).sum() / (one | each).sum() <= most for each in better):
            taken.append(k)
    return taken


def test_stability_is_one_area_over_another():
    logits = np.array([[[-2, 0.5, 2, 3]], [[-2, -2, -2, -2]], [[5, 5, 5, 5]]], np.float32)
    assert stability(logits, 1.0).tolist() == [2 / 3, 0, 1]


@pytest.mark.parametrize("wrong", [{"boundary": 1.5}, {"centre": -0.1}, {"smooth_distances": -1}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(PromptError, match="correct"):
        SeedSettings(**wrong)
