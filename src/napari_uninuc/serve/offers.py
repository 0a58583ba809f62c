"""What who started the server lets clients use beside the model; no name is ever a path."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from napari_uninuc.core.classifier import Taught
from napari_uninuc.engine.protocol import Annotator
from napari_uninuc.serve.refusals import Refusal
from napari_uninuc.wire.constants import NAME

__all__ = ["LearntOffer", "Offer", "Offers", "is_name"]

What = TypeVar("What")


@dataclass(frozen=True, slots=True, eq=False)
class Offer:
    """A classifier.

    Attributes
    ----------
    taught : for the weights that are served
    file : the bytes that `io.classifiers.read_classifier` reads
    """

    taught: Taught
    file: bytes


@dataclass(frozen=True, slots=True, eq=False)
class LearntOffer:
    """A state that the model has learnt.

    Attributes
    ----------
    engine : the model in this state; what it encodes serves every other state too
    told : what was measured when it was learnt, for people
    """

    engine: Annotator
    told: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Offers:
    """Classifiers and learnt states by name; the first of each is in force where nobody names one.

    Attributes
    ----------
    named : classifiers, each name as of `is_name`
    learnt : states of the model that is served, the same
    """

    named: Mapping[str, Offer] = field(default_factory=dict)
    learnt: Mapping[str, LearntOffer] = field(default_factory=dict)

    @property
    def usual(self) -> Taught | None:
        """The classifier in force where nobody names one; None leaves classes to the model."""
        return next((offer.taught for offer in self.named.values()), None)

    @property
    def usual_state(self) -> str:
        """The learnt state in force where nobody names one; empty is the model as it came."""
        return next(iter(self.learnt), "")

    def get(self, name: str) -> Offer:
        """Give a classifier by its name.

        Raises
        ------
        Refusal
            422: there is none of that name.
        """
        return _find(self.named, name, "classifier")

    def taught(self, name: str | None) -> Taught | None:
        """Which classifier is meant: None is the usual one, empty the model's own classes.

        Raises
        ------
        Refusal
            As `get`.
        """
        if name is None:
            return self.usual
        return self.get(name).taught if name else None

    def engine(self, model: Annotator, name: str | None) -> Annotator:
        """Give the model in the state that is meant: None is the usual one, empty as it came.

        Raises
        ------
        Refusal
            422: there is none of that name.
        """
        chosen = self.usual_state if name is None else name
        return _find(self.learnt, chosen, "learnt state").engine if chosen else model


def _find(offered: Mapping[str, What], name: str, what: str) -> What:
    found = offered.get(name)
    if found is None:
        here = ", ".join(offered) or "none"
        raise Refusal(422, f"no {what} of that name is offered (here: {here})")
    return found


def is_name(text: str) -> bool:
    """Whether something may be offered under a name: it goes into an address."""
    return re.fullmatch(NAME, text) is not None
