"""Means in which each tissue counts the same."""

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_uninuc.evaluation.automatic import AutomaticRow
from napari_uninuc.evaluation.report import Report, to_json, to_markdown
from napari_uninuc.evaluation.tissues import by_tissue

NAN = float("nan")
ROW = AutomaticRow("pannuke", "a", 9, 8, 0.4, 0.6, 0.7, 0.8, NAN, 0.5, 0.7, 0.8, 2.0)


def rows(*scores: tuple[str, float]) -> list[AutomaticRow]:
    return [
        replace(ROW, image=str(k), tissue=tissue, bpq=bpq) for k, (tissue, bpq) in enumerate(scores)
    ]


def mean_of(means, metric):
    (found,) = [row for row in means if row.metric == metric]
    return found


def test_a_tissue_of_many_pictures_counts_no_more_than_one_of_few():
    tissues, means = by_tissue(rows(("Colon", 0.2), ("Breast", 0.9), ("Breast", 0.7)))
    assert [(row.tissue, row.mean, row.n_images) for row in tissues if row.metric == "bpq"] == [
        ("Breast", pytest.approx(0.8), 2),
        ("Colon", 0.2, 1),
    ]
    bpq = mean_of(means, "bpq")
    assert (bpq.mean, bpq.n_tissues, bpq.n_images) == (pytest.approx(0.5), 2, 3)
    assert bpq.low == pytest.approx((0.7 + 0.2) / 2)
    assert bpq.high == pytest.approx((0.9 + 0.2) / 2)
    assert not [row for row in means if row.metric in ("mpq", "seconds")]


def test_pictures_and_tissues_on_which_a_score_means_nothing_are_left_out():
    _, means = by_tissue(rows(("Liver", NAN), ("Colon", 0.2), ("Colon", NAN), ("", 1.0)))
    bpq = mean_of(means, "bpq")
    assert (bpq.mean, bpq.n_tissues, bpq.n_images) == (0.2, 1, 1)
    assert mean_of(means, "aji").n_tissues == 2


def test_data_sets_are_kept_apart_and_those_without_tissues_have_no_such_mean():
    other = [replace(row, dataset="other") for row in rows(("Colon", 1.0))]
    _, means = by_tissue([*rows(("Colon", 0.2)), *other, replace(ROW, dataset="monuseg")])
    found = [(row.dataset, row.mean) for row in means if row.metric == "bpq"]
    assert found == [("pannuke", 0.2), ("other", 1.0)]


def test_the_report_has_both_means():
    scored = rows(("Colon", 0.2), ("Breast", 0.9), ("Breast", 0.7))
    report = Report("m", "", "{}", None, ("Python 3",), tuple(scored), ())
    text = to_markdown(report)
    assert "## Automatic, by tissue" in text
    assert "| pannuke | mean over 2 tissues | 3 | 0.4000 | 0.5000 |" in text
    assert text.index("| pannuke | Breast |") < text.index("| pannuke | Colon |")
    stored = json.loads(to_json(report))
    plain = mean_of_dicts(stored["summary"])
    assert (plain, mean_of_dicts(stored["over_tissues"])) == (
        pytest.approx(0.6),
        pytest.approx(0.5),
    )
    assert {row["tissue"] for row in stored["tissues"]} == {"Breast", "Colon"}
    assert stored["automatic"][0]["tissue"] == "Colon"
    nowhere = Report("m", "", "{}", None, ("Python 3",), (ROW,), ())
    assert "by tissue" not in to_markdown(nowhere)


def mean_of_dicts(found: list[dict]) -> float:
    return float(np.mean([row["mean"] for row in found if row["metric"] == "bpq"]))
