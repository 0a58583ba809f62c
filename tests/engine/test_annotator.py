"""Live answers of the bundled model, and what happens when a device is full."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.prompts import MaskLogits, Prompt
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.annotator import TorchAnnotator, load_annotator
from napari_uninuc.engine.device import device_name
from napari_uninuc.engine.torch_engine import TorchEngine
from napari_uninuc.errors import DeviceError, ModelNotFoundError, PromptError


@pytest.fixture
def annotator(predictor):
    return TorchAnnotator(predictor.engine)


@pytest.fixture
def tile(discs):
    return Tile.from_array(discs.rgb, 0.25)


def filled(answer_or_mask, shape):
    """A mask in its place on the tile."""
    mask = getattr(answer_or_mask, "mask", answer_or_mask)
    mask = mask if isinstance(mask, InstanceMask) else answer_or_mask
    full = np.zeros(shape, bool)
    y0, x0, y1, x1 = mask.box_yxyx
    full[y0:y1, x0:x1] = mask.mask
    return full


def iou(first, second):
    return (first & second).sum() / (first | second).sum()


def disc_mask(shape, centre, radius):
    ys, xs = np.mgrid[: shape[0], : shape[1]]
    inside = (ys - centre[0]) ** 2 + (xs - centre[1]) ** 2 <= radius**2
    return InstanceMask((0, 0), inside, 1.0, 0, 1.0)


def test_a_click_outlines_the_nucleus_under_it(annotator, tile, discs):
    answer = annotator.answer(tile, Prompt().with_point((20, 22), True))
    assert iou(filled(answer, tile.shape), discs.labels == 1) > 0.8
    assert (answer.mask.score, answer.mask.class_id) == (1.0, 0)
    assert 0 <= answer.mask.predicted_iou <= 1
    y0, x0, _, _ = answer.logits.box_yxyx
    for row, column in np.argwhere(answer.mask.mask) + np.array(answer.mask.origin_yx):
        assert answer.logits.logits[row - y0, column - x0] > 0


def test_a_box_outlines_the_nucleus_in_it(annotator, tile, discs):
    answer = annotator.answer(tile, Prompt(box_yxyx=(10.0, 12.0, 31.0, 33.0)))
    assert iou(filled(answer, tile.shape), discs.labels == 1) > 0.8


def test_a_mask_alone_is_a_prompt(annotator, tile, discs):
    start = MaskLogits.from_mask(disc_mask(tile.shape, (20, 22), 9))
    answer = annotator.answer(tile, Prompt(previous=start))
    assert iou(filled(answer, tile.shape), discs.labels == 1) > 0.8


@pytest.mark.parametrize("mpp", [0.125, 0.25, 0.4])
def test_the_previous_mask_is_the_one_corrected(annotator, discs, mpp):
    """Between two nuclei, the mask given decides which of them a click outside belongs to."""
    tile = Tile.from_array(discs.rgb, mpp)
    for index in (0, 1):
        start = MaskLogits.from_mask(disc_mask(tile.shape, discs.centres_yx[index], 10))
        prompt = Prompt(previous=start).with_point((36, 41), False)
        answer = annotator.answer(tile, prompt)
        found = filled(answer, tile.shape)
        assert iou(found, discs.labels == index + 1) > 0.6
        assert not found[36, 41]


def test_clicks_add_and_remove(annotator, tile):
    first = annotator.answer(tile, Prompt().with_point((20, 22), True))
    base = Prompt(previous=first.logits).with_point((20, 22), True)
    more = annotator.answer(tile, base.with_point((20, 36), True))
    assert filled(more, tile.shape)[20, 36]
    assert not filled(first, tile.shape)[20, 36]
    less = annotator.answer(tile, base.with_point((26, 22), False))
    assert filled(first, tile.shape)[26, 22]
    assert not filled(less, tile.shape)[26, 22]


def test_an_answer_stays_inside_the_tile(annotator, paint):
    picture = paint((90, 100), [(0, 50), (45, 99)], 10)
    tile = Tile.from_array(picture.rgb, 0.25)
    for click in ((1.0, 50.0), (45.0, 98.0)):
        answer = annotator.answer(tile, Prompt().with_point(click, True))
        for y0, x0, y1, x1 in (answer.mask.box_yxyx, answer.logits.box_yxyx):
            assert 0 <= y0 < y1 <= 90
            assert 0 <= x0 < x1 <= 100
        assert filled(answer, tile.shape)[int(click[0]), int(click[1])]


def test_nothing_said_is_no_prompt(annotator, tile):
    with pytest.raises(PromptError, match="a point, a box or a mask"):
        annotator.answer(tile, Prompt())


def test_a_field_is_encoded_once(annotator, tile, count_encodes):
    field = annotator.fields(tile)[0]
    before = annotator.memory_bytes()
    assert annotator.encode(tile, field) > 0
    assert annotator.encode(tile, field) == 0
    annotator.answer(tile, Prompt().with_point((20, 22), True))
    annotator.segment_field(tile, field, 0.4)
    assert len(count_encodes) == 1
    assert annotator.memory_bytes() - before == annotator.engine.cache.nbytes > 0


def test_with_several_fields_the_owner_of_the_prompt_answers(small_fields, dense, monkeypatch):
    annotator = TorchAnnotator(small_fields.engine)
    tile = Tile.from_array(dense.rgb, 0.25)
    fields = annotator.fields(tile)
    assert len(fields) > 4
    asked = []
    embed = small_fields.engine.embed
    monkeypatch.setattr(small_fields.engine, "embed", lambda t, f: asked.append(f) or embed(t, f))
    for index in (0, len(dense.centres_yx) // 2, len(dense.centres_yx) - 1):
        y, x = dense.centres_yx[index]
        answer = annotator.answer(tile, Prompt().with_point((y, x), True))
        y0, x0, y1, x1 = asked[-1].inner_yxyx
        assert y0 <= y < y1
        assert x0 <= x < x1
        assert iou(filled(answer, tile.shape), dense.labels == index + 1) > 0.7
        start = MaskLogits.from_mask(answer.mask)
        again = annotator.answer(tile, Prompt(previous=start))
        assert asked[-1].inner_yxyx == (y0, x0, y1, x1)
        assert iou(filled(again, tile.shape), dense.labels == index + 1) > 0.7


def test_segment_field_finds_all_with_their_boxes_best_first(annotator, tile, discs):
    found = annotator.segment_field(tile, annotator.fields(tile)[0], 0.4)
    assert len(found) == 12
    scores = [mask.score for mask, _ in found]
    assert scores == sorted(scores, reverse=True)
    assert min(scores) >= 0.4
    for mask, (y0, x0, y1, x1) in found:
        middle = ((y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2)
        number = discs.labels[round(middle[0]), round(middle[1])]
        assert iou(filled(mask, tile.shape), discs.labels == number) > 0.8
        assert np.abs(np.array(mask.box_yxyx) - (y0, x0, y1, x1)).max() < 6


def test_segment_field_is_what_the_predictor_paints(annotator, predictor, tile):
    predictor.set_image(tile)
    labels = predictor.segment().labels
    found = annotator.segment_field(tile, annotator.fields(tile)[0], predictor.card.score_threshold)
    painted = np.any([filled(mask, tile.shape) for mask, _ in found], axis=0)
    np.testing.assert_array_equal(painted, labels > 0)


def run_through(steps):
    """Steps taken, and what came of them."""
    taken = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return taken, end.value
        taken += 1


def test_in_steps_the_same_nuclei_are_found_and_clicks_are_answered_between(annotator, tile):
    field = annotator.fields(tile)[0]
    at_once = annotator.segment_field(tile, field, 0.4)
    taken, found = run_through(annotator.segment_steps(tile, field, 0.4))
    assert taken >= 3  # encoded, detected, outlined
    assert [one.mask.origin_yx for one in found] == [one.mask.origin_yx for one in at_once]
    steps = annotator.segment_steps(tile, field, 0.4)
    next(steps)
    annotator.answer(tile, Prompt().with_point((20, 22), True))
    assert len(run_through(steps)[1]) == 12


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")])
def test_a_threshold_out_of_range_is_refused(annotator, tile, threshold):
    with pytest.raises(PromptError, match="score threshold"):
        annotator.segment_field(tile, annotator.fields(tile)[0], threshold)


def test_glass_gives_no_nuclei(annotator):
    tile = Tile.from_array(np.full((100, 100, 3), 245, np.uint8), 0.25)
    assert annotator.segment_field(tile, annotator.fields(tile)[0], 0.4) == []


class TestFullDevice:
    @pytest.fixture
    def full(self, annotator, monkeypatch):
        """The annotator on a device that says it is a GPU and has no memory."""
        encode = TorchEngine._encode
        model, card = annotator.engine.model, annotator.engine.card
        annotator.engine = TorchEngine(model, card, torch.device("cpu"))
        annotator.engine.device = torch.device("cuda:0")

        def crowded(engine, *field):
            if engine.device.type == "cuda":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return encode(engine, *field)

        monkeypatch.setattr(TorchEngine, "_encode", crowded)
        return annotator

    def test_steps_begin_anew_on_the_cpu(self, full, tile):
        _, found = run_through(full.segment_steps(tile, full.fields(tile)[0], 0.4))
        assert len(found) == 12
        assert full.device_name == "CPU"

    def test_falls_back_to_the_cpu_once_and_says_so(self, full, tile, discs):
        told = []
        full.notice = told.append
        answer = full.answer(tile, Prompt().with_point((20, 22), True))
        assert iou(filled(answer, tile.shape), discs.labels == 1) > 0.8
        assert full.device_name == "CPU"
        assert len(full.segment_field(tile, full.fields(tile)[0], 0.4)) == 12
        assert len(told) == 1
        assert "out of memory" in told[0]
        assert "CPU" in told[0]
        assert "\n" not in told[0]

    def test_nobody_need_listen(self, full, tile):
        assert full.encode(tile, full.fields(tile)[0]) > 0

    @pytest.mark.parametrize(
        "error",
        [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")],
    )
    def test_no_memory_anywhere_is_one_clear_error(self, annotator, tile, monkeypatch, error):
        def full(*_):
            raise error

        monkeypatch.setattr(annotator.engine, "embed", full)
        with pytest.raises(DeviceError, match="not enough memory"):
            annotator.encode(tile, annotator.fields(tile)[0])

    def test_other_errors_are_not_hidden(self, full, tile, monkeypatch):
        def broken(*_):
            raise RuntimeError("shapes do not match")

        monkeypatch.setattr(full.engine, "embed", broken)
        with pytest.raises(RuntimeError, match="shapes"):
            full.answer(tile, Prompt().with_point((20, 22), True))
        assert full.engine.device.type == "cuda"


def test_loading_by_name():
    annotator = load_annotator("uninuc-n", "cpu")
    assert annotator.device_name == "CPU"
    assert annotator.card.id == "uninuc-n"
    assert annotator.memory_bytes() > 1_000_000
    with pytest.raises(ModelNotFoundError):
        load_annotator("no-such-model")


def test_a_cuda_device_is_called_by_its_name(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100")
    assert device_name(torch.device("cuda:1")) == "NVIDIA H100 (cuda:1)"


def test_holes_and_crumbs_of_the_decoder_never_show(annotator, tile, monkeypatch):
    """The raw answer gets a hole and a crumb before it is made into an outline."""
    decode = annotator.engine.decode

    def speckled(embedding, prompts, **options):
        for index, answer in decode(embedding, prompts, **options):
            logits = answer.logits.copy()
            y, x = 20 - answer.origins_yx[0]
            logits[0, 0, y, x + 2], logits[0, 0, y + 25, x + 25] = -5, 5
            yield index, replace(answer, logits=logits)

    monkeypatch.setattr(annotator.engine, "decode", speckled)
    found = filled(annotator.answer(tile, Prompt().with_point((24, 26), True)), tile.shape)
    assert found[20, 22]
    assert not found[45, 45]
