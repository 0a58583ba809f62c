"""UniNuc: outline every nucleus of a histology tile, and correct the outlines by clicks.

Importing this package loads neither torch nor napari; the names below load on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_uninuc.errors import UniNucError

if TYPE_CHECKING:
    from napari_uninuc.core.segmentation import Segmentation
    from napari_uninuc.core.tile import Tile
    from napari_uninuc.engine.predictor import load_predictor

__all__ = ["Segmentation", "Tile", "UniNucError", "__version__", "load_predictor"]

__version__ = "0.1.0"

_HOMES = {
    "Segmentation": "napari_uninuc.core.segmentation",
    "Tile": "napari_uninuc.core.tile",
    "load_predictor": "napari_uninuc.engine.predictor",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
