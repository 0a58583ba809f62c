"""The pages name every key that a person may write: unknown ones are refused, so none may hide."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from napari_uninuc.datasets.recipes import DatasetSpec
from napari_uninuc.network.card import ExpectedIou, LanguageNote, ModelCard
from napari_uninuc.training.recipe import (
    CorrectionsSection,
    CropsSection,
    LanguageSection,
    LossesSection,
    OptimiserSection,
    PromptsSection,
    TrainRecipe,
)

DOCS = Path(__file__).resolve().parents[1] / "docs"
TABLES = {
    "crops": CropsSection,
    "prompts": PromptsSection,
    "losses": LossesSection,
    "language": LanguageSection,
    "optimiser": OptimiserSection,
}


def keys_in(page: str) -> list[set[str]]:
    """What the first column of each row of the tables names, `[table]` and `key` alike."""
    rows = (DOCS / page).read_text(encoding="utf-8").splitlines()
    cells = [row.split("|")[1] for row in rows if row.startswith("| ")]
    return [set(re.findall(r"`\[*([a-z0-9_]+)\]*`", cell)) for cell in cells]


def told(page: str, table: str | None, keys: set[str]) -> set[str]:
    """Those of ``keys`` that stand in rows of a table, or in any row."""
    rows = [row for row in keys_in(page) if table is None or table in row]
    return keys & set().union(*rows)


def test_every_key_of_a_card_is_told() -> None:
    keys = {each.name for each in fields(ModelCard)}
    assert told("models.md", None, keys) == keys


@pytest.mark.parametrize(
    ("table", "note"), [("language", LanguageNote), ("expected_iou", ExpectedIou)]
)
def test_every_key_of_a_table_of_a_card_is_told(table: str, note: type) -> None:
    keys = {each.name for each in fields(note)}
    assert told("models.md", table, keys) == keys


def test_every_key_of_a_training_recipe_is_told() -> None:
    keys = set(TrainRecipe.model_fields)
    assert told("train-your-own.md", None, keys) == keys
    for model in (DatasetSpec, CorrectionsSection):
        keys = set(model.model_fields)
        assert told("train-your-own.md", None, keys) == keys


@pytest.mark.parametrize("table", TABLES)
def test_every_key_of_a_table_of_a_training_recipe_is_told(table: str) -> None:
    keys = set(TABLES[table].model_fields)
    assert told("train-your-own.md", table, keys) == keys
