"""What we ship for tests keeps its own promises."""

import math
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.nuclei import Status
from napari_uninuc.core.prompts import MaskLogits, Prompt
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import PromptError
from napari_uninuc.testing import FakeAnnotator, make_label_map, make_tile


def filled(mask, shape):
    full = np.zeros(shape, bool)
    y0, x0, y1, x1 = mask.box_yxyx
    full[y0:y1, x0:x1] = mask.mask
    return full


def iou(first, second):
    return (first & second).sum() / (first | second).sum()


@pytest.fixture(scope="module")
def tissue():
    return make_tile((200, 240), 25, seed=1)


@pytest.fixture
def fake():
    return FakeAnnotator()


class TestTissue:
    def test_the_truth_is_what_was_painted(self, tissue):
        assert len(tissue.centres_yx) == 25
        assert set(np.unique(tissue.labels)) == set(range(26))
        for number, (y, x) in enumerate(tissue.centres_yx, start=1):
            assert tissue.labels[round(y), round(x)] == number
        red = tissue.tile.rgb[..., 0].astype(float)
        assert red[tissue.labels > 0].mean() + 80 < red[tissue.labels == 0].mean()

    def test_no_nucleus_touches_another(self, tissue):
        assert ndimage.label(tissue.labels > 0, np.ones((3, 3)))[1] == 25

    def test_a_seed_is_a_tile(self):
        tiles = [make_tile((64, 64), 4, seed=seed).tile.digest for seed in (3, 3, 4)]
        assert tiles[0] == tiles[1] != tiles[2]

    @given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 9))
    def test_a_tile_too_full_has_fewer(self, height, width, n_nuclei):
        made = make_tile((height, width), n_nuclei, mpp=None)
        assert made.tile.shape == (height, width)
        assert made.labels.max(initial=0) == len(made.centres_yx) <= n_nuclei
        assert made.tile.mpp is None

    def test_a_label_map_has_the_rows_of_an_automatic_run(self):
        labels = make_label_map((128, 128), 12, n_classes=3, status=Status.REVIEWED)
        assert len(labels) == 12
        for id_, row in labels.nuclei.items():
            assert 0.4 <= row.score <= 1
            assert row.class_id in (0, 1, 2)
            assert row.status is Status.REVIEWED
            assert np.abs(np.subtract(row.detected_box_yxyx, labels.box(id_))).max() <= 3


class TestFakeAnnotator:
    def test_it_finds_every_nucleus(self, fake, tissue):
        found = fake.segment_field(tissue.tile, fake.fields(tissue.tile)[0], 0.0)
        assert len(found) == 25
        scores = [mask.score for mask, _ in found]
        assert scores == sorted(scores, reverse=True)
        for mask, box in found:
            number = np.bincount(tissue.labels[filled(mask, tissue.tile.shape)]).argmax()
            assert iou(filled(mask, tissue.tile.shape), tissue.labels == number) > 0.75
            assert np.abs(np.subtract(box, mask.box_yxyx)).max() <= 2

    def test_a_threshold_keeps_fewer(self, fake, tissue):
        field = fake.fields(tissue.tile)[0]
        counts = [len(fake.segment_field(tissue.tile, field, t)) for t in (0.0, 0.75, 1.0)]
        assert 25 == counts[0] > counts[1] > counts[2]
        with pytest.raises(PromptError):
            fake.segment_field(tissue.tile, field, 1.1)

    def test_fields_share_the_nuclei_among_them(self, tissue):
        fake = FakeAnnotator(field_size=120, halo=30)
        fields = fake.fields(tissue.tile)
        assert len(fields) > 1
        covered = np.zeros(tissue.tile.shape, bool)
        for field in fields:
            for mask, _ in fake.segment_field(tissue.tile, field, 0.0):
                covered |= filled(mask, tissue.tile.shape)
        assert all(covered[round(y), round(x)] for y, x in tissue.centres_yx)

    def test_it_says_the_same_twice(self, tissue):
        prompt = Prompt().with_point(tissue.centres_yx[0], True)
        one, two = (FakeAnnotator().answer(tissue.tile, prompt) for _ in range(2))
        assert one.mask.origin_yx == two.mask.origin_yx
        np.testing.assert_array_equal(one.mask.mask, two.mask.mask)

    @pytest.mark.parametrize("number", [1, 7, 25])
    def test_a_click_or_box_gives_the_nucleus(self, fake, tissue, number):
        truth = tissue.labels == number
        ys, xs = np.nonzero(truth)
        box = (float(ys.min()), float(xs.min()), float(ys.max()) + 1, float(xs.max()) + 1)
        for prompt in (
            Prompt().with_point(tissue.centres_yx[number - 1], True),
            Prompt(box_yxyx=box),
        ):
            assert iou(filled(fake.answer(tissue.tile, prompt).mask, truth.shape), truth) > 0.75

    def test_clicks_add_and_remove_area(self, fake, tissue):
        shape = tissue.tile.shape
        y, x = tissue.centres_yx[0]
        first = fake.answer(tissue.tile, Prompt().with_point((y, x), True))
        start = Prompt(previous=MaskLogits.from_mask(first.mask))
        y1 = first.mask.box_yxyx[2]
        grown = fake.answer(tissue.tile, start.with_point((y1, x), True)).mask
        cut = fake.answer(tissue.tile, start.with_point((y1 - 1.0, x), False)).mask
        assert grown.area > first.mask.area > cut.area > 0
        assert (filled(grown, shape) | ~filled(first.mask, shape)).all()
        assert (filled(first.mask, shape) | ~filled(cut, shape)).all()

    def test_a_box_on_nothing_is_an_ellipse(self, fake):
        glass = Tile.from_array(np.full((60, 60, 3), 240, np.uint8))
        mask = fake.answer(glass, Prompt(box_yxyx=(10.0, 20.0, 30.0, 50.0))).mask
        assert mask.box_yxyx == (10, 20, 30, 50)
        assert mask.area == pytest.approx(math.pi / 4 * 20 * 30, rel=0.05)

    def test_a_long_correction_stays_a_small_crop(self, fake):
        glass = Tile.from_array(np.full((600, 600, 3), 240, np.uint8))
        prompt = Prompt()
        for _ in range(6):
            prompt = prompt.with_point((300.0, 300.0), True)
            prompt = prompt.with_previous(fake.answer(glass, prompt).logits)
        assert prompt.previous.logits.shape == (11, 11)

    def test_clicks_outside_the_tile_find_nothing(self, fake, tissue):
        answer = fake.answer(tissue.tile, Prompt().with_point((-500.0, 900.0), True))
        assert answer.mask.area == 0

    def test_logits_are_the_mask(self, fake, tissue):
        answer = fake.answer(tissue.tile, Prompt().with_point(tissue.centres_yx[3], True))
        inside = InstanceMask(answer.logits.origin_yx, answer.logits.logits > 0, 1.0, 0, 1.0)
        shape = tissue.tile.shape
        np.testing.assert_array_equal(filled(inside, shape), filled(answer.mask, shape))

    def test_encoding_is_done_once_and_counted(self, fake, tissue):
        field = fake.fields(tissue.tile)[0]
        assert fake.memory_bytes() == 0
        assert fake.encode(tissue.tile, field) > 0
        assert fake.encode(tissue.tile, field) == 0
        fake.answer(tissue.tile, Prompt().with_point((5, 5), True))
        assert fake.calls == ["encode", "answer"]
        assert fake.memory_bytes() > 0

    def test_it_fails_once_when_told_to(self, fake, tissue):
        prompt = Prompt().with_point((5, 5), True)
        fake.fail_next("answer", RuntimeError("boom"))
        with pytest.raises(RuntimeError, match="boom"):
            fake.answer(tissue.tile, prompt)
        assert fake.answer(tissue.tile, prompt).mask.area > 0

    def test_a_failed_encoding_is_tried_again(self, fake, tissue):
        field = fake.fields(tissue.tile)[0]
        fake.fail_next("encode", MemoryError())
        with pytest.raises(MemoryError):
            fake.encode(tissue.tile, field)
        assert fake.encode(tissue.tile, field) > 0

    def test_it_is_as_slow_as_told(self, tissue):
        slow = FakeAnnotator(delays={"encode": 0.05})
        began = time.perf_counter()
        seconds = slow.encode(tissue.tile, slow.fields(tissue.tile)[0])
        assert time.perf_counter() - began >= seconds >= 0.05

    def test_a_held_step_waits_for_its_release(self, fake, tissue):
        answers = []
        prompt = Prompt().with_point((5, 5), True)
        worker = threading.Thread(target=lambda: answers.append(fake.answer(tissue.tile, prompt)))
        with fake.held("answer"):
            worker.start()
            while "answer" not in fake.calls:
                time.sleep(0.001)
            assert not answers
        worker.join(120)
        assert len(answers) == 1


def test_it_loads_neither_torch_nor_napari():
    code = (
        "import sys, napari_uninuc.testing; "
        "sys.exit(bool({'torch', 'napari', 'qtpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
