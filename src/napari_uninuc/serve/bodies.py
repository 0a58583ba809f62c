"""Bodies of requests: read within bounds, then checked against a model of what may be in them."""

import asyncio
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from napari_uninuc.serve.refusals import Refusal, validation_refusal
from napari_uninuc.wire.constants import BODY_BYTES, BODY_S

__all__ = ["Bodies", "checked"]

_ALL_BYTES = 4 * BODY_BYTES
_MOST_VALUES = 50_000
"""Commas, brackets and braces of one body: numbers in lists take many times their text."""

Model = TypeVar("Model", bound=BaseModel)


class Bodies:
    """Reads bodies; those being read or held together never take more than a bound.

    Parameters
    ----------
    all_bytes : of all bodies at a time
    part_s : seconds that a client may take for the next part
    """

    def __init__(self, all_bytes: int = _ALL_BYTES, part_s: float = BODY_S) -> None:
        self._all_bytes, self._part_s = all_bytes, part_s
        self._held = 0

    async def read(self, request: Request, limit: int = BODY_BYTES) -> "HeldBody":
        """Read a whole body; leave the block to give its bytes back.

        Raises
        ------
        Refusal
            413 for more than `limit`, 408 where nothing comes, 503 where others fill the bound.
        """
        announced = request.headers.get("content-length", "")
        if announced.isdigit() and int(announced) > limit:
            raise _too_large(limit)
        held, parts = HeldBody(self), []
        stream = request.stream()
        try:
            while True:
                async with asyncio.timeout(self._part_s):
                    part = await anext(stream, None)
                if part is None:
                    break
                held.grow(len(part), limit)
                parts.append(part)
        except TimeoutError:
            held.release()
            raise Refusal(
                408, f"nothing of the body came for {self._part_s:g} s; send it again"
            ) from None
        except BaseException:
            held.release()
            raise
        held.content = b"".join(parts)
        return held

    def take(self, count: int) -> None:
        """Count bytes as held.

        Raises
        ------
        Refusal
            503: there is no room for them.
        """
        if self._held + count > self._all_bytes:
            raise Refusal(503, "too many pictures are being sent at a time; ask again in a second")
        self._held += count

    def give_back(self, count: int) -> None:
        """Count bytes as let go."""
        self._held -= count


class HeldBody:
    """One body and its share of the bound; a context manager that gives it back."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies, self._count = bodies, 0
        self.content = b""

    def grow(self, count: int, limit: int) -> None:
        """Make room for another part."""
        if self._count + count > limit:
            raise _too_large(limit)
        self._bodies.take(count)
        self._count += count

    def release(self) -> None:
        """Give all back; may be called twice."""
        self._bodies.give_back(self._count)
        self._count, self.content = 0, b""

    def __enter__(self) -> bytes:
        return self.content

    def __exit__(self, *_: object) -> None:
        self.release()


def _too_large(limit: int) -> Refusal:
    return Refusal(
        413, f"a body may have {limit} bytes, got more; show a smaller part of the picture"
    )


def checked(content: bytes, model: type[Model]) -> Model:
    """Read a JSON body as a model; unknown fields are ignored.

    Raises
    ------
    Refusal
        422: not JSON, not what the model says, or more values than any honest body has (413).
    """
    values = sum(content.count(mark) for mark in (b",", b"[", b"{"))
    if values > _MOST_VALUES:
        raise Refusal(413, f"a body may hold {_MOST_VALUES} values, got more; send fewer")
    try:
        return model.model_validate_json(content)
    except ValidationError as problem:
        raise validation_refusal(problem) from None
