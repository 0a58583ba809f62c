"""The comparison of two readers of the picture worked at, made in the worker."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from napari_uninuc.agreement.comparison import common_part, compare
from napari_uninuc.agreement.reading import Reading, open_reading, reading_of
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.gui.work.jobs import Worker
from napari_uninuc.session import AnnotationSession
from napari_uninuc.session.settling import Settling

__all__ = ["Order", "Reader", "start_comparing"]


@dataclass(frozen=True, slots=True)
class Reader:
    """Whose nuclei: of a file or folder, or, without a path, those in the window."""

    name: str
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """What a person wants compared.

    Attributes
    ----------
    a, b : the readers
    by : who settles what they disagree about
    blinded : not told which outline is whose
    """

    a: Reader
    b: Reader
    by: str
    blinded: bool


def start_comparing(
    worker: Worker,
    session: AnnotationSession,
    order: Order,
    *,
    on_done: Callable[[Settling], None],
    on_problem: Callable[[Exception], None],
) -> None:
    """Compare both readers with the nuclei that a session has now; it is not changed."""
    worker.submit(
        f"Comparing {order.a.name} and {order.b.name}",
        partial(_settling, order, session.segmentation(), session.tile),
        on_done=on_done,
        on_error=on_problem,
    )


def _settling(order: Order, nuclei: Segmentation, tile: Tile) -> Settling:
    own = replace(
        reading_of("", nuclei, tile.mpp),
        digest=tile.digest,
        slide=None if tile.place is None else (tile.place.fingerprint, tile.place.level),
        origin_yx=tile.origin_yx_slide,
    )
    a, b = (_opened(each, own) for each in (order.a, order.b))
    return Settling(tile, compare(a, b), blinded=order.blinded)


def _opened(reader: Reader, own: Reading) -> Reading:
    """Open a reading of the picture; of a slide's, the part that lies on the picture."""
    opened = own if reader.path is None else open_reading(reader.path, own.shape)
    return common_part(replace(opened, name=reader.name), own)[0]
