"""The tables, the machine they are of, and a picture of how they scale."""

import json
import os
import platform
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from timing import Row

AIMS = {
    "encode": "floor 1.0, aim 0.6",
    "click, point": "floor 0.2, aim 0.05",
    "click, box": "floor 0.2, aim 0.05",
    "click, point and mask": "floor 0.2, aim 0.05",
    "256 boxes": "floor 0.02, aim 0.005",
    "automatic, 1024 px": "floor 0.1",
    "click, 4096 / 1024 px": "floor 1.2, aim 1.0",
}


def machine(device: str, threads: int) -> dict[str, Any]:
    """What the figures are of."""
    import torch

    names = []
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        lines = listing.read_text("utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    made = {
        "date": date.today().isoformat(),
        "device": device,
        "system": platform.platform(),
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": threads,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "sam2", "timm")},
    }
    if device.startswith("cuda"):
        made["gpu"] = torch.cuda.get_device_name(device)
    if hasattr(os, "getloadavg"):
        made["load average at the end"] = round(os.getloadavg()[0], 2)
    return made


def as_markdown(of: dict[str, Any], rows: list[Row], memory: list[dict[str, Any]]) -> str:
    """Two tables and the machine, in that order."""
    lines = [
        "| step | who | seconds, median | rounds | ours / SAM 2 | asked |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        for place, (name, values) in enumerate(row.seconds.items()):
            ratio = f"**{row.ratio:.4f}**" if row.ratio is not None and place == 0 else ""
            aim = AIMS.get(row.step, "") if ratio else ""
            lines.append(
                f"| {row.step if place == 0 else ''} | {name} | {row.median(name):.4f} "
                f"| {len(values)} | {ratio} | {aim} |"
            )
        if row.note:
            lines.append(f"| | {row.note} | | | | |")
    lines += ["", "| memory at the peak | who | MiB |", "|---|---|---|"]
    lines += [f"| {each['step']} | {each['who']} | {each['mib']:.0f} |" for each in memory]
    lines += ["", *(f"- {name}: {value}" for name, value in of.items())]
    return "\n".join(lines) + "\n"


def save(
    folder: Path, of: dict[str, Any], rows: list[Row], memory: list[dict[str, Any]]
) -> tuple[Path, Path]:
    """Write against-sam2.md and .json."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"against-sam2-{of['device'].split(':')[0]}"
    text, numbers = folder / f"{name}.md", folder / f"{name}.json"
    text.write_text(as_markdown(of, rows, memory), encoding="utf-8")
    values = [
        {"step": r.step, "seconds": r.seconds, "ratio": r.ratio, "note": r.note} for r in rows
    ]
    stored = {"machine": of, "timings": values, "memory": memory}
    numbers.write_text(json.dumps(stored, indent=1), encoding="utf-8")
    return text, numbers


def plot(rows: list[Row], path: Path) -> None:
    """Click and automatic time by the tile's side, automatic time by nuclei; needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(10.5, 3.2), constrained_layout=True)
    groups = (
        ("click on ", " px", "one click, ms", 1000.0),
        ("automatic, ", " px", "automatic, s", 1.0),
        ("automatic, ", " nuclei", "automatic on 1,024 px, s", 1.0),
    )
    for axis, (before, after, title, factor) in zip(axes, groups, strict=True):
        points = sorted(
            (int(row.step[len(before) : -len(after)]), factor * row.median("uninuc-n"))
            for row in rows
            if row.step.startswith(before) and row.step.endswith(after) and len(row.seconds) == 1
        )
        axis.plot(*zip(*points, strict=True), marker="o", color="#5b3a8e")
        axis.set(
            title=title, ylim=(0, None), xlabel="nuclei" if "nuc" in after else "tile side, px"
        )
        axis.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
