"""Our own protocol: windows of napari at other computers, whose model computes here."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from functools import partial
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from napari_uninuc import __version__
from napari_uninuc.core.classifier import Taught
from napari_uninuc.core.geometry import Field
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.class_sources import ExamplesSource
from napari_uninuc.engine.classing import found_classed
from napari_uninuc.engine.protocol import Annotator, FoundNucleus
from napari_uninuc.serve.asking import Service, answered, peer_of
from napari_uninuc.serve.bodies import checked
from napari_uninuc.serve.leases import Leases
from napari_uninuc.serve.pictures import decode_picture
from napari_uninuc.serve.refusals import Refusal, refusal_of
from napari_uninuc.serve.room import Run
from napari_uninuc.wire.constants import (
    ANSWER,
    CLASSIFIER,
    DESCRIBE,
    ENCODE,
    FIELDS,
    HEARTBEAT_S,
    INFO,
    LEASE,
    LEASE_HEADER,
    LEASE_S,
    NAME,
    PROTOCOL,
    SEGMENT,
    TILE,
)
from napari_uninuc.wire.messages import (
    AnswerMessage,
    AskMessage,
    CardMessage,
    ClassifierMessage,
    DescribeMessage,
    EncodeMessage,
    FieldMessage,
    FoundMessage,
    InfoMessage,
    LearntMessage,
    LineMessage,
    SegmentMessage,
    TileMessage,
)

__all__ = ["OwnProtocol"]

_QUESTION_BYTES = 32 * 2**20
_DIGEST = "[0-9a-f]{32}"

Handler = Callable[[Request, str], Coroutine[Any, Any, Response]]


class OwnProtocol:
    """Handlers by address and method.

    Parameters
    ----------
    service : engine, queue and pictures
    """

    def __init__(self, service: Service, leases: Leases | None = None) -> None:
        self._service = service
        self.leases = Leases() if leases is None else leases
        routes: dict[str, dict[str, Handler]] = {
            INFO: {"GET": self._info},
            LEASE: {"POST": self._begin, "DELETE": self._end},
            CLASSIFIER: {"GET": self._classifier},
            TILE: {"GET": self._know, "PUT": self._upload},
            FIELDS: {"POST": self._fields},
            ENCODE: {"POST": self._encode},
            SEGMENT: {"POST": self._segment},
            ANSWER: {"POST": self._answer},
            DESCRIBE: {"POST": self._describe},
        }
        self._routes = [
            (re.compile(path.format(digest=f"({_DIGEST})", name=f"({NAME})")), handlers)
            for path, handlers in routes.items()
        ]

    def find(self, path: str) -> tuple[dict[str, Handler], str] | None:
        """Handlers by method of what follows the protocol's root, and the digest or name in it."""
        for pattern, handlers in self._routes:
            match = pattern.fullmatch(path)
            if match:
                return handlers, "".join(match.groups())
        return None

    async def _info(self, _request: Request, _digest: str) -> Response:
        engine, offers = self._service.engine, self._service.offers
        usual = offers.usual
        classes = {} if usual is None else {"classes": usual.palette.names}

        def card_of(engine: Annotator) -> CardMessage:
            return CardMessage.of(engine.card).model_copy(update=classes)

        return _message(
            InfoMessage(
                protocol=PROTOCOL,
                version=__version__,
                card=card_of(self._service.engine_in(None)),
                as_it_came=card_of(engine) if offers.learnt else None,
                learnt=tuple(
                    LearntMessage(name=name, card=card_of(offer.engine), told=offer.told)
                    for name, offer in offers.learnt.items()
                ),
                classifiers=tuple(
                    ClassifierMessage(name=name, classes=offer.taught.palette.names)
                    for name, offer in offers.named.items()
                ),
                device=engine.device_name,
                memory_bytes=engine.memory_bytes(),
                description=engine.description,
            )
        )

    async def _begin(self, request: Request, _digest: str) -> Response:
        return JSONResponse({"lease": self.leases.begin(peer_of(request)), "seconds": LEASE_S})

    async def _end(self, request: Request, _digest: str) -> Response:
        self.leases.end(request.headers.get(LEASE_HEADER, ""))
        return JSONResponse({})

    async def _classifier(self, request: Request, name: str) -> Response:
        self._client(request)
        offer = self._service.offers.get(name)
        return Response(offer.file, media_type="application/octet-stream")

    async def _know(self, request: Request, digest: str) -> Response:
        self._client(request)
        self._tile(digest)
        return JSONResponse({"digest": digest})

    async def _upload(self, request: Request, digest: str) -> Response:
        self._client(request)
        with await self._service.bodies.read(request) as content:
            tile = await self._service.decoded(partial(decode_picture, content))
        if tile.digest != digest:
            raise Refusal(422, "the picture is not the one of that digest; send it without loss")
        self._service.shelf.put(tile)
        return JSONResponse({"digest": digest})

    async def _fields(self, request: Request, digest: str) -> Response:
        self._client(request)
        message, tile = await self._asked(request, digest, TileMessage)
        fields = self._service.engine.fields(self._view(tile, message))
        return JSONResponse([FieldMessage.of(field).model_dump() for field in fields])

    async def _encode(self, request: Request, digest: str) -> Response:
        client = self._client(request)
        message, tile = await self._asked(request, digest, EncodeMessage)

        def work() -> float:
            view = self._view(tile, message)
            return self._service.engine.encode(view, self._field(view, message.field))

        seconds = await answered(request, self._service.room.ask(client, work))
        memory = self._service.engine.memory_bytes()
        return JSONResponse({"seconds": seconds, "memory_bytes": memory})

    async def _answer(self, request: Request, digest: str) -> Response:
        client = self._client(request)
        message, tile = await self._asked(request, digest, AskMessage)
        prompt = message.prompt.value()
        engine = self._service.engine_in(message.learnt)

        def work() -> AnswerMessage:
            return AnswerMessage.of(engine.answer(self._view(tile, message), prompt))

        asked = self._service.room.ask(client, work, latest=True)
        answer: AnswerMessage = await answered(request, asked)
        return _message(answer)

    async def _describe(self, request: Request, digest: str) -> Response:
        client = self._client(request)
        message, tile = await self._asked(request, digest, DescribeMessage)
        masks = message.value(tile.shape)

        def work() -> bytes:
            engine, view = self._service.engine, self._view(tile, message)
            describe = engine.features if message.what == "features" else engine.describe
            return describe(view, masks).astype("<f4").tobytes()

        rows = await answered(request, self._service.room.ask(client, work))
        return Response(rows, media_type="application/octet-stream")

    async def _segment(self, request: Request, digest: str) -> Response:
        client = self._client(request)
        message, tile = await self._asked(request, digest, SegmentMessage)
        view = self._view(tile, message)
        field = self._field(view, message.field)
        taught = self._service.offers.taught(message.classifier)
        engine = self._service.engine_in(message.learnt)
        steps = _steps(engine, view, field, message.score_threshold, taught)
        lines: asyncio.Queue[LineMessage] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def put(line: LineMessage) -> None:
            loop.call_soon_threadsafe(lines.put_nowait, line)

        run = self._service.room.run(client, steps, lambda _: put(LineMessage(kind="step")))
        run.future.add_done_callback(lambda _: put(_last_line(run)))
        renew = partial(self.leases.renew, request.headers.get(LEASE_HEADER, ""))
        return StreamingResponse(_told(lines, run, renew), media_type="application/x-ndjson")

    async def _asked(self, request: Request, digest: str, model: type[Any]) -> tuple[Any, Tile]:
        with await self._service.bodies.read(request, _QUESTION_BYTES) as content:
            return checked(content, model), self._tile(digest)

    def _client(self, request: Request) -> str:
        return self.leases.renew(request.headers.get(LEASE_HEADER, ""))

    def _tile(self, digest: str) -> Tile:
        tile = self._service.shelf.get(digest)
        if tile is None:
            raise Refusal(404, "no picture of that digest is here (any more); send it", usual=True)
        return tile

    def _view(self, tile: Tile, message: TileMessage) -> Tile:
        return self._service.shelf.view(tile, message.mpp, message.brown)

    def _field(self, view: Tile, index: int) -> Field:
        fields = self._service.engine.fields(view)
        if index >= len(fields):
            raise Refusal(422, f"field: expected one of {len(fields)}, got {index}")
        return fields[index]


def _steps(
    engine: Annotator, view: Tile, field: Field, threshold: float, taught: Taught | None
) -> Generator[None, None, list[FoundNucleus]]:
    found = yield from engine.segment_steps(view, field, threshold)
    if taught is None:
        return found
    return found_classed(view, found, ExamplesSource(engine.describe, taught))


def _last_line(run: Run) -> LineMessage:
    """What came of a run; called once it is done or cancelled."""
    if run.future.cancelled():
        return LineMessage(kind="failed", detail="cancelled", status=409)
    problem = run.future.exception()
    if problem is None:
        found = tuple(FoundMessage.of(one) for one in run.future.result())
        return LineMessage(kind="found", found=found)
    refusal = refusal_of(problem) or Refusal(500, "something unexpected happened on the server")
    return LineMessage(kind="failed", detail=refusal.text, status=refusal.status)


async def _told(
    lines: "asyncio.Queue[LineMessage]", run: Run, renew: Callable[[], str]
) -> AsyncIterator[bytes]:
    """Give lines as they come, and a sign of life between them; ends the run when left."""
    try:
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    line = await lines.get()
            except TimeoutError:
                line = LineMessage(kind="waiting")
                renew()
            yield line.model_dump_json().encode() + b"\n"
            if line.kind in ("found", "failed"):
                return
    finally:
        run.future.cancel()


def _message(message: BaseModel) -> Response:
    return Response(message.model_dump_json(), media_type="application/json")
