"""Libraries that only some formats need: asked for when they are used, named where absent."""

import importlib
from typing import Any

from napari_uninuc.errors import UniNucError

__all__ = ["require_library"]


def require_library(name: str, extra: str, what: str, error: type[UniNucError]) -> Any:
    """Import a library of one of our extras.

    Parameters
    ----------
    name : of the module
    extra : of napari-uninuc that installs it
    what : it is needed for, as the subject of a sentence

    Raises
    ------
    error
        It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as problem:
        if problem.name is None or problem.name.split(".")[0] != name.split(".")[0]:
            raise
        raise error(
            f"{what} need the package {name.split('.')[0]}, got none; "
            f'pip install "napari-uninuc[{extra}]"'
        ) from None
