"""What the keys of the table do, save those that need the review queue or a panel."""

from collections.abc import Callable
from functools import partial

from napari_uninuc.errors import UniNucError
from napari_uninuc.gui.canvas.tools import Tool, Tools
from napari_uninuc.session import AnnotationSession

__all__ = ["Actions"]


class Actions:
    """Verbs without a position: they act on what is selected, in hand, or under the cursor.

    Parameters
    ----------
    session : what is changed
    tools : which tool is armed and what the cursor is over
    on_problem : told when a verb could not be carried out
    """

    def __init__(
        self,
        session: AnnotationSession,
        tools: Tools,
        *,
        on_problem: Callable[[Exception], None],
    ):
        self._session = session
        self._tools = tools
        self._on_problem = on_problem

    def handlers(self) -> dict[str, Callable[[], None]]:
        """Return what to call for each action of `keymap.KEYS` that is done here."""
        plain: dict[str, Callable[[], object]] = {
            **{tool.value: partial(self._tools.arm, tool) for tool in Tool},
            **{f"class_{digit}": partial(self.give_class, digit - 1) for digit in range(1, 10)},
            "positive": partial(self.give_stain, positive=True),
            "negative": partial(self.give_stain, positive=False),
            "keep": self._session.hand.keep,
            "drop": self.drop,
            "delete": self.delete,
            "fill_holes": self.fill_holes,
            "smooth": self.smooth,
            "undo": self._session.undo,
            "redo": self._session.redo,
        }
        return {action: partial(self._safely, call) for action, call in plain.items()}

    def drop(self) -> None:
        """Forget the drag under way, else what is in hand, else the selection."""
        if self._tools.cancel_drag():
            return
        if self._session.hand.draft is not None:
            self._session.hand.drop()
        else:
            self._session.select(())

    def delete(self) -> None:
        """Delete nuclei; one that is only being added is dropped."""
        self._session.delete(self._targets())

    def give_class(self, class_id: int) -> None:
        """Give nuclei a class; without any, it becomes that of the nuclei to be added.

        A number past the last class does nothing. A nucleus being added gets it too.
        """
        if class_id >= len(self._session.classes):
            return
        targets, draft = self._targets(), self._session.hand.draft
        if targets:
            self._session.set_class(targets, class_id)
        else:
            self._session.current_class = class_id
        if draft is not None and draft.nucleus_id in targets:
            self._session.hand.pick(draft.nucleus_id)  # a class is no reason to let go of it

    def give_stain(self, *, positive: bool) -> None:
        """Say that nuclei are brown, or that they are not; said again, it is taken back.

        One that was measured to be 2+ or 3+ stays so where it is called brown, else it is 1+.
        """
        session, targets = self._session, sorted(self._targets())
        nuclei = session.labels.nuclei
        said = [nuclei[id_].stain_said for id_ in targets]
        if said and all(each is not None and (each > 0) == positive for each in said):
            session.set_stain(targets, None)
            return
        levels = {id_: max(session.staining.get(id_, 1), 1) if positive else 0 for id_ in targets}
        session.set_stains(levels)

    def fill_holes(self) -> None:
        """Fill what each nucleus encloses."""
        self._session.fill_holes(self._targets())

    def smooth(self) -> None:
        """Smooth the outline of each nucleus."""
        self._session.smooth(self._targets())

    def _targets(self) -> frozenset[int]:
        return self._session.targets(self._tools.hovered)

    def _safely(self, call: Callable[[], object]) -> None:
        try:
            call()
        except UniNucError as problem:
            self._on_problem(problem)
