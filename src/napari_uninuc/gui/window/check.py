"""Whether napari can open a window here, found out in a process that may crash.

Qt ends the whole process where there is no display or a system library is missing, so the
question is put to a child: ``python -m napari_uninuc.gui.window.check``.
"""

import json
import subprocess
import sys
from dataclasses import asdict, dataclass, fields
from importlib.util import find_spec
from pathlib import Path

import napari_uninuc
from napari_uninuc.errors import DeviceError

__all__ = ["WindowState", "probe_window", "require_window"]

_LONGEST_S = 120
"""A first import of napari on a slow disk takes tens of seconds."""

_MANIFEST = Path(napari_uninuc.__file__).parent / "napari.yaml"

_INSTALL = 'pip install "napari-uninuc[all]"'


@dataclass(frozen=True, slots=True)
class WindowState:
    """What of napari works.

    Attributes
    ----------
    napari : version, empty where it cannot be imported
    qt : Qt binding and version, empty where there is none
    plugin : whether our manifest is valid and napari finds it, in words
    window : a Qt application started
    problem : what stopped the check, one line; empty where all is well
    """

    napari: str = ""
    qt: str = ""
    plugin: str = ""
    window: bool = False
    problem: str = ""


def probe_window() -> WindowState:
    """Try napari, Qt, our manifest and a Qt application in a child process; takes seconds."""
    if find_spec("napari") is None:
        return WindowState(problem=f"napari is not installed; {_INSTALL}")
    command = [sys.executable, "-m", "napari_uninuc.gui.window.check"]
    try:
        child = subprocess.run(
            command, capture_output=True, text=True, timeout=_LONGEST_S, check=False
        )
    except subprocess.TimeoutExpired:
        return WindowState(problem=f"napari did not start within {_LONGEST_S} s")
    return _understood(child.stdout, child.stderr)


def require_window() -> None:
    """Raise DeviceError, in one line, where napari cannot open a window."""
    state = probe_window()
    if state.problem:
        raise DeviceError(f"expected napari with a window, got: {state.problem}")


def _understood(output: str, errors: str) -> WindowState:
    """Put together what the child printed, step by step, before it ended or crashed."""
    found: dict[str, str | bool] = {}
    for line in output.splitlines():
        if line.startswith("{"):
            found |= json.loads(line)
    known = {field.name for field in fields(WindowState)}
    state = WindowState(**{key: value for key, value in found.items() if key in known})  # type: ignore[arg-type]
    if state.window or state.problem:
        return state
    said = next((line.strip() for line in errors.splitlines() if line.strip()), "no message")
    advice = "set DISPLAY, or start it by xvfb-run; see that Qt's X libraries are installed"
    return WindowState(**asdict(state) | {"problem": f"Qt cannot open a window ({said}); {advice}"})


def _check() -> None:
    """Print one JSON object after each step, so that a crash loses only what follows."""
    try:
        import napari

        _say(napari=napari.__version__)
        _say(plugin=_plugin_state())
        import qtpy
        from qtpy.QtWidgets import QApplication

        _say(qt=f"{qtpy.API_NAME} {qtpy.QT_VERSION}")
    except Exception as problem:  # a broken installation raises anything
        _say(problem=f"{_in_one_line(problem)}; {_INSTALL}")
        return
    application = QApplication([])
    _say(window=application is not None)


def _plugin_state() -> str:
    import npe2

    try:
        manifest = npe2.PluginManifest.from_file(_MANIFEST)
        manifest.validate_imports()
    except Exception as problem:  # as above
        return f"manifest is not valid: {_in_one_line(problem)}"
    plugins = npe2.PluginManager()
    plugins.discover()
    found = "found by napari" if manifest.name in plugins else "not found by napari; install it"
    return f"manifest is valid, {found}"


def _in_one_line(problem: Exception) -> str:
    return f"{type(problem).__name__}: {' '.join(str(problem).split())}"


def _say(**values: str | bool) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _check()
