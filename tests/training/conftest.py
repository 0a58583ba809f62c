"""Two small labelled pictures, and sums that come in one order."""

from pathlib import Path

import pytest
from running import one_thread, write_discs


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Of the module, as finished runs are."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def nuclei(tmp_path_factory) -> Path:
    """Two labelled pictures, see `write_discs`."""
    return write_discs(tmp_path_factory.mktemp("nuclei"))
