"""The nucleus in hand: what was clicked so far and what the model answered."""

from dataclasses import dataclass, replace
from typing import Self

from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.prompts import Answer, MaskLogits, Prompt

__all__ = ["Draft"]

NEW = 0
"""Id of a nucleus that does not exist yet."""


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A nucleus being corrected or added; each gesture makes the next draft.

    Attributes
    ----------
    nucleus_id : of the nucleus corrected, 0 for one that is being added
    prompt : all clicks and the box so far; its previous mask is the last answer's
    start : the nucleus's mask when it was taken in hand, None for a new one
    answer : the model's answer to an earlier prompt or this one, None before the first
    generation : number of the prompt, unique in a session; an answer is for this very number
    answered : `answer` is to this prompt, not to an earlier one
    earlier : the draft before the last gesture, None right after taking in hand
    """

    nucleus_id: int
    prompt: Prompt
    start: InstanceMask | None
    answer: Answer | None
    generation: int
    answered: bool
    earlier: "Draft | None"

    @classmethod
    def of_nucleus(cls, nucleus_id: int, mask: InstanceMask, generation: int) -> Self:
        """Take an existing nucleus in hand; nothing has to be answered yet."""
        prompt = Prompt(previous=MaskLogits.from_mask(mask))
        return cls(nucleus_id, prompt, mask, None, generation, True, None)

    @classmethod
    def of_new(cls, generation: int) -> Self:
        """Begin a nucleus that does not exist yet, without a prompt."""
        return cls(NEW, Prompt(), None, None, generation, True, None)

    @property
    def mask(self) -> InstanceMask | None:
        """What is shown as the nucleus in hand."""
        return self.start if self.answer is None else self.answer.mask

    @property
    def is_changed(self) -> bool:
        """A click or box was given since it was taken in hand."""
        return self.earlier is not None

    def clicked(self, click_yx: tuple[float, float], inside: bool, generation: int) -> Self:
        """Add a click that belongs to the nucleus, or does not."""
        return self._next(self.prompt.with_point(click_yx, inside), generation)

    def boxed(self, box_yxyx: tuple[float, float, float, float], generation: int) -> Self:
        """Start again from a box; earlier clicks and masks are no longer what is meant."""
        return self._next(Prompt((), (), box_yxyx, None), generation)

    def _next(self, prompt: Prompt, generation: int) -> Self:
        return replace(self, prompt=prompt, generation=generation, answered=False, earlier=self)

    def with_answer(self, answer: Answer) -> Self:
        """Take the model's answer, which becomes the mask prompt of the next gesture."""
        prompt = self.prompt.with_previous(answer.logits)
        return replace(self, answer=answer, answered=True, prompt=prompt)
