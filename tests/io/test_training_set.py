import json
import tomllib

import numpy as np
import pytest

from napari_uninuc.core.examples import ANSWERED_FOR
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.datasets.folder import read_folder
from napari_uninuc.datasets.recipes import DatasetSpec, load_toml_recipe
from napari_uninuc.errors import LabelsError, OutputError
from napari_uninuc.io.training_set import CARD_NAME, write_training_set
from napari_uninuc.training.recipe import TrainRecipe


def with_status(segmentation, *statuses):
    table = segmentation.table.assign(status=list(statuses))
    return Segmentation(segmentation.labels, table, {})


def card_of(folder):
    return tomllib.loads((folder / CARD_NAME).read_text(encoding="utf-8"))


def specs_of(folder):
    return [DatasetSpec.model_validate(entry) for entry in card_of(folder)["datasets"]]


@pytest.fixture
def reviewed(two_nuclei, tile_40x60):
    return tile_40x60, with_status(two_nuclei, "reviewed", "reviewed")


@pytest.fixture
def partly(two_nuclei, tile_40x60):
    return tile_40x60, with_status(two_nuclei, "reviewed", "automatic")


def test_training_reads_the_folder_as_it_is(reviewed, tmp_path):
    folder = write_training_set([reviewed], tmp_path / "new" / "mine")
    (image,) = read_folder(folder)
    stored = image.read(mpp=0.25)
    assert image.name == "noise"
    np.testing.assert_array_equal(stored.tile.rgb, reviewed[0].rgb)
    np.testing.assert_array_equal(stored.labels, reviewed[1].labels)
    assert stored.classes == {2: "epithelial", 7: "inflammatory"}
    (spec,) = specs_of(folder)
    assert (spec.name, spec.exhaustive, spec.mpp) == ("mine", True, 0.25)
    assert [each.name for each in spec.images()] == ["noise"]
    assert list((tmp_path / "new").iterdir()) == [folder]


@pytest.mark.parametrize("name", ["mine", "sub/../mine", "."])
def test_its_tables_are_copied_behind_the_others_of_a_recipe_run_from_anywhere(
    reviewed, partly, tmp_path, monkeypatch, name
):
    (tmp_path / "here" / "sub").mkdir(parents=True)
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here" if name != "." else tmp_path / "there")
    folder = write_training_set([reviewed, partly], name).resolve()
    card = (folder / CARD_NAME).read_text(encoding="utf-8")
    start, end = card.index("\n[[datasets]]"), card.index("\n[[pictures]]")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f'architecture = "uninuc-n"\noutput = "run"\nsteps = 1\n'
        f"[crops]\nsize = 64\n[optimiser]\nlr = 1e-4\n{card[start:end]}",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    whole, part = load_toml_recipe(recipe, TrainRecipe).datasets
    assert (whole.name, part.name) == (folder.name, f"{folder.name}-partly")
    assert [image.read().labels.max() for image in (*whole.images(), *part.images())] == [7, 2]


@pytest.mark.parametrize(
    ("names", "offered"),
    [
        (("tumour", "lymphocyte"), ["lymphocyte", "tumour"]),
        (("tumour", "nucleus"), ["nucleus", "tumour"]),
        (("nucleus", "nucleus"), ["nucleus"]),
    ],
)
def test_a_set_offers_its_classes(reviewed, tmp_path, names, offered):
    tile, nuclei = reviewed
    named = Segmentation(nuclei.labels, nuclei.table.assign(**{"class": list(names)}), {})
    folder = write_training_set([(tile, named)], tmp_path / "mine")
    assert card_of(folder)["classes"] == offered


def test_nuclei_that_nobody_named_are_of_no_class_where_others_are(reviewed, tmp_path):
    tile, nuclei = reviewed
    sets = [("tumour", "lymphocyte"), ("nucleus", "tumour")]
    pictures = [
        (tile, Segmentation(nuclei.labels, nuclei.table.assign(**{"class": list(names)}), {}))
        for names in sets
    ]
    folder = write_training_set(pictures, tmp_path / "mine")
    assert card_of(folder)["classes"] == ["lymphocyte", "tumour"]


def test_nuclei_nobody_reviewed_are_left_out_and_the_card_says_so(partly, tmp_path):
    folder = write_training_set([partly], tmp_path / "mine")
    (image,) = read_folder(folder)
    assert np.unique(image.read().labels).tolist() == [0, 2]
    assert json.loads((folder / "classes" / "noise.json").read_text()) == {"2": "epithelial"}
    (spec,) = specs_of(folder)
    assert spec.exhaustive is False
    (picture,) = card_of(folder)["pictures"]
    assert (picture["nuclei"], picture["left_out"], picture["exhaustive"]) == (1, 1, False)


def test_nuclei_that_a_person_drew_are_examples_as_in_learning(two_nuclei, tile_40x60, tmp_path):
    drawn = with_status(two_nuclei, "reviewed", "edited")
    folder = write_training_set([(tile_40x60, drawn)], tmp_path / "mine")
    assert np.unique(read_folder(folder)[0].read().labels).tolist() == [0, 2, 7]
    assert [spec.exhaustive for spec in specs_of(folder)] == [False]
    assert tuple(card_of(folder)["statuses"]) == tuple(sorted(map(str, ANSWERED_FOR)))


def test_labels_nobody_reviewed_are_never_exhaustive(partly, tmp_path):
    folder = write_training_set([partly], tmp_path / "all", keep=("reviewed", "automatic"))
    assert np.unique(read_folder(folder)[0].read().labels).tolist() == [0, 2, 7]
    assert [spec.exhaustive for spec in specs_of(folder)] == [False]


def test_a_picture_without_nuclei_is_not_exhaustive(tile_40x60, tmp_path):
    empty = with_status(Segmentation.from_labels(np.zeros((40, 60), np.int32)))
    folder = write_training_set([(tile_40x60, empty)], tmp_path / "mine")
    assert [spec.exhaustive for spec in specs_of(folder)] == [False]


def test_exhaustive_pictures_and_others_are_two_data_sets(reviewed, partly, tmp_path):
    folder = write_training_set([reviewed, partly, reviewed], tmp_path / "mine")
    whole, part = specs_of(folder)
    assert (whole.exhaustive, [each.name for each in whole.images()]) == (
        True,
        ["noise", "noise-3"],
    )
    assert (part.exhaustive, [each.name for each in part.images()]) == (False, ["noise-2"])


def test_more_ids_than_16_bits_are_kept(tile_40x60, tmp_path):
    labels = np.zeros((40, 60), np.int32)
    labels[3:5, 3:5] = 70_000
    nuclei = with_status(Segmentation.from_labels(labels), "reviewed")
    folder = write_training_set([(tile_40x60, nuclei)], tmp_path / "mine")
    np.testing.assert_array_equal(read_folder(folder)[0].read().labels, labels)


def test_names_of_pictures_may_be_anything(reviewed, tmp_path):
    tile, nuclei = reviewed
    names = ["../../evil", "a b.ome.tif", "A b.png", "", "x" * 300, "...", "a[1]*"]
    pictures = [(Tile.from_array(tile.rgb, 0.25, name=name), nuclei) for name in names]
    folder = write_training_set(pictures, tmp_path / "mine")
    stored = [path.name for path in (folder / "images").iterdir()]
    assert len(stored) == len(names)
    assert all(len(spec.images()) == len(names) for spec in specs_of(folder))
    assert {path.name for path in tmp_path.iterdir()} == {"mine"}


def test_what_cannot_be_a_set_is_refused(reviewed, two_nuclei, tmp_path):
    tile, nuclei = reviewed
    other = Tile.from_array(tile.rgb, 0.5)
    with pytest.raises(OutputError, match=r"one scale, got 0\.25 and 0\.5"):
        write_training_set([reviewed, (other, nuclei)], tmp_path / "mine")
    with pytest.raises(OutputError, match="got none"):
        write_training_set([], tmp_path / "mine")
    with pytest.raises(LabelsError, match="a table without"):
        write_training_set([(tile, two_nuclei)], tmp_path / "mine")
    small = with_status(Segmentation.from_labels(np.ones((3, 3), int)), "reviewed")
    with pytest.raises(OutputError, match="one shape"):
        write_training_set([(tile, small)], tmp_path / "mine")
    assert not list(tmp_path.iterdir())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious").touch()
    with pytest.raises(OutputError, match="a new folder"):
        write_training_set([reviewed], tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["precious"]


def test_an_unknown_scale_is_said(reviewed, tmp_path):
    folder = write_training_set([(Tile.from_array(reviewed[0].rgb), reviewed[1])], tmp_path / "m")
    assert [spec.mpp for spec in specs_of(folder)] == [None]
