"""Run lengths of COCO: a picture column by column, background first."""

import numpy as np
import numpy.typing as npt

from napari_uninuc.errors import LabelsError
from napari_uninuc.io.filling import MAX_NUCLEUS_PX, Crop, OversizedError

__all__ = ["MAX_RUNS", "crop_of_runs", "packed_runs", "runs_of", "unpacked_runs"]

MAX_RUNS = 2**22
"""Most runs of one nucleus."""

_FIRST_CHARACTER = 48  # "0"; a character holds five bits of a number and whether it goes on
_BITS, _GOES_ON, _SIGN = 5, 32, 16
_MOST_CHARACTERS = 7  # of one number: 35 bits hold any picture of 30,000 px a side


def runs_of(
    mask: npt.NDArray[np.bool_], origin_yx: tuple[int, int], shape: tuple[int, int]
) -> npt.NDArray[np.int64]:
    """Count the runs of a mask in the picture it lies in.

    Parameters
    ----------
    mask : (h, w) bool, wholly inside the picture
    origin_yx : its first pixel, px of the picture
    shape : (H, W) of the picture, px

    Returns
    -------
    counts : lengths of background, nucleus, background ... in turn; their sum is H * W
    """
    height, width = shape
    columns, rows = np.nonzero(mask.T)
    place = (columns + origin_yx[1]) * height + rows + origin_yx[0]
    fresh = np.diff(place, prepend=-2) != 1
    starts, ends = place[fresh], place[np.append(fresh, True)[1:]] + 1
    borders = np.concatenate([[0], np.stack([starts, ends], axis=1).ravel(), [height * width]])
    counts = np.diff(borders)
    return counts if counts[-1] or len(counts) == 1 else counts[:-1]


def packed_runs(counts: npt.NDArray[np.int64]) -> str:
    """Pack runs as pycocotools does: differences to the run before last, six bits a character.

    Parameters
    ----------
    counts : (N,) px of each run, outside and inside by turns
    """
    numbers = counts.tolist()
    text = bytearray()
    for k, count in enumerate(numbers):
        number = count - numbers[k - 2] if k > 2 else count
        while True:
            part, number = number & 31, number >> _BITS
            done = number == (-1 if part & _SIGN else 0)
            text.append(_FIRST_CHARACTER + (part if done else part | _GOES_ON))
            if done:
                break
    return text.decode("ascii")


def unpacked_runs(text: str) -> list[int]:
    """Undo `packed_runs`.

    Raises
    ------
    LabelsError
        Characters that are none of its, cut short, or above `MAX_RUNS`.
    """
    numbers: list[int] = []
    number, shift = 0, 0
    for character in text:
        code = ord(character) - _FIRST_CHARACTER
        if not 0 <= code < 64 or shift >= _BITS * _MOST_CHARACTERS or len(numbers) > MAX_RUNS:
            raise LabelsError("expected the run lengths of COCO, got damaged ones; write it again")
        number |= (code & 31) << shift
        shift += _BITS
        if not code & _GOES_ON:
            if code & _SIGN:
                number -= 1 << shift
            numbers.append(number + (numbers[-2] if len(numbers) > 2 else 0))
            number, shift = 0, 0
    if shift:
        raise LabelsError("expected the run lengths of COCO, got some cut short; write it again")
    return numbers


def crop_of_runs(counts: object, shape: tuple[int, int]) -> Crop | None:
    """Turn runs into the box they cover and the mask there.

    Parameters
    ----------
    counts : as `runs_of` gives them, as numbers or as `packed_runs`
    shape : (H, W) of the picture, px

    Returns
    -------
    crop : None where no pixel is set

    Raises
    ------
    LabelsError
        Not whole numbers of 0 or more whose sum is H * W.
    OversizedError
        A box above `MAX_NUCLEUS_PX`.
    """
    numbers = unpacked_runs(counts) if isinstance(counts, str) else counts
    runs = _checked_runs(numbers, shape)
    ends = np.cumsum(runs)
    starts, ends = (ends - runs)[1::2], ends[1::2]
    starts, ends = starts[ends > starts], ends[ends > starts]
    if starts.size == 0:
        return None
    height = shape[0]
    x0, x1 = int(starts[0]) // height, (int(ends[-1]) - 1) // height + 1
    whole = bool(((ends - 1) // height > starts // height).any())
    y0 = 0 if whole else int((starts % height).min())
    y1 = height if whole else int(((ends - 1) % height).max()) + 1
    if (y1 - y0) * (x1 - x0) > MAX_NUCLEUS_PX:
        raise OversizedError(
            f"expected nuclei in boxes of at most {MAX_NUCLEUS_PX} px, got one of {y1 - y0} x "
            f"{x1 - x0}; remove shapes that are not nuclei"
        )
    mask = np.zeros((x1 - x0, y1 - y0), dtype=np.bool_)
    inside = np.repeat(starts - (np.cumsum(ends - starts) - (ends - starts)), ends - starts)
    columns, rows = np.divmod(inside + np.arange(len(inside)), height)
    mask[columns - x0, rows - y0] = True
    return (y0, x0), mask.T


def _checked_runs(numbers: object, shape: tuple[int, int]) -> npt.NDArray[np.int64]:
    try:
        runs = np.asarray(numbers)
        fits = runs.ndim == 1 and runs.dtype.kind in "iu" and 0 < len(runs) <= MAX_RUNS
    except (TypeError, ValueError, OverflowError):
        fits = False
    size = shape[0] * shape[1]
    # Each is checked first: the sum of many large ones would wrap around.
    if not fits or int(runs.min()) < 0 or int(runs.max()) > size or int(runs.sum()) != size:
        raise LabelsError(
            f"expected run lengths that add up to {shape[0]} x {shape[1]} px, got others; "
            "write the file again"
        )
    return runs.astype(np.int64)
