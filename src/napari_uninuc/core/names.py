"""What can be asked for by name: region, structure, object (PathSegmentor, sec. 2.1 and 4.1).

One table for all that is taught here and by public readers. A name is said in the paper's sentence,
"[structure]-level [object] in [region] pathology"; what a name is also called is what pathologists
use it for alike, and never what only looks like it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["ALSO", "NUCLEUS", "REGIONS", "Name", "plain", "region_of"]

NUCLEUS = "nucleus"
"""The object that every nucleus is."""

REGIONS: dict[str, tuple[str, ...]] = {
    "colon": ("consep-train", "consep-test", "lizard"),
    "breast": ("tnbc", "ihc-epcam"),
    "brain": ("gbm40", "tcga-glioma"),
    "skin": ("puma",),
}
"""Regions of data sets of one organ, by the names that recipes give them. Where a data set says
of each picture which tissue it is, that is its region; and NuInsSeg's names begin with the organ.
"""

ALSO: dict[str, tuple[str, ...]] = {
    NUCLEUS: ("nuclei", "all nuclei", "every nucleus", "all"),
    "epithelial": ("epithelium", "epithelial cells"),
    "spindle": ("spindle-shaped", "spindle cells", "spindled"),
    "inflammatory": ("inflammation", "inflammatory cells"),
    "miscellaneous": ("other", "others"),
    "neoplastic": ("neoplastic cells",),
    "connective": ("connective tissue", "connective tissue cells"),
    "dead": ("dead cells",),
}
"""Other ways to write a name that mean the same. "Cancer" is not among those of "epithelial", nor
"lymphocyte" among those of "inflammatory": healthy glands are epithelial, and neutrophils inflame.
"""

_WORDS_OF_NUCLEI = re.compile(r"\b(cell )?(nuclei|nucleus|cells|cell)\b")


@dataclass(frozen=True, slots=True)
class Name:
    """What is asked for.

    Attributes
    ----------
    thing : the object, a class of nuclei or `NUCLEUS`
    structure : "nuclei" for all that is outlined here
    region : part of the body; empty where it is not said
    """

    thing: str
    structure: str = "nuclei"
    region: str = ""

    @property
    def levels(self) -> tuple[str, str, str, str]:
        """Region, structure, object, and the sentence that says all of it; in this order."""
        region = f" in {self.region} pathology" if self.region else ""
        thing = self.thing if self.thing != NUCLEUS else "all nuclei"
        return (
            self.region or "any tissue",
            self.structure,
            thing,
            (f"{self.structure}-level {thing}{region}"),
        )


def plain(text: str, known: Iterable[str]) -> str | None:
    """Which of the known names a text means; None where it means none of them.

    Parameters
    ----------
    text : as people write it: "Inflammatory nuclei", "spindle"
    known : names of objects

    Examples
    --------
    >>> from napari_uninuc.core.names import plain
    >>> plain("Inflammatory  Nuclei", ["epithelial", "inflammatory"])
    'inflammatory'
    >>> plain("cancer", ["epithelial", "inflammatory"]) is None
    True
    """
    said = " ".join(text.lower().replace("_", " ").split())
    bare = " ".join(_WORDS_OF_NUCLEI.sub(" ", said).split())
    for name in known:
        ways = {name.lower(), *(each for each in ALSO.get(name, ()))}
        if said in ways or (bare and bare in ways):
            return name
        if not bare and name == NUCLEUS:
            return name
    return None


def region_of(dataset: str, picture: str, tissue: str = "") -> str:
    """The part of the body that a picture shows, in words; empty where it is not known.

    Parameters
    ----------
    dataset : its name in the recipe
    picture : its name; NuInsSeg's begin with ``human_`` or ``mouse_`` and the organ
    tissue : what the data set says of the picture
    """
    if tissue:
        return tissue.replace("_", " ").lower()
    last = picture.rsplit("/", 1)[-1]
    found = re.match(r"(?:human|mouse)_([a-z_]+?)_\d", last)
    if found is not None:
        return found.group(1).replace("_", " ")
    return next((region for region, names in REGIONS.items() if dataset in names), "")
