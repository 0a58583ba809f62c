"""Automatic scores of segmentations whose quality is known."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.datasets.folder import LabelledTile, read_folder
from napari_uninuc.errors import LabelsError
from napari_uninuc.evaluation.automatic import evaluate_automatic, score_automatic

NUCLEI = np.zeros((30, 30), np.int32)
NUCLEI[2:8, 2:8], NUCLEI[12:20, 12:20] = 1, 2


def labelled(labels: np.ndarray, classes: dict[int, str] | None = None) -> LabelledTile:
    return LabelledTile(Tile.from_array(np.zeros((30, 30, 3), np.uint8), name="a"), labels, classes)


def found(labels: np.ndarray, *classes: str) -> Segmentation:
    segmentation = Segmentation.from_labels(labels)
    if classes:
        segmentation.table["class"] = list(classes)
    return segmentation


def test_perfect_answer_scores_one_everywhere():
    names = {1: "epithelial", 2: "spindle"}
    row = score_automatic(labelled(NUCLEI, names), found(NUCLEI, *names.values()), 1.5, "set")
    scores = (row.msa, row.bpq, row.dq, row.sq, row.mpq, row.aji, row.f1_iou, row.f1_centroid)
    assert scores == (1.0,) * 8
    assert (row.n_truth, row.n_found, row.seconds, row.dataset) == (2, 2, 1.5, "set")


def test_half_answer_scores_half():
    row = score_automatic(labelled(NUCLEI), found(np.where(NUCLEI == 1, 1, 0)), 0.0)
    assert row.msa == 0.5
    assert row.bpq == pytest.approx(2 / 3)
    assert row.aji == pytest.approx(36 / 100)


def test_a_picture_whose_names_are_all_wrong_scores_as_one_with_nothing_found():
    names = {1: "epithelial", 2: "spindle"}
    wrong_one = score_automatic(labelled(NUCLEI, names), found(NUCLEI, *["spindle"] * 2), 0.0)
    assert wrong_one.mpq == pytest.approx((0 + 2 / 3) / 2)
    nothing = score_automatic(labelled(NUCLEI, names), found(np.zeros_like(NUCLEI)), 0.0)
    assert nothing.mpq == 0.0
    one_kind = dict.fromkeys(names, "spindle")
    all_wrong = score_automatic(labelled(NUCLEI, one_kind), found(NUCLEI, *["dead"] * 2), 0.0)
    assert all_wrong.mpq == 0.0
    assert all_wrong.bpq == 1.0


def test_no_name_is_wrong_of_a_nucleus_whose_class_nobody_knows():
    row = score_automatic(labelled(NUCLEI, {1: "spindle"}), found(NUCLEI, *["spindle"] * 2), 0.0)
    assert row.mpq == 1.0
    elsewhere = np.where(NUCLEI == 2, 0, NUCLEI)
    elsewhere[22:28, 2:8] = 2
    row = score_automatic(labelled(NUCLEI, {1: "spindle"}), found(elsewhere, *["spindle"] * 2), 0)
    assert row.mpq == pytest.approx(1 / 1.5)


def test_centroids_are_as_near_in_micrometres_at_any_scale():
    moved = np.roll(NUCLEI, 8, axis=1)  # 2 um at 40x, 4 um at 20x
    at_40x = replace(labelled(NUCLEI), tile=replace(labelled(NUCLEI).tile, mpp=0.25))
    at_20x = replace(labelled(NUCLEI), tile=replace(labelled(NUCLEI).tile, mpp=0.5))
    assert [score_automatic(one, found(moved), 0.0).f1_centroid for one in (at_40x, at_20x)] == [
        1.0,
        0.0,
    ]


class Names:
    """Answers each picture (of one grey) with the true outlines and the names it was given."""

    def __init__(self, known: tuple[str, ...] | None, names: dict[int, tuple[str, ...]]) -> None:
        self.names = names
        if known is not None:
            self.card = SimpleNamespace(classes=known)

    def set_image(self, rgb, mpp=None):
        self.grey = int(rgb[0, 0, 0])

    def segment(self):
        return found(NUCLEI, *self.names[self.grey])


def pictures(folder: Path, names: dict[int, tuple[str, str]]):
    for part in ("images", "labels", "classes"):
        (folder / part).mkdir()
    for grey, (first, second) in names.items():
        pixels = np.full((30, 30, 3), grey, np.uint8)
        Image.fromarray(pixels).save(folder / f"images/{grey}.png")
        Image.fromarray(NUCLEI.astype(np.uint16)).save(folder / f"labels/{grey}.png")
        (folder / f"classes/{grey}.json").write_text(f'{{"1": "{first}", "2": "{second}"}}')
    return read_folder(folder)


@pytest.mark.parametrize("known", [("spindle", "dead"), None])
def test_names_are_compared_over_the_data_set_and_not_picture_by_picture(tmp_path, known):
    images = pictures(tmp_path, {10: ("spindle", "dead"), 20: ("dead", "dead")})
    right_then_wrong = {10: ("spindle", "dead"), 20: ("spindle", "spindle")}
    rows = evaluate_automatic(Names(known, right_then_wrong), images)
    assert [row.mpq for row in rows] == [1.0, 0.0]


def test_a_class_the_model_was_never_taught_is_missed_and_not_passed_over(tmp_path):
    images = pictures(tmp_path, {10: ("spindle", "spindle"), 20: ("dead", "dead")})
    spindle = dict.fromkeys((10, 20), ("spindle", "spindle"))
    rows = evaluate_automatic(Names(("spindle", "plasma"), spindle), images)
    assert [row.mpq for row in rows] == [1.0, 0.0]


def test_a_model_that_knows_none_of_the_names_has_no_mpq(tmp_path):
    images = pictures(tmp_path, {10: ("spindle", "dead"), 20: ("dead", "dead")})
    nuclei = dict.fromkeys((10, 20), ("nucleus", "nucleus"))
    for known in (("nucleus",), None):
        rows = evaluate_automatic(Names(known, nuclei), images)
        assert [math.isnan(row.mpq) for row in rows] == [True, True]
        assert [row.bpq for row in rows] == [1.0, 1.0]


def test_image_without_nuclei_is_left_to_the_mean_to_skip():
    row = score_automatic(labelled(np.zeros_like(NUCLEI)), found(NUCLEI), 0.0)
    assert math.isnan(row.msa)
    assert math.isnan(row.bpq)
    assert row.aji == 0.0


def test_segmentation_of_another_size_is_refused():
    with pytest.raises(LabelsError, match=r"\(30, 30\)"):
        score_automatic(labelled(NUCLEI), found(NUCLEI[:20]), 0.0)


def test_each_image_is_shown_to_the_predictor_with_its_scale(tmp_path):
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    for name, value in (("a", 10), ("b", 200)):
        Image.fromarray(np.full((30, 30, 3), value, np.uint8)).save(
            tmp_path / "images" / f"{name}.png"
        )
        Image.fromarray(NUCLEI.astype(np.uint16)).save(tmp_path / "labels" / f"{name}.png")

    class OnlyDark:
        def set_image(self, rgb, mpp=None):
            self.dark, self.mpp = rgb.mean() < 100, mpp

        def segment(self):
            assert self.mpp == 0.5
            return found(NUCLEI if self.dark else np.zeros_like(NUCLEI))

    steps: list[tuple[int, int]] = []
    rows = evaluate_automatic(
        OnlyDark(), read_folder(tmp_path), mpp=0.5, progress=lambda *step: steps.append(step)
    )
    assert [(row.image, row.msa) for row in rows] == [("a", 1.0), ("b", 0.0)]
    assert steps == [(1, 2), (2, 2)]
