"""From one thing to the next, with what is known of each; knows neither nuclei nor folders."""

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from psygnal import Signal

__all__ = ["NOT_BEGUN", "State", "Walk"]

Item = TypeVar("Item")


class State(NamedTuple):
    """How far one thing is: parts reviewed, and parts in all; of several, their sum."""

    reviewed: int
    total: int

    def __str__(self) -> str:
        """As a person would say it."""
        if not self.total:
            return "not begun"
        if not self.reviewed:
            return f"{self.total:,} outlined"
        if self.reviewed == self.total:
            return f"done, {self.total:,}"
        return f"{self.reviewed:,} of {self.total:,} reviewed"


NOT_BEGUN = State(0, 0)


class Walk(Generic[Item]):
    """A list of things and the one that is open.

    Parameters
    ----------
    open_item : opens one; the one before is left by it

    Attributes
    ----------
    changed : the list, a state or the place has changed
    items : in order
    current : the one that is open; None where none is
    """

    changed = Signal()

    def __init__(self, open_item: Callable[[Item], None]) -> None:
        self._open = open_item
        self.items: tuple[Item, ...] = ()
        self.current: Item | None = None
        self._states: dict[Item, State] = {}

    def begin(self, items: Sequence[Item]) -> None:
        """Take another list; nothing is opened yet."""
        self.items, self.current, self._states = tuple(items), None, {}
        self.changed.emit()

    def state_of(self, item: Item) -> State | None:
        """What is known of one; None where nothing is yet."""
        return self._states.get(item)

    def note(self, item: Item, state: State) -> None:
        """Take what was found out about one; one that left the list is no matter."""
        if item in self.items and self._states.get(item) != state:
            self._states[item] = state
            self.changed.emit()

    @property
    def total(self) -> State:
        """All states that are known, summed up."""
        known = self._states.values()
        return State(sum(each.reviewed for each in known), sum(each.total for each in known))

    def go_to(self, item: Item) -> None:
        """Open one."""
        if item in self.items and item != self.current:
            self.current = item
            self._open(item)
            self.changed.emit()

    def go_next(self) -> None:
        """Open the one after; the first where none is open. After the last nothing happens."""
        self._go_by(1)

    def go_previous(self) -> None:
        """Open the one before."""
        self._go_by(-1)

    def _go_by(self, step: int) -> None:
        place = 0 if self.current is None else self.items.index(self.current) + step
        if 0 <= place < len(self.items):
            self.go_to(self.items[place])
