import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def recipe(tmp_path):
    """Evaluate the watershed baseline on four dark discs; the report goes to out/."""
    folder = tmp_path / "set"
    ys, xs = np.mgrid[:90, :90]
    labels = np.zeros((90, 90), np.uint16)
    for nucleus, (y, x) in enumerate([(20, 20), (20, 65), (65, 20), (65, 65)], start=1):
        labels[(ys - y) ** 2 + (xs - x) ** 2 <= 81] = nucleus
    rgb = np.where((labels > 0)[..., None], (90, 60, 150), (235, 190, 215)).astype(np.uint8)
    for part, pixels in (("images", rgb), ("labels", labels)):
        (folder / part).mkdir(parents=True)
        Image.fromarray(pixels).save(folder / part / "a.png")

    def write(output="out", extra=""):
        file = tmp_path / "recipe.toml"
        file.write_text(
            f'model = "otsu-watershed"\noutput = "{tmp_path / output}"\n{extra}\n'
            f'[[datasets]]\nname = "discs"\npath = "{folder}"\n',
            encoding="utf-8",
        )
        return file

    return write


def test_scores_are_printed_and_saved(uninuc, recipe, tmp_path):
    status, out, err = uninuc("evaluate", recipe(), "--device", "cpu")
    assert (status, err) == (0, "")
    assert out.startswith("model otsu-watershed")
    assert "discs" in out
    assert out.endswith(f"saved in {tmp_path / 'out'}\n")
    stored = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert stored["settings"]["device"] == "cpu"
    assert stored["automatic"][0]["f1_iou"] == 1.0
    assert "discs" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


def test_two_reports_are_compared(uninuc, refused, recipe, tmp_path):
    uninuc("evaluate", recipe())
    report = tmp_path / "out" / "report.json"
    status, out, err = uninuc("evaluate", "--compare", report, report)
    assert (status, err) == (0, "")
    assert out.startswith(f"first  {report}\n")
    assert "discs" in out
    assert "+0.0000" in out
    assert "report.json" in refused("evaluate", "--compare", report, recipe())
    status, out, err = uninuc("evaluate", "--compare", report, report, report)
    assert (status, err) == (0, "")
    assert out.startswith(f"report 1  {report}\nreport 2  {report}\n")
    assert "draws" in out


def test_a_recipe_or_a_comparison(refused, recipe, tmp_path):
    assert "one of both" in refused("evaluate")
    assert "one of both" in refused("evaluate", recipe(), "--compare", tmp_path, tmp_path)


def test_bad_recipes_are_one_line(refused, recipe, tmp_path):
    assert "unknown key 'colour'" in refused("evaluate", recipe(extra='colour = "red"'))
    assert "cannot read the recipe" in refused("evaluate", tmp_path / "gone.toml")


def test_unwritable_output_is_found_before_the_work(refused, recipe, tmp_path, monkeypatch):
    from napari_uninuc.evaluation import run as evaluation

    monkeypatch.setattr(evaluation, "run_evaluation", lambda *_: pytest.fail("work was begun"))
    (tmp_path / "file").touch()
    assert "cannot be written" in refused("evaluate", recipe(output="file"))


def test_reports_are_averaged(uninuc, refused, recipe, tmp_path):
    for name in ("one", "two"):
        uninuc("evaluate", recipe(output=name))
    reports = [tmp_path / name / "report.json" for name in ("one", "two")]
    status, out, err = uninuc("evaluate", "--mean", *reports)
    assert (status, err) == (0, "")
    assert out.startswith(f"report 1  {reports[0]}\nreport 2  {reports[1]}\n")
    line = next(line for line in out.splitlines() if "f1_iou" in line)
    assert line.split()[-4:] == ["1.0000", "0.0000", "1.0000", "1.0000"]
    assert "two reports or more" in refused("evaluate", "--mean", reports[0])
    assert "one of both" in refused("evaluate", "--mean", *reports, "--compare", *reports)
    assert "one of both" in refused("evaluate", *reports)
