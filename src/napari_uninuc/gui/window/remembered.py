"""What the window remembers of how a person arranged it, from one start to the next."""

from qtpy.QtCore import QSettings

__all__ = ["recall", "recall_text", "remember"]


def recall(name: str, default: bool) -> bool:
    """Tell what was remembered under a name; what is damaged or of another kind is the default."""
    stored = _settings().value(name)
    return {"true": True, "false": False}.get(str(stored).lower(), default)


def recall_text(name: str) -> str:
    """Tell what text was remembered under a name; nothing, or what is no text, is empty."""
    stored = _settings().value(name)
    return stored if isinstance(stored, str) else ""


def remember(name: str, value: bool | str) -> None:
    """Keep it in the person's own settings; where they cannot be written, until napari ends."""
    _settings().setValue(name, value)


def _settings() -> QSettings:
    return QSettings(
        QSettings.Format.IniFormat, QSettings.Scope.UserScope, "napari-uninuc", "window"
    )
