"""Processes that are killed while they correct nuclei lose the change in flight at most."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kill_sessions.py"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the script forks")
def test_killed_at_random_moments_no_more_than_one_change_is_missing():
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--kills", "30", "--seed", "1000"],
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "wrong or more than one missing: 0" in done.stdout
    assert done.stdout.startswith("30 kills")
