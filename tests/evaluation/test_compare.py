"""Two reports side by side."""

import json

import numpy as np
import pytest

from napari_uninuc.errors import DatasetError
from napari_uninuc.evaluation.compare import compare_reports, comparison_text

OTHERS = {"bpq": 0.5, "aji": 0.5, "f1_iou": 0.5}


def write(path, scores, *, dataset="set", box=()):
    automatic = [
        {"dataset": dataset, "image": name, "msa": msa, "mpq": None} | OTHERS
        for name, msa in scores.items()
    ]
    interactive = [
        {
            "dataset": dataset,
            "image": str(k),
            "prompt": "box",
            "with_mask": True,
            "iteration": 7,
            "msa": msa,
            "mean_iou": msa,
        }
        for k, msa in enumerate(box)
    ]
    path.write_text(json.dumps({"automatic": automatic, "interactive": interactive}))
    return path


def exact_wilcoxon(differences) -> float:
    """Share of all sign flips whose rank sum is at least as far from the middle."""
    ranks = np.argsort(np.argsort(np.abs(differences))) + 1
    middle = ranks.sum() / 2
    seen = abs(ranks[np.array(differences) > 0].sum() - middle)
    n = len(ranks)
    flips = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    return float(np.mean(np.abs(flips @ ranks - middle) >= seen))


def test_images_are_paired_by_name_and_the_test_is_exact(tmp_path):
    rng = np.random.default_rng(0)
    before = {f"i{k}": float(v) for k, v in enumerate(rng.uniform(0.3, 0.5, 9))}
    gain = rng.normal(0.02, 0.02, 9)
    after = {name: before[name] + gain[k] for k, name in enumerate(before)}
    shuffled = {"only here": 0.9, **dict(reversed(after.items()))}
    first, second = write(tmp_path / "a", before), write(tmp_path / "b", shuffled)
    row = compare_reports(first, second)[0]
    assert (row.metric, row.prompt, row.n_images) == ("msa", "automatic", 9)
    assert row.difference == pytest.approx(gain.mean())
    assert row.second - row.first == pytest.approx(row.difference)
    assert row.low < row.difference < row.high
    assert row.p == pytest.approx(exact_wilcoxon(gain))
    back = compare_reports(second, first)[0]
    assert (back.difference, back.p) == (pytest.approx(-row.difference), pytest.approx(row.p))


def test_equal_reports_differ_by_nothing(tmp_path):
    file = write(tmp_path / "a", {"x": 0.4, "y": 0.5}, box=(0.8, 0.9))
    rows = compare_reports(file, file)
    assert {(row.difference, row.low, row.high, row.p) for row in rows} == {(0, 0, 0, 1)}
    assert ("box", 7, "mean_iou") in {(row.prompt, row.iteration, row.metric) for row in rows}


def test_unknown_scores_and_a_single_image(tmp_path):
    first = write(tmp_path / "a", {"x": 0.4, "y": None})
    second = write(tmp_path / "b", {"x": 0.5, "y": 0.6})
    row = compare_reports(first, second)[0]
    assert (row.n_images, row.p) == (1, 1.0)
    lines = comparison_text([row], "a", "b").splitlines()
    assert lines[0] == "first  a"
    assert "+0.1000" in lines[-1]
    assert lines[-2].index("images") == lines[-1].index("1", lines[-1].index("msa"))


@pytest.mark.parametrize("text", ["{}", "[1]", "not json", '{"automatic": [3], "interactive": []}'])
def test_other_files_are_refused_in_one_line(tmp_path, text):
    good, bad = write(tmp_path / "a", {"x": 0.4}), tmp_path / "b"
    bad.write_text(text)
    with pytest.raises(DatasetError, match=r"expected a report\.json") as caught:
        compare_reports(good, bad)
    assert "\n" not in str(caught.value)


def test_reports_of_other_data_and_missing_ones_are_refused(tmp_path):
    good = write(tmp_path / "a", {"x": 0.4})
    with pytest.raises(DatasetError, match="none with a score in both"):
        compare_reports(good, write(tmp_path / "b", {"x": 0.4}, dataset="other"))
    with pytest.raises(DatasetError, match="cannot read"):
        compare_reports(good, tmp_path / "gone")
