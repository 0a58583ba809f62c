"""The page of keys to print says what the window says."""

import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


def test_the_page_is_made_of_the_table(qapp, monkeypatch):
    pytest.importorskip("napari")
    monkeypatch.setattr(sys, "path", [str(DOCS), *sys.path])
    from make_keys import page

    assert (DOCS / "keys.md").read_text(encoding="utf-8") == page()
