"""Every recipe that comes with the project is tried out, on data as tiny as can be."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from layouts import WRITERS
from PIL import Image

from napari_uninuc.network.config import PRESETS, DetectorConfig, HieraConfig

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").rglob("*.toml"))
CLASSES = ("epithelial", "spindle", "inflammatory", "miscellaneous")


def is_training(path):
    return "\nsteps = " in path.read_text(encoding="utf-8")


def _name(path):
    return path.relative_to(ROOT / "recipes").with_suffix("").as_posix()


_ONE_OF_A_KIND = {
    "consep-language",
    "dense/semantic",
    "dense/evaluate-semantic",
    "evaluate-automatic",
    "evaluate-consep-classes",
    "next-point/likeness",
    "next-point/reward",
    "paper/evaluate-pannuke-split1",
    "paper/train-pannuke-split1-language",
    "uninuc-n",
    "uninuc-n-9",
}
"""Recipes that stand for those like them where slow tests are left out."""


def _marked(paths):
    return [
        pytest.param(
            path, id=_name(path), marks=() if _name(path) in _ONE_OF_A_KIND else pytest.mark.slow
        )
        for path in paths
    ]


_NOT_YET = ("initial", "averaged_with", "next_point.initial", "dense.initial")
"""What may be said to be missing, because another recipe makes it."""


def write_tiles(folder, names, classes=None):
    """Four dark discs a picture of 96 px, in the plain layout."""
    ys, xs = np.mgrid[:96, :96]
    labels = np.zeros((96, 96), np.uint16)
    for nucleus, (y, x) in enumerate([(20, 20), (20, 65), (65, 20), (65, 65)], start=1):
        labels[(ys - y) ** 2 + (xs - x) ** 2 <= 81] = nucleus
    rgb = np.where((labels > 0)[..., None], (90, 60, 150), (235, 190, 215)).astype(np.uint8)
    for part in ("images", "labels", *(["classes"] if classes else [])):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(rgb).save(folder / "images" / f"{name}.png")
        Image.fromarray(labels).save(folder / "labels" / f"{name}.png")
        if classes:
            entries = ", ".join(f'"{k}": "{kind}"' for k, kind in enumerate(classes, start=1))
            (folder / "classes" / f"{name}.json").write_text(f"{{{entries}}}", encoding="utf-8")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The data of the recipes in recipes/, a picture where there are hundreds."""
    folder = tmp_path_factory.mktemp("plain")
    kept_out = (
        "TCGA-18-5592-01Z-00-DX1",
        "TCGA-AY-A8YK-01A-01-TS1",
        "TCGA-CH-5767-01Z-00-DX1",
        "TCGA-G9-6336-01Z-00-DX1",
    )
    write_tiles(folder / "monuseg" / "train", ["TCGA-00-1", *kept_out])
    write_tiles(folder / "monuseg" / "test", ["TCGA-00-2"])
    consep = [f"train_{k}" for k in range(1, 28)] + ["test_1"]
    write_tiles(folder / "consep", consep, CLASSES)
    write_tiles(folder / "dsb2018_stained", [*"05ab"])
    write_tiles(folder / "gbm40", ["01", "05", "10"])
    write_tiles(folder / "tcga_glioma", ["TCGA-DB-5270-R01", "TCGA-DU-8165-R01"])
    organs = ("human_brain", "human_cardia", "human_lung", "human_tonsile", "mouse_heart")
    write_tiles(folder / "nuinsseg", [f"{organ}_1" for organ in organs])
    write_tiles(folder / "nuinsseg_partial", ["human_melanoma_1"])
    write_tiles(folder / "ihc_epcam", ["16a_cores_1_x1010_y2542", "2a_cores_12_x1528_y673"])
    return folder


@pytest.fixture(scope="module")
def public(tmp_path_factory):
    """The public data sets of recipes/paper in their own layouts."""
    folder = tmp_path_factory.mktemp("public")
    for name, write in WRITERS.items():
        if name != "lynsec-ihc":  # lies in the same folder
            write(folder / name.removesuffix("-he"))
    return folder


@pytest.fixture
def tiny_architectures(monkeypatch):
    """The paper's networks at a thousandth of their size; the bundled one is as it is."""
    for name, config in list(PRESETS.items()):
        if isinstance(config.encoder, HieraConfig):
            backbone = None if config.detector.backbone is None else "convnext_atto"
            monkeypatch.setitem(PRESETS, name, _tiny(config, backbone))


def _tiny(config, backbone):
    return replace(
        config,
        encoder=HieraConfig(16, 1, (1, 1, 2, 1), (3,), (7, 7), (8, 4, 14, 7)),
        detector=DetectorConfig(
            backbone, dim=64, heads=4, layers=1, ffn_dim=64, queries=12, groups=2, block=128
        ),
        input_size=128,
    )


@pytest.fixture
def environment(monkeypatch, tmp_path, plain, public):
    """Where a recipe finds its data; nothing of a person's own is touched."""

    def prepare(path):
        monkeypatch.chdir(tmp_path)
        is_public = path.parent.name == "paper" or path.stem.endswith("-pannuke")
        data = public if is_public else plain
        monkeypatch.setenv("UNINUC_DATA", str(data))
        monkeypatch.setenv("UNINUC_MODELS", str(tmp_path / "models"))
        monkeypatch.setenv("UNINUC_CACHE", str(tmp_path / "cache"))

    return prepare


@pytest.fixture
def wordless(monkeypatch):
    """Text encoders that need no weights."""
    import torch

    from napari_uninuc.network import language_encoders

    def read(sentences):
        return torch.tensor([[float(len(s)), float(s.count("e")), 1.0] for s in sentences])

    for name in language_encoders.ENCODERS:
        encoder = language_encoders.LazyEncoder(f"test {name}", read)
        monkeypatch.setitem(language_encoders.ENCODERS, name, encoder)


@pytest.fixture
def two_steps(monkeypatch):
    """Half as many as `--smoke` makes (tests/cli/test_train.py): there are fifty recipes."""
    monkeypatch.setattr("napari_uninuc.training.smoke.STEPS", 2)


@pytest.mark.usefixtures("two_steps")
@pytest.mark.parametrize("path", _marked(filter(is_training, RECIPES)))
def test_a_training_recipe_is_tried_out(
    uninuc, environment, tiny_architectures, wordless, tmp_path, path
):
    environment(path)
    status, out, err = uninuc("train", path, "--device", "cpu", "--smoke")
    assert (status, out) == (0, "smoke run passed: 2 steps and export; nothing was kept\n"), err
    begins = tuple(f"uninuc: warning: {key}: " for key in _NOT_YET)
    assert all(line.startswith(begins) for line in err.splitlines())
    assert [each.name for each in tmp_path.iterdir() if each.name != "cache"] == []


@pytest.mark.parametrize("path", _marked(p for p in RECIPES if not is_training(p)))
def test_an_evaluation_recipe_is_tried_out(uninuc, environment, tmp_path, path):
    environment(path)
    status, out, err = uninuc("evaluate", path, "--device", "cpu", "--smoke")
    assert (status, out.splitlines()[-1][:16]) == (0, "smoke run passed"), err
    begins = tuple(f"uninuc: warning: {key}: " for key in ("model", "maps", "classifier"))
    assert all(line.startswith(begins) for line in err.splitlines())
    assert [each.name for each in tmp_path.iterdir() if each.name != "cache"] == []


def test_there_are_recipes_of_both_kinds():
    training = sum(map(is_training, RECIPES))
    assert min(training, len(RECIPES) - training) > 10
    assert set(map(_name, RECIPES)) >= _ONE_OF_A_KIND
