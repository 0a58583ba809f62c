"""The key ``decoding`` of an evaluation recipe: what it says is how every prompt is decoded."""

import numpy as np
import pytest
from PIL import Image

from napari_uninuc import load_predictor
from napari_uninuc.datasets.folder import read_folder
from napari_uninuc.errors import RecipeError
from napari_uninuc.evaluation.interactive import evaluate_interactive
from napari_uninuc.evaluation.recipe import read_recipe
from napari_uninuc.evaluation.run import run_evaluation
from napari_uninuc.network.uninuc import UniNuc

SIDE_PX = 88
CELLS = (12, 12)
"""Of the whole field: 88 px are padded to 96, in cells of 8."""
SMALLEST = (8, 8)
CLICKED = "[interactive]\ncorrections = 1\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """One picture with four nuclei of 18 px, and a recipe's other lines."""
    folder = tmp_path_factory.mktemp("decoding")
    ys, xs = np.mgrid[:SIDE_PX, :SIDE_PX]
    labels = np.zeros((SIDE_PX, SIDE_PX), np.uint16)
    for nucleus, (y, x) in enumerate([(20, 20), (20, 65), (65, 20), (65, 65)], start=1):
        labels[(ys - y) ** 2 + (xs - x) ** 2 <= 81] = nucleus
    rgb = np.where((labels > 0)[..., None], (96, 70, 140), (236, 214, 226)).astype(np.uint8)
    for part, pixels in (("images", rgb), ("labels", labels)):
        (folder / part).mkdir()
        Image.fromarray(pixels).save(folder / part / "a.png")
    return folder


@pytest.fixture
def windows(monkeypatch):
    """Cells of every window that any network decodes, prompt by prompt."""
    seen = []
    decode = UniNuc.decode

    def counted(self, embedding, prompts, shift, **options):
        seen.extend([tuple(prompts.cells_hw)] * len(prompts.points_xy))
        return decode(self, embedding, prompts, shift, **options)

    monkeypatch.setattr(UniNuc, "decode", counted)
    return seen


def recipe_of(data, text):
    file = data / "recipe.toml"
    file.write_text(
        f'output = "out"\ndevice = "cpu"\nflips = false\n{text}\n'
        f'[[datasets]]\nname = "set"\npath = "{data.as_posix()}"\n',
        encoding="utf-8",
    )
    return read_recipe(file)


def test_whole_decodes_every_prompt_from_all_of_the_field(data, windows):
    report = run_evaluation(recipe_of(data, f'decoding = "whole"\n{CLICKED}'))
    assert set(windows) == {CELLS}
    assert len(windows) >= report.automatic[0].n_found + 2 * 2 * 4  # kinds, rounds, nuclei


@pytest.mark.parametrize("text", ['decoding = "local"\n', ""])
def test_local_decodes_windows_and_so_does_the_card_of_the_bundled_model(data, windows, text):
    run_evaluation(recipe_of(data, f"automatic = false\n{text}{CLICKED}"))
    assert SMALLEST in windows
    assert CELLS not in windows


def test_the_scores_are_those_of_a_predictor_set_by_hand(data):
    recipe = recipe_of(data, f'automatic = false\ndecoding = "whole"\n{CLICKED}')
    predictor = load_predictor("uninuc-n", device="cpu")
    scores = {}
    for way in ("local", "whole"):
        predictor.engine.decoding = way
        rows = evaluate_interactive(
            predictor, read_folder(data), recipe.interactive.protocols(recipe.seed), mpp=0.25
        )
        scores[way] = [(row.prompt, row.iteration, row.msa, row.mean_iou) for row in rows]
    found = run_evaluation(recipe).interactive
    asked = [(row.prompt, row.iteration, row.msa, row.mean_iou) for row in found]
    assert asked == scores["whole"]
    assert asked != scores["local"]


@pytest.mark.parametrize("value", ['"half"', '""', "true", "64"])
def test_another_value_is_refused_in_one_line(data, value):
    with pytest.raises(RecipeError, match=r"decoding: .*'local' or 'whole'") as caught:
        recipe_of(data, f"decoding = {value}")
    assert "\n" not in str(caught.value)


def test_a_baseline_has_no_windows(data):
    recipe = recipe_of(data, 'model = "otsu-watershed"\ndecoding = "whole"').model_copy(
        update={"flips": None}
    )
    with pytest.raises(RecipeError, match=r"decoding.*otsu-watershed has none of them; remove"):
        run_evaluation(recipe)
