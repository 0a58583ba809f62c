"""From a request to the engine's thread and back, for as long as somebody listens."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from napari_uninuc.engine.protocol import Annotator
from napari_uninuc.serve.bodies import Bodies
from napari_uninuc.serve.offers import Offers
from napari_uninuc.serve.pictures import Shelf
from napari_uninuc.serve.room import EngineRoom
from napari_uninuc.serve.scale import Scales

__all__ = ["Service", "answered", "peer_of"]

Result = TypeVar("Result")

_LOOK_S = 0.5
_DECODERS = 2


@dataclass(slots=True, eq=False)
class Service:
    """All that requests share.

    Attributes
    ----------
    engine : the model as it came; used in the room's thread alone, save its card and what answers
        at once. So are those of `offers`
    say : prints one line for who started the server; never told what is in a picture or a name
    offers : classifiers and learnt states that clients may use
    decoders : threads that decode pictures: few, because each takes memory
    """

    engine: Annotator
    say: Callable[[str], object]
    offers: Offers = field(default_factory=Offers)
    room: EngineRoom = field(default_factory=EngineRoom)
    shelf: Shelf = field(default_factory=Shelf)
    bodies: Bodies = field(default_factory=Bodies)
    decoders: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(_DECODERS, "uninuc-decode")
    )
    scales: Scales = field(init=False)

    def __post_init__(self) -> None:
        self.scales = Scales(self.engine)

    def close(self) -> None:
        """Answer nothing more."""
        self.room.close()
        self.decoders.shutdown(cancel_futures=True)
        for engine in (self.engine, *(each.engine for each in self.offers.learnt.values())):
            engine.close()

    def engine_in(self, state: str | None) -> Annotator:
        """Give the model in a learnt state; see `Offers.engine`."""
        return self.offers.engine(self.engine, state)

    async def decoded(self, work: Callable[[], Result]) -> Result:
        """Decode in a thread of its own, so that others are answered meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self.decoders, work)


async def answered(request: Request, future: "Future[Result]") -> Result:
    """Wait for the engine, and cancel what is asked when the client is gone.

    Raises
    ------
    ClientDisconnect
        It is gone.
    """
    waiting = asyncio.wrap_future(future)
    try:
        while True:
            done, _ = await asyncio.wait({waiting}, timeout=_LOOK_S)
            if done:
                return waiting.result()
            if await request.is_disconnected():
                raise ClientDisconnect
    finally:
        if not waiting.done():
            waiting.cancel()


def peer_of(request: Request) -> str:
    """Whose turn a request takes: the computer it comes from."""
    return "" if request.client is None else request.client.host
