"""Work in steps, between which others may have a turn: generators whose last word is the result."""

from collections.abc import Generator
from typing import TypeVar

__all__ = ["result_of"]

_Result = TypeVar("_Result")


def result_of(steps: Generator[object, None, _Result]) -> _Result:
    """Do all steps without a pause; what they return."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: _Result = end.value
            return result
