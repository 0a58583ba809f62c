"""The interactive protocol, driven with predictors whose answers are known."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_uninuc.core.tile import Tile
from napari_uninuc.datasets.folder import LabelledTile, read_folder
from napari_uninuc.errors import RecipeError
from napari_uninuc.evaluation.interactive import (
    InteractiveProtocol,
    evaluate_interactive,
    score_interactive,
)


def make_labelled(name: str = "a") -> LabelledTile:
    labels = np.zeros((40, 50), np.int32)
    for nucleus, (y, x) in enumerate([(2, 3), (2, 20), (20, 5), (22, 30), (30, 42)], start=1):
        labels[y : y + 6, x : x + 7] = 10 * nucleus
    return LabelledTile(Tile.from_array(np.zeros((40, 50, 3), np.uint8), name=name), labels, None)


class Annotated:
    """Knows the truth: answers each prompt with its nucleus, cut down to `share` clicks.

    The answer is right from `rounds_needed` clicks on; before, it is the upper half.
    """

    def __init__(self, labels: np.ndarray, clicks_needed: int = 1) -> None:
        self.labels, self.clicks_needed = labels, clicks_needed
        self.calls: list[dict] = []

    def set_image(self, rgb, mpp=None):
        self.calls.append({"image": rgb.shape, "mpp": mpp})

    def predict(
        self,
        point_coords=None,
        point_labels=None,
        box=None,
        mask_input=None,
        multimask_output=False,
    ):
        self.calls.append(
            {
                "points": point_coords,
                "labels": point_labels,
                "box": box,
                "mask": mask_input,
                "multimask": multimask_output,
            }
        )
        count = len(point_coords if box is None else box)
        good = np.stack([self.answer(point_coords, box, i) for i in range(count)])
        if not multimask_output:
            return good[:, None], np.ones((count, 1)), self.logits(good)[:, None]
        three = np.stack([~good, good, np.zeros_like(good)], axis=1)
        return three, np.tile([0.2, 0.9, 0.1], (count, 1)), np.stack([self.logits(good)] * 3, 1)

    def answer(self, points, box, i):
        if box is None:
            x, y = points[i, 0].astype(int)
        else:
            x, y = box[i, :2].astype(int)
        nucleus = self.labels == self.labels[y, x]
        n_clicks = 0 if points is None else points.shape[1]
        if n_clicks < self.clicks_needed:
            rows = np.flatnonzero(nucleus.any(axis=1))
            nucleus[rows[len(rows) // 2] :] = False
        return nucleus

    def logits(self, masks):
        return np.where(masks[:, ::4, ::4], 10.0, -10.0).astype(np.float32)


def test_point_protocol_sends_what_sam_expects_and_picks_the_best_answer():
    labelled = make_labelled()
    predictor = Annotated(labelled.labels)
    rows = score_interactive(predictor, labelled, InteractiveProtocol("point", corrections=2))
    assert [row.iteration for row in rows] == [0, 1, 2]
    assert all(row.msa == 1.0 and row.mean_iou == 1.0 for row in rows)
    first, second, third = predictor.calls
    assert first["multimask"] is True
    assert first["points"].shape == (5, 1, 2)
    assert first["box"] is first["mask"] is None
    x, y = first["points"][1, 0].astype(int)
    assert labelled.labels[y, x] == 20
    assert second["multimask"] is False
    assert second["points"].shape == (5, 3, 2)
    assert second["labels"].tolist() == [[1, 1, 0]] * 5
    assert second["mask"].shape == (5, 1, 10, 13)
    assert np.array_equal(third["points"][:, :3], second["points"])
    assert third["points"].shape == (5, 5, 2)


def test_box_protocol_keeps_the_box_and_improves_with_clicks():
    labelled = make_labelled()
    predictor = Annotated(labelled.labels, clicks_needed=4)
    protocol = InteractiveProtocol("box", with_mask=False, corrections=2)
    rows = score_interactive(predictor, labelled, protocol)
    assert [row.mean_iou for row in rows] == [0.5, 0.5, 1.0]
    assert [row.msa for row in rows] == [pytest.approx(0.1), pytest.approx(0.1), 1.0]
    first, second, _ = predictor.calls
    assert first["points"] is None
    assert first["box"][0].tolist() == [3, 2, 10, 8]
    assert np.array_equal(first["box"], second["box"])
    assert second["mask"] is None
    for i, nucleus in enumerate([10, 20, 30, 40, 50]):  # the missed half is clicked
        x, y = second["points"][i, 0].astype(int)
        assert labelled.labels[y, x] == nucleus
        assert y >= first["box"][i, 1] + 3


def test_chunks_change_nothing_but_the_calls():
    labelled = make_labelled()
    whole, pieces = Annotated(labelled.labels), Annotated(labelled.labels)
    protocols = [InteractiveProtocol("point", corrections=1, chunk=n) for n in (32, 2)]
    one, two = (
        score_interactive(predictor, labelled, protocol)
        for predictor, protocol in zip((whole, pieces), protocols, strict=True)
    )
    assert [row.msa for row in one] == [row.msa for row in two]
    assert [len(call["points"]) for call in pieces.calls] == [2, 2, 2, 2, 1, 1]


def test_predictor_that_drops_a_batch_of_one_is_understood():
    class Squeezing(Annotated):
        def predict(self, **prompts):
            return tuple(part.squeeze(0).astype(np.float32) for part in super().predict(**prompts))

    labelled = make_labelled()
    protocol = InteractiveProtocol("point", corrections=1, chunk=1)
    rows = score_interactive(Squeezing(labelled.labels), labelled, protocol)
    assert [row.msa for row in rows] == [1.0, 1.0]


def test_subset_is_scored_against_the_same_subset():
    labelled = make_labelled()
    protocol = InteractiveProtocol("box", corrections=0, max_nuclei=2)
    predictor = Annotated(labelled.labels, clicks_needed=0)
    (row,) = score_interactive(predictor, labelled, protocol)
    assert (row.n_truth, row.msa) == (2, 1.0)
    again = Annotated(labelled.labels, clicks_needed=0)
    score_interactive(again, labelled, protocol)
    assert np.array_equal(predictor.calls[0]["box"], again.calls[0]["box"])


def test_same_seed_same_clicks_and_another_seed_others():
    labelled = make_labelled()

    def clicks(seed: int) -> np.ndarray:
        predictor = Annotated(labelled.labels, clicks_needed=99)
        score_interactive(predictor, labelled, InteractiveProtocol("point", seed=seed))
        return predictor.calls[-1]["points"]

    assert np.array_equal(clicks(1), clicks(1))
    assert not np.array_equal(clicks(1), clicks(2))


def test_merge_paints_large_masks_first_so_small_ones_below_are_lost():
    labelled = make_labelled()

    class Greedy(Annotated):
        def answer(self, points, box, i):
            if i == 0:
                return np.ones(self.labels.shape, bool)
            return super().answer(points, box, i)

    protocol = InteractiveProtocol("box", corrections=0)
    (row,) = score_interactive(Greedy(labelled.labels, 0), labelled, protocol)
    assert row.msa == 0.0
    assert row.mean_iou == pytest.approx((4 + 42 / 2000) / 5)


def test_empty_answers_score_nothing():
    labelled = make_labelled()

    class Silent(Annotated):
        def answer(self, points, box, i):
            return np.zeros(self.labels.shape, bool)

    rows = score_interactive(
        Silent(labelled.labels), labelled, InteractiveProtocol("box", corrections=1)
    )
    assert [(row.msa, row.mean_iou) for row in rows] == [(0.0, 0.0)] * 2


def test_image_without_nuclei_has_no_score():
    labelled = make_labelled()
    empty = LabelledTile(labelled.tile, np.zeros_like(labelled.labels), None)
    rows = score_interactive(Annotated(empty.labels), empty, InteractiveProtocol("point"))
    assert len(rows) == 8
    assert all(np.isnan(row.msa) and row.n_truth == 0 for row in rows)


def test_images_are_encoded_once_for_all_protocols(tmp_path: Path):
    labelled = make_labelled()
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    Image.fromarray(labelled.tile.rgb).save(tmp_path / "images" / "a.png")
    Image.fromarray(labelled.labels.astype(np.uint16)).save(tmp_path / "labels" / "a.png")
    predictor = Annotated(labelled.labels)
    protocols = [InteractiveProtocol("point", corrections=0), InteractiveProtocol("box")]
    seen: list[tuple[int, int]] = []
    rows = evaluate_interactive(
        predictor,
        read_folder(tmp_path),
        protocols,
        dataset="set",
        mpp=0.5,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert [call["mpp"] for call in predictor.calls if "image" in call] == [0.5]
    assert seen == [(1, 2), (2, 2)]
    assert {(row.dataset, row.image, row.prompt) for row in rows} == {
        ("set", "a", "point"),
        ("set", "a", "box"),
    }
    assert len(rows) == 1 + 8


def test_nuclei_count_as_reached_from_the_first_round_on():
    labelled = make_labelled()

    class Wavering(Annotated):
        """Right at two clicks only; before and after, half of the nucleus."""

        def answer(self, points, box, i):
            self.clicks_needed = 0 if points is not None and points.shape[1] == 2 else 99
            return super().answer(points, box, i)

    protocol = InteractiveProtocol("box", corrections=2)
    rows = score_interactive(Wavering(labelled.labels), labelled, protocol)
    assert [row.mean_iou for row in rows] == [0.5, 1.0, 0.5]
    assert [row.reached for row in rows] == [(0, 0, 0), (5, 5, 5), (5, 5, 5)]


@pytest.mark.parametrize(
    "values", [{"corrections": -1}, {"chunk": 0}, {"max_nuclei": 0}, {"seed": -1}]
)
def test_values_out_of_range_are_refused(values):
    with pytest.raises(RecipeError, match="at least"):
        InteractiveProtocol("point", **values)


def test_unknown_prompt_is_refused():
    with pytest.raises(RecipeError, match="'text'"):
        InteractiveProtocol("text")
