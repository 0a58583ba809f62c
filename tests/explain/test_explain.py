"""Planted classes of objects are found again, and each part beside a plain definition."""

import numpy as np
import pytest
from scipy import ndimage

from napari_uninuc.errors import LabelsError, RecipeError
from napari_uninuc.explain.activation import activation_of, mean_activations
from napari_uninuc.explain.callables import classifier_named, of_torch, probabilities_of
from napari_uninuc.explain.perturbation import (
    PERTURBATIONS,
    Pictured,
    importance_of,
    perturbed,
)

KINDS = {"small": ((120, 60, 160), 4), "pale": ((190, 150, 200), 7), "brown": ((130, 90, 50), 6)}


def tissue(seed: int) -> Pictured:
    """Nine discs of three kinds on pink noise, (96, 96)."""
    rng = np.random.default_rng(seed)
    rgb = rng.normal((232, 195, 215), 5, (96, 96, 3))
    labels, kinds = np.zeros((96, 96), np.int32), {}
    names = rng.permutation([*KINDS] * 3)
    ys, xs = np.mgrid[:96, :96]
    for id_, name in enumerate(names.tolist(), start=1):
        row, column = divmod(id_ - 1, 3)
        y, x = np.array((16 + 32 * row, 16 + 32 * column)) + rng.integers(-5, 6, 2)
        colour, radius = KINDS[name]
        inside = (ys - y) ** 2 + (xs - x) ** 2 <= radius**2
        rgb[inside] = rng.normal(colour, 6, (int(inside.sum()), 3))
        labels[inside], kinds[id_] = id_, name
    return Pictured(f"tissue {seed}", rgb.clip(0, 255).astype(np.uint8), labels, kinds, truth=1)


class Counts:
    """Says class 1 where much of a picture has the colour of one kind; blind to all else."""

    classes = ("none", "some")

    def __init__(self, kind: str) -> None:
        self.colour = np.array(KINDS[kind][0])
        others = [np.array(colour) for name, (colour, _) in KINDS.items() if name != kind]
        self.others = [*others, np.array((232, 195, 215))]
        self.weights = np.array([[0.0], [60.0]])

    def features(self, rgb):
        """One where the nearest of four colours is the one that counts, (1, H, W)."""
        away = [np.abs(rgb - each).sum(-1) for each in (self.colour, *self.others)]
        return (np.argmin(away, axis=0) == 0)[None].astype(float)

    def __call__(self, rgb):
        some = 1 / (1 + np.exp(1 - 60 * self.features(rgb).mean()))
        return np.array([1 - some, some])


@pytest.mark.parametrize("how", PERTURBATIONS)
def test_twenty_planted_kinds_are_ranked_first(how):
    right = 0
    for seed in range(20):
        planted = [*KINDS][seed % 3]
        rows = importance_of(Counts(planted), [tissue(2 * seed), tissue(2 * seed + 1)], how)
        assert {row.kind for row in rows} == set(KINDS)
        assert all(row.importance < 1.35 for row in rows[1:])
        right += rows[0].kind == planted and rows[0].importance > 1.5 * rows[0].elsewhere
    assert right == 20


def test_twenty_planted_kinds_are_the_most_active():
    right = 0
    for seed in range(20):
        planted = [*KINDS][seed % 3]
        found = [activation_of(Counts(planted), tissue(k)) for k in (2 * seed, 2 * seed + 1)]
        rows = mean_activations(found)
        right += rows[0].kind == planted and rows[0].above_rest > 10 * abs(rows[1].above_rest)
    assert right == 20


def test_importance_is_one_loss_over_another():
    picture, asked = tissue(3), Counts("brown")
    brown = np.isin(picture.labels, [k for k, kind in picture.kinds.items() if kind == "brown"])
    hidden = perturbed(picture.rgb, ndimage.binary_dilation(brown, iterations=2), "mean-filled")
    row = importance_of(asked, [picture], "mean-filled")[0]
    losses = [-np.log(asked(rgb)[1]) for rgb in (picture.rgb, hidden)]
    assert row.kind == "brown"
    assert row.share == pytest.approx(brown.mean())
    assert [row.loss, row.importance] == pytest.approx([losses[0], losses[1] / losses[0]], rel=0.02)


def test_activations_are_means_under_the_objects():
    picture, asked = tissue(5), Counts("pale")
    found = activation_of(asked, picture)
    says = 30 * asked.features(picture.rgb)[0]  # of weights relative to their mean
    for id_, value in found.by_object.items():
        assert value == pytest.approx(says[picture.labels == id_].mean())
        assert found.map[picture.labels == id_] == pytest.approx(value)
    assert found.by_kind["elsewhere"] == pytest.approx(says[picture.labels == 0].mean())
    assert not found.map[picture.labels == 0].any()


def test_coarse_features_lie_under_their_pixels():
    class Coarse:
        weights = np.array([[0.0], [2.0]])

        def features(self, rgb):
            return np.arange(6, dtype=float).reshape(1, 2, 3)

    labels = np.zeros((4, 6), int)
    labels[2:, 4:] = 9
    found = activation_of(Coarse(), Pictured("a", np.zeros((4, 6, 3), np.uint8), labels, {}, 1))
    assert found.by_object == {9: 5.0}
    assert found.by_kind["nucleus"] == 5.0


@pytest.mark.parametrize("how", PERTURBATIONS)
def test_only_what_is_hidden_changes(how):
    picture = tissue(1)
    mask = picture.masks()["brown"]
    hidden = perturbed(picture.rgb, mask, how, picture.labels > 0)
    assert np.array_equal(hidden[~mask], picture.rgb[~mask])
    around = picture.rgb[picture.labels == 0].mean(0)
    before, after = (np.abs(rgb[mask].mean(0) - around).sum() for rgb in (picture.rgb, hidden))
    assert after < (0.75 if how == "blurred" else 0.05) * before


def test_a_picture_full_of_objects_and_one_without():
    rgb = np.full((8, 8, 3), 90, np.uint8)
    full = np.ones((8, 8), bool)
    for how in PERTURBATIONS:
        assert np.array_equal(perturbed(rgb, full, how, full), rgb)
    bare = Pictured("bare", rgb, np.zeros((8, 8), int), {})
    assert importance_of(Counts("pale"), [bare]) == []


def test_a_torch_model_is_a_classifier():
    torch = pytest.importorskip("torch")

    class Brightness(torch.nn.Module):
        def forward(self, image):
            mean = image.mean((2, 3))
            return torch.stack([mean[:, 0], -mean[:, 0]], 1)

    asked = of_torch(Brightness(), ("bright", "dark"), mean=(0.5,) * 3, std=(0.25,) * 3)
    likely = probabilities_of(asked, np.full((5, 7, 3), 255, np.uint8))
    assert likely == pytest.approx([1 / (1 + np.exp(-4)), 1 / (1 + np.exp(4))], abs=1e-6)
    assert asked.classes == ("bright", "dark")


def test_what_is_no_classifier_is_refused(tmp_path):
    rgb = np.zeros((4, 4, 3), np.uint8)
    wrong = (np.array([3.0, -1]), np.ones((2, 2)) / 4, np.array([1.0]), np.array([np.nan, 1]))
    for answer in wrong:
        with pytest.raises(RecipeError, match="sum to 1"):
            probabilities_of(lambda _, answer=answer: answer, rgb)
    file = tmp_path / "mine.py"
    file.write_text("def scores(rgb):\n    return [0.25, 0.75]\n", encoding="utf-8")
    assert classifier_named(f"{file}:scores")(rgb) == [0.25, 0.75]
    for name in ("mine.py", f"{file}:gone", f"{tmp_path / 'no.py'}:scores", "no.such.module:f"):
        with pytest.raises(RecipeError):
            classifier_named(name)
    with pytest.raises(RecipeError, match="one of blurred"):
        importance_of(Counts("pale"), [tissue(0)], "frozen")
    with pytest.raises(LabelsError, match="at its size"):
        Pictured("a", rgb, np.zeros((3, 4), int), {})
