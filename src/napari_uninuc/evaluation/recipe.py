"""``uninuc evaluate RECIPE``: what to evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from napari_uninuc.datasets.recipes import DatasetSpec, load_toml_recipe
from napari_uninuc.evaluation.interactive import (
    InteractiveProtocol,
)
from napari_uninuc.evaluation.thresholds import (
    ChosenBy,
)
from napari_uninuc.network.card import DecodingName, ProposerName

_DEFAULTS = InteractiveProtocol("point")


def _as_tuple(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else (value,)


class InteractiveSpec(BaseModel):
    """Which interactive protocols to run: every kind with every choice of `with_mask`.

    The other values are those of `InteractiveProtocol`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kinds: Annotated[tuple[Literal["point", "box"], ...], Field(min_length=1)] = ("point", "box")
    with_mask: Annotated[tuple[bool, ...], BeforeValidator(_as_tuple), Field(min_length=1)] = (
        _DEFAULTS.with_mask,
    )
    corrections: int = Field(default=_DEFAULTS.corrections, ge=0)
    multimask: bool = _DEFAULTS.multimask
    chunk: int = Field(default=_DEFAULTS.chunk, ge=1)
    max_nuclei: int | None = Field(default=_DEFAULTS.max_nuclei, ge=1)

    def protocols(self, seed: int) -> list[InteractiveProtocol]:
        """List the protocols, by kind, then by `with_mask`."""
        return [
            InteractiveProtocol(
                prompt=kind,
                with_mask=with_mask,
                corrections=self.corrections,
                multimask=self.multimask,
                chunk=self.chunk,
                max_nuclei=self.max_nuclei,
                seed=seed,
            )
            for kind in dict.fromkeys(self.kinds)
            for with_mask in dict.fromkeys(self.with_mask)
        ]


class EvaluationRecipe(BaseModel):
    """Values of an evaluation recipe; unknown keys are refused.

    Attributes
    ----------
    model : model id, folder or .safetensors path; or a baseline, one of `BASELINES`
    device : "auto", "cpu", "cuda" or "mps"
    datasets : at least one; `weight` means nothing here
    automatic : segment and score; data sets not labelled exhaustively are passed over
    proposer : where automatic prompts come from: one of `network.card.PROPOSERS`; None takes the
        card's. Baselines have no choice
    classifier : file of classes taught by examples, or of a dense decoder that paints classes or
        reads words; automatic nuclei are given them. "semantic" and "words" lie beside the weights
    maps : file of a dense decoder whose distances "ais" and "apg" read; None takes the model's own
    adapter : file of a learnt state (`uninuc learn`) that the model is to be in
    flips : see each field in a mirror too and average both; None takes the card's
    decoding : "local" masks from a window around the prompt, "whole" from all of a field, which
        takes forty times as long; None takes the card's
    validation : data sets on which the score threshold is chosen first; none takes the card's
    chosen_by : score that makes a threshold the best: "msa", "bpq" or "mpq"
    interactive : protocols to run, or none
    seed : of clicks and subsets
    output : folder for the report
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(default="uninuc-n", min_length=1)
    device: str = "auto"
    datasets: Annotated[tuple[DatasetSpec, ...], Field(min_length=1)]
    automatic: bool = True
    proposer: ProposerName | None = None
    classifier: Path | None = None
    maps: Path | None = None
    adapter: Path | None = None
    flips: bool | None = None
    decoding: DecodingName | None = None
    validation: tuple[DatasetSpec, ...] = ()
    chosen_by: ChosenBy = "msa"
    interactive: InteractiveSpec | None = None
    seed: int = Field(default=0, ge=0)
    output: Path

    @model_validator(mode="after")
    def _require_work(self) -> EvaluationRecipe:
        names = [spec.name for spec in self.datasets]
        if len(set(names)) < len(names):
            raise ValueError("each data set needs a name of its own")
        partly = [spec.name for spec in self.validation if not spec.exhaustive]
        if partly:
            raise ValueError(
                f"a threshold is chosen where every nucleus is labelled; take {partly[0]} out of "
                "the validation"
            )
        some_automatic = self.automatic and any(spec.exhaustive for spec in self.datasets)
        if not some_automatic and self.interactive is None:
            raise ValueError(
                "nothing to do: expected automatic = true with an exhaustive data set, "
                "or an [interactive] table"
            )
        return self


def read_recipe(path: str | Path) -> EvaluationRecipe:
    """Read an evaluation recipe; raises RecipeError as `load_toml_recipe` does."""
    return load_toml_recipe(path, EvaluationRecipe)
