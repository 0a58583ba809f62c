"""The disagreement under review: shown, and settled by one key."""

from collections.abc import Callable, Mapping
from functools import partial

from napari_uninuc.gui.layers.reader_outlines import ReaderOutlines
from napari_uninuc.gui.work.reviewing import Reviewing
from napari_uninuc.session.settling import Choice, Dispute, Settling

__all__ = ["Disputes"]


class Disputes:
    """Leads from one disagreement to the next, by the way of the review.

    Parameters
    ----------
    settling : the disagreements
    reviewing : where the review stands
    outlines : where both readers' outlines are drawn

    Attributes
    ----------
    settling, outlines : as above
    """

    def __init__(self, settling: Settling, reviewing: Reviewing, outlines: ReaderOutlines) -> None:
        self.settling, self._reviewing, self.outlines = settling, reviewing, outlines
        self._drawn: Dispute | None = None
        self._seen = False
        settling.session.hand.changed.connect(self._draw)
        settling.session.labels.changed.connect(self._draw)

    @property
    def current(self) -> Dispute | None:
        """What is looked at: that of the nucleus in hand, else where the review stands."""
        draft = self.settling.session.hand.draft
        in_hand = None if draft is None else self.settling.at(draft.nucleus_id)
        return in_hand or self.settling.at(self._reviewing.current)

    def handlers(self) -> Mapping[str, Callable[[], object]]:
        """What to call for the actions of the table of keys that settle."""
        return {
            "take_first": partial(self._take, lambda dispute: dispute.first),
            "take_second": partial(self._take, lambda dispute: dispute.second),
            "take_anew": partial(self._take, lambda dispute: Choice.ANEW),
        }

    def show(self) -> None:
        """Draw from now on."""
        self._seen = True
        self._draw()

    def hide(self) -> None:
        """Draw nothing while another picture is worked at."""
        self._seen, self._drawn = False, None
        self.outlines.hide()

    def close(self) -> None:
        """Stop following the session."""
        self.settling.session.hand.changed.disconnect(self._draw, missing_ok=True)
        self.settling.session.labels.changed.disconnect(self._draw, missing_ok=True)
        self.outlines.close()

    def _take(self, choose: Callable[[Dispute], Choice]) -> None:
        dispute = self.current
        if dispute is not None and self.settling.waits(dispute):
            self.settling.settle(dispute, choose(dispute))
        self._reviewing.go_next()

    def _draw(self, *_: object) -> None:
        dispute = self.current if self._seen else None
        if dispute is not None and not self.settling.waits(dispute):
            dispute = None
        if dispute is self._drawn:
            return
        self._drawn = dispute
        if dispute is None:
            self.outlines.hide()
        else:
            masks = self.settling.masks
            self.outlines.show(masks(dispute, dispute.first), masks(dispute, dispute.second))
