"""Points of windows become each nucleus of a field once, and boxes from the detector's cells."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_uninuc import Tile, load_predictor
from napari_uninuc.engine.loading import untrained_engine
from napari_uninuc.engine.next_points import NextPointProposer, write_points
from napari_uninuc.engine.proposers import proposers_of
from napari_uninuc.errors import CheckpointError
from napari_uninuc.network.next_point import NextPointConfig, PointDecoder
from napari_uninuc.network.point_files import PointsNote, save_points
from napari_uninuc.network.point_writing import PointWriter, Written

CONFIG = NextPointConfig(
    window=96, margin=16, bins=96, dim=16, heads=2, layers=1, mlp_dim=16, latents=0
)


class KnowingDecoder(PointDecoder):
    """Knows points, each window a little elsewhere; see `writer_of`."""

    def __init__(self, points_yx, jitter=0.0, config=CONFIG):
        super().__init__(config)
        self.told, self.jitter = torch.as_tensor(points_yx, dtype=torch.float32), jitter
        self.generator = torch.Generator().manual_seed(0)

    def remember(self, projected, image_index, corners_yx):
        return corners_yx

    def write(self, memory, limit, *, last_row):
        rows, scores = [], torch.zeros(len(memory), limit)
        for k, corner in enumerate(memory):
            local = self.told - corner * self.config.stride
            local = local + (torch.rand(local.shape, generator=self.generator) - 0.5) * self.jitter
            inside = ((local > -0.5) & (local < self.config.window - 0.5)).all(1)
            rows.append(self.grammar.tokens_of(local[inside]))
            scores[k, : int(inside.sum())] = 0.9
        tokens = torch.full((len(rows), max(map(len, rows))), -1)
        for row, said in zip(tokens, rows, strict=True):
            row[: len(said)] = torch.tensor(said)
        return Written(tokens, scores)


def writer_of(decoder, dtype):
    """What writes a decoder down: it says itself what it was told."""
    return decoder if isinstance(decoder, KnowingDecoder) else PointWriter(decoder, dtype)


@pytest.fixture(autouse=True)
def knowing(monkeypatch):
    monkeypatch.setattr("napari_uninuc.engine.next_points.PointWriter", writer_of)


def levels_of(height, width):
    shapes = zip(CONFIG.channels, (4, 8, 16), strict=True)
    return tuple(torch.zeros(1, c, height // s, width // s) for c, s in shapes)


@pytest.mark.parametrize("jitter", [0.0, 3.0])
@pytest.mark.parametrize("size", [(64, 64), (192, 256), (352, 160)])
def test_every_nucleus_of_a_field_is_written_once(size, jitter):
    """Whatever windows see it, and however differently they place it."""
    height, width = size
    points = np.stack(np.mgrid[6:height:17, 9:width:19], -1).reshape(-1, 2)
    decoder = KnowingDecoder(points, jitter)
    found = write_points(
        decoder, levels_of(height, width), torch.zeros(1, 3, height // 2, width // 2)
    )
    assert len(found.points_yx) == len(found.scores) == len(points)
    distance = np.abs(found.points_yx[:, None] - points[None]).max(2)
    assert sorted(distance.argmin(1)) == list(range(len(points)))
    assert distance.min(1).max() <= 0.5 + jitter / 2 + 1e-4


def test_two_nuclei_of_one_window_stay_two():
    """However close: only what two windows say twice is dropped."""
    found = write_points(KnowingDecoder([[30, 30], [32, 33]]), levels_of(96, 96), None)
    assert len(found.points_yx) == 2


def test_a_field_without_nuclei_has_no_points():
    found = write_points(KnowingDecoder(np.zeros((0, 2))), levels_of(64, 96), None)
    assert found.points_yx.shape == (0, 2)
    assert found.scores.shape == (0,)


@pytest.fixture(scope="module")
def engine(predictor):
    return predictor.engine


@pytest.mark.parametrize("mpp", [None, 0.5])
def test_boxes_are_those_that_the_detector_gives_the_cells(predictor, discs, monkeypatch, mpp):
    scale = 1 if mpp is None else 2
    told = (np.asarray(discs.centres_yx) + 0.5) * scale - 0.5
    engine = predictor.engine
    monkeypatch.setattr(engine, "point_decoder", KnowingDecoder(told))
    tile = Tile.from_array(discs.rgb, mpp=mpp)
    found = NextPointProposer(engine).propose(engine.embed(tile, engine.fields(tile)[0]))
    assert len(found) == len(discs.centres_yx)
    middles = (found.boxes_yxyx[:, :2] + found.boxes_yxyx[:, 2:]) / 2 - 0.5
    distance = np.abs(middles[:, None] - np.asarray(discs.centres_yx)[None]).max(2)
    assert sorted(distance.argmin(1)) == list(range(len(discs.centres_yx)))
    assert distance.min(1).max() < 4


@pytest.mark.parametrize("name", ["next-point", "detector+next-point"])
def test_outlines_come_from_points(predictor, discs, monkeypatch, name):
    decoder = KnowingDecoder(discs.centres_yx)
    monkeypatch.setattr(predictor.engine, "point_decoder", decoder)
    predictor.set_image(discs.rgb)
    result = predictor.segment(proposer=name)
    assert len(result.table) == 12


def test_a_model_without_a_decoder_says_so(predictor, tmp_path, monkeypatch):
    engine = predictor.engine
    monkeypatch.setattr(engine, "point_decoder", None)
    monkeypatch.setattr(engine, "folder", tmp_path)
    with pytest.raises(CheckpointError, match="no decoder of next points"):
        proposers_of(engine, "next-point")
    note = PointsNote(
        weights="0" * 64, config=CONFIG, licence="x", training_data=(), created="2026-01-01"
    )
    save_points(PointDecoder(CONFIG), note, tmp_path / "next-point.safetensors")
    with pytest.raises(CheckpointError, match="taught on weights"):
        proposers_of(engine, "next-point")
    save_points(
        PointDecoder(CONFIG), replace(note, weights=engine.card.sha256),
        tmp_path / "next-point.safetensors",
    )  # fmt: skip
    (proposer,) = proposers_of(engine, "next-point")
    assert proposers_of(engine, "next-point")[0].decoder is proposer.decoder
    with pytest.raises(CheckpointError, match="weights of no file"):
        proposers_of(untrained_engine("uninuc-n"), "next-point")


def test_the_decoder_beside_the_bundled_weights_finds_discs(discs):
    predictor = load_predictor("uninuc-n", device="cpu")
    predictor.set_image(discs.rgb)
    found = predictor.segment(proposer="next-point")
    assert len(found.table) == 12


def test_boxes_of_some_cells_are_those_of_all(predictor, discs):
    engine, tile = predictor.engine, Tile.from_array(discs.rgb)
    levels = [
        level.float() for level in engine.embed(tile, engine.fields(tile)[0]).embedding.detection
    ]
    height, width = levels[0].shape[-2:]
    rows, columns = torch.tensor([0, 3, height - 1, 3]), torch.tensor([2, 5, width - 1, 0])
    with torch.inference_mode():
        whole = engine.model.detector.boxes_of_cells(levels)
        some = engine.model.detector.boxes_at(levels, rows, columns)
    torch.testing.assert_close(some, whole[0, :, rows, columns].t(), atol=1e-3, rtol=1e-4)
