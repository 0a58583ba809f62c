"""Classifiers that who started the server lets clients use, by name; no name is ever a path."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from napari_uninuc.core.classifier import Taught
from napari_uninuc.serve.refusals import Refusal
from napari_uninuc.wire.constants import NAME

__all__ = ["Offer", "Offers", "is_name"]


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
class Offers:
    """Classifiers by name; the first is in force where nobody names one.

    Attributes
    ----------
    named : each name as of `is_name`
    """

    named: Mapping[str, Offer] = field(default_factory=dict)

    @property
    def usual(self) -> Taught | None:
        """The one in force where nobody names one; None leaves classes to the model."""
        return next((offer.taught for offer in self.named.values()), None)

    def get(self, name: str) -> Offer:
        """Give a classifier by its name.

        Raises
        ------
        Refusal
            422: there is none of that name.
        """
        offer = self.named.get(name)
        if offer is None:
            here = ", ".join(self.named) or "none"
            raise Refusal(422, f"no classifier of that name is offered (here: {here})")
        return offer

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


def is_name(text: str) -> bool:
    """Whether a classifier may be offered under a name: it goes into an address."""
    return re.fullmatch(NAME, text) is not None
