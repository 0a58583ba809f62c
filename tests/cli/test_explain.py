"""``uninuc explain`` on a tiny folder and a tiny classifier."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

CODE = """
import numpy as np

class Red:
    classes = ("plain", "reddish")
    weights = np.array([[0.0], [40.0]])

    def features(self, rgb):
        return (rgb[..., 0].astype(int) - rgb[..., 2] > 80)[None].astype(float)

    def __call__(self, rgb):
        red = 1 / (1 + np.exp(1 - 40 * self.features(rgb).mean()))
        return np.array([1 - red, red])

scores = Red()

def bare(rgb):
    return scores(rgb)
"""


@pytest.fixture
def folder(tmp_path):
    """Two pictures with a red and a blue nucleus each, and the classifier beside them."""
    for part in ("images", "labels", "classes"):
        (tmp_path / "set" / part).mkdir(parents=True)
    for name in "ab":
        rgb, labels = np.full((40, 60, 3), 220, np.uint8), np.zeros((40, 60), np.uint16)
        labels[5:15, 5:15], labels[22:32, 40:50] = 1, 2
        rgb[labels == 1], rgb[labels == 2] = (240, 60, 60), (60, 60, 240)
        Image.fromarray(rgb).save(tmp_path / "set" / "images" / f"{name}.png")
        Image.fromarray(labels).save(tmp_path / "set" / "labels" / f"{name}.png")
        kinds = tmp_path / "set" / "classes" / f"{name}.json"
        kinds.write_text(json.dumps({"1": "red", "2": "blue"}), encoding="utf-8")
    (tmp_path / "reds.py").write_text(CODE, encoding="utf-8")
    return tmp_path


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_tables_and_pictures_are_written(uninuc, folder):
    out = folder / "out"
    status, said, err = uninuc(
        "explain", f"{folder / 'reds.py'}:scores", folder / "set", "--output", out,
        "--how", "inpainted", "--pictures", "1",
    )  # fmt: skip
    assert (status, err) == (0, "")
    assert said.endswith(f"saved in {out}\n")
    importance, activation = rows_of(out / "importance.csv"), rows_of(out / "activation.csv")
    assert [row["kind"] for row in importance] == ["red", "blue"]
    assert importance[0]["pictures"] == "2"
    assert float(importance[0]["importance"]) > 2 > 1.05 > float(importance[1]["importance"])
    assert activation[0]["kind"] == "red"
    pictures = {path.name for path in out.glob("*.png")}
    assert pictures == {"a-without-red.png", "a-without-blue.png", "a-activation.png"}
    shown = np.asarray(Image.open(out / "a-without-red.png"))
    assert np.abs(shown[10, 10].astype(int) - 220).max() < 3
    assert np.array_equal(shown[25, 45], (60, 60, 240))


def test_a_function_without_features_has_importance_alone(uninuc, folder):
    out = folder / "out"
    truth = folder / "truth.csv"
    truth.write_text("picture,class\na,1\nb,1\n", encoding="utf-8")
    arguments = (f"{folder / 'reds.py'}:bare", folder / "set", "--output", out)
    status, _, err = uninuc("explain", *arguments, "--truth", truth, "--pictures", "0")
    assert (status, err) == (0, "")
    assert [path.name for path in out.iterdir()] == ["importance.csv"]


def test_what_is_wrong_is_said_in_a_line(refused, folder):
    scores, data = f"{folder / 'reds.py'}:scores", folder / "set"
    out = ("--output", folder / "out")
    assert "name a function" in refused("explain", "reds", data, *out)
    assert "expected a function gone" in refused(
        "explain", f"{folder / 'reds.py'}:gone", data, *out
    )
    truth = folder / "truth.csv"
    assert "columns picture and class" in refused("explain", scores, data, "--truth", truth, *out)
    truth.write_text("picture,class\na,reddish\n", encoding="utf-8")
    assert "a row for b" in refused("explain", scores, data, "--truth", truth, *out)
    truth.write_text("picture,class\na,green\nb,plain\n", encoding="utf-8")
    assert "none of the classifier's classes" in refused(
        "explain", scores, data, "--truth", truth, *out
    )
    assert not (folder / "out").exists()


def test_perturbations_of_the_command_are_those_of_the_package():
    from napari_uninuc.cli.explain import _HOW
    from napari_uninuc.explain.perturbation import PERTURBATIONS

    assert _HOW == PERTURBATIONS
