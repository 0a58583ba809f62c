"""The face scripts see: shapes, errors, pictures of every kind, and what a click costs."""

import numpy as np
import pytest
from PIL import Image
from skimage.transform import rescale

from napari_uninuc import load_predictor
from napari_uninuc.engine.requests import PromptBatch
from napari_uninuc.errors import DeviceError, ImageError, ModelNotFoundError, PromptError

INSIDE = np.array([[22, 20]])  # xy


def iou(first, second):
    return np.logical_and(first, second).sum() / np.logical_or(first, second).sum()


@pytest.fixture
def ready(predictor, discs):
    predictor.set_image(discs.rgb)
    return predictor


def test_a_click_outlines_the_nucleus_under_it(ready, discs):
    masks, ious, low_res = ready.predict(INSIDE, np.array([1]))
    assert masks.shape == (1, 150, 120)
    assert masks.dtype == bool
    assert ious.shape == (1,)
    assert low_res.shape == (1, 80, 64)  # input 160 x 128, two px a logit
    assert iou(masks[0], discs.labels == 1) > 0.8


def test_a_box_outlines_the_nucleus_in_it(ready, discs):
    masks, ious, _ = ready.predict(box=np.array([12, 10, 33, 31]))
    assert masks.shape == (1, 150, 120)
    assert iou(masks[0], discs.labels == 1) > 0.8
    assert 0 <= ious[0] <= 1


def test_a_persons_box_is_kept_more_closely_than_a_proposed_one(ready, discs):
    boxes = np.array(
        [[x - 12, y - 9, x + 10, y + 12] for y, x in discs.centres_yx], np.float32
    )  # 1 or 2 px off the discs' sides, here more, there less
    asked = PromptBatch.of_boxes(boxes[:, [1, 0, 3, 2]])
    engine = ready.engine
    embedding = engine.embed(ready._pictures[0].tile, ready._pictures[0].fields[0])
    errors = {}
    for tight in (True, False):
        errors[tight] = []
        for index, answers in engine.decode(embedding, asked, tight=tight):
            for row, mask, (y, x) in zip(
                index, answers.logits[:, 0] > 0, answers.origins_yx, strict=True
            ):
                ys, xs = np.flatnonzero(mask.any(1)) + y, np.flatnonzero(mask.any(0)) + x
                sides = np.array([ys[0], xs[0], ys[-1] + 1, xs[-1] + 1])
                errors[tight].append(np.abs(sides - asked.boxes_yxyx[row]).mean())
    assert np.mean(errors[True]) < np.mean(errors[False])
    assert np.mean(errors[True]) < 1.2


def test_a_batch_is_its_prompts_one_by_one(ready, discs):
    boxes = np.array([[x - 10, y - 10, x + 11, y + 11] for y, x in discs.centres_yx])
    masks, ious, low_res = ready.predict(box=boxes)
    assert masks.shape == (12, 1, 150, 120)
    assert ious.shape == (12, 1)
    assert low_res.shape == (12, 1, 80, 64)
    for index in (0, 7):
        alone, quality, _ = ready.predict(box=boxes[index])
        assert iou(alone[0], masks[index, 0]) > 0.99
        assert quality[0] == pytest.approx(ious[index, 0], abs=1e-4)


def test_a_batch_of_points(ready, discs):
    points = np.array([[[x, y]] for y, x in discs.centres_yx])
    masks, _, _ = ready.predict(points, np.ones((12, 1), int))
    assert masks.shape == (12, 1, 150, 120)
    found = [iou(masks[k, 0], discs.labels == k + 1) for k in range(12)]
    assert min(found) > 0.75


def test_candidates_are_three(ready):
    masks, ious, low_res = ready.predict(INSIDE, np.array([1]), multimask_output=True)
    assert masks.shape == (3, 150, 120)
    assert ious.shape == (3,)
    assert low_res.shape == (3, 80, 64)


def test_a_batch_of_one_loses_its_axis_as_in_sam2(ready):
    masks, ious, low_res = ready.predict(INSIDE[None], np.array([[1]]))
    assert (masks.shape, ious.shape, low_res.shape) == ((1, 150, 120), (1,), (1, 80, 64))


def test_logits_are_the_masks_before_the_cut(ready):
    masks, _, _ = ready.predict(INSIDE, np.array([1]))
    logits, _, _ = ready.predict(INSIDE, np.array([1]), return_logits=True)
    assert logits.dtype == np.float32
    np.testing.assert_array_equal(logits > 0, masks)


def test_an_answer_can_be_refined_with_its_own_logits(ready, discs):
    _, _, low_res = ready.predict(INSIDE, np.array([1]))
    points = np.array([[22, 20], [45, 20]])
    masks, _, _ = ready.predict(points, np.array([1, 0]), mask_input=low_res)
    assert iou(masks[0], discs.labels == 1) > 0.75
    assert not masks[0, 20, 45]


def test_a_mask_alone_is_a_prompt(ready):
    """The bundled model was never trained on it: no crash is all that is promised."""
    _, _, low_res = ready.predict(INSIDE, np.array([1]))
    masks, ious, _ = ready.predict(mask_input=low_res)
    assert masks.shape == (1, 150, 120)
    assert np.isfinite(ious).all()


@pytest.mark.parametrize(
    "prompt",
    [
        {},
        {"point_coords": INSIDE},
        {"point_labels": np.array([1])},
        {"point_coords": INSIDE, "point_labels": np.array([2])},
        {"point_coords": INSIDE, "point_labels": np.array([0.5])},
        {"point_coords": INSIDE, "point_labels": np.array([1, 1])},
        {"point_coords": np.array([[1, 2, 3]]), "point_labels": np.array([1])},
        {"point_coords": np.array([1, 2]), "point_labels": np.array([1])},
        {"point_coords": [[1, 2], [3]], "point_labels": [1, 1]},
        {"point_coords": np.array([[np.nan, 2]]), "point_labels": np.array([1])},
        {"box": np.array([1, 2, 3])},
        {"box": 7},
        {"box": "wide"},
        {"box": np.zeros((0, 4))},
        {"box": np.array([1, 2, np.inf, 3])},
        {"box": np.zeros((2, 4)), "point_coords": INSIDE, "point_labels": np.array([1])},
        {"mask_input": np.zeros((80, 64))},
        {"mask_input": np.zeros((1, 256, 256))},
    ],
)
def test_wrong_prompts_say_so_in_one_line(ready, prompt):
    with pytest.raises(PromptError) as caught:
        ready.predict(**prompt)
    assert "\n" not in str(caught.value)


def test_no_picture(predictor):
    for ask in (lambda: predictor.predict(INSIDE, np.array([1])), predictor.segment):
        with pytest.raises(PromptError, match="set_image"):
            ask()


def test_a_picture_is_forgotten(ready):
    ready.reset_predictor()
    with pytest.raises(PromptError, match="set_image"):
        ready.segment()


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_thresholds_are_shares(ready, threshold):
    with pytest.raises(PromptError, match=r"0\.\.1"):
        ready.segment(score_threshold=threshold)


@pytest.mark.parametrize(
    ("image", "mpp"),
    [
        (np.zeros((0, 5, 3), np.uint8), None),
        (np.zeros((5, 5, 7), np.uint8), None),
        (np.full((5, 5), np.nan), None),
        (np.zeros((5, 5, 3), np.uint8), 0.0),
        (np.zeros((5, 5, 3), np.uint8), float("nan")),
        (np.zeros((50, 50, 3), np.uint8), 250.0),
    ],
)
def test_what_is_no_picture(predictor, image, mpp):
    with pytest.raises(ImageError) as caught:
        predictor.set_image(image, mpp)
    assert "\n" not in str(caught.value)


ASKED = {
    "predict": lambda p: p.predict(INSIDE, np.array([1])),
    "predict_batch": lambda p: p.predict_batch([INSIDE], [np.array([1])]),
    "segment": lambda p: p.segment(),
    "embedding": lambda p: p.get_image_embedding(),
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
@pytest.mark.parametrize("many", [False, True], ids=["one", "batch"])
def test_after_a_refused_picture_there_is_none(ready, discs, ask, many):
    """Never the answer to the picture before under the name of the one that failed."""
    empty = np.zeros((0, 0))
    with pytest.raises(ImageError, match="at least one pixel"):
        ready.set_image_batch([discs.rgb, empty]) if many else ready.set_image(empty)
    with pytest.raises(PromptError, match=r"no image is set.*refused.*at least one pixel"):
        ask(ready)
    ready.set_image(discs.rgb, mpp=0.25)
    ready.predict(INSIDE, np.array([1]))
    ready.reset_predictor()
    with pytest.raises(PromptError, match=r"^no image is set; call"):
        ask(ready)


def test_a_picture_that_cannot_be_encoded_is_not_set(ready, discs, monkeypatch):
    def broken(*_):
        raise RuntimeError("shapes do not match")

    with monkeypatch.context() as patch:
        patch.setattr(ready.engine, "embed", broken)
        with pytest.raises(RuntimeError, match="shapes"):
            ready.set_image(discs.rgb[::-1])
    with pytest.raises(PromptError, match="shapes do not match"):
        ready.segment()


def test_a_picture_set_meanwhile_is_not_mixed_in(small_fields, dense, discs):
    small_fields.set_image(dense.rgb, mpp=0.25)
    whole = small_fields.segment()

    def meanwhile(done, total):
        small_fields.set_image(discs.rgb, mpp=0.25)

    small_fields.set_image(dense.rgb, mpp=0.25)
    mixed = small_fields.segment(progress=meanwhile)
    np.testing.assert_array_equal(mixed.labels, whole.labels)
    assert small_fields.segment().labels.shape == discs.labels.shape


def test_several_pictures_each_with_its_own_prompts(ready, discs, paint):
    other = paint((80, 90), [(40, 45)], 10)
    ready.set_image_batch([discs.rgb, other.rgb], mpp=0.25)
    masks, ious, low = ready.predict_batch([INSIDE, [[45.0, 40.0]]], [np.array([1]), [1]])
    assert [each.shape for each in masks] == [(1, 150, 120), (1, 80, 90)]
    assert len(ious) == len(low) == 2
    assert masks[1][0, 40, 45]
    with pytest.raises(PromptError, match="one picture, got 2"):
        ready.segment()
    with pytest.raises(PromptError, match="one prompt for each of 2 pictures, got 1"):
        ready.predict_batch([INSIDE], [np.array([1])])
    with pytest.raises(PromptError, match="different sizes"):
        ready.get_image_embedding()
    ready.set_image(discs.rgb, mpp=0.25)
    with pytest.raises(PromptError, match="needs set_image_batch"):
        ready.predict_batch([INSIDE], [np.array([1])])
    with pytest.raises(ImageError, match="at least one picture"):
        ready.set_image_batch([])


def test_a_picture_of_several_fields_has_no_single_embedding(small_fields, dense):
    small_fields.set_image(dense.rgb, mpp=0.25)
    with pytest.raises(PromptError, match="several fields"):
        small_fields.get_image_embedding()


@pytest.mark.parametrize("mode", ["P", "RGBA", "CMYK", "YCbCr"])
def test_pil_pictures_are_what_they_show(ready, discs, mode):
    shown = Image.fromarray(discs.rgb).convert(mode)
    ready.set_image(shown, mpp=0.25)
    expected = np.asarray(shown.convert("RGB"))
    np.testing.assert_array_equal(ready._pictures[0].tile.rgb, expected)


def test_the_same_picture_in_any_clothes_is_the_same(ready, discs, count_encodes):
    rgb = discs.rgb
    clothes = [
        np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)]),
        rgb.astype(np.uint16) * 257,
        rgb.astype(np.float32) / 255,
        np.asfortranarray(rgb),
    ]
    first, _, _ = ready.predict(INSIDE, np.array([1]))
    for image in clothes:
        ready.set_image(image)
        again, _, _ = ready.predict(INSIDE, np.array([1]))
        np.testing.assert_array_equal(first, again)
    assert count_encodes == []


def test_grey_is_its_three_equal_channels(predictor, discs, count_encodes):
    grey = discs.rgb.mean(axis=2).astype(np.uint8)
    predictor.set_image(grey)
    predictor.set_image(np.dstack([grey] * 3))
    predictor.set_image(grey[..., None])
    assert len(count_encodes) == 1


def test_a_click_runs_no_encoder(predictor, discs, count_encodes):
    predictor.set_image(discs.rgb)
    assert count_encodes == [(1, 3, 160, 128)]
    predictor.predict(INSIDE, np.array([1]))
    predictor.predict(box=np.array([12, 10, 33, 31]), multimask_output=True)
    predictor.segment()
    assert len(count_encodes) == 1


def test_going_back_to_a_picture_runs_no_encoder(predictor, discs, count_encodes):
    other = discs.rgb[::-1]
    for image in (discs.rgb, other, discs.rgb, other):
        predictor.set_image(image)
    assert len(count_encodes) == 2


def test_another_scale_is_another_embedding(predictor, discs, count_encodes):
    predictor.set_image(discs.rgb, mpp=0.25)
    predictor.set_image(discs.rgb, mpp=0.5)
    assert count_encodes == [(1, 3, 160, 128), (1, 3, 320, 256)]


@pytest.mark.parametrize("shape", [(1, 1), (1, 77), (40, 3000), (33, 31), (65, 129)])
def test_pictures_of_any_size(predictor, shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    predictor.set_image(image)
    corners = np.array([[0, 0], [shape[1] - 1, shape[0] - 1]])
    for corner in corners:
        masks, ious, _ = predictor.predict(corner[None], np.array([1]))
        assert masks.shape == (1, *shape)
        assert np.isfinite(ious).all()
    result = predictor.segment()
    assert result.labels.shape == shape
    assert result.labels.max(initial=0) == len(result.table)


def test_a_click_outside_the_picture_is_answered(ready):
    masks, _, _ = ready.predict(np.array([[-500, 9000]]), np.array([1]))
    assert masks.shape == (1, 150, 120)


def test_half_the_resolution_gives_the_same_nuclei(predictor, discs):
    small = rescale(discs.rgb, 0.5, anti_aliasing=True, channel_axis=2)
    predictor.set_image((small * 255).astype(np.uint8), mpp=0.5)
    result = predictor.segment()
    assert len(result.table) == 12
    truth = discs.labels[1::2, 1::2]
    for label in result.table["id"]:
        mine = result.labels == label
        theirs = np.bincount(truth[mine]).argmax()
        assert theirs > 0
        assert iou(mine, truth == theirs) > 0.65


def test_twice_the_resolution_gives_the_same_nuclei(predictor, discs):
    predictor.set_image(discs.rgb.repeat(2, axis=0).repeat(2, axis=1), mpp=0.125)
    result = predictor.segment()
    assert len(result.table) == 12
    truth = discs.labels.repeat(2, axis=0).repeat(2, axis=1)
    for label in result.table["id"]:
        mine = result.labels == label
        assert iou(mine, truth == np.bincount(truth[mine]).argmax()) > 0.75


def test_random_weights_on_request_are_reproducible():
    first, second = (load_predictor(device="cpu", weights=None) for _ in range(2))
    theirs = second.engine.model.state_dict()
    assert all(
        (value == theirs[name]).all() for name, value in first.engine.model.state_dict().items()
    )


def test_unknown_models_and_devices():
    with pytest.raises(ModelNotFoundError):
        load_predictor("no-such-model", device="cpu")
    with pytest.raises(DeviceError):
        load_predictor(device="abacus")
