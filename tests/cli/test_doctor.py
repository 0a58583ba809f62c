import sys

import pytest

from napari_uninuc.cli import doctor as doctor_module
from napari_uninuc.gui.window import check as window_check
from napari_uninuc.gui.window.check import WindowState

TITLES = ("system", "packages", "devices", "models", "folders", "slides", "napari")


@pytest.fixture
def sections(uninuc, random_model, monkeypatch):
    """Run the doctor; returns each section's lines."""
    monkeypatch.setenv("UNINUC_MODELS", str(random_model.parent))

    def call():
        status, out, err = uninuc("doctor")
        assert (status, err) == (0, "")
        found = {}
        for block in out.split("\n\n")[1:]:
            title, *lines = block.splitlines()
            found[title] = [line.split(None, 1) for line in lines]
        return found

    return call


def test_page_of_a_working_machine(sections, random_model, monkeypatch):
    import torch

    working = WindowState(napari="9.9.9", qt="PyQt6 6.6", plugin="manifest is valid", window=True)
    monkeypatch.setattr(window_check, "probe_window", lambda: working)
    page = sections()
    assert tuple(page) == TITLES
    assert ["torch", torch.__version__.split("+")[0]] in [
        [name, text.split("+")[0]] for name, text in page["packages"]
    ]
    assert any(name == "cpu" and "threads" in text for name, text in page["devices"])
    assert any(name == "auto" and "encoder in" in text for name, text in page["devices"])
    assert any(name == "uninuc-n" for name, _ in page["models"])
    assert any("matches its card" in " ".join(line) for line in page["models"])
    assert page["folders"] == [
        ["models", f"{random_model.parent}, writable"],
        ["embeddings", "not kept on disk (UNINUC_EMBEDDINGS_GB=0)"],
    ]
    assert ["window", "opens"] in page["napari"]
    assert ["import", "9.9.9"] in page["napari"]


def test_a_model_folder_that_cannot_be_written_is_told(sections, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(window_check, "probe_window", WindowState)
    monkeypatch.setenv("UNINUC_MODELS", str(tmp_path / "file"))
    (name, text), _ = sections()["folders"]
    assert name == "models"
    assert text.startswith(f"{tmp_path / 'file'}")
    assert "cannot be written" in text


def test_the_store_of_embeddings_is_told(sections, tmp_path, monkeypatch):
    monkeypatch.setattr(window_check, "probe_window", WindowState)
    monkeypatch.setenv("UNINUC_CACHE", str(tmp_path))
    monkeypatch.setenv("UNINUC_EMBEDDINGS_GB", "1")
    _, (name, text) = sections()["folders"]
    assert name == "embeddings"
    assert text.startswith(f"{tmp_path / 'embeddings'}, 0 of 0.00 GB, at most ")


def test_what_slides_need_is_told(sections, monkeypatch):
    import distributed
    import openslide

    monkeypatch.setattr(window_check, "probe_window", WindowState)
    library = f"{openslide.__version__}, library {openslide.__library_version__}"
    assert sections()["slides"] == [
        ["openslide", library],
        ["distributed", distributed.__version__],
    ]
    monkeypatch.setitem(sys.modules, "openslide", None)
    monkeypatch.setitem(sys.modules, "distributed", None)
    found = dict(sections()["slides"])
    assert "pip install 'napari-uninuc[slides]'" in found["openslide"]
    assert "pip install 'napari-uninuc[cluster]'" in found["distributed"]


def test_page_without_napari(sections, monkeypatch):
    monkeypatch.setattr(window_check, "find_spec", lambda name: None)
    page = sections()
    assert tuple(page) == TITLES
    assert ["import", "no"] in page["napari"]
    [problem] = [text for name, text in page["napari"] if name == "problem"]
    assert 'pip install "napari-uninuc[all]"' in problem


def test_a_broken_part_hides_no_other(sections, monkeypatch):
    def broken():
        raise ImportError("libcudart.so.13: cannot open\nshared object file")

    monkeypatch.setattr(window_check, "probe_window", broken)
    monkeypatch.setattr(doctor_module, "_PACKAGES", ("no-such-package",))
    page = sections()
    assert tuple(page) == TITLES
    text = "ImportError: libcudart.so.13: cannot open shared object file"
    assert page["napari"] == [["problem", text]]
    assert page["packages"] == [["no-such-package", "not installed"]]


def test_the_window_alone_is_no_broken_installation(sections, monkeypatch):
    monkeypatch.setattr(window_check, "probe_window", WindowState)
    monkeypatch.setattr(doctor_module, "find_spec", lambda name: None)
    page = sections()
    assert page["devices"][0][0] == "none"
    assert "on a server" in page["devices"][0][1]
    assert [name for name, _ in page["folders"]] == ["models"]
    assert not any(
        name == "problem" for title in page for name, *_ in page[title] if title != "napari"
    )
