"""Means of several reports."""

import json
import math
from dataclasses import replace

import pytest

from napari_uninuc.errors import DatasetError
from napari_uninuc.evaluation.automatic import AutomaticRow
from napari_uninuc.evaluation.interactive import InteractiveRow
from napari_uninuc.evaluation.report import Report, write_report
from napari_uninuc.evaluation.splits import mean_of_reports, split_text

NAN = float("nan")
ROW = AutomaticRow("pannuke", "a", 9, 8, 0.4, 0.6, 0.7, 0.8, NAN, 0.5, 0.7, 0.8, 2.0)
CLICK = InteractiveRow("pannuke", "a", "point", True, 0, 9, 0.5, 0.7, 1.0, (5, 4, 2))


def report(folder, *scores: tuple[str, float], dataset: str = "pannuke", clicks=()):
    rows = tuple(
        replace(ROW, dataset=dataset, image=str(k), tissue=tissue, bpq=bpq)
        for k, (tissue, bpq) in enumerate(scores)
    )
    made = Report("m", "", "{}", None, ("Python 3",), rows, tuple(clicks))
    return write_report(made, folder) / "report.json"


def figure(rows, over, metric="bpq"):
    (found,) = [row for row in rows if (row.over, row.metric) == (over, metric)]
    return found


def test_three_splits_are_averaged_over_pictures_over_tissues_and_tissue_by_tissue(tmp_path):
    paths = [
        report(tmp_path / "1", ("Colon", 0.2), ("Breast", 0.9), ("Breast", 0.7)),
        report(tmp_path / "2", ("Colon", 0.4), ("Breast", 0.8)),
        report(tmp_path / "3", ("Breast", 0.8), ("Colon", 0.6)),
    ]
    rows = mean_of_reports(paths)
    over = figure(rows, "tissues")
    assert over.values == pytest.approx((0.5, 0.6, 0.7))
    assert (over.mean, over.std) == (pytest.approx(0.6), pytest.approx(0.1))
    assert figure(rows, "pictures").values == pytest.approx((0.6, 0.6, 0.7))
    assert figure(rows, "Colon").mean == pytest.approx(0.4)
    assert not [row for row in rows if row.metric == "seconds"]
    kinds = [row.over for row in rows if row.metric == "bpq"]
    assert kinds == ["pictures", "tissues", "Breast", "Colon"]
    text = split_text(rows, paths)
    assert f"report 3  {paths[2]}" in text
    line = next(line for line in text.splitlines() if " tissues " in line and " bpq " in line)
    assert line.split()[-6:] == ["3", "0.6000", "0.1000", "0.5000", "0.6000", "0.7000"]


def test_clicks_are_averaged_too_and_what_one_report_lacks_says_so(tmp_path):
    first = report(tmp_path / "1", ("", 0.5), clicks=[CLICK, replace(CLICK, iteration=7, msa=0.9)])
    second = report(tmp_path / "2", ("", 0.7), clicks=[replace(CLICK, msa=0.7)])
    rows = [row for row in mean_of_reports([first, second]) if row.metric == "msa"]
    clicked = {row.iteration: row for row in rows if row.prompt == "point"}
    assert clicked[0].mean == pytest.approx(0.6)
    assert clicked[7].values == (0.9,)
    assert math.isnan(clicked[7].std)
    assert not [row for row in rows if row.over == "tissues"]


def test_a_report_of_before_there_were_tissues_is_read(tmp_path):
    paths = [report(tmp_path / name, ("Colon", 0.5)) for name in "12"]
    for path in paths:
        stored = json.loads(path.read_text())
        del stored["tissues"], stored["over_tissues"]
        path.write_text(json.dumps(stored))
    assert {row.over for row in mean_of_reports(paths)} == {"pictures"}


def test_what_has_no_mean_is_refused_in_one_line(tmp_path):
    one = report(tmp_path / "1", ("Colon", 0.5))
    other = report(tmp_path / "2", ("Colon", 0.5), dataset="monuseg")
    (tmp_path / "recipe.toml").write_text('model = "x"')
    (tmp_path / "list.json").write_text("[1]")
    for paths, says in (
        ([], "two reports or more"),
        ([one], "two reports or more"),
        ([one, one], "each once"),
        ([one, other], "expected the data sets of .*got monuseg; give the folds"),
        ([one, tmp_path / "gone.json"], "cannot read the report"),
        ([one, tmp_path / "recipe.toml"], "something else"),
        ([one, tmp_path / "list.json"], "something else"),
    ):
        with pytest.raises(DatasetError, match=says) as caught:
            mean_of_reports(paths)
        assert "\n" not in str(caught.value)
