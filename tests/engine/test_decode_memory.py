"""Decoding many prompts takes no more memory than decoding some: tried under a hard limit."""

import sys

import pytest

import children

LIMIT_MIB = 600
"""Above what the process has with its picture encoded. In batches 270 are taken, without 850."""

_CHILD = """
import resource, sys
import numpy as np
import torch
from napari_uninuc import load_predictor
from napari_uninuc.engine.requests import PromptBatch

torch.set_num_threads(1)
random = np.random.default_rng(0)
predictor = load_predictor("uninuc-n", device="cpu")
predictor.set_image(random.integers(0, 255, (128, 128, 3)).astype(np.uint8), mpp=0.25)

def answered(count):
    corners = random.uniform(10, 100, (count, 2))
    boxes = np.concatenate([corners, corners + 18], axis=1).astype(np.float32)
    return sum(len(rows) for rows, _ in predictor.answer(PromptBatch.of_boxes(boxes)))

answered(1)
with open("/proc/self/status") as status:
    held = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData"))
limit = held + int(sys.argv[1]) * 2**20
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
print(answered(1500))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc and RLIMIT_DATA")
def test_boxes_by_the_thousand_fit_into_a_fixed_memory():
    done = children.run(_CHILD, LIMIT_MIB)
    assert done.stdout.split() == ["1500"], done.stderr[-2000:]
