"""Figures others reported, and our baselines, to be printed beside a result."""

from dataclasses import dataclass
from typing import Literal

_UNINUC = "UniNuc (Qin et al., MIDL 2026 submission)"
_PATHOSAM = "PathoSAM-L"


@dataclass(frozen=True, slots=True)
class ReferenceRow:
    """One reported mSA.

    Attributes
    ----------
    dataset : key, lower case; a data set belongs to it when its name begins so
    method : whose figure
    prompt : "automatic", "point" or "box"
    iteration : 0 for the first answer or automatic, else corrections made
    msa : mean segmentation accuracy, in [0, 1]
    source : where it is printed or how it was measured
    """

    dataset: str
    method: str
    prompt: Literal["automatic", "point", "box"]
    iteration: int
    msa: float
    source: str


REFERENCES = (
    ReferenceRow("monuseg-test", _UNINUC, "automatic", 0, 0.3948, "UniNuc, table 8"),
    ReferenceRow("monuseg-test", _UNINUC, "point", 0, 0.4683, "UniNuc, table 5"),
    ReferenceRow("monuseg-test", _UNINUC, "point", 7, 0.9017, "UniNuc, table 5"),
    ReferenceRow("monuseg-test", _UNINUC, "box", 0, 0.7290, "UniNuc, table 6"),
    ReferenceRow("monuseg-test", _UNINUC, "box", 7, 0.9407, "UniNuc, table 6"),
    ReferenceRow("monuseg-test", _PATHOSAM, "automatic", 0, 0.395, "APG paper, AIS (PathoSAM)"),
    ReferenceRow("monuseg-test", _PATHOSAM, "point", 0, 0.4595, "UniNuc, table 2"),
    ReferenceRow("monuseg-test", _PATHOSAM, "point", 7, 0.8464, "UniNuc, table 2"),
    ReferenceRow("monuseg-test", _PATHOSAM, "box", 0, 0.7049, "UniNuc, table 2"),
    ReferenceRow("monuseg-test", _PATHOSAM, "box", 7, 0.8919, "UniNuc, table 2"),
    ReferenceRow("consep-test", _UNINUC, "automatic", 0, 0.2854, "UniNuc, table 8"),
    ReferenceRow("consep-test", _UNINUC, "point", 0, 0.3257, "UniNuc, table 5"),
    ReferenceRow("consep-test", _UNINUC, "point", 7, 0.8959, "UniNuc, table 5"),
    ReferenceRow("consep-test", _UNINUC, "box", 0, 0.6760, "UniNuc, table 6"),
    ReferenceRow("consep-test", _UNINUC, "box", 7, 0.9409, "UniNuc, table 6"),
    ReferenceRow(
        "monuseg-test", "otsu-watershed", "automatic", 0, 0.2755, "measured here, 14 test images"
    ),
    ReferenceRow("monuseg-test", "box-ellipse", "box", 0, 0.5289, "measured here, 14 test images"),
)


def references_for(dataset: str, prompt: str, iteration: int) -> list[ReferenceRow]:
    """List what was reported for a data set (by the beginning of its name) and a protocol."""
    return [
        row
        for row in REFERENCES
        if dataset.lower().startswith(row.dataset)
        and (row.prompt, row.iteration) == (prompt, iteration)
    ]
