import json
import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from PIL import Image


def read_ids(path):
    """Ids in a result, by readers that are not ours."""
    if path.name.endswith(".csv"):
        return set(pd.read_csv(path)["id"])
    if path.name.endswith(".zarr"):
        return set(np.unique(zarr.open_group(str(path), mode="r")["labels/nuclei/0"])) - {0}
    return set(np.unique(tifffile.imread(path))) - {0}


@pytest.mark.parametrize("suffix", [".tif", ".ome.tif", ".ome.zarr", ".csv"])
def test_one_image_in_every_format(uninuc, picture, random_model, tmp_path, suffix):
    target = tmp_path / "new" / f"result{suffix}"
    words = ("segment", picture, "--output", target, "--model", random_model, "--device", "cpu")
    status, out, err = uninuc(*words)
    assert (status, err) == (0, "")
    ids = read_ids(target)
    assert len(ids) > 3  # chance finds something on every picture when all scores are kept
    assert out == f"{picture} -> {target}: {len(ids)} nuclei\n"
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_earlier_result_is_replaced(uninuc, picture, random_model, tmp_path):
    target = tmp_path / "result.tif"
    target.write_bytes(b"earlier")
    assert uninuc("segment", picture, "--output", target, "--model", random_model)[0] == 0
    assert tifffile.imread(target).shape == (96, 128)


def test_score_threshold_keeps_fewer(uninuc, picture, random_model, tmp_path):
    def scores(*options):
        target = tmp_path / "result.csv"
        words = ("segment", picture, "--output", target, "--model", random_model, *options)
        assert uninuc(*words)[0] == 0
        return pd.read_csv(target)["score"]

    everything = scores()
    middle = float(everything.median())
    kept = scores("--score-threshold", middle)
    assert 0 < len(kept) < len(everything)
    assert kept.min() >= middle - 1e-5  # CSV holds six digits


def test_the_box_each_nucleus_was_found_by_is_in_tables(uninuc, picture, random_model, tmp_path):
    def read(suffix):
        target = tmp_path / f"result{suffix}"
        words = ("segment", picture, "--output", target, "--model", random_model)
        assert uninuc(*words)[0] == 0
        return target

    table = pd.read_csv(read(".csv")).set_index("id")
    found = table[["found_y0", "found_x0", "found_y1", "found_x1"]]
    assert found.notna().all(axis=None)
    assert (found["found_y1"] > found["found_y0"]).all()
    assert (found["found_x1"] > found["found_x0"]).all()
    features = json.loads(read(".geojson").read_text())["features"]
    assert len(features) == len(table)
    for feature in features:
        said = feature["properties"]["measurements"]
        id_ = int(feature["properties"]["metadata"]["UniNuc: id"])
        assert [said[name] for name in found] == pytest.approx(found.loc[id_].tolist(), abs=0.01)


def test_proposer_and_flips_are_passed_on(uninuc, refused, picture, random_model, tmp_path):
    def table(*options):
        target = tmp_path / "result.csv"
        words = ("segment", picture, "--output", target, "--model", random_model, *options)
        assert uninuc(*words)[0] == 0
        return pd.read_csv(target)

    plain, flipped = table(), table("--flips")
    assert plain.equals(table("--proposer", "detector"))
    assert not plain.equals(flipped)
    assert "nose" in refused(
        "segment", picture, "--output", tmp_path / "x.tif", "--proposer", "nose"
    )


def test_proposers_of_the_command_are_those_of_the_card():
    from napari_uninuc.cli.options import PROPOSERS
    from napari_uninuc.network import card

    assert card.PROPOSERS == PROPOSERS


def test_mpp_is_that_of_the_file_unless_given(uninuc, picture, random_model, tmp_path):
    source = tmp_path / "scaled.tif"
    scale = {"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"}  # 0.5 um/px
    tifffile.imwrite(source, np.asarray(Image.open(picture)), photometric="rgb", **scale)
    for options, mpp in [((), 0.5), (("--mpp", "0.3"), 0.3)]:
        target = tmp_path / "result.csv"
        words = ("segment", source, "--output", target, "--model", random_model, *options)
        assert uninuc(*words)[0] == 0
        table = pd.read_csv(target)
        assert len(table) > 0
        np.testing.assert_allclose(table["area_um2"], table["area_px"] * mpp**2, rtol=1e-4)


def test_bad_images_do_not_stop_the_good(uninuc, picture, bad_pictures, random_model, tmp_path):
    other = picture.with_name("other.png")
    shutil.copy(picture, other)
    sources = [bad_pictures["cut"], picture, *list(bad_pictures.values())[1:], other]
    words = ("segment", *sources, "--output", tmp_path / "out", "--model", random_model)
    status, out, err = uninuc(*words, "--format", "csv")
    assert status == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["other.csv", "tissue.csv"]
    assert out.splitlines()[-1] == "2 of 6 images done"
    lines = err.splitlines()
    assert len(lines) == 4
    for line, bad in zip(lines, bad_pictures.values(), strict=True):
        assert line.startswith(f"uninuc: error: {bad}: ")


def test_several_good_images_succeed(uninuc, picture, random_model, tmp_path):
    other = picture.with_name("other.png")
    shutil.copy(picture, other)
    words = ("segment", picture, other, "--output", tmp_path / "out", "--model", random_model)
    status, out, err = uninuc(*words)
    assert (status, err) == (0, "")
    assert out.splitlines()[-1] == "2 of 2 images done"
    assert read_ids(tmp_path / "out" / "tissue.tif") == read_ids(tmp_path / "out" / "other.tif")


@pytest.mark.usefixtures("no_model_is_loaded")
@pytest.mark.parametrize("bad", ["cut", "text", "empty", "missing"])
def test_bad_image_is_one_line(refused, bad_pictures, tmp_path, bad):
    line = refused("segment", bad_pictures[bad], "--output", tmp_path / "new" / "a.tif")
    assert line.startswith(f"{bad_pictures[bad]}: ")
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("no_model_is_loaded")
@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("a.psd", "expected a name that ends in"),
        ("folder.tif", "a file is written here, got a folder"),
        ("file/a.tif", "cannot be written"),
        ("pictures/tissue.jpg", "expected a name that ends in"),
        ("results", "one picture is written to a file, got a folder"),
    ],
)
def test_bad_output_is_one_line(refused, picture, tmp_path, output, text):
    (tmp_path / "folder.tif").mkdir()
    (tmp_path / "results").mkdir()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    assert text in refused("segment", picture, "--output", tmp_path / output)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.usefixtures("no_model_is_loaded")
def test_a_decimal_comma_is_told_as_such(refused, picture, tmp_path):
    line = refused("segment", picture, "--output", tmp_path / "a.tif", "--mpp", "0,25")
    assert "write 0.25, with a point" in line


@pytest.mark.usefixtures("no_model_is_loaded")
def test_two_images_of_one_name_are_refused_before_work(refused, picture, tmp_path):
    line = refused("segment", picture, tmp_path / "tissue.jpg", "--output", tmp_path / "out")
    assert "would both be written to" in line


def test_unknown_model_is_one_line(refused, picture, tmp_path):
    words = ("segment", picture, "--output", tmp_path / "new" / "a.tif", "--model", "uninuc-zero")
    assert refused(*words).startswith("no model 'uninuc-zero'; expected an id")
    assert not (tmp_path / "new").exists()


class Bomb:
    """Pickles into a call that makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
def test_pickled_checkpoint_is_refused_and_not_run(refused, picture, random_model, tmp_path, name):
    from napari_uninuc.network.card import card_for_preset, sha256_of, write_card

    folder = tmp_path / "model"
    folder.mkdir()
    (folder / name).write_bytes(pickle.dumps(Bomb(tmp_path / "harm")))
    card = card_for_preset("uninuc-n")
    from dataclasses import replace

    write_card(replace(card, sha256=sha256_of(folder / name)), folder)
    words = ("segment", picture, "--output", tmp_path / "new" / "a.tif", "--model", folder / name)
    assert refused(*words).startswith(str(folder / name))
    assert not (tmp_path / "harm").exists()
    assert not (tmp_path / "new").exists()


def test_damaged_weights_are_one_line(refused, picture, random_model, tmp_path):
    folder = shutil.copytree(random_model, tmp_path / "model")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    words = ("segment", picture, "--output", tmp_path / "a.tif", "--model", folder)
    assert "sha256 is" in refused(*words)


def test_failure_while_writing_leaves_the_earlier_result(
    refused, picture, random_model, tmp_path, monkeypatch
):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    target = tmp_path / "out" / "a.tif"
    target.parent.mkdir()
    target.write_bytes(b"earlier")
    monkeypatch.setattr(tifffile.TiffWriter, "write", full)
    line = refused("segment", picture, "--output", target, "--model", random_model)
    assert "No space left on device" in line
    assert target.read_bytes() == b"earlier"
    assert list(target.parent.iterdir()) == [target]


def test_a_gpu_that_is_full_is_told_and_the_cpu_goes_on(
    uninuc, picture, random_model, tmp_path, monkeypatch
):
    import torch

    from napari_uninuc.engine.torch_engine import TorchEngine

    move, embed = TorchEngine.move_to, TorchEngine.embed
    crowded = []

    def moved(engine, device):
        move(engine, device)
        if crowded == [] and device.type == "cpu":
            engine.device = torch.device("mps")  # what it computes is the CPU's

    def full(engine, *field):
        if engine.device.type == "mps":
            crowded.append(1)
            raise RuntimeError("MPS backend out of memory (MPS allocated: 8.96 GB)")
        return embed(engine, *field)

    monkeypatch.setattr(TorchEngine, "move_to", moved)
    monkeypatch.setattr(TorchEngine, "embed", full)
    target = tmp_path / "result.csv"
    status, out, err = uninuc("segment", picture, "--output", target, "--model", random_model)
    assert status == 0
    assert err.count("\n") == 1
    assert err.startswith("uninuc: warning: Apple GPU (mps) ran out of memory")
    assert len(read_ids(target)) > 3
    assert "nuclei" in out
