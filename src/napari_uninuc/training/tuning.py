"""What was chosen for the first weights, on the card of those that are taught on from them.

Threshold, shift, margin, mirror and expected IoU are chosen on validation pictures for one set of
weights. Where only a correction is taught, all that they were chosen for stays, and so do they.
Where the rest is taught they are no longer the best, but nearer to it than what a model begins with
that nobody has tuned: they stay as values to start from, and the card says so.
"""

from __future__ import annotations

from dataclasses import replace

from napari_uninuc.network.card import ModelCard, card_for_preset
from napari_uninuc.training.recipe import TrainRecipe

__all__ = ["DECODED", "TUNED", "kept_from", "logit_shift_of", "with_tuning"]

TUNED = ("score_threshold", "logit_shift", "proposer", "flips", "box_margin", "expected_iou")
"""Keys of a card that are chosen for its weights."""
DECODED = ("decoding", "dynamic_multimask")
"""Keys that say how masks must be decoded; teaching masks ends that: it is done in windows, and of
the single mask."""


def logit_shift_of(recipe: TrainRecipe, earlier: ModelCard | None) -> float:
    """That of the card to be: what a correction is taught at, else that of the first weights."""
    if recipe.corrections is not None and recipe.corrections.logit_shift is not None:
        return recipe.corrections.logit_shift
    return 0.0 if earlier is None else earlier.logit_shift


def with_tuning(card: ModelCard, earlier: ModelCard | None, recipe: TrainRecipe) -> ModelCard:
    """A new card with what stays of the earlier one, and a note on it.

    Parameters
    ----------
    card : of the weights that were taught
    earlier : of the first weights; None where they had none
    recipe : what was taught
    """
    card = replace(card, logit_shift=logit_shift_of(recipe, earlier))
    if earlier is None:
        return card
    kept = {name: getattr(earlier, name) for name in TUNED if name != "logit_shift"}
    card = replace(card, **kept)
    if recipe.corrections is not None:
        note = f"only the correction was taught, all else is as in {earlier.id}"
        card = replace(card, mpp=earlier.mpp)
    else:
        note = kept_from(earlier)
    if recipe.corrections is not None or recipe.losses.interactive == 0:
        card = replace(card, **{name: getattr(earlier, name) for name in DECODED})
    return replace(card, notes="; ".join(filter(None, (card.notes, note))))


def kept_from(earlier: ModelCard) -> str:
    """Say which values of a card were chosen for weights that were taught on; empty for none."""
    untuned = card_for_preset(earlier.architecture)
    tuned = [name for name in TUNED if getattr(earlier, name) != getattr(untuned, name)]
    if not tuned:
        return ""
    return (
        f"{', '.join(tuned)} as in {earlier.id}, chosen for its weights: values to start from, "
        "choose them anew on pictures kept out of training"
    )
