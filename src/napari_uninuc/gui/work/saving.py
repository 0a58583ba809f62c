"""Files of the nuclei of a picture, written by the worker; what was saved how is remembered."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from weakref import WeakKeyDictionary

from psygnal import Signal

from napari_uninuc.core.nuclei import Status
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.gui.work.jobs import Worker
from napari_uninuc.io.formats import write_segmentation
from napari_uninuc.io.training_set import write_training_set
from napari_uninuc.session import AnnotationSession

__all__ = ["SavedAs", "Saving"]


@dataclass(frozen=True, slots=True)
class SavedAs:
    """A file, and which nuclei were written into it; see `Saving.save`."""

    path: Path
    status: Status | None
    class_name: str | None


class Saving:
    """Writes the nuclei of sessions as they are when it is asked for.

    Parameters
    ----------
    worker : where files are written
    on_problem : told why a file was not

    Attributes
    ----------
    saved : a file was written: its path, whose nuclei, and since when they may have changed
    """

    saved = Signal(Path, AnnotationSession, datetime)

    def __init__(self, worker: Worker, *, on_problem: Callable[[Exception], None]) -> None:
        self._worker, self._on_problem = worker, on_problem
        self._saved: WeakKeyDictionary[AnnotationSession, SavedAs] = WeakKeyDictionary()

    def saved_as(self, session: AnnotationSession) -> SavedAs | None:
        """How the nuclei of a session were saved last; None where they were not."""
        return self._saved.get(session)

    def save(self, session: AnnotationSession, order: SavedAs) -> None:
        """Write the nuclei in the format of the path's ending; None asks for no status or class."""
        self._write(
            session,
            order.path,
            lambda nuclei, tile: write_segmentation(
                nuclei.only(order.status, order.class_name), order.path, tile
            ),
            order,
        )

    def save_training_set(self, session: AnnotationSession, folder: Path) -> None:
        """Write the picture and its reviewed nuclei as a new folder to train on."""
        self._write(
            session, folder, lambda nuclei, tile: write_training_set([(tile, nuclei)], folder)
        )

    def _write(
        self,
        session: AnnotationSession,
        path: Path,
        write: Callable[[Segmentation, Tile], Path],
        order: SavedAs | None = None,
    ) -> None:
        session.hand.keep()
        frozen, tile, at = session.segmentation(), session.tile, datetime.now()

        def done(written: Path) -> None:
            if order is not None:
                self._saved[session] = order
            self.saved.emit(written, session, at)

        self._worker.submit(
            f"Saving {path.name}",
            lambda: write(frozen, tile),
            on_done=done,
            on_error=self._on_problem,
        )
