"""What the losses are given."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_uninuc.core.tile import Tile
from napari_uninuc.datasets.crops import CropSource, CropStream, finish_crop, supervision_maps
from napari_uninuc.datasets.folder import LabelledTile
from napari_uninuc.datasets.transforms import Augmentation


def stream_of(seed=0, weights=(1.0,), mpp=0.25):
    sources = []
    for index, weight in enumerate(weights):
        labels = np.zeros((80, 80), np.int32)
        labels[10:30, 10:30], labels[40:60, 35:60] = 5, 900
        rgb = np.full((80, 80, 3), 60 + 100 * index, np.uint8)
        tiles = [LabelledTile(Tile.from_array(rgb), labels, None)]
        sources.append(CropSource(tiles, weight, index == 0, 0.25))
    return CropStream(sources, size=64, mpp=mpp, zoom=(0.8, 1.25), seed=seed)


def test_a_crop_is_its_number_and_seed():
    first, second, other = (stream_of(seed).crop(7) for seed in (0, 0, 1))
    assert torch.equal(first.image, second.image)
    assert torch.equal(first.labels, second.labels)
    assert not torch.equal(first.image, other.image)


def test_a_stream_varies_its_crops_as_it_is_told():
    source = stream_of().sources[0]
    still = Augmentation(turns=False, stretch=0, stain=False, light=False, focus=False)
    crop = CropStream(
        [source], size=64, mpp=0.25, zoom=(1.0, 1.0), seed=0, augmentation=still
    ).crop(3)
    assert torch.unique((crop.image * 255).round()).tolist() == [60]
    varied = CropStream([source], size=64, mpp=0.25, zoom=(1.0, 1.0), seed=0).crop(3)
    assert len(torch.unique((varied.image * 255).round())) > 1


@given(st.integers(0, 500))
def test_boxes_and_ids_belong_together(index):
    crop = stream_of().crop(index)
    assert crop.image.shape == (3, 64, 64)
    assert crop.labels.max() == len(crop.boxes_xyxy)
    for k, (x0, y0, x1, y1) in enumerate(crop.boxes_xyxy.int().tolist(), start=1):
        ys, xs = torch.nonzero(crop.labels == k, as_tuple=True)
        assert (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) == (x0, y0, x1, y1)
    assert 0 <= crop.maps.min() <= crop.maps.max() <= 1


def test_weights_are_shares():
    stream = stream_of(weights=(1.0, 3.0))
    partly = [not stream.crop(index).exhaustive for index in range(200)]
    assert 0.65 < np.mean(partly) < 0.85


def test_slivers_are_dropped_and_ids_close_up():
    labels = np.zeros((32, 32), np.int32)
    labels[0:2, 0:2], labels[10:20, 10:20] = 3, 8
    crop = finish_crop(torch.zeros(3, 32, 32), labels, True, 12)
    assert crop.boxes_xyxy.tolist() == [[10, 10, 20, 20]]
    assert crop.labels.unique().tolist() == [0, 1]


def test_maps_know_touching_nuclei_and_their_depth():
    labels = np.zeros((20, 30), np.int64)
    labels[5:15, 5:14], labels[5:15, 14:25] = 1, 2
    nucleus, distance, contact = supervision_maps(labels)
    assert ((nucleus > 0) == (labels > 0)).all()
    assert contact[8, 13] == contact[8, 14] == 1
    assert contact[8, 8] == 0
    assert distance[labels == 1].max() == distance[labels == 2].max() == 1
    assert (distance[labels == 0] == 0).all()
    assert distance[10, 9] > distance[10, 6] > 0


def test_an_empty_crop_has_empty_boxes():
    crop = finish_crop(torch.zeros(3, 32, 32), np.zeros((32, 32), np.int32), True, 12)
    assert crop.boxes_xyxy.shape == (0, 4)
    assert not crop.maps.any()


def test_classes_follow_their_nuclei():
    labels = np.zeros((32, 32), np.int32)
    labels[2:12, 2:12], labels[2:12, 16:26], labels[20:22, 2:4], labels[16:28, 8:20] = 9, 4, 5, 7
    crop = finish_crop(torch.zeros(3, 32, 32), labels, True, 12, {9: 2, 5: 0, 7: -1})
    assert crop.classes.tolist() == [-1, -1, 2]  # ids 4, 7, 9; 5 is a sliver
    assert [int(crop.labels[y, x]) for y, x in ((5, 20), (20, 12), (5, 5))] == [1, 2, 3]
    assert finish_crop(torch.zeros(3, 32, 32), labels, True, 12).classes.tolist() == [0, 0, 0]


def test_a_stream_names_classes_only_where_there_are_several():
    labels = np.zeros((64, 64), np.int32)
    labels[10:30, 10:30], labels[34:54, 34:54] = 1, 2
    rgb = np.full((64, 64, 3), 200, np.uint8)
    tile = LabelledTile(Tile.from_array(rgb, 0.25), labels, {1: "spindle", 2: "of no interest"})
    source = CropSource([tile], 1.0, True, 0.25)

    def classes(names):
        stream = CropStream([source], size=64, mpp=0.25, zoom=(1.0, 1.0), seed=0, classes=names)
        return sorted(stream.crop(0).classes.tolist())

    assert classes(("nucleus",)) == classes(()) == [0, 0]
    assert classes(("epithelial", "spindle")) == [-1, 1]


def test_a_nucleus_of_the_least_area_is_kept():
    labels = np.zeros((32, 32), np.int32)
    labels[0:3, 0:4], labels[10:21, 10] = 3, 8  # 12 and 11 px
    crop = finish_crop(torch.zeros(3, 32, 32), labels, True, 12)
    assert crop.boxes_xyxy.tolist() == [[0, 0, 4, 3]]


def test_a_crop_without_nuclei_is_drawn_once_more():
    rgb = np.full((80, 80, 3), 200, np.uint8)
    empty, full = np.zeros((80, 80), np.int32), np.ones((80, 80), np.int32)
    tiles = [LabelledTile(Tile.from_array(rgb), labels, None) for labels in (empty, full)]
    source = CropSource(tiles, 1.0, True, 0.25)
    stream = CropStream([source], size=64, mpp=0.25, zoom=(1.0, 1.0), seed=0)
    none = [len(stream.crop(index).boxes_xyxy) == 0 for index in range(120)]
    assert np.mean(none) == pytest.approx(0.25, abs=0.1)


@pytest.mark.parametrize(("mpp", "length"), [(0.5, 40), (0.25, 20), (0.125, 10), (None, 20)])
def test_pictures_are_brought_to_the_models_scale(mpp, length):
    labels = np.zeros((240, 240), np.int32)
    for k, (y, x) in enumerate(np.ndindex(6, 6), start=1):
        labels[40 * y + 10 : 40 * y + 30, 40 * x + 10 : 40 * x + 30] = k
    tile = LabelledTile(Tile.from_array(np.full((240, 240, 3), 200, np.uint8)), labels, None)
    source = CropSource([tile], 1.0, True, mpp)
    stream = CropStream([source], size=96, mpp=0.25, zoom=(1.0, 1.0), seed=0)
    areas = [
        int(crop.labels.flatten().bincount()[1:].max()) for crop in map(stream.crop, range(30))
    ]
    assert np.sqrt(max(areas)) == pytest.approx(length, rel=0.08)


def test_each_nucleus_is_as_deep_as_any():
    labels = np.zeros((40, 40), np.int64)
    labels[2:8, 2:8], labels[12:36, 12:36] = 1, 2
    _, distance, _ = supervision_maps(labels)
    assert distance[labels == 1].max() == distance[labels == 2].max() == 1
    assert distance[2, 2] == pytest.approx(1 / 3)  # the border pixel of three
    assert distance[12, 12] == pytest.approx(1 / 12)
