"""In which precision an encoder is faster on this machine: measured once, and remembered.

bfloat16 halves the time where the hardware multiplies it, and is slower where it only stores it;
what the hardware says of itself is not always so. What was measured is kept in
``encoder-speed.json`` of the user's cache folder, under all it depends on. A file that is lost,
damaged or of another version costs one more measurement; a precision that this hardware lacks is
never taken from it.
"""

import json
import logging
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from torch import nn

from napari_uninuc.engine.device import encoder_dtype
from napari_uninuc.network.places import cache_folder

__all__ = ["choose_dtype", "fastest_dtype"]

_log = logging.getLogger(__name__)
_FILE = "encoder-speed.json"
_VERSION = 1
_SIDE_PX = 256
_ROUNDS = 3
_NAMES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def choose_dtype(encoder: nn.Module, architecture: str, device: torch.device) -> torch.dtype:
    """The precision an encoder shall run in here; measures where nobody has.

    Where the answer cannot be kept, the hardware's own word is taken and nothing measured, so that
    several processes of one machine always choose alike.

    Parameters
    ----------
    encoder : on ``device``, takes (1, 3, H, W) float32
    architecture : its name; machines remember by it
    """
    best = encoder_dtype(device)
    if best == torch.float32:
        return best
    key = "; ".join((architecture, _device_text(device), f"torch {torch.__version__}"))
    known = _remembered().get(key)
    if isinstance(known, dict) and known.get("dtype") in _NAMES:
        return _NAMES[known["dtype"]]
    if not _can_remember():
        return best
    chosen, seconds = fastest_dtype(encoder, (torch.float32, best), device)
    _remember(key, {"dtype": _name(chosen), "seconds": seconds})
    return chosen


@torch.inference_mode()
def fastest_dtype(
    encoder: Callable[[torch.Tensor], object],
    dtypes: tuple[torch.dtype, ...],
    device: torch.device,
) -> tuple[torch.dtype, dict[str, float]]:
    """Time an encoder on noise, by turns; the shortest of three counts, noise only adds.

    Parameters
    ----------
    encoder : takes (1, 3, 256, 256) float32, under autocast
    dtypes : to choose from

    Returns
    -------
    fastest, seconds : by name of the precision, for a picture of 256 x 256 px
    """
    image = torch.rand((1, 3, _SIDE_PX, _SIDE_PX), device=device)
    image = image.contiguous(memory_format=torch.channels_last)
    seconds = dict.fromkeys(dtypes, float("inf"))
    for turn in range(_ROUNDS + 1):
        for dtype in dtypes:
            began = time.perf_counter()
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                encoder(image)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if turn:  # the first warms up
                seconds[dtype] = min(seconds[dtype], time.perf_counter() - began)
    return min(seconds, key=lambda dtype: seconds[dtype]), {
        _name(dtype): round(value, 5) for dtype, value in seconds.items()
    }


def _remembered() -> dict[str, Any]:
    """What is in the file; nothing where it cannot be read as what we write."""
    try:
        stored = json.loads((cache_folder() / _FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    right = isinstance(stored, dict) and stored.get("version") == _VERSION
    measured = stored.get("measured") if right else None
    return measured if isinstance(measured, dict) else {}


def _can_remember() -> bool:
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(cache_folder(), os.W_OK)


def _remember(key: str, value: dict[str, Any]) -> None:
    """Write beside and rename. Of two processes at once one is forgotten, and measures again."""
    text = json.dumps({"version": _VERSION, "measured": {**_remembered(), key: value}}, indent=1)
    partial = cache_folder() / f".{_FILE}.{uuid4().hex[:12]}.part"
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, cache_folder() / _FILE)
    except OSError as problem:
        partial.unlink(missing_ok=True)
        _log.info("%s: not remembered: %s", _FILE, problem.strerror)


def _device_text(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} {_processor()}, {torch.get_num_threads()} threads"


def _processor() -> str:
    """The model of the CPU, for people; what torch says it can do where that is not known."""
    found = platform.processor()
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        names = [x for x in listing.read_text("utf-8").splitlines() if x.startswith("model name")]
        found = names[0].partition(":")[2].strip() if names else found
    return f"{found or platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
