"""Summaries and what is written of them."""

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_uninuc.errors import OutputError
from napari_uninuc.evaluation.automatic import AutomaticRow
from napari_uninuc.evaluation.calibration import Reliability
from napari_uninuc.evaluation.curves import CURVE_NAMES, can_draw
from napari_uninuc.evaluation.interactive import InteractiveRow
from napari_uninuc.evaluation.report import Report, to_json, to_markdown, to_text, write_report
from napari_uninuc.evaluation.summary import bootstrap_interval, summarise

NAN = float("nan")
SEEN = Reliability.of([0.92, 0.55], [0.82, 0.5])
ROW = AutomaticRow("monuseg-test", "a", 9, 8, 0.4, 0.6, 0.7, 0.8, NAN, 0.5, 0.7, 0.8, 2.0, SEEN)
CLICK = InteractiveRow("monuseg-test", "a", "point", True, 0, 9, 0.5, 0.7, 1.0, (5, 4, 2))


def make_report(**changes) -> Report:
    report = Report(
        model="uninuc-n",
        model_sha256="ab12",
        settings='{"seed": 3}',
        max_nuclei=None,
        versions=("Python 3.11", "numpy 2"),
        automatic=(ROW, replace(ROW, image="b", msa=0.2)),
        interactive=(CLICK, replace(CLICK, iteration=7, msa=0.9, reached=(9, 8, 7))),
        parameters=4_560_000,
        encoder_parameters=3_210_000,
        encoder_gmacs=12.345,
    )
    return replace(report, **changes)


def test_means_skip_nan_and_metrics_without_any_value():
    rows = summarise([ROW, replace(ROW, image="b", msa=NAN)], [])
    by_metric = {row.metric: row for row in rows}
    assert (by_metric["msa"].mean, by_metric["msa"].n_images) == (0.4, 1)
    assert by_metric["aji"].n_images == 2
    assert "mpq" not in by_metric


def test_iterations_and_mask_choices_are_kept_apart():
    rows = [CLICK, replace(CLICK, with_mask=False, msa=0.1), replace(CLICK, iteration=1, msa=0.6)]
    found = {
        (row.with_mask, row.iteration): row.mean
        for row in summarise([], rows)
        if row.metric == "msa"
    }
    assert found == {(True, 0): 0.5, (False, 0): 0.1, (True, 1): 0.6}


def test_interval_holds_the_mean_and_narrows_with_images():
    values = np.random.default_rng(1).normal(0.5, 0.1, 200)
    low, high = bootstrap_interval(values)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * 0.1 / np.sqrt(200), rel=0.2)
    few_low, few_high = bootstrap_interval(values[:8])
    assert few_high - few_low > high - low
    assert bootstrap_interval(values[:1]) == pytest.approx((values[0], values[0]))


def test_json_is_strict_and_whole():
    stored = json.loads(to_json(make_report()), parse_constant=pytest.fail)
    assert stored["settings"] == {"seed": 3}
    assert stored["automatic"][0]["mpq"] is None
    assert stored["automatic"][1]["msa"] == 0.2
    assert [row["iteration"] for row in stored["interactive"]] == [0, 7]
    msa = [row for row in stored["summary"] if row["metric"] == "msa"]
    assert msa[0]["mean"] == pytest.approx(0.3)
    assert [row["iou"] for row in stored["effort"]] == [0.8, 0.85, 0.9]
    assert (stored["parameters"], stored["encoder_gmacs"]) == (4_560_000, 12.345)
    assert stored["encoder_parameters"] == 3_210_000
    assert (stored["over_tissues"], stored["tissues"]) == ([], [])
    assert [row["n_masks"] for row in stored["calibration"]] == [4]
    assert stored["calibration"][0]["bins"][0] == [0, None, None]
    assert stored["automatic"][0]["reliability"]["n"][9] == 1


def test_markdown_shows_means_beside_reported_figures():
    text = to_markdown(make_report())
    assert "| monuseg-test | 2 | 0.3000 [0.200, 0.400] |" in text
    assert "| monuseg-test | automatic | 0 | 0.3000 | 0.3948 | UniNuc" in text
    assert "| monuseg-test | point | 7 | 0.9000 | 0.9017 | UniNuc" in text
    assert "| monuseg-test | point | yes | 0.85 | 9 | 8.78 | 11.1% |" in text
    assert "3.21 M parameters of encoders, 12.35 GMACs to encode 1024 x 1024 px; 4.56 M" in text
    assert "| monuseg-test | automatic | no | 4 | 0.7350 | 0.6600 | 0.0750 |" in text
    assert "| monuseg-test | automatic | no | 0.9 to 1.0 | 2 | 0.920 | 0.820 |" in text
    assert f"I7  0.9000  {'#' * 36}\n```" in text
    widths = {}
    for block in text.split("\n\n"):
        if block.startswith("|"):
            widths[block] = {line.count("|") for line in block.splitlines()}
    assert len(widths) == 6
    assert all(len(counts) == 1 for counts in widths.values())


def test_figures_of_a_subset_are_not_set_beside_those_of_all():
    text = to_markdown(make_report(max_nuclei=20))
    assert "at most 20 nuclei" in text
    assert "0.3948" in text
    assert "0.9017" not in text


def test_a_baseline_has_no_cost_and_may_expect_nothing():
    plain = replace(ROW, reliability=None)
    report = make_report(
        encoder_parameters=None, encoder_gmacs=None, automatic=(plain,), interactive=(CLICK,)
    )
    text = to_text(report)
    assert "GMACs" not in text
    assert "Predicted IoU" not in text
    assert "Clicks to reach an IoU" in text


def test_other_data_sets_have_no_reported_figures():
    report = make_report(automatic=(replace(ROW, dataset="monuseg-validation"),), interactive=())
    assert "reported" not in to_text(report)


def test_text_lines_up_in_columns():
    lines = to_text(make_report()).splitlines()
    header = next(line for line in lines if line.startswith("data set"))
    row = lines[lines.index(header) + 1]
    assert row.index("2") == header.index("images")


def test_report_is_written_and_replaced_whole(tmp_path):
    folder = write_report(make_report(), tmp_path / "new" / "out")
    (folder / "mine.txt").write_text("kept")
    write_report(make_report(model="other"), folder)
    drawn = CURVE_NAMES if can_draw() else ()
    expected = sorted([*drawn, "mine.txt", "report.json", "report.md"])
    assert sorted(path.name for path in folder.iterdir()) == expected
    assert json.loads((folder / "report.json").read_text())["model"] == "other"
    assert "`other`" in (folder / "report.md").read_text()


def test_unwritable_place_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError):
        write_report(make_report(), tmp_path / "file")
    assert (tmp_path / "file").read_text() == "x"
