"""Automatic scores of segmentations whose quality is known."""

import math

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


def test_classes_the_model_does_not_know_give_no_mpq():
    names = {1: "epithelial", 2: "spindle"}
    assert math.isnan(score_automatic(labelled(NUCLEI, names), found(NUCLEI), 0.0).mpq)
    wrong_one = score_automatic(labelled(NUCLEI, names), found(NUCLEI, *["spindle"] * 2), 0.0)
    assert wrong_one.mpq == pytest.approx((0 + 2 / 3) / 2)
    nothing = score_automatic(labelled(NUCLEI, names), found(np.zeros_like(NUCLEI)), 0.0)
    assert nothing.mpq == 0.0


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
