"""At 200 %, as screens of laptops are set: what holds at 100 % holds there too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_HERE = Path(__file__).parent
_ALSO_AT_200_PERCENT = (
    "test_scaling.py::test_the_screen_is_at_200_percent",
    "test_marks.py::test_an_outline_is_as_wide_at_any_zoom",
    "test_marks.py::test_what_is_kept_as_a_picture_looks_like_what_is_drawn[3.0]",
    "test_tools.py::test_clicking_a_nucleus_takes_it_in_hand_and_changes_nothing",
    "test_tools.py::test_a_box_adds_a_nucleus_and_the_camera_stays",
    "test_tools.py::test_hovering_shows_what_would_be_hit",
    "test_box_grip.py::test_dragging_a_side_asks_anew_and_encodes_nothing",
)


@pytest.mark.skipif("QT_SCALE_FACTOR" not in os.environ, reason="started by the test below")
def test_the_screen_is_at_200_percent(canvas):
    assert canvas.widget.devicePixelRatio() == 2.0
    shot = canvas.shot()
    assert shot.shape[:2] == (2 * canvas.widget.height(), 2 * canvas.widget.width())


@pytest.mark.slow
@pytest.mark.skipif("QT_SCALE_FACTOR" in os.environ, reason="this is what it started")
def test_lines_clicks_and_sides_of_boxes_are_right_at_200_percent():
    """In a process of its own: Qt asks for the scale once, before there is any window."""
    chosen = [str(_HERE / each) for each in _ALSO_AT_200_PERCENT]
    words = ["-q", "-n", "0", "-p", "no:cacheprovider", "-p", "no:randomly"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, *chosen],
        env={**os.environ, "QT_SCALE_FACTOR": "2"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert f"{len(chosen)} passed" in done.stdout
