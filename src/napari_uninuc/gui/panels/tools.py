"""Tools and verbs as buttons, each with its key printed on it."""

from psygnal import SignalInstance
from qtpy.QtWidgets import QLabel, QPushButton

from napari_uninuc.gui.canvas.tools import Tool
from napari_uninuc.gui.desk import Desk
from napari_uninuc.gui.panels.frame import Panel, key_button, row
from napari_uninuc.gui.slides.all_slides import Slides
from napari_uninuc.gui.window.keymap import key_of
from napari_uninuc.gui.workbench import Workbench

__all__ = ["ToolsPanel"]

_VERBS = (
    ("keep", "drop", "delete", "boxes"),
    ("fill_holes", "smooth", "brush", "erase"),
    ("undo", "redo", "keys"),
)
"""Row by row, as many as fit."""


def _undone(desk: Desk) -> str:
    """What undo takes back; where readers' names are hidden, not for whom it was decided."""
    undo, settling = desk.session.steps.history.undo_name or "", desk.session.settling
    hidden = settling is not None and settling.blinded and undo.startswith("settle")
    return "the decision" if hidden else undo


class ToolsPanel(Panel):
    """Buttons of tools stay down while their tool is in use; pressed again they put it away."""

    def __init__(self, workbench: Workbench, slides: Slides) -> None:
        super().__init__("Correct")
        self._workbench, self._slides = workbench, slides
        self.tools: dict[Tool, QPushButton] = {}
        self.verbs: dict[str, QPushButton] = {}
        self.state = QLabel()
        self.state.setWordWrap(True)
        for tool in Tool:
            made = key_button(tool.value)
            made.setCheckable(True)
            made.clicked.connect(lambda _=False, tool=tool: self._on_tool(tool))
            self.tools[tool] = made
        for action in (action for some in _VERBS for action in some):
            made = key_button(action)
            made.clicked.connect(lambda _=False, action=action: self._on_verb(action))
            self.verbs[action] = made
        rows = [[self.verbs[action] for action in some] for some in _VERBS]
        for buttons in (list(self.tools.values()), *rows):
            self.column.addWidget(row(*buttons))
        self.column.addWidget(self.state)
        for signal in (workbench.picture_changed, workbench.models.changed, slides.changed):
            signal.connect(self._on_slow_signal)

    def signals(self, desk: Desk) -> list[SignalInstance]:
        """Tool, hand, selection, history."""
        session = desk.session
        return [
            desk.tools.changed,
            desk.bridge.label_chosen,
            session.hand.changed,
            session.selection_changed,
            session.steps.changed,
        ]

    def slow_signals(self, desk: Desk) -> list[SignalInstance]:
        """All of these: words that change their length make the whole window be painted."""
        return self.signals(desk)

    def refresh(self) -> None:
        """Show the tool in use, and what can be done now."""
        desk = self.desk
        for tool, made in self.tools.items():
            made.setChecked(desk is not None and desk.tools.active and desk.tools.tool is tool)
        if desk is None:
            return
        session = desk.session
        in_hand = session.hand.draft is not None
        self.verbs["keep"].setEnabled(in_hand)
        self.verbs["drop"].setEnabled(in_hand or bool(session.selection))
        self.verbs["undo"].setEnabled(in_hand or session.steps.history.can_undo)
        self.verbs["redo"].setEnabled(session.steps.history.can_redo)

    def refresh_later(self) -> None:
        """Say in words what is going on."""
        desk = self.desk
        self.state.setText(self._words_without() if desk is None else self._words(desk))

    def _words_without(self) -> str:
        """Say why nothing can be corrected now, and what to do."""
        bench = self._workbench
        loading = "The model is loading" if bench.models.loading else ""
        picture = bench.picture
        if bench.opening and picture is not None:
            return (
                f"{loading}; then {picture.name} is read."
                if loading
                else f"Reading {picture.name} ..."
            )
        if bench.on_other_plane:
            words = "Another plane is shown now: press Open to correct it too."
        elif self._slides.current is not None and self._slides.current.layer is picture:
            words = "Draw a region on the slide to begin."
        elif picture is not None:
            words = f"{picture.name} is not open: press Open to try again."
        elif bench.pictures.all_hidden:
            words = "No picture is seen: show one in the list of layers."
        else:
            words = "Open a picture to begin."
        return f"{loading}. {words}" if loading else words

    def _words(self, desk: Desk) -> str:
        draft, chosen = desk.session.hand.draft, len(desk.session.selection)
        back = key_of("fix").shown
        if not desk.tools.armed:
            return f"Put away: mouse and keys are napari's. Press {back} or a tool to go on."
        if not desk.tools.active:
            doing = desk.brush_words() or "A tool of napari's is in use."
            return f"{doing} Press {back} to come back."
        if draft is not None:
            name = f"Nucleus {draft.nucleus_id}" if draft.nucleus_id else "A new nucleus"
            waiting = "" if draft.answered else " (the outline is on its way)"
            return f"{name} is in your hand{waiting}."
        if chosen:
            return f"{chosen} nuclei selected."
        undo = _undone(desk)
        if not undo and self._workbench.models.loading:
            return "The model is loading; what you click is outlined when it is there."
        return f"Undo would take back: {undo}." if undo else "Click a nucleus to correct it."

    def _on_tool(self, tool: Tool) -> None:
        if self.desk is None:
            return
        tools = self.desk.tools
        if tools.active and tools.tool is tool:
            self.desk.session.hand.keep()
            tools.disarm()
        else:
            tools.arm(tool)
        self.refresh()

    def _on_verb(self, action: str) -> None:
        if self.desk is not None:
            self.desk.actions[action]()
