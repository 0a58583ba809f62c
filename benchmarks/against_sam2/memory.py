"""Most memory each step needs, every step in a process of its own."""

import json
import re
import resource
import subprocess
import sys
from pathlib import Path

from contenders import BUNDLED, OURS, THEIRS

STEPS = {
    "load": (OURS, THEIRS, BUNDLED),
    "encode 1024 px": (OURS, THEIRS, BUNDLED),
    "encode, 256 boxes": (OURS, THEIRS, BUNDLED),
    "automatic 1024 px": (BUNDLED,),
    "automatic 4096 px": (BUNDLED,),
}
"""SAM 2 is given its boxes 64 at a time, ours 256."""


def peaks(device: str, threads: int, sides: tuple[int, ...]) -> list[dict[str, object]]:
    """Run every step; MiB resident at the peak, of a GPU what torch had allocated too."""
    rows: list[dict[str, object]] = []
    for step, names in STEPS.items():
        if step.startswith("automatic") and int(step.split()[1]) > max(sides):
            continue
        for name in names:
            command = [sys.executable, str(Path(__file__).parent), "--memory-of", f"{name}|{step}"]
            command += ["--device", device, "--threads", str(threads)]
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            rows.append({"step": step, "who": name, **json.loads(answer.stdout.splitlines()[-1])})
    return rows


def measure(who: str, step: str, device: str) -> dict[str, float]:
    """One step, in this process; the peak it had before is forgotten first."""
    import numpy as np
    from contenders import ask_boxes, grid_boxes, make, nuclei_for, picture

    # A picture of the tests' making needs much while it is made: made before the peak counts.
    named = re.search(r"(\d+) px", step)
    side = int(named.group(1)) if named else 1024
    tile = None if step == "load" else picture(side, nuclei_for(side))
    _forget_peak()
    predictor = make(who, device)
    if tile is not None:
        predictor.set_image(tile if who != THEIRS else tile.rgb)
    if step.endswith("boxes"):
        boxes: np.ndarray = grid_boxes(256, side)
        ask_boxes(predictor, boxes, 64 if who == THEIRS else 256)
    elif step.startswith("automatic"):
        predictor.segment()
    found = {"mib": _peak_mib()}
    if device.startswith("cuda"):
        import torch

        found["gpu_mib"] = torch.cuda.max_memory_allocated() / 2**20
    return found


def _forget_peak() -> None:
    """Linux; elsewhere a process that does one thing has one peak."""
    place = Path("/proc/self/clear_refs")
    if place.exists():
        place.write_text("5", encoding="ascii")


def _peak_mib() -> float:
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"VmHWM:\s+(\d+)", status.read_text(encoding="ascii"))
        if found:
            return int(found.group(1)) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
