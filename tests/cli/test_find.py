"""Nuclei of a name from the command line."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from napari_uninuc.engine.loading import load_engine
from napari_uninuc.network.dense_decoder import DenseDecoder, config_for
from napari_uninuc.network.dense_files import DenseNote, save_dense
from napari_uninuc.testing import make_tile


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    """A decoder of chance for the bundled weights, with two classes."""
    engine = load_engine("uninuc-n", "cpu")
    config = config_for(engine.model, width=8, classes=("spindle", "inflammatory"))
    torch.manual_seed(0)
    note = DenseNote(
        weights=engine.card.sha256,
        config=config,
        licence="research",
        training_data=(),
        created="2026-11-30",
    )
    path = tmp_path_factory.mktemp("decoder") / "mine.safetensors"
    save_dense(DenseDecoder(config), note, path)
    return path


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(make_tile((192, 192), n_nuclei=20).tile.rgb).save(path)
    return path


def rows_of(path):
    with path.open() as stream:
        return list(csv.DictReader(stream))


def test_each_nucleus_is_found_by_one_name(uninuc, picture, decoder, tmp_path):
    common = ("segment", picture, "--device", "cpu", "--no-flips", "--classifier", decoder)
    status, _, err = uninuc(*common, "--output", tmp_path / "all.csv")
    assert status == 0, err
    every = rows_of(tmp_path / "all.csv")
    assert {row["class_by"] for row in every} == {"map"}
    assert all(0.5 <= float(row["class_probability"]) <= 1 for row in every)
    found = {}
    for name in ("Spindle nuclei", "inflammatory"):
        target = tmp_path / f"{name}.csv"
        status, _, err = uninuc(*common, "--output", target, "--find", name)
        assert status == 0, err
        found[name.split()[0].lower()] = {row["id"] for row in rows_of(target)}
    for name, ids in found.items():
        assert ids == {row["id"] for row in every if row["class"] == name}
    assert sum(map(len, found.values())) == len(every)


def test_a_name_that_is_not_known_is_refused_before_anything_is_written(
    uninuc, picture, decoder, tmp_path
):
    target = tmp_path / "out.tif"
    status, out, err = uninuc(
        *("segment", picture, "--output", target, "--device", "cpu"),
        *("--classifier", decoder, "--find", "cancer"),
    )
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert "spindle, inflammatory" in err
    assert "'cancer'" in err
    assert not target.exists()


def test_a_model_that_knows_no_names_says_so(uninuc, picture, tmp_path):
    status, _, err = uninuc(
        *("segment", picture, "--output", tmp_path / "out.tif", "--device", "cpu"),
        *("--model", "uninuc-o", "--find", "inflammatory nuclei"),
    )
    assert status == 2
    assert "knows no names" in err


def test_a_decoder_of_other_weights_is_refused(uninuc, picture, decoder, tmp_path):
    status, _, err = uninuc(
        *("segment", picture, "--output", tmp_path / "out.tif", "--device", "cpu"),
        *("--model", "uninuc-o", "--classifier", decoder),
    )
    assert status == 2
    assert "taught on weights" in err


def test_a_name_without_nuclei_leaves_an_empty_result(uninuc, picture, tmp_path):
    glass = tmp_path / "glass.png"
    Image.fromarray(np.full((96, 96, 3), 240, np.uint8)).save(glass)
    target = tmp_path / "out.csv"
    status, out, err = uninuc(
        *("segment", glass, "--output", target, "--device", "cpu", "--find", "all nuclei"),
    )
    assert status == 0, err
    assert "0 nuclei" in out
