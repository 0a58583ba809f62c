"""A decoder of next points is taught by likeness and by reward, resumed, and kept."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from running import Interrupted, recipe_of, stop_after

from napari_uninuc.datasets.recipes import DatasetSpec
from napari_uninuc.errors import CheckpointError, RecipeError
from napari_uninuc.network.card import sha256_of
from napari_uninuc.network.point_files import load_points
from napari_uninuc.training.export import export_learnt, export_model
from napari_uninuc.training.feed import batches, images_of
from napari_uninuc.training.loop import Trainer
from napari_uninuc.training.point_windows import centroids_of, masks_at, token_hits
from napari_uninuc.training.points import PointTrainer
from napari_uninuc.training.recipe import CropsSection, NextPointSection, ReinforcementSection
from napari_uninuc.training.run import begin

CPU = torch.device("cpu")
SMALL = NextPointSection(
    window=48, margin=8, bins=24, dim=32, layers=1, latents=2, windows_per_crop=2
)


@pytest.fixture(scope="module")
def base(nuclei, tmp_path_factory) -> Path:
    """Weights of a whole network that was hardly taught."""
    trainer = Trainer(recipe_of(nuclei, tmp_path_factory.mktemp("runs") / "first", steps=1), CPU)
    trainer.run()
    return export_model(trainer) / "model.safetensors"


def points_recipe(nuclei, output, base, settings=SMALL, **changes):
    return recipe_of(nuclei, output, initial=base, next_point=settings, **changes)


@pytest.fixture(scope="module")
def finished(nuclei, base, tmp_path_factory) -> PointTrainer:
    output = tmp_path_factory.mktemp("runs") / "points"
    run = begin(points_recipe(nuclei, output, base), CPU)
    assert isinstance(run, PointTrainer)
    run.run()
    return run


@pytest.fixture(scope="module")
def kept(finished) -> Path:
    return export_learnt(finished)


def test_the_model_stays_and_the_decoder_learns(finished, base, nuclei, tmp_path):
    fresh = PointTrainer(points_recipe(nuclei, tmp_path / "fresh", base), SMALL, CPU)
    for name, value in fresh.learnt.state_dict().items():
        torch.testing.assert_close(finished.learnt.state_dict()[name], value)
    changed = [
        name
        for name, value in fresh.decoder.state_dict().items()
        if not torch.equal(value, finished.decoder.state_dict()[name])
    ]
    assert {"head.weight", "codes", "latents", "thought.weight", "reads.0.weight"} <= {*changed}
    header = (finished.output / "log.csv").read_text().splitlines()[0]
    assert header.startswith("step,seconds,loss,sequence")


def test_what_is_kept_says_whose_features_it_reads(finished, kept, base):
    decoder, note = load_points(kept, sha256_of(base))
    assert (note.weights, note.training_data) == (sha256_of(base), ("discs",))
    assert note.config == finished.config
    for name, value in finished.kept.state_dict().items():
        torch.testing.assert_close(decoder.state_dict()[name], value.half().float())


@pytest.mark.parametrize("reward", [False, True])
def test_a_resumed_run_is_the_same_run(reward, nuclei, base, kept, tmp_path):
    settings = SMALL
    if reward:
        by_reward = ReinforcementSection(group=3, least_deviation=0, passes=2, task=0.5)
        settings = SMALL.model_copy(update={"initial": kept, "reinforcement": by_reward})

    def recipe(name):
        return points_recipe(nuclei, tmp_path / name, base, settings, checkpoint_every=1)

    whole = PointTrainer(recipe("whole"), settings, CPU)
    whole.run()
    with pytest.raises(Interrupted):
        PointTrainer(recipe("cut"), settings, CPU).run(stop_after(2))
    torch.rand(50)
    resumed = PointTrainer(recipe("cut"), settings, CPU, resume=True)
    assert resumed.step == 2
    resumed.run()
    for name, value in whole.kept.state_dict().items():
        torch.testing.assert_close(resumed.kept.state_dict()[name], value)


@pytest.mark.parametrize("within", [False, True])
def test_reward_makes_better_samples_likelier(nuclei, base, kept, tmp_path, monkeypatch, within):
    """Rewarded for nothing but short sequences, it comes to write shorter ones."""
    by_reward = ReinforcementSection(group=8, least_deviation=0, shaping=1, within_grammar=within)
    settings = SMALL.model_copy(update={"initial": kept, "reinforcement": by_reward})
    recipe = points_recipe(nuclei, tmp_path / "short", base, settings, steps=12)
    recipe = recipe.model_copy(
        update={"optimiser": recipe.optimiser.model_copy(update={"lr": 3e-3, "warmup_steps": 0})}
    )
    trainer = PointTrainer(recipe, settings, CPU)
    lengths = []

    def judge(tokens, *_):
        if within:
            parsed = [trainer.decoder.grammar.parse(row) for row in tokens.tolist()]
            ended = (tokens == trainer.decoder.grammar.end).any(dim=1)
            assert all(one.well_formed for one, ends in zip(parsed, ended, strict=True) if ends)
        length = (tokens >= 0).sum(dim=1).float()
        lengths.append(float(length.mean()))
        return -length.reshape(-1, 8), torch.zeros_like(tokens)

    monkeypatch.setattr(trainer, "_judge", judge)
    trainer.run()
    assert sum(lengths[-3:]) < 0.7 * sum(lengths[:3])


def test_a_malformed_sample_is_worth_nothing(finished, nuclei, base, kept, tmp_path):
    by_reward = ReinforcementSection(group=2, task=1)
    settings = SMALL.model_copy(update={"initial": kept, "reinforcement": by_reward})
    trainer = PointTrainer(points_recipe(nuclei, tmp_path / "judge", base, settings), settings, CPU)
    crops = next(batches(trainer.recipe, 0, smoke=True))[0]
    with torch.no_grad():
        embedding = trainer.model.encode(images_of(crops, trainer.model.config, CPU))
    windows = trainer._draw(crops)
    grammar = trainer.decoder.grammar
    said = []
    for points in windows.points_yx:
        right = grammar.tokens_of(points)
        said += [right, right[:-1]]
    longest = max(map(len, said))
    tokens = torch.tensor([row + [-1] * (longest - len(row)) for row in said])
    rewards, hits = trainer._judge(tokens, embedding, windows, crops, by_reward)
    assert (rewards[:, 0] >= 1).all()
    assert (rewards[:, 1] == 0).all()
    for row, points in enumerate(windows.points_yx):
        assert int(hits[2 * row].sum()) == 2 * len(points)
        assert not hits[2 * row + 1].any()


def test_tokens_of_true_and_false_points():
    assert token_hits(torch.tensor([True, False]).numpy(), 8).tolist() == [0, 1, 1, 0, -1, -1, 0, 0]


def test_centroids_are_means_of_pixels():
    labels = torch.zeros(6, 8, dtype=torch.long)
    labels[1:4, 2:4], labels[5, 7] = 1, 2
    assert centroids_of(labels).tolist() == [[2.0, 2.5], [5.0, 7.0]]
    assert centroids_of(torch.zeros(4, 4, dtype=torch.long)).shape == (0, 2)


def test_no_points_have_no_masks(finished):
    with torch.no_grad():
        embedding = finished.model.encode(torch.zeros(1, 3, 64, 64))
        boxes = finished.model.detector.boxes_of_cells(embedding.detection)
        masks = masks_at(finished.model, embedding, 0, torch.zeros(0, 2), boxes)
        assert masks.shape == (0, 32, 32)
        masks = masks_at(finished.model, embedding, 0, torch.tensor([[9.0, 9.0], [63, 63]]), boxes)
    assert masks.shape == (2, 32, 32)


def test_what_cannot_be_taught_is_refused(nuclei, base, kept, tmp_path):
    output = tmp_path / "refused"
    for changes, reason in (
        ({"initial": "random"}, "reads a taught model"),
        ({"next_point": SMALL.model_copy(update={"window": 96})}, "at most crops.size"),
        ({"crops": CropsSection(size=64, accumulate=2)}, "one batch a step"),
        (
            {"datasets": (DatasetSpec(name="discs", path=nuclei, exhaustive=False),)},
            "every nucleus is drawn",
        ),
    ):
        with pytest.raises(ValidationError, match=reason):
            recipe_of(nuclei, output, **{"initial": base, "next_point": SMALL, **changes})
    with pytest.raises(ValidationError, match="initial decoder"):
        NextPointSection(reinforcement=ReinforcementSection())
    other = SMALL.model_copy(update={"initial": kept, "bins": 12})
    with pytest.raises(RecipeError, match="expected the sizes of"):
        PointTrainer(points_recipe(nuclei, output, base, other), other, CPU)
    theirs = SMALL.model_copy(update={"initial": base})
    with pytest.raises(CheckpointError, match="expected a decoder of next points"):
        PointTrainer(points_recipe(nuclei, output, base, theirs), theirs, CPU)


def test_likeness_teaches_a_decoder_of_other_weights_on_and_reward_does_not(nuclei, kept, tmp_path):
    first = Trainer(recipe_of(nuclei, tmp_path / "runs" / "other", steps=1, seed=9), CPU)
    first.run()
    other = export_model(first) / "model.safetensors"
    on = SMALL.model_copy(update={"initial": kept})
    trainer = PointTrainer(points_recipe(nuclei, tmp_path / "on", other, on), on, CPU)
    begun, _ = load_points(kept)
    for name, value in begun.state_dict().items():
        torch.testing.assert_close(trainer.decoder.state_dict()[name], value)
    rewarded = on.model_copy(update={"reinforcement": ReinforcementSection()})
    with pytest.raises(CheckpointError, match="taught on weights"):
        PointTrainer(points_recipe(nuclei, tmp_path / "no", other, rewarded), rewarded, CPU)
