from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import torch

from napari_uninuc.errors import CheckpointError, OutputError
from napari_uninuc.network.adapter import (
    Adapter,
    Looks,
    read_adapter,
    write_adapter,
    write_new_adapter,
)
from napari_uninuc.network.adapter_card import (
    AdapterCard,
    Proof,
    free_path,
    in_words,
    list_states,
    read_adapter_card,
    states_folder,
)
from napari_uninuc.network.build import build_model
from napari_uninuc.network.card import card_for_preset
from napari_uninuc.network.config import preset

SHA = "ab" * 32
PROOF = Proof(
    nuclei=40,
    right_before=31,
    right_after=36,
    deleted=14,
    false_before=14,
    false_after=2,
    better=9,
    gain=0.1,
    low=0.05,
    high=0.15,
    confidence=0.99,
)


def adapter_card(**changes):
    values = {
        "name": "mine",
        "model": "uninuc-n",
        "weights_sha256": SHA,
        "sessions": ("20260101",),
        "accepted": 10,
        "redrawn": 15,
        "added": 15,
        "deleted": 14,
        "proof": PROOF,
        "score_threshold": 0.3,
        "licence": "non-commercial research",
        "commercial_use": False,
        "made": datetime.now(UTC),
        "made_by": "napari-uninuc",
    }
    return AdapterCard(**{**values, **changes})


@pytest.fixture(scope="module")
def model():
    return build_model(preset("uninuc-n"), seed=0)


@pytest.fixture
def card():
    return replace(card_for_preset("uninuc-n"), sha256=SHA)


def halves(model):
    name = "detector.class_heads.0.bias"
    return {name: torch.full_like(dict(model.named_parameters())[name], 0.5)}


def test_a_state_is_read_as_it_was_written(model, tmp_path):
    made = Adapter.of(adapter_card(), halves(model))
    write_adapter(made, tmp_path / "new" / "mine.safetensors")
    read = read_adapter(tmp_path / "new" / "mine.safetensors")
    assert (read.card, read.sha256) == (made.card, made.sha256)
    assert read.difference.keys() == made.difference.keys()
    assert all(torch.equal(read.difference[k], v) for k, v in made.difference.items())
    assert read_adapter_card(tmp_path / "new" / "mine.safetensors") == made.card
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["mine.safetensors"]


def test_it_changes_what_it_says_and_the_card_tells_which_state_that_is(model, card):
    made = Adapter.of(adapter_card(), halves(model))
    before = {k: v.detach().clone() for k, v in model.named_parameters()}
    learnt = made.applied_to(model, card)
    after = dict(model.named_parameters())
    changed = {k for k, v in before.items() if not torch.equal(v, after[k])}
    with torch.no_grad():
        for name, value in before.items():
            after[name].copy_(value)
    assert changed == set(made.difference)
    assert (learnt.learnt, learnt.learnt_sha256) == ("mine", made.sha256)
    assert (learnt.id, learnt.sha256, learnt.score_threshold) == (card.id, SHA, 0.3)


@pytest.mark.parametrize(
    "other", [{"weights_sha256": "cd" * 32}, {"model": "uninuc-o"}, {"weights_sha256": ""}]
)
def test_a_state_of_other_weights_is_refused_and_nothing_changes(model, card, other):
    before = {k: v.detach().clone() for k, v in model.named_parameters()}
    with pytest.raises(CheckpointError, match="was taught on") as refused:
        Adapter.of(adapter_card(**other), halves(model)).applied_to(model, card)
    assert "\n" not in str(refused.value)
    assert all(torch.equal(before[k], v) for k, v in model.named_parameters())


@pytest.mark.parametrize(
    "difference", [{"nothing": torch.zeros(1)}, {"detector.content": torch.zeros(3)}]
)
def test_a_state_with_parts_that_the_model_has_not_is_refused(model, card, difference):
    with pytest.raises(CheckpointError, match="damaged"):
        Adapter.of(adapter_card(), difference).applied_to(model, card)


def test_what_is_not_finite_is_never_kept():
    with pytest.raises(CheckpointError, match="not finite"):
        Adapter.of(adapter_card(), {"a": torch.tensor([float("nan")])})


@pytest.mark.parametrize("length", [0, 7, 40, -20])
def test_a_damaged_file_is_refused_in_one_line(model, tmp_path, length):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(Adapter.of(adapter_card(), halves(model)).to_bytes()[:length])
    with pytest.raises(CheckpointError) as refused:
        read_adapter(path)
    assert "\n" not in str(refused.value)


def test_a_file_of_something_else_is_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(CheckpointError, match="expected a learnt state"):
        read_adapter(tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="no such"):
        read_adapter(tmp_path / "none.safetensors")


def test_a_full_disk_leaves_nothing(model, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_uninuc.network.adapter.os.replace", full)
    with pytest.raises(OutputError, match="No space left"):
        write_adapter(Adapter.of(adapter_card(), halves(model)), tmp_path / "mine.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_states_are_listed_by_the_weights_they_are_of(model, card, tmp_path, monkeypatch):
    monkeypatch.setenv("UNINUC_MODELS", str(tmp_path))
    assert list_states(card.id, card.sha256) == []
    paths = []
    for sha in (SHA, "cd" * 32, SHA):
        paths.append(free_path("uninuc-n", "my tile.png"))
        write_adapter(Adapter.of(adapter_card(weights_sha256=sha), halves(model)), paths[-1])
    (states_folder("uninuc-n") / "broken.safetensors").write_bytes(b"no")
    assert len(set(paths)) == 3
    assert [state.path for state in list_states(card.id, card.sha256)] == [paths[0], paths[2]]


def test_the_proof_is_told_in_words():
    assert in_words(PROOF).startswith(
        "of 40 nuclei kept aside, 31 right before, 36 now; of 14 deleted ones, 14 outlined before, "
        "2 now"
    )
    assert PROOF.is_better
    assert not PROOF.model_copy(update={"low": 0.0}).is_better


def test_states_written_at_once_do_not_overwrite_each_other(model, tmp_path):
    made, target = Adapter.of(adapter_card(), halves(model)), tmp_path / "mine.safetensors"
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: write_new_adapter(made, target), range(8)))
    assert len(set(paths)) == 8
    assert {read_adapter(path).card.name for path in paths} == {path.stem for path in paths}
    assert sorted(tmp_path.iterdir()) == sorted(paths)


def test_a_new_state_on_a_full_disk_leaves_nothing(model, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_uninuc.network.adapter.os.replace", full)
    with pytest.raises(OutputError, match="No space left"):
        write_new_adapter(Adapter.of(adapter_card(), halves(model)), tmp_path / "a.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_state_tells_how_the_fields_looked_that_it_was_taught_on(model, tmp_path):
    looks = Looks(torch.ones(3, 256), torch.full((3, 6), 200.0))
    write_adapter(Adapter.of(adapter_card(), halves(model), looks), tmp_path / "a.safetensors")
    read = read_adapter(tmp_path / "a.safetensors")
    assert read.looks is not None
    assert read.looks.features.shape == (3, 256)
    assert bool((read.looks.colours == 200).all())
    assert read.difference.keys() == halves(model).keys()


@pytest.mark.parametrize(("rows", "numbers"), [(3, 5), (2, 6), (0, 6)])
def test_looks_that_are_damaged_are_refused(model, tmp_path, rows, numbers):
    looks = Looks(torch.ones(3 if rows else 0, 256), torch.ones(rows, numbers))
    write_adapter(Adapter.of(adapter_card(), halves(model), looks), tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="damaged"):
        read_adapter(tmp_path / "a.safetensors")
