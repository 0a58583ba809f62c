"""The log of a run that is stopped and goes on."""

import csv

from napari_uninuc.training.log import append_to_log, forget_after


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(path, steps):
    for step in steps:
        append_to_log(path, step, step / 2, {"loss": 1.0 / step, "mask": 2.0})


def test_a_step_stands_in_the_log_once(tmp_path):
    path = tmp_path / "log.csv"
    write(path, [20, 40, 60])
    forget_after(path, 40)
    assert [row["step"] for row in rows_of(path)] == ["20", "40"]
    write(path, [60, 80])
    assert [row["step"] for row in rows_of(path)] == ["20", "40", "60", "80"]
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]


def test_a_log_with_nothing_to_forget_is_not_touched(tmp_path):
    path = tmp_path / "log.csv"
    write(path, [20, 40])
    before = path.read_bytes()
    forget_after(path, 40)
    assert path.read_bytes() == before


def test_a_line_cut_off_is_dropped(tmp_path):
    path = tmp_path / "log.csv"
    write(path, [20, 40])
    path.write_bytes(path.read_bytes()[:-4])
    forget_after(path, 100)
    assert [row["step"] for row in rows_of(path)] == ["20"]


def test_the_log_of_a_run_that_starts_anew_goes(tmp_path):
    path = tmp_path / "log.csv"
    forget_after(path, 0)
    write(path, [20])
    forget_after(path, 0)
    assert not path.exists()


def test_values_stay_in_their_columns_whatever_comes_first(tmp_path):
    path = tmp_path / "log.csv"
    append_to_log(path, 1, 0.5, {"loss": 1.0, "mask": 2.0})
    append_to_log(path, 2, 1.0, {"mask": 3.0, "other": 9.0})
    assert rows_of(path)[1] == {"step": "2", "seconds": "1.0", "loss": "", "mask": "3"}
