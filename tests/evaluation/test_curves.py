"""Curves of corrections, drawn and written."""

from dataclasses import replace

import pytest

from napari_uninuc.evaluation import curves
from napari_uninuc.evaluation.summary import SummaryRow

FIRST = SummaryRow("set", "box", True, 0, "msa", 0.5, 0.4, 0.6, 9)
SUMMARY = [
    replace(FIRST, iteration=7, mean=0.9, low=0.85, high=0.95),
    FIRST,
    replace(FIRST, metric="mean_iou", mean=0.99),
    replace(FIRST, prompt="automatic", with_mask=False),
    replace(FIRST, with_mask=False),
]


def test_text_has_a_line_for_each_round_in_order():
    text = curves.curves_text(SUMMARY)
    assert text.splitlines()[0] == "mSA, set, box"
    assert text.splitlines()[1:] == [f"I0  0.5000  {'#' * 20}", f"I7  0.9000  {'#' * 36}"]


def test_nothing_to_draw_makes_no_file(tmp_path):
    assert curves.curves_text([FIRST]) == ""
    assert curves.write_curves([FIRST], tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_no_file_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(curves, "find_spec", lambda name: None)
    assert curves.write_curves(SUMMARY, tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_pictures_are_written_and_replaced(tmp_path):
    pytest.importorskip("matplotlib", reason="curves are drawn only where it is installed")
    for _ in range(2):
        written = curves.write_curves(SUMMARY, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(curves.CURVE_NAMES)
    png, svg = (path.read_bytes() for path in written)
    assert png.startswith(b"\x89PNG")
    assert b"<svg" in svg
