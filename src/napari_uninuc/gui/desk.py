"""One picture being corrected in one window: its session, its layers, its gestures and keys."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from napari.layers import Image
from qtpy.QtWidgets import QWidget

from napari_uninuc.engine.protocol import Annotator
from napari_uninuc.errors import UniNucError
from napari_uninuc.gui.canvas.actions import Actions
from napari_uninuc.gui.canvas.tools import Tools
from napari_uninuc.gui.layers.bridge import LayerBridge
from napari_uninuc.gui.layers.meant import is_shown
from napari_uninuc.gui.layers.placement import Placement
from napari_uninuc.gui.layers.reader_outlines import ReaderOutlines
from napari_uninuc.gui.window.keyboard import Keyboard
from napari_uninuc.gui.work.asking import Asker
from napari_uninuc.gui.work.disputes import Disputes
from napari_uninuc.gui.work.jobs import Worker
from napari_uninuc.gui.work.naming import Naming
from napari_uninuc.gui.work.reviewing import Reviewing
from napari_uninuc.gui.work.teaching import Teaching
from napari_uninuc.session import AnnotationSession

__all__ = ["Desk"]


class Desk:
    """One picture open for correction, and all that belongs to it: session, layers, tools, keys.

    Several can be open, like the tabs of an editor; the one whose picture is seen is active.

    Parameters
    ----------
    viewer, window : napari's viewer and its main window
    worker, annotator : where answers come from
    session, image, placement : what is corrected, on which layer, and where it lies there
    more_handlers : actions of the table of keys that panels do
    stays_visible : its nuclei are seen while another picture is worked at, for they lie beside
        each other
    on_problem : told when something could not be done

    Attributes
    ----------
    session, placement, bridge, tools, reviewing, teaching, naming : its parts
    disputes : leads through what two readers disagree about; None where it is not about that
    """

    def __init__(
        self,
        viewer: Any,
        window: QWidget,
        worker: Worker,
        annotator: Callable[[], Annotator],
        session: AnnotationSession,
        image: Image,
        placement: Placement,
        *,
        more_handlers: Mapping[str, Callable[[], object]],
        stays_visible: bool = False,
        on_problem: Callable[[Exception], None],
    ) -> None:
        self._viewer, self._window, self._on_problem = viewer, window, on_problem
        self._more = more_handlers
        self.session, self.placement, self._stays_visible = session, placement, stays_visible
        prefix = f"{image.name}: " if stays_visible else ""
        self.bridge = LayerBridge(
            viewer, session, image, placement, prefix=prefix, on_problem=on_problem
        )
        self.tools = Tools(viewer, window, session, self.bridge, on_problem=on_problem)
        self.reviewing = Reviewing(viewer, session, self.bridge)
        self.disputes: Disputes | None = None
        if (settling := session.settling) is not None:
            outlines = ReaderOutlines(viewer, session.tile.shape, placement)
            self.disputes = Disputes(settling, self.reviewing, outlines)
        self._actions = Actions(session, self.tools, on_problem=on_problem)
        self._asker = Asker(worker, session, annotator, on_problem=on_problem)
        self.teaching = Teaching(worker, session, annotator, on_problem=on_problem)
        self.naming = Naming(worker, session, annotator, on_problem=on_problem)
        self._keyboard: Keyboard | None = None
        self.tools.changed.connect(self._on_tools)

    @property
    def actions(self) -> Mapping[str, Callable[[], object]]:
        """What to call for every action of the table of keys."""
        return {
            **self._actions.handlers(),
            "delete": partial(self.reviewing.after, self._actions.handlers()["delete"]),
            "accept": self.reviewing.accept,
            "next": self.reviewing.go_next,
            "previous": self.reviewing.go_previous,
            "ask": self._ask,
            "alike": self._find_alike,
            "not_alike": self._refuse,
            "brush": partial(self.take_brush, "paint"),
            "erase": partial(self.take_brush, "erase"),
            "hide": partial(setattr, self.bridge, "blanked", True),
            "boxes": self._toggle_boxes,
            **({} if self.disputes is None else self.disputes.handlers()),
            **self._more,
        }

    def _ask(self) -> None:
        """Go to the nucleus whose class would teach most."""
        self.reviewing.go_to(self.teaching.next())

    def _find_alike(self) -> None:
        """Find nuclei like the one meant, or else like examples of the class last given."""
        session = self.session
        rows = [session.labels.nuclei[id_] for id_ in session.targets(self.tools.hovered)]
        said = [row.class_id for row in rows if row.class_said]
        try:
            self.teaching.propose(said[0] if said else self.teaching.last_class)
        except UniNucError as problem:
            self._on_problem(problem)

    def _refuse(self) -> None:
        """Propose no nuclei like the one under the cursor."""
        if self.tools.hovered:
            self.teaching.refuse([self.tools.hovered])

    def activate(self) -> None:
        """Make this the picture worked at: nuclei are shown, the tool is armed, the keys are on."""
        if self._keyboard is None:
            endings = {"hide": partial(setattr, self.bridge, "blanked", False)}
            self._keyboard = Keyboard(self._window, self.actions, endings)
        self.bridge.show()
        if self.disputes is not None:
            self.disputes.show()
        self.tools.arm(self.tools.tool)

    def deactivate(self) -> None:
        """Stop working here; what is in hand is made final, and nothing is lost."""
        self.session.hand.keep()
        if self.disputes is not None:
            self.disputes.hide()
        self.tools.disarm()
        self.bridge.hide(marks_only=self._stays_visible and self.is_shown)
        if self._keyboard is not None:
            self._keyboard.close()
            self._keyboard = None

    @property
    def is_shown(self) -> bool:
        """The picture is there and not hidden; another may still lie over it."""
        return self.bridge.image is not None and is_shown(self.bridge.image)

    @property
    def lies_beside(self) -> bool:
        """It is one of several that are seen at once, see `stays_visible`."""
        return self._stays_visible

    def follow_picture(self) -> None:
        """Hide the nuclei of one that lies beside others with its picture, and show them again."""
        nuclei = self.bridge.nuclei_if_there
        if self._stays_visible and nuclei is not None:
            nuclei.visible = self.is_shown

    def owns(self, layer: Any) -> bool:
        """Whether a layer is the picture of this session."""
        drawn = None if self.disputes is None else self.disputes.outlines.layer
        return layer in self.bridge.layers or (layer is not None and layer is drawn)

    def take_brush(self, mode: str = "paint") -> None:
        """Hand over to napari's brush or eraser on the nuclei layer.

        It is about the nucleus in hand, or the only one selected, and leaves its neighbours alone.
        With none, painting begins a new one, and erasing takes from all.
        """
        chosen, free = self.session.targets(), self.session.labels.next_id
        one = next(iter(chosen)) if len(chosen) == 1 else free  # one being added gets that id
        self.session.hand.keep()
        if not self.tools.armed:  # its key is to lead back
            self.tools.arm(self.tools.tool)
        nuclei = self.bridge.nuclei
        self._viewer.layers.selection.active = nuclei
        there = bool(self.session.labels.area(one))
        painting = str(nuclei.mode) in ("paint", "erase")
        if there or not painting:  # from brush to eraser and back, it is the same nucleus
            nuclei.selected_label = one if there else self.session.labels.next_id
        nuclei.preserve_labels = mode == "paint" or bool(self._brushed)
        nuclei.mode = mode

    @property
    def _brushed(self) -> int:
        """The nucleus that napari's brush is about; 0 for one that is not there yet."""
        nuclei = self.bridge.nuclei_if_there
        label = 0 if nuclei is None else int(nuclei.selected_label)
        return label if self.session.labels.area(label) else 0

    def brush_words(self) -> str:
        """Say what napari's drawing tool does now; empty where none is in use on the nuclei."""
        nuclei = self.bridge.nuclei_if_there
        mode = "" if nuclei is None else str(nuclei.mode)
        if mode not in ("paint", "erase", "fill", "polygon"):
            return ""
        about = f"nucleus {self._brushed}" if self._brushed else ""
        if mode == "erase":
            return f"Erasing shrinks {about}." if about else "Erasing takes from every nucleus."
        return f"Painting extends {about}." if about else "Painting begins a new nucleus."

    def _toggle_boxes(self) -> None:
        self.bridge.outlines.show_boxes = not self.bridge.outlines.show_boxes

    def close(self, *, remove_layers: bool = False) -> None:
        """Let go of the window; the nuclei layer stays where it is unless told otherwise.

        What is still to be answered is taken into the session until `forget_answers`.
        """
        nuclei = self.bridge.nuclei_if_there
        seen = nuclei is not None and nuclei.visible
        self.deactivate()
        if nuclei is not None:
            nuclei.visible = seen
        self.tools.changed.disconnect(self._on_tools, missing_ok=True)
        self.teaching.close()
        self.naming.close()
        self.tools.close()
        if self.disputes is not None:
            self.disputes.close()
        self.bridge.close(remove_layers=remove_layers)

    def forget_answers(self) -> None:
        """Take no more answers."""
        self._asker.close()

    def _on_tools(self) -> None:
        if self._keyboard is not None:
            self._keyboard.set_reach(self.tools.reach)
