"""Many reports against each other, beside a count by hand."""

import json
from itertools import permutations

import numpy as np
import pytest
from scipy.stats import wilcoxon

from napari_uninuc.errors import DatasetError
from napari_uninuc.evaluation.compare_many import compare_many, standings_text


@pytest.fixture
def reports(tmp_path):
    """Four reports of 12 images: two that differ by noise alone, a better and a worse one."""
    rng = np.random.default_rng(4)
    base = rng.uniform(0.3, 0.5, 12)
    scores = [base, base + rng.normal(0, 0.01, 12), base + 0.1, base - 0.05]
    files = []
    for k, values in enumerate(scores):
        rows = [
            {"dataset": "set", "image": f"i{n}", "msa": float(value)}
            | {"bpq": 0.5, "mpq": None, "aji": 0.5, "f1_iou": 0.5}
            for n, value in enumerate(values)
        ]
        files.append(tmp_path / f"{k}.json")
        files[-1].write_text(json.dumps({"automatic": rows, "interactive": []}))
    return files, scores


def test_wins_and_losses_are_those_counted_by_hand(reports):
    files, scores = reports
    expected = {k: [0, 0, 0] for k in range(4)}
    for one, other in permutations(range(4), 2):
        gain = scores[one] - scores[other]
        sure = wilcoxon(gain).pvalue * 6 < 0.05
        expected[one][(0 if gain.mean() > 0 else 1) if sure else 2] += 1
    rows = [row for row in compare_many(files) if row.metric == "msa"]
    assert {row.report: [row.wins, row.losses, row.draws] for row in rows} == expected
    assert rows[0].report == 2
    assert rows[-1].report == 3
    assert all(row.mean == pytest.approx(scores[row.report].mean()) for row in rows)
    assert expected[0][2] == expected[1][2] == 1


def test_what_is_equal_everywhere_is_a_draw(reports):
    rows = [row for row in compare_many(reports[0]) if row.metric == "aji"]
    assert {(row.wins, row.losses, row.draws) for row in rows} == {(0, 0, 3)}


def test_text_names_the_reports_once(reports):
    text = standings_text(compare_many(reports[0]), ["a", "b", "c", "d"])
    assert text.startswith("report 1  a\nreport 2  b\nreport 3  c\nreport 4  d\n")
    assert "wins" in text


def test_one_report_has_nobody_to_beat(reports):
    with pytest.raises(DatasetError, match="two reports or more, got 1"):
        compare_many(reports[0][:1])
