"""A model of random weights and small pictures, for commands that need them."""

import io

import numpy as np
import pytest
from PIL import Image
from skimage import data

from napari_uninuc.cli.app import run


@pytest.fixture(scope="session")
def random_model(tmp_path_factory):
    """Folder of a uninuc-n with random weights that keeps every detection."""
    from dataclasses import replace

    from napari_uninuc.network.build import build_model
    from napari_uninuc.network.card import card_for_preset
    from napari_uninuc.network.checkpoint import save_model
    from napari_uninuc.network.config import preset

    folder = tmp_path_factory.mktemp("models") / "uninuc-n"
    card = replace(card_for_preset("uninuc-n"), score_threshold=0.0)
    save_model(build_model(preset("uninuc-n"), seed=0), card, folder)
    return folder


@pytest.fixture
def picture(tmp_path):
    """Real tissue, 96 x 128 px, in an otherwise empty folder."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.fromarray(data.immunohistochemistry()[:96, :128]).save(folder / "tissue.png")
    return folder / "tissue.png"


@pytest.fixture
def bad_pictures(tmp_path):
    """Files that are no picture, by what is wrong with them."""
    folder = tmp_path / "bad"
    folder.mkdir()
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(stream, format="PNG")
    whole = stream.getvalue()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "text.png").write_text("not a picture\n", encoding="utf-8")
    (folder / "empty.png").touch()
    names = ("cut", "text", "empty", "missing")
    return {name: folder / f"{name}.png" for name in names}


@pytest.fixture
def uninuc(capsys):
    """Run a command line; returns (status, standard output, standard error)."""

    def call(*words):
        status = run([str(word) for word in words])
        written = capsys.readouterr()
        return status, written.out, written.err

    return call


@pytest.fixture
def refused(uninuc):
    """Run a command line that must fail as promised; returns the line, without its start."""

    def call(*words):
        status, out, err = uninuc(*words)
        assert (status, out) == (2, "")
        assert err.startswith("uninuc: error: ")
        assert err.count("\n") == 1
        assert err.endswith("\n")
        return err.removeprefix("uninuc: error: ").strip()

    return call


@pytest.fixture
def no_model_is_loaded(monkeypatch):
    """Fail the test where a command loads a model."""
    from napari_uninuc.engine import predictor

    def load(*_, **__):
        pytest.fail("a model was loaded before the input was checked")

    monkeypatch.setattr(predictor, "load_predictor", load)
