"""What a person chose in napari's preferences is what the widget begins with."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from npe2 import PluginManifest

import napari_uninuc
from napari_uninuc.client.address import ServerAddress
from napari_uninuc.errors import ModelNotFoundError
from napari_uninuc.gui.window.preferences import Preferences, preferences
from napari_uninuc.gui.work.model_slot import load_bundled
from napari_uninuc.network.card import card_for_preset, write_card
from napari_uninuc.network.registry import list_models
from napari_uninuc.testing import FakeAnnotator, FakeCard

napari_settings = pytest.importorskip("napari.settings")
pytestmark = pytest.mark.skipif(
    not hasattr(napari_settings, "get_plugin_settings"), reason="napari before 0.9"
)


@pytest.fixture
def settings(request, npe2pm):
    request.getfixturevalue("plugin_settings")  # napari's own, which keeps the real ones untouched
    npe2pm.register(PluginManifest.from_file(f"{napari_uninuc.__path__[0]}/napari.yaml"))
    return napari_settings.get_plugin_settings("napari-uninuc").correcting


def test_the_manifest_has_the_defaults_of_the_code(settings):
    assert preferences() == Preferences()


def test_what_is_chosen_is_read(settings):
    settings.device = "cpu"
    settings.classes = "tumour, immune cell,, tumour"
    settings.keep = False
    chosen = preferences()
    assert (chosen.device, chosen.keep) == ("cpu", False)
    assert chosen.class_names == ["tumour", "immune cell"]


@pytest.mark.parametrize(("chosen", "gigabytes"), [(True, None), (False, 0)])
def test_embeddings_stay_off_the_disk_if_so_chosen(settings, monkeypatch, chosen, gigabytes):
    asked = {}
    stand_in = SimpleNamespace(load_annotator=lambda *_, **options: asked.update(options))
    monkeypatch.setitem(sys.modules, "napari_uninuc.engine.annotator", stand_in)
    settings.embeddings = chosen
    load_bundled("uninuc-n", "cpu")
    assert asked == {"embeddings_gb": gigabytes, "adapter": None}


def test_classes_of_a_new_picture_are_those_chosen(settings, make_room):
    settings.classes = "tumour, immune cell"
    room = make_room()
    room.open(n_nuclei=2)
    assert room.session.classes.names == ("tumour", "immune cell")


def test_the_model_chosen_is_the_one_asked_for(settings, make_room):
    settings.device = "cpu"
    settings.model = "some/folder/mine"
    room = make_room()
    assert room.bench.models.wanted == ("some/folder/mine", "cpu")
    assert room.widget.model.model.currentText() == "mine"


def only_free(settings, monkeypatch, *, commercial_use):
    """Ask for models free for commercial use, where the one loaded is or is not."""
    made = FakeAnnotator(FakeCard(commercial_use=commercial_use, licence="research"))
    stand_in = SimpleNamespace(load_annotator=lambda *_, **__: made)
    monkeypatch.setitem(sys.modules, "napari_uninuc.engine.annotator", stand_in)
    settings.commercial_use = True
    return made


def test_no_other_model_than_a_free_one_is_loaded_if_so_chosen(settings, monkeypatch):
    only_free(settings, monkeypatch, commercial_use=False)
    with pytest.raises(ModelNotFoundError, match=r"not for commercial use \(research\)"):
        load_bundled("somewhere/mine", "cpu")
    made = only_free(settings, monkeypatch, commercial_use=True)
    assert load_bundled("somewhere/mine", "cpu") is made


def test_only_free_models_are_offered_if_so_chosen(settings, make_room, tmp_path, monkeypatch):
    monkeypatch.setenv("UNINUC_MODELS", str(tmp_path))
    (tmp_path / "free").mkdir()
    write_card(replace(card_for_preset("uninuc-n"), id="free"), tmp_path / "free")
    settings.commercial_use = True
    room = make_room()
    model = room.widget.model.model
    offered = [model.itemData(row) for row in range(model.count())]
    assert offered == [each.card.id for each in list_models(print) if each.card.commercial_use]
    assert "free" in offered
    assert room.bench.models.wanted[0] == offered[0]


def test_a_server_may_be_the_model_to_begin_with(settings, make_room):
    settings.model = "http://gpu:8000"
    room = make_room()
    assert room.bench.models.wanted == (ServerAddress("http://gpu:8000"), "server")
    assert room.widget.model.server.text() == "http://gpu:8000"


def test_without_a_manifest_the_defaults_hold(npe2pm):
    npe2pm.discover()
    assert preferences() == Preferences()
