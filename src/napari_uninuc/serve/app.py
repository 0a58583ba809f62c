"""The application that uvicorn runs: who may ask, what is asked, and what is said when it fails."""

import asyncio
import os
import traceback
from collections.abc import Callable, Coroutine, Mapping
from time import monotonic
from typing import Any, TypeVar

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from napari_uninuc.serve.address import read_address
from napari_uninuc.serve.asking import Service
from napari_uninuc.serve.guard import Guard
from napari_uninuc.serve.own import OwnProtocol
from napari_uninuc.serve.refusals import Refusal, refusal_of, response_of
from napari_uninuc.serve.samapi import Samapi
from napari_uninuc.wire.constants import BODY_BYTES, OWN_ROOT, SAM_ROOT

__all__ = ["Application"]

What = TypeVar("What")
Answering = Coroutine[Any, Any, Response]

_DRAINED_BYTES = 4 * BODY_BYTES
_DRAINED_S = 10.0
_SILENT = 408
"""Of a client that has been waited for already."""
_NO_VIDEO = ("upload", "video", "sam3video")
_NOTHING_HERE = (
    "nothing is answered at this address; QuPath asks /sam/ (or, with the size of a pixel, "
    "/0.25um/sam/), our own windows /uninuc/v1/"
)


class Application:
    """Answers requests of both protocols; an ASGI application.

    Parameters
    ----------
    service : engine, queue and pictures
    guard : who may ask
    """

    def __init__(self, service: Service, guard: Guard) -> None:
        self._service, self._guard = service, guard
        self._samapi, self.own = Samapi(service), OwnProtocol(service)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        inbox = _Inbox(receive)
        request = Request(scope, inbox)
        try:
            response = await self._respond(request)
        except ClientDisconnect:
            return
        except Exception as problem:
            refusal = self._refusal(problem)
            response = response_of(refusal)
            if refusal.status != _SILENT:
                await inbox.drain()
        await response(scope, inbox, send)

    async def _respond(self, request: Request) -> Response:
        address = read_address(request.scope["path"])
        self._guard.check(Headers(scope=request.scope), address)
        # A base typed without its last slash gives /samweights/.
        if address.path.startswith(SAM_ROOT):
            name = address.path.removeprefix(SAM_ROOT).strip("/")
            if name in _NO_VIDEO:
                raise Refusal(404, "nuclei are outlined in single pictures, not through a stack")
            handlers = self._samapi.handlers.get(name)
            if handlers is not None:
                return await _of_method(handlers, request)(request, address.mpp)
        if address.path.startswith(f"{OWN_ROOT}/"):
            found = self.own.find(address.path.removeprefix(OWN_ROOT))
            if found is not None:
                return await _of_method(found[0], request)(request, found[1])
        raise Refusal(404, _NOTHING_HERE)

    def _refusal(self, problem: Exception) -> Refusal:
        """Say in the terminal what was refused, and of a mistake of ours what it was."""
        refusal = refusal_of(problem)
        if refusal is not None and refusal.usual:
            return refusal
        if refusal is not None:
            self._service.say(f"refused ({refusal.status}): {refusal.text}")
            return refusal
        if os.environ.get("UNINUC_DEBUG", "0") not in ("", "0"):
            traceback.print_exception(problem)
        self._service.say(
            f"something unexpected happened ({type(problem).__name__}); UNINUC_DEBUG=1 shows where"
        )
        return Refusal(500, "something unexpected happened on the server")


def _of_method(
    handlers: Mapping[str, Callable[[Request, What], Answering]], request: Request
) -> Callable[[Request, What], Answering]:
    handler = handlers.get(request.method)
    if handler is None:
        raise Refusal(405, f"expected {' or '.join(handlers)}, got another method")
    return handler


class _Inbox:
    """What a client sends; knows whether all of it has come."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._complete = False

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            self._complete = True
        return message

    async def drain(self) -> None:
        """Take the rest of a refused body in, within bounds: a client reads when it has sent."""
        until, count = monotonic() + _DRAINED_S, 0
        while not self._complete and count < _DRAINED_BYTES:
            try:
                async with asyncio.timeout(max(0.0, until - monotonic())):
                    count += len((await self()).get("body", b""))
            except TimeoutError:
                return
