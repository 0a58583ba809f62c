"""Recipes: what is read, expanded and refused."""

from pathlib import Path

import numpy as np
import pytest
from layouts import LABELS, write_consep, write_nuclick
from pydantic import BaseModel, ConfigDict

from napari_uninuc.datasets.recipes import DatasetSpec, load_toml_recipe
from napari_uninuc.errors import DatasetError, RecipeError


class SmallRecipe(BaseModel):
    model_config = ConfigDict(extra="forbid")

    steps: int = 1
    datasets: tuple[DatasetSpec, ...] = ()


def load(tmp_path: Path, text: str) -> SmallRecipe:
    file = tmp_path / "recipe.toml"
    file.write_text(text, encoding="utf-8")
    return load_toml_recipe(file, SmallRecipe)


def dataset(text: str = "") -> str:
    return f'[[datasets]]\nname = "a"\npath = "x"\n{text}\n'


def test_defaults_of_a_data_set(tmp_path):
    spec = load(tmp_path, dataset()).datasets[0]
    assert (spec.weight, spec.exhaustive, spec.mpp) == (1.0, True, 0.25)
    assert (spec.include, spec.exclude) == ((), ())


def test_patterns_may_be_one_string_and_mpp_unknown(tmp_path):
    text = dataset('include = "test_*"\nexclude = ["a", "b"]\nmpp = "unknown"')
    spec = load(tmp_path, text).datasets[0]
    assert (spec.include, spec.exclude, spec.mpp) == (("test_*",), ("a", "b"), None)


def test_environment_variables_are_filled_in(tmp_path, monkeypatch):
    monkeypatch.setenv("UNINUC_DATA", "/somewhere")
    text = '[[datasets]]\nname = "a"\npath = "${UNINUC_DATA}/monuseg"\n'
    assert load(tmp_path, text).datasets[0].path == Path("/somewhere/monuseg")


def test_unset_variable_is_named_with_its_key(tmp_path, monkeypatch):
    monkeypatch.delenv("UNINUC_DATA", raising=False)
    text = '[[datasets]]\nname = "a"\npath = "${UNINUC_DATA}/monuseg"\n'
    with pytest.raises(RecipeError, match=r"recipe\.toml: datasets\.0\.path: .*UNINUC_DATA"):
        load(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("stepz = 3", r"unknown key 'stepz'; expected one of: datasets, steps"),
        (dataset("wieght = 2"), r"unknown key 'datasets\.0\.wieght'; expected one of: .*weight"),
        (dataset("weight = 0"), r"datasets\.0\.weight: .*greater than 0, got 0"),
        (dataset("weight = inf"), r"datasets\.0\.weight: .*finite"),
        (dataset("mpp = -1"), r"datasets\.0\.mpp.*got -1"),
        ('steps = "many"', r"steps: .*integer.*got 'many'"),
        ('[[datasets]]\nname = "a"', r"datasets\.0\.path: expected a value"),
        (dataset('layout = "panuke"'), r"datasets\.0\.layout: .*pannuke.*got 'panuke'"),
        (dataset("layout = [1]"), r"datasets\.0\.layout: .*string"),
        (dataset('split = "test"'), r"split and partial are for public layouts"),
        (dataset("partial = true"), r"split and partial are for public layouts"),
        ("steps = ", r"not valid TOML"),
        ('steps = "many"\nstepz = 1', r"\(and 1 more\)"),
    ],
)
def test_mistakes_get_one_line_with_file_and_key(tmp_path, text, says):
    with pytest.raises(RecipeError, match=says) as caught:
        load(tmp_path, text)
    assert "recipe.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_binary_files_are_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"none\.toml: cannot read"):
        load_toml_recipe(tmp_path / "none.toml", SmallRecipe)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="UTF-8"):
        load_toml_recipe(tmp_path / "binary.toml", SmallRecipe)


def test_a_public_layout_brings_its_scale_and_says_whether_all_is_labelled(tmp_path):
    def spec(layout, text=""):
        return load(tmp_path, dataset(f'layout = "{layout}"\n{text}')).datasets[0]

    assert (spec("lizard").mpp, spec("lizard").exhaustive) == (0.5, True)
    assert (spec("cpm17").mpp, spec("nuclick").exhaustive) == (None, False)
    said = spec("nuclick", "mpp = 0.3\nexhaustive = true")
    assert (said.mpp, said.exhaustive) == (0.3, True)
    assert spec("folder").mpp == 0.25


def test_a_public_layout_is_read_by_split_and_pattern(tmp_path):
    write_consep(tmp_path / "data")
    text = (
        f'[[datasets]]\nname = "a"\npath = "{(tmp_path / "data").as_posix()}"\n'
        'layout = "consep"\npartial = true\n'
    )

    def names(more):
        return [image.name for image in load(tmp_path, text + more).datasets[0].images()]

    assert names('split = "test"') == ["test/test_1", "test/test_2"]
    assert names('split = ["train", "test"]\nexclude = "train_*"') == ["test/test_1", "test/test_2"]
    assert names('include = ["train_2", "test/test_1"]') == ["train/train_2", "test/test_1"]
    with pytest.raises(DatasetError, match="matches none of 7 images"):
        names('exclude = "train_9"')
    read = load(tmp_path, text).datasets[0].images()[0].read(0.25)
    assert (read.tile.mpp, read.classes) == (0.25, {1: "epithelial", 2: "spindle"})
    np.testing.assert_array_equal(read.labels, LABELS)


def test_a_partial_download_is_wanted_or_refused(tmp_path):
    write_consep(tmp_path / "data")
    text = f'[[datasets]]\nname = "a"\npath = "{(tmp_path / "data").as_posix()}"\n'
    with pytest.raises(DatasetError, match="27 images in train, got 5"):
        load(tmp_path, text + 'layout = "consep"').datasets[0].images()
    write_nuclick(tmp_path / "other")
    with pytest.raises(DatasetError, match=r"expected nuclick as unzipped"):
        load(tmp_path, text + 'layout = "nuclick"').datasets[0].images()
