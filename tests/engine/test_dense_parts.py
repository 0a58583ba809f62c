"""Decoders beside the weights, at work on a picture."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_uninuc.core.geometry import label_boxes
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.annotator import TorchAnnotator
from napari_uninuc.engine.classing import meant_of, only_named
from napari_uninuc.engine.dense_parts import MapSource, WordSource, dense_source, part_path
from napari_uninuc.errors import CheckpointError, PromptError
from napari_uninuc.network.dense_decoder import DenseDecoder, config_for
from napari_uninuc.network.dense_files import DenseNote, StoredDense, save_dense
from napari_uninuc.network.words import WordsConfig

CLASSES = ("rim", "middle")


def stored(engine, **what):
    """A decoder of chance that reads an engine's features."""
    torch.manual_seed(0)
    config = config_for(engine.model, width=8, **what)
    note = DenseNote(
        weights=engine.card.sha256,
        config=config,
        licence="research",
        training_data=("consep-train",),
        created="2026-11-30",
        names=(*CLASSES, "nucleus") if config.words is not None else (),
    )
    decoder = DenseDecoder(config).eval().requires_grad_(False)
    torch.nn.init.normal_(decoder.classes) if len(decoder.classes) else None
    return StoredDense(decoder, note, torch.randn(3, 4, 6))


def masks_of(labels):
    ids, boxes = label_boxes(labels)
    return [
        InstanceMask((y0, x0), labels[y0:y1, x0:x1] == id_, 1.0, 0, 1.0)
        for id_, (y0, x0, y1, x1) in zip(ids.tolist(), boxes.tolist(), strict=True)
    ]


@pytest.fixture(params=["map", "words"])
def source(request, predictor):
    if request.param == "map":
        return MapSource(predictor.engine, stored(predictor.engine, classes=CLASSES))
    words = WordsConfig(6, queries=2, heads=2, layers=1)
    return WordSource(predictor.engine, stored(predictor.engine, words=words))


def test_shares_of_classes_sum_to_one_and_follow_what_is_painted(source, predictor, dense):
    tile = Tile.from_array(dense.rgb, 0.25)
    masks = masks_of(dense.labels)
    likely = source.probabilities(tile, masks)
    assert likely.shape == (len(masks), 2)
    np.testing.assert_allclose(likely.sum(axis=1), 1)
    assert source.palette.names == CLASSES
    whole = source.class_map(tile)
    assert whole.shape == tile.shape
    assert whole.max() <= 2


def test_of_a_picture_of_several_fields_each_pixel_is_painted_once(predictor, dense):
    source = MapSource(predictor.engine, stored(predictor.engine, classes=CLASSES))
    tile = Tile.from_array(dense.rgb, 0.25)
    whole = source.class_map(tile)
    predictor.engine.config = replace(predictor.engine.config, input_size=192, halo=48)
    assert len(predictor.engine.fields(tile)) > 1
    parts = source.class_map(tile)
    # What lies around is seen less far at the border of a field.
    assert (whole == parts).mean() > 0.9
    likely = source.probabilities(tile, masks_of(dense.labels))
    assert np.isfinite(likely).all()


def test_a_coarser_picture_is_painted_at_its_own_size(predictor, dense):
    source = MapSource(predictor.engine, stored(predictor.engine, classes=CLASSES))
    tile = Tile.from_array(dense.rgb[::2, ::2], 0.5)
    assert source.class_map(tile).shape == tile.shape


def test_predictor_and_annotator_tell_the_classes_of_a_source(predictor, discs):
    source = MapSource(predictor.engine, stored(predictor.engine, classes=CLASSES))
    predictor.source = source
    try:
        predictor.set_image(discs.rgb, mpp=0.25)
        found = predictor.segment()
        assert predictor.card.classes == CLASSES
        assert set(found.table["class_by"]) == {"map"}
        assert predictor.class_map().shape == discs.labels.shape
        only = only_named(found, "rim nuclei", CLASSES)
        assert len(only.table) == (found.table["class"] == "rim").sum()
        assert len(only_named(found, "all nuclei", CLASSES).table) == len(found.table)
    finally:
        predictor.source = None
    assert predictor.class_map() is None


def test_an_annotator_without_parts_knows_no_names(predictor, monkeypatch, discs):
    monkeypatch.setattr(predictor.engine, "folder", None)
    annotator = TorchAnnotator(predictor.engine)
    assert (annotator.names, annotator.names_from) == ((), "")
    with pytest.raises(PromptError, match="no name"):
        annotator.shares(Tile.from_array(discs.rgb, 0.25), masks_of(discs.labels), "rim")


def test_an_annotator_finds_by_the_parts_beside_its_weights(
    predictor, monkeypatch, discs, tmp_path
):
    part = stored(predictor.engine, classes=CLASSES)
    save_dense(part.decoder, part.note, tmp_path / "semantic.safetensors")
    monkeypatch.setattr(predictor.engine, "folder", tmp_path)
    annotator = TorchAnnotator(predictor.engine)
    assert annotator.names == CLASSES
    assert annotator.names_from == "colon"
    tile, masks = Tile.from_array(discs.rgb, 0.25), masks_of(discs.labels)
    both = annotator.shares(tile, masks, "rim") + annotator.shares(tile, masks, "middle")
    np.testing.assert_allclose(both, 1)
    assert annotator.shares(tile, [], "rim").shape == (0,)
    assert part_path("semantic", tmp_path) == tmp_path / "semantic.safetensors"
    assert part_path("other", tmp_path).name == "other"


def test_a_part_of_other_weights_is_said_and_keeps_no_model_from_working(
    predictor, monkeypatch, tmp_path
):
    part = stored(predictor.engine, classes=CLASSES)
    other = replace(part.note, weights="0" * 64)
    save_dense(part.decoder, other, tmp_path / "semantic.safetensors")
    monkeypatch.setattr(predictor.engine, "folder", tmp_path)
    said = []
    annotator = TorchAnnotator(predictor.engine, said.append)
    assert annotator.names == ()
    assert "taught on weights" in said[0]


def test_distances_beside_the_weights_are_what_ais_reads(predictor, discs, monkeypatch):
    part = stored(predictor.engine, maps=("nucleus", "centre", "boundary"))
    monkeypatch.setattr(predictor.engine, "distances", part)
    predictor.set_image(discs.rgb, mpp=0.25)
    tile = Tile.from_array(discs.rgb, 0.25)
    (field,) = predictor.engine.fields(tile)
    maps = predictor.engine.dense_maps(predictor.engine.embed(tile, field))
    assert maps.centre is not None
    assert maps.nucleus.shape == maps.boundary.shape == discs.labels.shape


def test_what_tells_no_classes_is_no_source(predictor, tmp_path):
    part = stored(predictor.engine, maps=("nucleus", "boundary"))
    path = tmp_path / "distances.safetensors"
    save_dense(part.decoder, part.note, path)
    with pytest.raises(CheckpointError, match="with classes"):
        dense_source(predictor.engine, path)
    with pytest.raises(CheckpointError, match="with words"):
        WordSource(predictor.engine, part)


def test_only_known_names_are_answered():
    assert meant_of("Spindle nuclei", ["spindle", "dead"]) == "spindle"
    with pytest.raises(PromptError, match=r"\(spindle, dead\), got 'tumour'"):
        meant_of("tumour", ["spindle", "dead"])
