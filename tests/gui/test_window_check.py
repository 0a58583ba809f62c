import subprocess
import sys
from importlib.metadata import version

import pytest

from napari_uninuc.errors import DeviceError
from napari_uninuc.gui.window import check as window_check


@pytest.fixture
def child(monkeypatch):
    """Put other code in the place of the child process."""
    real = subprocess.run

    def put(code):
        def run(command, **options):
            return real([sys.executable, "-c", code], **options)

        monkeypatch.setattr(window_check.subprocess, "run", run)

    return put


@pytest.mark.slow
def test_real_napari_opens_a_window(qapp):
    state = window_check.probe_window()  # pytest-xvfb gives the child a display too
    assert state.napari == version("napari")
    assert state.qt.startswith("PyQt6 ")
    assert state.plugin.startswith("manifest is valid")
    assert state.window
    assert state.problem == ""
    window_check.require_window()


def test_a_crash_is_told_with_what_came_before_it(child):
    child(
        'import os, sys; print(\'{"napari": "0.9"}\', flush=True); '
        "print('could not connect to display', file=sys.stderr, flush=True); os.abort()"
    )
    state = window_check.probe_window()
    assert state.napari == "0.9"
    assert not state.window
    assert "could not connect to display" in state.problem
    with pytest.raises(DeviceError, match=r"could not connect to display.*set DISPLAY"):
        window_check.require_window()


def test_a_hanging_napari_is_given_up(child, monkeypatch):
    monkeypatch.setattr(window_check, "_LONGEST_S", 1)
    child("import time; time.sleep(60)")
    assert "did not start within 1 s" in window_check.probe_window().problem


def test_without_napari_the_install_command_is_named(monkeypatch):
    monkeypatch.setattr(window_check, "find_spec", lambda name: None)
    with pytest.raises(DeviceError, match=r'pip install "napari-uninuc\[all\]"'):
        window_check.require_window()
