import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_uninuc.errors import CheckpointError, ModelNotFoundError, OutputError
from napari_uninuc.network.card import (
    DEFAULT_SCORE_THRESHOLD,
    ExpectedIou,
    LanguageNote,
    ModelCard,
    card_for_preset,
    log_odds,
    read_card,
    sha256_of,
    write_card,
)
from napari_uninuc.network.config import PRESETS

TEXT = st.text(st.characters(exclude_categories=("Cs",)))


@pytest.fixture
def card_file(tmp_path: Path) -> Path:
    return write_card(card_for_preset("uninuc-n"), tmp_path)


@pytest.mark.parametrize("name", PRESETS)
def test_card_of_every_preset_survives_writing(name: str, tmp_path: Path) -> None:
    card = card_for_preset(name)
    write_card(card, tmp_path)
    assert read_card(tmp_path) == card
    assert [path.name for path in tmp_path.iterdir()] == ["card.toml"]


def test_only_models_taught_at_a_scale_know_it() -> None:
    assert {name: card_for_preset(name).mpp for name in PRESETS} == {
        "uninuc-n": 0.25,
        "uninuc-s": None,
        "uninuc-b": None,
        "uninuc-l": None,
        "uninuc-b-single": None,
        "uninuc-b-plain": None,
    }


@given(notes=TEXT, names=st.dictionaries(TEXT, st.floats(0, 1)), data=st.lists(TEXT.filter(len)))
def test_any_text_survives_writing(
    notes: str, names: dict[str, float], data: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("card")
    card = replace(
        card_for_preset("uninuc-n"), notes=notes, metrics=names, training_data=tuple(data)
    )
    write_card(card, folder)
    assert read_card(folder) == card


def test_card_is_found_from_folder_card_and_weights(card_file: Path) -> None:
    weights = card_file.with_name("model.safetensors")
    weights.touch()
    assert read_card(card_file.parent) == read_card(card_file) == read_card(weights)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('id = "uninuc-n"', 'id = "uninuc-n"\ncolour = 1', "unknown key 'colour'"),
        ('licence = "BSD-3-Clause"\n', "", "licence: expected a value"),
        (
            f"score_threshold = {DEFAULT_SCORE_THRESHOLD}",
            "score_threshold = 1.5",
            "score_threshold",
        ),
        ('proposer = "detector"', 'proposer = "nose"', "proposer"),
        ("box_margin = 0.0", "box_margin = -1.0", "box_margin"),
        ("mpp = 0.25", "mpp = -1.0", "mpp"),
        ("mpp = 0.25", "mpp = nan", "mpp"),
        ('sha256 = ""', 'sha256 = "abc"', "sha256"),
        ('architecture = "uninuc-n"', 'architecture = "uninuc-x"', "uninuc-s"),
        ("mpp = 0.25", "mpp = ", "TOML"),
        ('id = "uninuc-n"', 'id = "../elsewhere"', "id"),
    ],
)
def test_bad_card_is_refused_in_one_line(card_file: Path, old: str, new: str, says: str) -> None:
    text = card_file.read_text(encoding="utf-8")
    assert old in text
    card_file.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(CheckpointError) as caught:
        read_card(card_file)
    message = str(caught.value)
    assert says in message
    assert str(card_file) in message
    assert "\n" not in message


def test_missing_and_binary_cards_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no card"):
        read_card(tmp_path)
    (tmp_path / "card.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CheckpointError, match="UTF-8"):
        read_card(tmp_path)


def test_a_card_that_could_not_be_read_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="score_threshold"):
        write_card(replace(card_for_preset("uninuc-n"), score_threshold=2.0), tmp_path)
    assert not list(tmp_path.iterdir())


def test_writing_into_no_folder_fails_clearly(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write the card"):
        write_card(card_for_preset("uninuc-n"), tmp_path / "absent")


def test_unknown_preset() -> None:
    with pytest.raises(ModelNotFoundError, match="uninuc-b"):
        card_for_preset("uninuc-xl")


def test_sha256_is_the_published_one_of_abc(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, example B.1
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_of(tmp_path / "abc") == expected
    with pytest.raises(CheckpointError, match="cannot read"):
        sha256_of(tmp_path / "absent")


def test_reading_cards_and_finding_models_loads_no_torch() -> None:
    code = (
        "import sys; from napari_uninuc.network import card, registry; registry.model_folders();"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_card_is_frozen() -> None:
    card = card_for_preset("uninuc-n")
    assert isinstance(card, ModelCard)
    with pytest.raises(AttributeError):
        card.mpp = 0.5  # type: ignore[misc]


def test_prior_and_expected_iou_survive_writing(tmp_path: Path) -> None:
    card = replace(
        card_for_preset("uninuc-n"),
        classes=("a", "b"),
        language=LanguageNote(encoder="some encoder", dim=3, texts=("a", "b")),
        expected_iou=ExpectedIou(bias=0.1, score=0.7, predicted=0.25),
    )
    write_card(card, tmp_path)
    assert read_card(tmp_path) == card


@pytest.mark.parametrize(
    ("added", "says"),
    [
        ("[expected_iou]\nbias = 0.0\nscore = -1.0\npredicted = 1.0", "expected_iou.score"),
        ("[expected_iou]\nbias = nan\nscore = 1.0\npredicted = 1.0", "expected_iou.bias"),
        ("[expected_iou]\nbias = 0.0", "expected_iou"),
        ('[language]\nencoder = "e"\ndim = 0\ntexts = ["a"]', "language.dim"),
        ('[language]\nencoder = "e"\ndim = 3\ntexts = []', "language.texts"),
    ],
)
def test_their_values_are_checked(tmp_path: Path, added: str, says: str) -> None:
    file = write_card(card_for_preset("uninuc-n"), tmp_path)
    text = file.read_text(encoding="utf-8").replace("[metrics]\n", "")
    file.write_text(f"{text}\n{added}\n", encoding="utf-8")
    with pytest.raises(CheckpointError, match=says) as caught:
        read_card(tmp_path)
    assert "\n" not in str(caught.value)


@given(*[st.floats(0, 1)] * 4)
def test_expected_iou_grows_with_both(
    score: float, predicted: float, more: float, b: float
) -> None:
    expected = ExpectedIou(bias=4 * b - 2, score=0.7, predicted=0.3)
    here = expected.of(score, predicted)
    assert 0 <= here <= 1
    assert expected.of(max(score, more), predicted) >= here - 1e-12
    assert expected.of(score, max(predicted, more)) >= here - 1e-12


def test_expected_iou_by_hand() -> None:
    assert ExpectedIou(bias=0, score=0, predicted=1).of(0.2, 0.7) == pytest.approx(0.7)
    assert ExpectedIou(bias=0, score=1, predicted=0).of(0.2, 0.7) == pytest.approx(0.2)
    assert ExpectedIou(bias=1, score=1, predicted=1).of(0.5, 0.5) == pytest.approx(0.731, abs=1e-3)
    assert log_odds(0) == pytest.approx(-log_odds(1))
