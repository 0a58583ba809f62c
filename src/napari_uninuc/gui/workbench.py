"""The desks of one window, the model they share, and the long jobs."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari.layers import Image, Labels
from psygnal import Signal
from qtpy.QtWidgets import QWidget

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.nuclei import Status
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import ImageError, SessionError
from napari_uninuc.gui.desk import Desk
from napari_uninuc.gui.jobs import Task, Worker
from napari_uninuc.gui.keeping import Keeping
from napari_uninuc.gui.layer_tables import segmentation_of
from napari_uninuc.gui.model_slot import Loader, ModelSlot
from napari_uninuc.gui.outlining import Outlining, RunState
from napari_uninuc.gui.pictures import PictureSource, picture_source, plane_of
from napari_uninuc.gui.placement import Placement
from napari_uninuc.gui.preferences import preferences
from napari_uninuc.gui.slides.layer import slide_pixels_of
from napari_uninuc.io.formats import write_segmentation
from napari_uninuc.io.training_set import write_training_set
from napari_uninuc.journal.listing import FoundSession
from napari_uninuc.session import AnnotationSession
from napari_uninuc.session.keeping import Restored

__all__ = ["Workbench"]

_Place = tuple[Image, tuple[int, ...]]
"""An image layer, and which plane of it."""


class Workbench:
    """Opens pictures, keeps a desk for each, and runs what takes longer than a blink.

    Parameters
    ----------
    viewer, window : napari's viewer and its main window
    load : makes the model's annotator, in the worker
    handlers : actions of the table of keys that panels do
    on_problem : told in the window's thread when something failed

    Attributes
    ----------
    desk_changed : another desk is worked at, or none
    run_changed : an automatic run began, went on or ended; see `run`
    saved : a file was written; its path
    slide_asked : a layer that was to be opened is a slide: only regions of it can be worked at
    """

    desk_changed = Signal()
    saved = Signal(object)
    slide_asked = Signal(Image)

    def __init__(
        self,
        viewer: Any,
        window: QWidget,
        load: Loader,
        *,
        handlers: Mapping[str, Callable[[], object]],
        on_problem: Callable[[Exception], None],
    ) -> None:
        self._viewer, self._window = viewer, window
        self._handlers, self._on_problem = handlers, on_problem
        self.worker = Worker()
        self.models = ModelSlot(self.worker, load, on_problem=on_problem)
        self.keeping = Keeping(self.worker, on_problem=on_problem)
        self._outlining = Outlining(
            self.worker, self.models.require, self.keeping, on_problem=on_problem
        )
        self.run_changed = self._outlining.changed
        self._desks: dict[_Place, Desk] = {}
        self._desk: Desk | None = None
        self._left: Image | None = None
        self._opening: Task | None = None
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.dims.events.current_step.connect(self._on_plane)

    # -- pictures ---------------------------------------------------------------------------

    @property
    def desk(self) -> Desk | None:
        """Where work is being done."""
        return self._desk

    @property
    def run(self) -> RunState | None:
        """How far the automatic run is; None where there is none."""
        return self._outlining.state

    @property
    def on_other_plane(self) -> bool:
        """The picture worked at shows a plane that was not opened."""
        return self._desk is None and self._left is not None

    @property
    def opening(self) -> bool:
        """A picture is being read."""
        return self._opening is not None

    def open(self, layer: Image, mpp: float | None = None) -> None:
        """Work on the plane shown of an image layer; one worked on before is as it was left.

        Parameters
        ----------
        mpp : micrometres per px of the layer; None takes the layer's own
        """
        place = self._place_of(layer)
        if place in self._desks:
            self._go_to(self._desks[place])
            return
        if slide_pixels_of(layer) is not None:
            self.slide_asked.emit(layer)
            return
        if self._opening is not None:
            self._opening.cancel()
        dims = self._viewer.dims
        try:
            source = picture_source(layer, dims.current_step, tuple(dims.displayed), mpp)
        except ImageError as problem:
            self._on_problem(problem)
            return
        self._opening = self.worker.submit(
            f"Reading {layer.name}",
            source.read,
            on_done=lambda tile: self._opened(layer, source, tile),
            on_error=self._not_opened,
            on_cancel=self._end_opening,
        )

    def reopen(self, layer: Image, mpp: float) -> None:
        """Read a picture again at another scale; its corrections so far are carried over."""
        old = self._desks.get(self._place_of(layer))
        if old is None:
            self.open(layer, mpp)
            return
        tile = old.session.tile
        old.session.tile = replace(tile, mpp=mpp)
        self._prepare(old)
        self.desk_changed.emit()

    def _opened(self, layer: Image, source: PictureSource, tile: Tile) -> None:
        self._end_opening()
        if layer in self._viewer.layers:  # else it was deleted while it was read
            session = self._new_session(tile)
            self.keeping.begin(session)
            self._set_up((layer, source.plane), session, source.placement)

    def take(
        self,
        layer: Image,
        tile: Tile,
        session: AnnotationSession | None = None,
        folder: Path | None = None,
    ) -> None:
        """Work on a tile that a flat layer shows all of.

        Parameters
        ----------
        session : of that tile; None begins one
        folder : where the session was kept before, see `Keeping.begin`
        """
        begun = self._new_session(tile) if session is None else session
        self.keeping.begin(begun, folder)
        self._set_up((layer, ()), begun, Placement.of(layer))

    def desk_of(self, layer: Image) -> Desk | None:
        """The desk of a flat layer, worked at or not."""
        return self._desks.get((layer, ()))

    def drop(self, layer: Image) -> None:
        """Put away what a flat layer shows, its nuclei too; what was kept on disk stays."""
        desk = self._desks.pop((layer, ()), None)
        if desk is not None:
            if desk is self._desk:
                self._go_to(None)
            self._close_desk(desk, remove_layers=True)

    def _new_session(self, tile: Tile) -> AnnotationSession:
        annotator = self.models.annotator
        names = preferences().class_names
        if not names:
            names = ["nucleus"] if annotator is None else list(annotator.card.classes)
        session = AnnotationSession(tile, ClassPalette.of_names(names))
        if annotator is not None:
            session.set_filter(annotator.card.score_threshold, 0)
        return session

    def go_on_with(self, found: FoundSession) -> None:
        """Bring earlier work on the picture back in the place of what is there now."""
        desk = self._desk
        if desk is not None:
            self.keeping.bring_back(
                found, desk.session.tile, lambda restored: self._brought_back(desk, found, restored)
            )

    def _brought_back(self, desk: Desk, found: FoundSession, restored: Restored) -> None:
        place = next((place for place, each in self._desks.items() if each is desk), None)
        if place is None or desk is not self._desk:  # another picture is worked at by now
            return
        self._go_to(None)
        self._close_desk(self._desks.pop(place), remove_layers=True)
        self.keeping.begin(restored.session, found.path)
        self._set_up(place, restored.session, desk.placement)
        if restored.problem is not None:
            self._on_problem(SessionError(restored.problem))

    def _set_up(self, place: _Place, session: AnnotationSession, placement: Placement) -> None:
        desk = Desk(
            self._viewer,
            self._window,
            self.worker,
            self.models.require,
            session,
            place[0],
            placement,
            more_handlers=self._handlers,
            stays_visible=session.tile.place is not None,
            on_problem=self._on_problem,
        )
        self._desks[place] = desk
        self._go_to(desk)
        self._prepare(desk)

    def _not_opened(self, problem: Exception) -> None:
        self._end_opening()
        self._on_problem(problem)

    def _end_opening(self) -> None:
        self._opening = None

    def _go_to(self, desk: Desk | None) -> None:
        if desk is self._desk:
            return
        if self._desk is not None:
            self._desk.get_up()
        self._desk = desk
        if desk is not None:
            self._left = None
            desk.sit_down()
        self.desk_changed.emit()

    def _prepare(self, desk: Desk) -> None:
        """Encode in the background, so that the first click finds its answer ready."""
        tile = desk.session.tile

        def encode() -> Iterator[None]:
            annotator = self.models.require()
            for field in annotator.fields(tile):
                annotator.encode(tile, field)
                yield

        self.worker.submit(f"Preparing {tile.name}", encode, on_error=self._on_problem)

    def _place_of(self, layer: Image) -> "_Place":
        return layer, plane_of(layer, self._viewer.dims.current_step)

    def _on_plane(self, _event: Any) -> None:
        """Put the tool away when another plane is shown, take it up again on the way back."""
        image = None if self._desk is None else self._desk.bridge.image
        if image is None:
            image = self._left
        if image is not None:
            desk = self._desks.get(self._place_of(image))
            self._left = image if desk is None else None
            self._go_to(desk)

    def _on_removed(self, event: Any) -> None:
        """Forget the desk of a deleted image; one that is worked at still has its nuclei."""
        if event.value is self._left:
            self._left = None
        for place in [each for each in self._desks if each[0] is event.value]:
            desk = self._desks.pop(place)
            if desk is not self._desk:
                self._close_desk(desk)

    # -- long jobs --------------------------------------------------------------------------

    def outline_all(self) -> None:
        """Outline every nucleus of the picture, part by part; see `run`."""
        if self._desk is not None:
            self._outlining.start(self._desk.session)

    def cancel(self) -> None:
        """End the automatic run after the part under way; what has arrived stays."""
        self._outlining.cancel()

    def save(self, path: Path, status: Status | None = None, class_name: str | None = None) -> None:
        """Write the nuclei as they are now, in the format of the path's ending.

        Parameters
        ----------
        status, class_name : only nuclei of that status, of that class; None asks for none
        """
        self._write(
            path,
            lambda nuclei, tile: write_segmentation(nuclei.only(status, class_name), path, tile),
        )

    def save_training_set(self, folder: Path) -> None:
        """Write the picture and its reviewed nuclei as a new folder to train on."""
        self._write(folder, lambda nuclei, tile: write_training_set([(tile, nuclei)], folder))

    def _write(self, path: Path, write: Callable[[Segmentation, Tile], Path]) -> None:
        if self._desk is None:
            return
        self._outlining.flush()
        session = self._desk.session
        session.hand.keep()
        frozen, tile = session.segmentation(), session.tile
        self.worker.submit(
            f"Saving {path.name}",
            lambda: write(frozen, tile),
            on_done=self.saved.emit,
            on_error=self._on_problem,
        )

    def import_labels(self, layer: Labels, *, beside: bool = False) -> None:
        """Take over the nuclei of a labels layer, in the place of those there are or beside them.

        Raises
        ------
        LabelsError
            Another size than the picture's, or ids out of range.
        """
        if self._desk is not None:
            finest = layer.data[0] if layer.multiscale else layer.data
            drawn = segmentation_of(finest, layer.as_layer_data_tuple()[1])
            self._desk.session.adopt(drawn, beside=beside)

    # -- the end ----------------------------------------------------------------------------

    def finish(self) -> None:
        """Make final what is in hand and what has arrived, so that it is kept."""
        self._outlining.flush()
        if self._desk is not None:
            self._desk.session.hand.keep()

    def close(self) -> None:
        """Let go of everything; work under way ends by itself."""
        self._outlining.close()
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self._viewer.dims.events.current_step.disconnect(self._on_plane)
        for desk in {*self._desks.values(), *([self._desk] if self._desk else [])}:
            self._close_desk(desk)
        self._desks.clear()
        self._desk = None
        self.models.close()
        self.worker.close()

    def _close_desk(self, desk: Desk, *, remove_layers: bool = False) -> None:
        desk.close(remove_layers=remove_layers)
        self.keeping.end(desk.session)
