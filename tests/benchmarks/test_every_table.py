"""One command for all tables: it knows every program, and what was made stays made."""

import importlib.util
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

ROOT = Path(__file__).parents[2]
NO_TABLE = {"every_table.py"}


@pytest.fixture(scope="module")
def module():
    spec = importlib.util.spec_from_file_location(
        "every_table", ROOT / "benchmarks" / "every_table.py"
    )
    made = importlib.util.module_from_spec(spec)
    sys.modules["every_table"] = made
    spec.loader.exec_module(made)
    yield made
    del sys.modules["every_table"]


def test_every_program_is_known_and_every_name_is_one(module):
    named = {table.arguments[0] for table in module.TABLES.values()}
    programs = {
        path.name
        for path in (ROOT / "benchmarks").glob("*.py")
        if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
    }
    assert programs - NO_TABLE <= named
    for name in named:
        folder = "recipes" if name.endswith(".toml") else "benchmarks"
        assert (ROOT / folder / name).exists(), name
    assert all((ROOT / "docs" / f"{table.page}.md").exists() for table in module.TABLES.values())


def test_a_listing_runs_nothing_and_leaves_out_what_needs_another_build(module, tmp_path):
    told = CliRunner().invoke(module.main, [str(tmp_path), str(tmp_path / "out"), "--list"])
    assert told.exit_code == 0
    assert len(told.output.splitlines()) == len(module.TABLES)
    assert "window               left out: needs --before" in told.output
    assert str(tmp_path / "out" / "unet") in told.output
    assert not (tmp_path / "out").exists()


def test_what_ended_well_is_not_made_again_and_what_failed_is_told(module, tmp_path, monkeypatch):
    program = tmp_path / "count.py"
    program.write_text(
        "import os, pathlib, sys\n"
        "place = pathlib.Path(sys.argv[1], 'count'); place.parent.mkdir(exist_ok=True)\n"
        "place.write_text(place.read_text() + 'x' if place.exists() else 'x')\n"
        "print('figures of', os.environ['UNINUC_DATA'])\n"
        "sys.exit(len(place.read_text()) == 1)\n"
    )
    table = module.Table("speed", (str(program), "OUTPUT/place"))
    monkeypatch.setattr(module, "TABLES", {"one": table})
    output = tmp_path / "out"

    def run():
        return CliRunner().invoke(module.main, [str(tmp_path), str(output)])

    first = run()
    assert first.exit_code == 1
    assert "not made: one" in first.output
    assert not (output / "one.txt").exists()
    assert run().exit_code == 0
    assert (output / "one.txt").read_text().strip() == f"figures of {tmp_path}"
    assert "there already" in run().output
    assert (output / "place" / "count").read_text() == "xx"
