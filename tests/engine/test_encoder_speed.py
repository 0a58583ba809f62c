"""Measured once, remembered, and never worse for a memory that is wrong."""

import json

import pytest
import torch

from napari_uninuc.engine import encoder_speed as module
from napari_uninuc.engine.encoder_speed import choose_dtype, fastest_dtype

CPU = torch.device("cpu")


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Pretend that the hardware has bfloat16; how often it was measured."""
    monkeypatch.setenv("UNINUC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "encoder_dtype", lambda _: torch.bfloat16)
    calls = []

    def fastest(encoder, dtypes, device):
        calls.append(dtypes)
        return torch.float32, {"float32": 1.0, "bfloat16": 2.0}

    monkeypatch.setattr(module, "fastest_dtype", fastest)
    return calls


def memory(tmp_path):
    return tmp_path / "cache" / "encoder-speed.json"


def test_the_measured_precision_is_remembered(measured, tmp_path):
    encoder = torch.nn.Identity()
    assert [choose_dtype(encoder, "n", CPU) for _ in range(3)] == [torch.float32] * 3
    assert len(measured) == 1
    choose_dtype(encoder, "another", CPU)
    assert len(measured) == 2
    assert len(json.loads(memory(tmp_path).read_text())["measured"]) == 2
    assert not list(memory(tmp_path).parent.glob("*.part"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "[" * 5000,
        '{"version": 99, "measured": {}}',
        '{"version": 1, "measured": 7}',
        '{"version": 1}',
    ],
)
def test_a_damaged_memory_costs_one_measurement(measured, tmp_path, text):
    memory(tmp_path).parent.mkdir()
    memory(tmp_path).write_text(text)
    for _ in range(2):
        assert choose_dtype(torch.nn.Identity(), "n", CPU) == torch.float32
    assert len(measured) == 1


@pytest.mark.parametrize("stored", [{"dtype": "int8"}, {}, None, "bfloat16"])
def test_a_wrong_entry_is_measured_again(measured, tmp_path, stored):
    choose_dtype(torch.nn.Identity(), "n", CPU)
    whole = json.loads(memory(tmp_path).read_text())
    whole["measured"] = dict.fromkeys(whole["measured"], stored)
    memory(tmp_path).write_text(json.dumps(whole))
    assert choose_dtype(torch.nn.Identity(), "n", CPU) == torch.float32
    assert len(measured) == 2


def test_hardware_without_it_never_gets_it(measured, monkeypatch):
    choose_dtype(torch.nn.Identity(), "n", CPU)
    monkeypatch.setattr(module, "encoder_dtype", lambda _: torch.float32)
    assert choose_dtype(torch.nn.Identity(), "n", CPU) == torch.float32
    assert len(measured) == 1


def test_where_nothing_can_be_kept_the_hardware_is_believed(measured, monkeypatch, tmp_path):
    (tmp_path / "cache").write_text("a file")
    assert choose_dtype(torch.nn.Identity(), "n", CPU) == torch.bfloat16
    assert not measured


def test_what_is_timed_is_the_encoder_in_every_precision():
    seen = []

    def encoder(image):
        seen.append((tuple(image.shape), torch.is_autocast_enabled("cpu")))

    dtype, seconds = fastest_dtype(encoder, (torch.float32, torch.bfloat16), CPU)
    assert seconds.keys() == {"float32", "bfloat16"}
    assert seconds[str(dtype).removeprefix("torch.")] == min(seconds.values())
    assert {low for _, low in seen} == {False, True}
    assert {shape for shape, _ in seen} == {(1, 3, 256, 256)}
