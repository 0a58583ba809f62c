"""Reports on disk, read again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from napari_uninuc.errors import DatasetError

__all__ = ["reading_report"]


@contextmanager
def reading_report(path: Path) -> Iterator[dict[str, Any]]:
    """Give what a ``report.json`` holds; what is missing in it inside the block is its fault.

    Raises
    ------
    DatasetError
        Not readable, or no report of `uninuc evaluate`.
    """
    try:
        yield json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(
            f"{path}: cannot read the report: {error.strerror}; pass a report.json"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{path}: expected a report.json of uninuc evaluate, got something else; "
            "run the evaluation again"
        ) from error
