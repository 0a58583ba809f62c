"""The one place where the plugin speaks to the person at the window."""

import logging

from napari.utils.notifications import show_error, show_info, show_warning

from napari_uninuc.errors import UniNucError

__all__ = ["tell", "tell_problem", "warn"]

_log = logging.getLogger("napari_uninuc")


def tell(text: str) -> None:
    """Say something worth knowing."""
    show_info(text)


def warn(text: str) -> None:
    """Say something to be careful about."""
    show_warning(text)


def tell_problem(problem: Exception) -> None:
    """Say what went wrong: our own errors in their words, others with their type and a log."""
    if isinstance(problem, UniNucError):
        show_error(str(problem))
        return
    _log.error("unexpected problem", exc_info=problem)
    said = " ".join(str(problem).split())[:200]
    show_error(
        f"Something unexpected happened ({type(problem).__name__}: {said}). Your corrections are "
        "kept. Please report it with the page that `uninuc doctor` prints."
    )
