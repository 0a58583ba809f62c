"""What is done when a device runs out of memory: make room, then go to the CPU, and say so."""

from collections.abc import Callable
from typing import TypeVar

import torch

from napari_uninuc.engine.device import device_name, is_out_of_memory
from napari_uninuc.engine.torch_engine import TorchEngine
from napari_uninuc.errors import DeviceError

__all__ = ["on_the_cpu_now", "where_it_fits"]

Result = TypeVar("Result")


def where_it_fits(
    engine: TorchEngine,
    work: Callable[[TorchEngine], Result],
    tell: Callable[[str], object],
    stop_others: Callable[[], object] = lambda: None,
) -> Result:
    """Do work; where memory is out, once more with room made, and then on the CPU from now on.

    Parameters
    ----------
    engine : moved to the CPU where its device stays full
    work : may be done up to three times
    tell : called with one line for the user when the CPU takes over
    stop_others : ends what else computes with the engine and waits for it; called before room is
        made

    Raises
    ------
    DeviceError
        Not enough memory on the CPU either.
    """
    made_room = False
    while True:
        try:
            return work(engine)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if made_room and engine.device.type == "cpu":
                raise DeviceError(
                    "there is not enough memory to compute this, got none left on the CPU; close "
                    "other programs or pass a smaller tile"
                ) from error
        # Only here is the error gone, and with it the frames that hold the device's tensors.
        stop_others()
        if not made_room:
            engine.make_room()
            made_room = True
        else:
            full = device_name(engine.device)
            engine.move_to(torch.device("cpu"))
            made_room = False
            tell(on_the_cpu_now(full))


def on_the_cpu_now(full: str) -> str:
    """Say that a device, called ``full``, had no memory left and the CPU takes over."""
    return (
        f"{full} ran out of memory: computing on the CPU now, which is slower. "
        "Load the model again to go back."
    )
