"""Which device computes, and in which precision."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TypeVar

import torch

from napari_uninuc.errors import DeviceError

__all__ = [
    "choose_device",
    "device_name",
    "encoder_dtype",
    "is_out_of_memory",
    "one_thread",
    "room_for_embeddings",
    "side_by_side",
    "wait_for",
]

First = TypeVar("First")
Second = TypeVar("Second")
_helper = ThreadPoolExecutor(1, thread_name_prefix="uninuc-helper")
"""Starts no thread before it is used; Python waits for its last work at exit."""
_MOST_KEPT = 2 * 1024**3
_SAYINGS = (
    "out of memory",  # CUDA, ROCm and Apple's GPU
    "not enough memory",
    "can't allocate memory",  # the CPU
    "alloc_failed",  # cuBLAS and cuDNN
    "cublas_status_not_initialized",  # cuBLAS that found no room for itself
)


def choose_device(name: str = "auto") -> torch.device:
    """Resolve ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Raises
    ------
    DeviceError
        An unknown name, or a device this machine does not have.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind = name.split(":")[0]
    if kind not in ("cpu", "cuda", "mps"):
        raise DeviceError(f"device must be auto, cpu, cuda or mps, got {name!r}; choose one")
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }[kind]
    if not available:
        raise DeviceError(f"device {name!r} is not available on this machine; use auto or cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(f"device {name!r} cannot be used ({error}); use auto or cpu") from error
    return device


def device_name(device: torch.device) -> str:
    """Name a device for people."""
    if device.type == "cuda" and torch.cuda.is_available():
        with suppress(RuntimeError):  # so full that CUDA cannot begin
            return f"{torch.cuda.get_device_name(device)} ({device})"
    return {"cpu": "CPU", "mps": "Apple GPU (mps)"}.get(device.type, str(device))


def is_out_of_memory(error: BaseException) -> bool:
    """Out of memory by type or, where torch has none for it, by what it says."""
    text = str(error).lower()
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(
        words in text for words in _SAYINGS
    )


def encoder_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware computes it natively, float32 elsewhere.

    Measured on a CPU with AVX-512 BF16: the bundled model's encoder is 2.5 times faster.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    if device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return torch.bfloat16
    return torch.float32


def room_for_embeddings(device: torch.device) -> int:
    """Bytes of embeddings to keep on a device: 2 GB, of a GPU at most a quarter of all it has."""
    whole = 4 * _MOST_KEPT
    with suppress(RuntimeError):  # a GPU that cannot be asked gets what a CPU gets
        if device.type == "cuda":
            whole = torch.cuda.mem_get_info(device)[1]
        elif device.type == "mps":
            whole = torch.mps.recommended_max_memory()
    return min(_MOST_KEPT, whole // 4)


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has done what the calling thread has asked of it; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()
    elif device.type == "mps":
        torch.mps.synchronize()


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on the calling thread alone, for work too small to share.

    Threads that share work wait for the slowest at every step, and where another program holds a
    core that wait is a time slice: clicks of 12 ms took 50 to 300 ms beside one busy process.
    """
    with _threads(1):
        yield


def side_by_side(
    device: torch.device, first: Callable[[], First], second: Callable[[], Second]
) -> tuple[First, Second]:
    """Do two things of about the same size at once, each with half of the CPU's threads.

    Threads that share the steps of one wait for each other at every step; two that do one each
    wait once (docs/speed.md). One after the other on a GPU, or where there is one thread.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads < 2:
        return first(), second()

    def helped() -> Second:
        torch.set_num_threads(threads // 2)
        return second()

    # The number is each thread's own, and the last one set is every new thread's: ours is last.
    with _threads(threads - threads // 2):
        beside = _helper.submit(helped)
        try:
            here = first()
        finally:
            problem = beside.exception()
    if problem is not None:
        raise problem
    return here, beside.result()


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let the calling thread compute with so many."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
