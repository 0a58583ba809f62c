"""Where what can be computed again is kept: embeddings, measured speeds, vectors of words."""

import os
from pathlib import Path

from platformdirs import user_cache_path

__all__ = ["CACHE_VARIABLE", "cache_folder"]

CACHE_VARIABLE = "UNINUC_CACHE"


def cache_folder() -> Path:
    """``$UNINUC_CACHE``, or napari-uninuc's folder among the user's caches; may not exist yet."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    return user_cache_path("napari-uninuc", appauthor=False)
