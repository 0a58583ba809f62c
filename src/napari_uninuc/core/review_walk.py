"""The way of one person through the review queue."""

from napari_uninuc.core.review import ReviewQueue

__all__ = ["ReviewWalk"]


class ReviewWalk:
    """Leads to every nucleus that waits once a round, the most doubtful not yet looked at next.

    What was looked at is remembered by nucleus, not by its place in the queue: correcting one, or
    giving it a class, makes it less doubtful and moves it far down, and the way is not to follow
    it there.

    Parameters
    ----------
    queue : what waits, and in which order
    """

    def __init__(self, queue: ReviewQueue) -> None:
        self._queue = queue
        self._trail: list[int] = []
        self._at = -1
        self._looked_at: set[int] = set()

    @property
    def current(self) -> int | None:
        """The nucleus last led to, which may be gone; None before the first."""
        return self._trail[self._at] if self._trail else None

    def next(self) -> int | None:
        """Lead to the next nucleus: first those the way back has passed, then new ones.

        Returns
        -------
        id_ : of a nucleus that waits; None where none does. Once all that wait were looked at,
            a new round begins
        """
        for at in range(self._at + 1, len(self._trail)):
            if self._queue.waits(self._trail[at]) and self._trail[at] != self.current:
                return self._stand(at)
        found = self._queue.first(self._looked_at)
        if found is None:
            self._looked_at.clear()
            found = self._queue.first(self._here()) or self._queue.first()
        if found is None:
            return None
        self._trail.append(found)
        return self._stand(len(self._trail) - 1)

    def previous(self) -> int | None:
        """Lead back to the nucleus looked at before, reviewed by now or not.

        Returns
        -------
        id_ : before the first one, the least doubtful that was not looked at; None where nothing
            is left to go back to
        """
        for at in range(self._at - 1, -1, -1):
            if self._queue.is_visible(self._trail[at]) and self._trail[at] != self.current:
                return self._stand(at)
        found = self._queue.last(self._looked_at)
        if found is None:
            found = self._queue.last(self._here()) or self._queue.last()
        if found is None:
            return None
        self._trail.insert(0, found)
        return self._stand(0)

    def _stand(self, at: int) -> int:
        self._at = at
        self._looked_at.add(self._trail[at])
        return self._trail[at]

    def _here(self) -> list[int]:
        return [] if self.current is None else [self.current]
