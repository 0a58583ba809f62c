"""One data set left out, from recipes to the table."""

import json

import numpy as np
import pytest
from PIL import Image

HEAD = """architecture = "uninuc-n"
output = "{output}"
steps = 1
licence = "test"
[crops]
size = 64
batch = 1
workers = 0
[prompts]
nuclei_per_crop = 1
corrections = 1
"""


@pytest.fixture
def folder(tmp_path):
    """Recipes for two sets of dark discs, a and b."""
    ys, xs = np.mgrid[:96, :96]
    labels = np.zeros((96, 96), np.uint16)
    for nucleus, (y, x) in enumerate([(20, 20), (20, 65), (65, 20), (65, 65)], start=1):
        labels[(ys - y) ** 2 + (xs - x) ** 2 <= 81] = nucleus
    rgb = np.where((labels > 0)[..., None], (90, 60, 150), (235, 190, 215)).astype(np.uint8)
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    entries, tests = {}, ""
    for name in ("a", "b"):
        for part, pixels in (("images", rgb), ("labels", labels)):
            (tmp_path / name / part).mkdir(parents=True)
            for tile in ("train", "test"):
                Image.fromarray(pixels).save(tmp_path / name / part / f"{tile}.png")
        entry = f'[[datasets]]\nname = "{name}-%s"\npath = "{tmp_path / name}"\ninclude = "%s"\n'
        entries[name] = entry % ("train", "train")
        tests += entry % ("test", "test")
    seen = {"all": "ab", "without-a": "b", "without-b": "a"}
    for run, names in seen.items():
        text = HEAD.format(output=tmp_path / "runs" / run) + "".join(entries[n] for n in names)
        (recipes / f"train-{run}.toml").write_text(text, encoding="utf-8")
    text = f'output = "{tmp_path / "runs"}"\nflips = false\n{tests}'
    (recipes / "test.toml").write_text(text, encoding="utf-8")
    return recipes


def test_runs_are_made_once_and_tabulated(uninuc, folder, tmp_path):
    runs = tmp_path / "runs"
    status, out, err = uninuc("leave-out", folder, "--only", "a", "--device", "cpu")
    assert (status, err) == (0, "")
    assert out.splitlines()[0] == "== train-without-a"
    assert "no table yet" in out
    assert (runs / "without-a" / "evaluation" / "report.json").is_file()
    assert not (runs / "all").exists()

    before = (runs / "without-a" / "checkpoint.pt").stat().st_mtime_ns
    status, out, err = uninuc(
        "leave-out", folder, "--only", "a", "--only", "all", "--device", "cpu"
    )
    assert (status, err) == (0, "")
    assert (runs / "without-a" / "checkpoint.pt").stat().st_mtime_ns == before
    table = (runs / "table.md").read_text(encoding="utf-8")
    assert out.endswith(f"{table}saved in {runs / 'table.md'}\n")
    assert [line.split(" | ")[0] for line in table.splitlines()[2:]] == ["| a-test"]
    (row,) = json.loads((runs / "table.json").read_text(encoding="utf-8"))
    assert (row["dataset"], row["n_images"]) == ("a-test", 1)


@pytest.mark.slow
def test_smoke_tries_all_and_keeps_nothing(uninuc, folder, tmp_path):
    status, out, _ = uninuc("leave-out", folder, "--smoke", "--device", "cpu")
    assert status == 0
    assert out.count("smoke run passed") == 6  # three runs, trained and tested
    assert not (tmp_path / "runs").exists()


def test_a_name_that_is_no_run(refused, folder):
    line = refused("leave-out", folder, "--only", "c")
    assert "expected one of all, a, b, got c" in line
    assert "train-all.toml" in refused("leave-out", folder.parent)
