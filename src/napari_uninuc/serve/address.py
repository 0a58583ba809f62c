"""What an address says beside the request: the key, and the size of a pixel."""

import re
from dataclasses import dataclass

from napari_uninuc.serve.refusals import Refusal
from napari_uninuc.wire.constants import KEY_PREFIX, MAX_MPP, MIN_MPP

__all__ = ["Address", "read_address"]

_SCALE = re.compile(r"/(\d{1,3}(?:[.,]\d{1,6})?)(?:um|µm|μm)(?=/)", re.IGNORECASE)
"""As people write it: with either letter for micro, a comma for the point, in capitals."""


@dataclass(frozen=True, slots=True)
class Address:
    """A path taken apart.

    Attributes
    ----------
    key : what was given as key, empty without
    mpp : micrometres per px, None where it is not said
    path : what is left, without slash at its end
    """

    key: str
    mpp: float | None
    path: str


def read_address(path: str) -> Address:
    """Take the path of a request apart: ``/key/KEY/0.25um/sam/weights/``.

    Raises
    ------
    Refusal
        404: a pixel size that no scan of nuclei has.
    """
    key, mpp = "", None
    if path.startswith(KEY_PREFIX):
        key, slash, rest = path.removeprefix(KEY_PREFIX).partition("/")
        path = slash + rest
    scale = _SCALE.match(path)
    if scale:
        mpp = float(scale.group(1).replace(",", "."))
        path = path[scale.end() :]
        if not MIN_MPP <= mpp <= MAX_MPP:
            raise Refusal(
                404,
                f"a pixel may have {MIN_MPP} to {MAX_MPP} µm, got {mpp:g}; correct the address, "
                "for example /0.25um/sam/",
            )
    return Address(key, mpp, path.rstrip("/"))
