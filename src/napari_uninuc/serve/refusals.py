"""What a client is told when it gets no answer: a status and one line."""

from typing import Any

from pydantic import ValidationError
from starlette.responses import JSONResponse

from napari_uninuc.errors import DeviceError, ImageError, LabelsError, PromptError

__all__ = ["Refusal", "refusal_of", "response_of", "validation_refusal"]

_MOST_CHARACTERS = 500
_BUSY_S = 1


class Refusal(Exception):
    """A request that is not answered, and why; the text is for the client.

    Parameters
    ----------
    status : of HTTP, 4xx or 5xx
    text : what was expected, what came, what to do; holds nothing of the picture
    usual : clients of ours expect it and go on by themselves, so the terminal says nothing
    """

    def __init__(self, status: int, text: str, *, usual: bool = False) -> None:
        super().__init__(text)
        self.status, self.text, self.usual = status, text, usual


def refusal_of(problem: BaseException) -> Refusal | None:
    """Translate what the engine refuses; None for a mistake of ours."""
    if isinstance(problem, Refusal):
        return problem
    if isinstance(problem, PromptError | ImageError | LabelsError):
        return Refusal(422, str(problem))
    if isinstance(problem, DeviceError | MemoryError):
        return Refusal(503, "not enough memory to compute this; ask again later, or a smaller one")
    return None


def validation_refusal(problem: ValidationError) -> Refusal:
    """Name the first thing that is wrong with a body, without repeating what was in it."""
    first: Any = problem.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "body"
    more = problem.error_count() - 1
    text = f"{place}: {first['msg']}" + (f" (and {more} more)" if more else "")
    return Refusal(422, text)


def response_of(refusal: Refusal) -> JSONResponse:
    """Answer with ``{"detail": text}``, as samapi does."""
    text = " ".join(refusal.text.split())[:_MOST_CHARACTERS]
    headers = {"retry-after": str(_BUSY_S)} if refusal.status in (429, 503) else {}
    if refusal.status in (408, 413, 429, 503):
        headers["connection"] = "close"  # what is still to come of the body is not waited for
    return JSONResponse({"detail": text}, refusal.status, headers)
