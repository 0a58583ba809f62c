"""What a person chose in napari's preferences is what the widget begins with."""

import sys
from types import SimpleNamespace

import pytest
from npe2 import PluginManifest

import napari_uninuc
from napari_uninuc.gui.window.preferences import Preferences, preferences
from napari_uninuc.gui.work.model_slot import load_bundled

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
    assert asked == {"embeddings_gb": gigabytes}


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


def test_without_a_manifest_the_defaults_hold(npe2pm):
    npe2pm.discover()
    assert preferences() == Preferences()
