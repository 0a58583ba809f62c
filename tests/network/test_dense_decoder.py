"""The dense decoder: what it paints, of which features, and its file."""

from dataclasses import replace

import pytest
import torch

from napari_uninuc.errors import CheckpointError
from napari_uninuc.network.build import build_model
from napari_uninuc.network.config import preset
from napari_uninuc.network.cost import count_macs, encoder_cost
from napari_uninuc.network.dense_decoder import (
    DenseConfig,
    DenseDecoder,
    config_for,
    levels_of,
    paint,
)
from napari_uninuc.network.dense_files import (
    DISTANCES_NAME,
    SEMANTIC_NAME,
    WORDS_NAME,
    DenseNote,
    file_name_of,
    is_dense_file,
    load_dense,
    save_dense,
)
from napari_uninuc.network.words import WordsConfig

WORDS = WordsConfig(text_dim=6, queries=3, heads=2, layers=1)
SMALL = DenseConfig((4, 6, 8, 8), 3, 8, ("nucleus", "centre"), ("a", "b"), WORDS)


def levels(side=32, batch=2, config=SMALL):
    torch.manual_seed(0)
    return [torch.randn(batch, c, side >> k, side >> k) for k, c in enumerate(config.channels)]


def made(config=SMALL):
    torch.manual_seed(1)
    return DenseDecoder(config).eval()


def note(config, **more):
    values = {
        "weights": "f" * 64,
        "config": config,
        "licence": "research",
        "training_data": ("x",),
        "created": "2026-11-30",
    }
    return DenseNote(**values | more)


def test_maps_and_classes_are_painted_at_the_finest_level():
    painted = made()(levels(), torch.randn(2, 3, 32, 32))
    assert painted.maps.shape == (2, 2, 32, 32)
    assert painted.classes.shape == (2, 3, 32, 32)  # background first


def test_in_use_norms_are_folded_and_nothing_changes():
    decoder = made().train()
    for k in range(3):
        decoder(levels(), torch.randn(2, 3, 32, 32) + k)
    decoder.eval()
    folded = decoder(levels(), torch.ones(2, 3, 32, 32))
    decoder.requires_grad_(False).train()
    for norm in decoder.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.eval()
    plain = decoder(levels(), torch.ones(2, 3, 32, 32))
    for one, other in zip(folded, plain, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_a_decoder_paints_only_what_it_is_told_to():
    one = made(replace(SMALL, maps=(), words=None))
    painted = one(levels(), torch.zeros(2, 3, 32, 32))
    assert painted.maps.shape == (2, 0, 32, 32)
    assert one.words is None


def test_the_same_vector_paints_the_same_by_word_or_by_class():
    decoder = made()
    pixels = decoder.pixels(levels(), torch.zeros(2, 3, 32, 32))
    classes = decoder.painted(pixels).classes
    own = paint(pixels, decoder.classes.expand(2, -1, -1))
    assert torch.allclose(classes, own, atol=1e-5)


def test_words_make_a_vector_of_text_and_picture():
    decoder = made()
    pixels = decoder.pixels(levels(), torch.zeros(2, 3, 32, 32))
    texts = torch.randn(2, 4, 6)
    found = decoder.words(pixels.coarse, texts, torch.tensor([0, 1]))
    assert found.vectors.shape == (2, 3, SMALL.vector)
    assert found.fit.abs().max() <= 1
    best = found.best()
    assert torch.equal(best[0], found.vectors[0, found.fit[0].argmax()])
    other = decoder.words(pixels.coarse, torch.randn(2, 4, 6), torch.tensor([0, 1]))
    assert not torch.allclose(found.vectors, other.vectors)
    elsewhere = decoder.words(pixels.coarse, texts, torch.tensor([1, 0]))
    assert not torch.allclose(found.vectors, elsewhere.vectors)


@pytest.mark.parametrize("kind", ["pyramid", "two branches", "one branch"])
def test_it_reads_the_features_of_every_encoder(kind, tiny_config):
    config = {
        "pyramid": preset("uninuc-n"),
        "two branches": tiny_config,
        "one branch": replace(tiny_config, detector=replace(tiny_config.detector, backbone=None)),
    }[kind]
    model = build_model(config, seed=0).eval()
    config = config_for(model, width=8, classes=("a", "b"))
    with torch.no_grad():
        embedding = model.encode(
            torch.zeros(1, 3, 64, 64), detection=model.detector_backbone is None
        )
        painted = DenseDecoder(config).eval()(levels_of(embedding), embedding.auxiliary)
    assert painted.classes.shape == (1, 3, *embedding.maps.fine.shape[-2:])


def test_beside_the_encoder_it_costs_less_than_a_twentieth():
    config = preset("uninuc-n")
    model = build_model(config, seed=0)
    own = config_for(model, classes=("a", "b", "c", "d"))

    class Whole(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.decoder = DenseDecoder(own)

        def forward(self, image):
            side = image.shape[-1] // 2
            parts = [
                image.new_zeros(1, c, side >> k, side >> k) for k, c in enumerate(own.channels)
            ]
            return self.decoder(parts, image.new_zeros(1, own.auxiliary, side, side))

    with torch.device("meta"):
        cost = count_macs(Whole(), (1, 3, 1024, 1024))
    products = 512**2 * own.fine * 5 + 256**2 * own.width * 5  # bmm is not counted
    assert (cost.macs + products) / encoder_cost(config).macs < 0.05


def test_the_file_gives_back_what_was_written(tmp_path):
    decoder, path = made(), tmp_path / WORDS_NAME
    texts = torch.randn(2, 4, 6)
    save_dense(decoder, note(SMALL, names=("a", "nucleus"), encoder="test"), path, texts)
    assert is_dense_file(path)
    stored = load_dense(path, "f" * 64)
    assert stored.note.names == ("a", "nucleus")
    assert stored.decoder.config == SMALL
    assert torch.allclose(stored.texts, texts, atol=1e-2)
    one, other = (each(levels(), torch.zeros(2, 3, 32, 32)) for each in (decoder, stored.decoder))
    assert torch.allclose(one.classes, other.classes, atol=0.05)
    assert [each.name for each in tmp_path.iterdir()] == [WORDS_NAME]


def test_the_name_of_the_file_says_what_it_paints():
    assert file_name_of(SMALL) == WORDS_NAME
    assert file_name_of(replace(SMALL, words=None)) == SEMANTIC_NAME
    assert file_name_of(replace(SMALL, words=None, classes=())) == DISTANCES_NAME


def test_other_files_are_refused_in_one_line(tmp_path):
    path = tmp_path / SEMANTIC_NAME
    with pytest.raises(CheckpointError, match="no dense decoder"):
        load_dense(path)
    path.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="damaged"):
        load_dense(path)
    assert not is_dense_file(path)
    save_dense(made(), note(SMALL, names=("a",), encoder="x"), path, torch.zeros(1, 4, 6))
    with pytest.raises(CheckpointError, match="taught on weights"):
        load_dense(path, "0" * 64)
    save_dense(made(), note(SMALL, names=("a", "b")), path, torch.zeros(1, 4, 6))
    with pytest.raises(CheckpointError, match="text for each"):
        load_dense(path)
    save_dense(made(), note(replace(SMALL, width=12)), path, torch.zeros(0, 4, 6))
    with pytest.raises(CheckpointError):
        load_dense(path)
    broken = made()
    torch.nn.init.constant_(broken.maps, float("nan"))
    save_dense(broken, note(SMALL), path, torch.zeros(0, 4, 6))
    with pytest.raises(CheckpointError, match="not finite"):
        load_dense(path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": (4,)},
        {"channels": (4, 5000)},
        {"width": 0},
        {"maps": ("dreams",)},
        {"classes": ("a", "a")},
        {"words": replace(WORDS, heads=3)},
    ],
)
def test_sizes_that_cannot_be_are_refused(tmp_path, wrong):
    path = tmp_path / SEMANTIC_NAME
    save_dense(made(), note(replace(SMALL, **wrong)), path, torch.zeros(0, 4, 6))
    with pytest.raises(CheckpointError, match="cannot be"):
        load_dense(path)
