"""The desks of one window, the model they share, and the long jobs."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari.layers import Image, Labels, Layer, Shapes
from psygnal import Signal
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.nuclei import Status
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import ImageError, SessionError
from napari_uninuc.gui.canvas.gl_context import ContextGuard
from napari_uninuc.gui.desk import Desk
from napari_uninuc.gui.layers.meant import hides
from napari_uninuc.gui.layers.picture_watch import PictureWatch
from napari_uninuc.gui.layers.pictures import PictureSource, picture_source, plane_of
from napari_uninuc.gui.layers.placement import Placement
from napari_uninuc.gui.layers.taking import nuclei_source
from napari_uninuc.gui.layers.taking_shapes import shapes_source
from napari_uninuc.gui.window.preferences import preferences
from napari_uninuc.gui.work.comparing import Order, start_comparing
from napari_uninuc.gui.work.jobs import Task, Worker
from napari_uninuc.gui.work.model_slot import Loader, ModelSlot
from napari_uninuc.gui.work.outlining import Outlining, RunState
from napari_uninuc.gui.work.saved_sessions import SavedSessions
from napari_uninuc.gui.work.saving import SavedAs, Saving
from napari_uninuc.gui.work.taking_over import TakingOver
from napari_uninuc.journal.listing import FoundSession
from napari_uninuc.session import AnnotationSession
from napari_uninuc.session.autosave import Restored
from napari_uninuc.session.settling import Settling

__all__ = ["SavedAs", "Workbench"]

_LEFT_BY = "uninuc_session"
"""Of a layer's metadata: folder of the session that it showed when the panel was closed."""

_Place = tuple[Image, tuple[int, ...]]
"""An image layer, and which plane of it."""


class Workbench:
    """Opens pictures, keeps a desk for each, and runs what takes longer than a blink.

    Parameters
    ----------
    viewer, window : napari's viewer and its main window
    load : makes the model's annotator, in the worker
    is_slide : whether a layer shows a slide, of which only regions can be worked at
    handlers : actions of the table of keys that panels do
    on_problem : told in the window's thread when something failed

    Attributes
    ----------
    desk_changed : another desk is worked at, or none
    picture_changed : another picture is meant, is being read, or has another name
    run_changed : an automatic run began, went on or ended; see `run`
    saved : a file was written: its path, whose nuclei, and since when they may have changed
    slide_asked : a layer that was to be opened is a slide: only regions of it can be worked at
    """

    desk_changed = Signal()
    picture_changed = Signal()
    slide_asked = Signal(Image)

    def __init__(
        self,
        viewer: Any,
        window: QWidget,
        load: Loader,
        *,
        is_slide: Callable[[Image], bool],
        handlers: Mapping[str, Callable[[], object]],
        on_problem: Callable[[Exception], None],
    ) -> None:
        self._viewer, self._window = viewer, window
        self._handlers, self._on_problem = handlers, on_problem
        self._is_slide = is_slide
        self.worker = Worker()
        self.models = ModelSlot(self.worker, load, on_problem=on_problem)
        self.sessions = SavedSessions(self.worker, on_problem=on_problem)
        self._outlining = Outlining(
            self.worker, self.models.require, self.sessions, on_problem=on_problem
        )
        self.run_changed = self._outlining.changed
        self._taking = TakingOver(self.worker, on_problem=on_problem)
        self._desks: dict[_Place, Desk] = {}
        self._desk: Desk | None = None
        self._asked: Image | None = None
        self._opening: tuple[_Place, Task] | None = None
        self._repainted: set[Image] = set()
        self._gone: list[Desk] = []
        self._saving = Saving(self.worker, on_problem=on_problem)
        self.saved = self._saving.saved
        self._leaving: list[Desk] = []
        self._context_guard = ContextGuard(viewer, window)
        self.pictures = PictureWatch(viewer, self._covers, self._layers_of)
        self.pictures.lost_sight.connect(self._on_lost_sight)
        self.pictures.settled.connect(self._on_settled)
        self.pictures.removed.connect(self._on_removed)
        self.pictures.repainted.connect(self._on_repainted)
        self.pictures.renamed.connect(self.picture_changed.emit)
        self.models.changed.connect(self._on_model)
        self.worker.answered.connect(self._on_answered)
        self.worker.unanswered.connect(self._on_answered)
        viewer.dims.events.current_step.connect(self._on_plane)

    # -- pictures ---------------------------------------------------------------------------

    @property
    def desk(self) -> Desk | None:
        """Where work is being done."""
        return self._desk

    @property
    def picture(self) -> Image | None:
        """The image layer a person means, worked at or not; None where none is seen."""
        return self.pictures.picture if self.pictures.in_sight else None

    @property
    def run(self) -> RunState | None:
        """How far the automatic run is; None where there is none."""
        return self._outlining.state

    @property
    def on_other_plane(self) -> bool:
        """The picture that is seen shows a plane that was not opened, others of it were."""
        return self._desk is None and self.picture in [layer for layer, _ in self._desks]

    @property
    def opening(self) -> bool:
        """A picture is being read."""
        return self._opening is not None

    def begin(self) -> None:
        """Open the picture that is active or on top, and follow the layers from now on."""
        self.pictures.begin()

    def open(self, layer: Image, mpp: float | None = None) -> None:
        """Work on the plane shown of an image layer; one worked on before is as it was left.

        The layer is shown, and what lies over it goes below.

        Parameters
        ----------
        mpp : micrometres per px of the layer; None takes the layer's own
        """
        self.pictures.choose(layer)
        self._open(layer, mpp)

    def _open(self, layer: Image, mpp: float | None = None) -> None:
        self._asked = layer
        place = self._place_of(layer)
        if self._opening is not None and self._opening[0] == place and mpp is None:
            return
        self._stop_opening()
        if self._is_slide(layer):
            self._go_to(None)
            self.slide_asked.emit(layer)
        elif place in self._desks and layer not in self._repainted:
            self._go_to_picture()
        else:
            self._go_to(None)
            self._read(layer, place, mpp)
        self.picture_changed.emit()

    def _read(self, layer: Image, place: "_Place", mpp: float | None = None) -> None:
        """Read the pixels in the worker, before what else there is to do."""
        dims = self._viewer.dims
        try:
            source = picture_source(layer, dims.current_step, tuple(dims.displayed), mpp)
        except ImageError as problem:
            self._on_problem(problem)
            return
        task = self.worker.submit(
            f"Reading {layer.name}",
            source.read,
            on_done=lambda tile: self._end_opening(task, lambda: self._opened(place, source, tile)),
            on_error=lambda problem: self._end_opening(task, lambda: self._on_problem(problem)),
            urgent=True,
        )
        self._opening = place, task

    def _end_opening(self, task: Task, then: Callable[[], None]) -> None:
        """Go on with what was read, unless another picture is meant by now."""
        if self._opening is not None and self._opening[1] is task:
            self._opening = None
            then()
            self.picture_changed.emit()

    def _stop_opening(self) -> None:
        if self._opening is not None:
            self._opening[1].cancel()
            self._opening = None

    def _opened(self, place: "_Place", source: PictureSource, tile: Tile) -> None:
        if place[0] in self._repainted:
            self._repainted.discard(place[0])
            before = self._desks.get(place)
            if before is not None and before.session.tile.digest == tile.digest:
                self._go_to_picture()
                return
            self._put_away_all(place[0])
        session = self._new_session(tile)
        self.sessions.begin(session)
        self._set_up(place, session, source.placement)

    def rescale(self, mpp: float) -> None:
        """Say how large a pixel of the picture worked at is, um; corrections so far stay."""
        if self._desk is not None:
            self._desk.session.tile = replace(self._desk.session.tile, mpp=mpp)
            self._prepare(self._desk)
            self.desk_changed.emit()

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
        folder : where the session was kept before, see `SavedSessions.begin`
        """
        begun = self._new_session(tile) if session is None else session
        self._stop_opening()
        self.pictures.choose(layer)
        self._asked = layer
        self.sessions.begin(begun, folder)
        self._set_up((layer, ()), begun, Placement.of(layer))

    def desk_of(self, layer: Image) -> Desk | None:
        """The desk of a flat layer, worked at or not."""
        return self._desks.get((layer, ()))

    def drop(self, layer: Image) -> None:
        """Put away what a flat layer shows, its nuclei too; what was kept on disk stays."""
        desk = self._desks.pop((layer, ()), None)
        if desk is not None:
            self._put_away(desk, remove_layers=True)

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
            self.sessions.bring_back(
                found, desk.session.tile, lambda restored: self._brought_back(desk, found, restored)
            )

    def _brought_back(self, desk: Desk, found: FoundSession, restored: Restored) -> None:
        if self._replace(desk, restored.session, found.path):
            for layer in self._viewer.layers:  # else what is deleted now would be seen there still
                if layer.metadata.get(_LEFT_BY) == str(found.path):
                    layer.visible = False
            if restored.problem is not None:
                self._on_problem(SessionError(restored.problem))

    def compare(self, order: Order, on_done: Callable[[Settling], None]) -> None:
        """Compare two readers of the picture, and settle in its place what they disagree about.

        Parameters
        ----------
        on_done : told in the end; where they agree on everything, nothing has changed
        """
        desk = self._desk
        if desk is not None:
            self.finish()
            start_comparing(
                self.worker,
                desk.session,
                order,
                on_done=lambda settling: self._compared(desk, order, settling, on_done),
                on_problem=self._on_problem,
            )

    def _compared(
        self, desk: Desk, order: Order, settling: Settling, on_done: Callable[[Settling], None]
    ) -> None:
        if settling.disputes and self._replace(desk, settling.session):
            self.sessions.begin_comparison(settling, order.by)
        on_done(settling)

    def _replace(
        self,
        desk: Desk,
        session: AnnotationSession,
        folder: Path | None = None,
    ) -> bool:
        """Work on another session in the place of a desk's; False where its picture is gone."""
        place = next((place for place, each in self._desks.items() if each is desk), None)
        if place is None:
            return False
        # What is kept nowhere else stays in the window, as a layer.
        kept = self.sessions.folder_of(desk.session) is not None or folder is not None
        self._put_away(self._desks.pop(place), remove_layers=kept)
        self.sessions.begin(session, folder)
        self._set_up(place, session, desk.placement)
        return True

    def _set_up(
        self,
        place: _Place,
        session: AnnotationSession,
        placement: Placement,
    ) -> None:
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
        self._go_to_picture()
        if desk is not self._desk:  # hidden, or another plane is shown by now
            desk.bridge.hide(marks_only=desk.lies_beside)
        self._prepare(desk)

    def _go_to(self, desk: Desk | None) -> None:
        if desk is self._desk:
            return
        if self._desk is not None:
            self._desk.deactivate()
        self._desk = desk
        if desk is not None:
            desk.activate()
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

    # -- what becomes of the layers -----------------------------------------------------------

    def _covers(self, upper: Image, lower: Image) -> bool:
        """Whether an image hides another; regions of a slide do not hide the slide."""
        beside = any(place[0] is upper and each.lies_beside for place, each in self._desks.items())
        return not (beside and self._is_slide(lower)) and hides(upper, lower)

    def _layers_of(self, image: Image) -> tuple[Layer, ...]:
        desks = [desk for place, desk in self._desks.items() if place[0] is image]
        return tuple(layer for desk in desks for layer in desk.bridge.layers)

    def _on_lost_sight(self) -> None:
        """Draw nothing more for a picture that is not seen."""
        self._go_to(None)

    def _on_settled(self) -> None:
        """Go to the picture that is meant now; one that was never asked for is opened."""
        for desk in self._desks.values():
            desk.follow_picture()
        picture = self.picture
        if picture is not self._asked or picture is None:
            self._stop_opening()
            self._asked = picture
            if picture is not None and not any(layer is picture for layer, _ in self._desks):
                self._open(picture)
                return
        self._go_to_picture()
        self.picture_changed.emit()

    def _go_to_picture(self) -> None:
        """Work at the plane of the picture that is shown, where it was opened."""
        picture = self.picture
        desk = None
        if picture is not None and picture not in self._repainted:
            desk = self._desks.get(self._place_of(picture))
        self._go_to(desk)
        if desk is not None:
            desk.bridge.rise()

    def _on_plane(self, _event: Any) -> None:
        """Put the tool away when another plane is shown, take it up again on the way back."""
        self._go_to_picture()
        self.picture_changed.emit()

    def _on_repainted(self, layer: Image) -> None:
        """Read the pixels that a layer was given; where they are others, begin anew with them."""
        if layer is not self.picture:
            self._put_away_all(layer)
        elif not self._is_slide(layer):
            self._stop_opening()
            self._repainted.add(layer)
            self._go_to(None)
            self._read(layer, self._place_of(layer))
            self.picture_changed.emit()

    def _on_removed(self, layer: Image) -> None:
        """Forget the desks of a deleted image."""
        if self._opening is not None and self._opening[0][0] is layer:
            self._stop_opening()
        self._repainted.discard(layer)
        if self._asked is layer:
            self._asked = None
        for place in [each for each in self._desks if each[0] is layer]:
            desk = self._desks.pop(place)
            if desk is self._desk:
                self._go_to(None)
            desk.bridge.hide()
            self._gone.append(desk)
        QTimer.singleShot(0, self._put_gone_away)  # napari is still busy deleting

    def _put_gone_away(self) -> None:
        gone, self._gone = self._gone, []
        for desk in gone:
            self._put_away(desk, remove_layers=self.sessions.keeps(desk.session))

    def _put_away_all(self, layer: Image) -> None:
        for place in [each for each in self._desks if each[0] is layer]:
            desk = self._desks.pop(place)
            kept = self.sessions.folder_of(desk.session) is not None
            self._put_away(desk, remove_layers=kept)

    def _put_away(self, desk: Desk, *, remove_layers: bool = False) -> None:
        """Close the desk of a picture that is gone; its nuclei stay on disk, or as a layer.

        A layer that is left is hidden, and called after its picture.
        """
        if desk is self._desk:
            self._go_to(None)
        self._end_jobs(desk.session)
        nuclei = desk.bridge.nuclei_if_there
        gone = remove_layers or not len(desk.session.labels)
        if nuclei is not None and not gone:
            nuclei.name = f"{desk.session.tile.name}: nuclei"
        self._close_desk(desk, remove_layers=gone)
        if nuclei is not None:
            nuclei.visible = False

    # -- long jobs --------------------------------------------------------------------------

    def _end_jobs(self, session: AnnotationSession) -> None:
        """Put in what has arrived and what was to be taken over, for the picture goes."""
        self._outlining.end(session)
        self._taking.flush(session)

    def _flush_jobs(self) -> None:
        """Put in now what has arrived and what is to be taken over."""
        self._outlining.flush()
        self._taking.flush()

    def outline_all(self) -> None:
        """Outline every nucleus of the picture, part by part; see `run`."""
        if self._desk is not None:
            self._outlining.start(self._desk.session)

    def cancel(self) -> None:
        """End the automatic run; what is in its picture stays."""
        self._outlining.cancel()

    def save(self, path: Path, status: Status | None = None, class_name: str | None = None) -> None:
        """Write the nuclei as they are now, in the format of the path's ending.

        Parameters
        ----------
        status, class_name : only nuclei of that status, of that class; None asks for none
        """
        if self._desk is not None:
            self._flush_jobs()
            self._saving.save(self._desk.session, SavedAs(path, status, class_name))

    @property
    def saved_as(self) -> SavedAs | None:
        """How the nuclei worked at were saved last; None where they were not."""
        return None if self._desk is None else self._saving.saved_as(self._desk.session)

    def save_training_set(self, folder: Path) -> None:
        """Write the picture and its reviewed nuclei as a new folder to train on."""
        if self._desk is not None:
            self._flush_jobs()
            self._saving.save_training_set(self._desk.session, folder)

    def import_labels(
        self,
        layer: Labels | Shapes,
        *,
        beside: bool = False,
        on_done: Callable[[int], object] = lambda left_out: None,
    ) -> str:
        """Take over the nuclei of a layer, in the place of those there are or beside them.

        They arrive where the window shows them, whatever size, scale and place the layer has:
        at once on a small picture, else soon, from the worker. The picture may be worked at, left
        or closed meanwhile.

        Parameters
        ----------
        on_done : told how many nuclei of the layer do not lie on the picture

        Returns
        -------
        notice : what of the layer is no nucleus, for the person; empty where all is

        Raises
        ------
        LabelsError
            The layer's units and the picture's do not go together; or, on a small picture, no
            nucleus lies on it or ids are out of range, as `on_problem` is told of else.
        """
        if self._desk is None:
            return ""
        session, step = self._desk.session, tuple(self._viewer.dims.current_step)
        seen = self._desk.bridge.nuclei, session.tile.shape, step
        if isinstance(layer, Shapes):
            drawn = shapes_source(layer, *seen)
            self._taking.start(session, drawn, beside=beside, on_done=on_done)
            return drawn.notice
        self._taking.start(session, nuclei_source(layer, *seen), beside=beside, on_done=on_done)
        return ""

    # -- the end ----------------------------------------------------------------------------

    def finish(self) -> None:
        """Make final what is in hand and what has arrived, so that it is kept."""
        self._flush_jobs()
        if self._desk is not None:
            self._desk.session.hand.keep()

    def close(self) -> None:
        """Let go of everything; work under way ends by itself."""
        self._put_gone_away()
        self._taking.flush()
        self._outlining.close()
        self.pictures.close()
        self._viewer.dims.events.current_step.disconnect(self._on_plane)
        for desk in self._desks.values():
            nuclei, folder = desk.bridge.nuclei_if_there, self.sessions.folder_of(desk.session)
            if nuclei is not None and folder is not None:
                nuclei.metadata[_LEFT_BY] = str(folder)
            self._close_desk(desk)
        for desk in list(self._leaving):
            self._end(desk)
        self._desks.clear()
        self._desk = None
        self._context_guard.close()
        self.models.close()
        self.worker.close()

    def abandon(self) -> None:
        """Fall silent: the window was destroyed, and with it all that listens."""
        for told in (self.desk_changed, self.picture_changed, self.run_changed, self.saved):
            told.disconnect()
        self.pictures.fall_silent()
        self._gone.clear()
        self.sessions.close()
        self.worker.close()

    def _close_desk(self, desk: Desk, *, remove_layers: bool = False) -> None:
        """Let go of a desk's layers now, of its session once all its clicks are answered."""
        desk.close(remove_layers=remove_layers)
        self._leaving.append(desk)
        self._let_go()

    def _on_model(self) -> None:
        """Note in the records who answers clicks from now on."""
        annotator = self.models.annotator
        if annotator is not None and not self.models.loading:
            self.sessions.answered_by(annotator)

    def _on_answered(self, *_: Any) -> None:
        """Let go of the sessions that wait for nothing more, once all have heard of the answer."""
        QTimer.singleShot(0, self._let_go)

    def _let_go(self) -> None:
        for desk in [each for each in self._leaving if not each.session.hand.waiting]:
            self._end(desk)

    def _end(self, desk: Desk) -> None:
        self._leaving.remove(desk)
        desk.forget_answers()
        self.sessions.end(desk.session)
