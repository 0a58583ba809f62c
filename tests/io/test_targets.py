import os

import pytest

from napari_uninuc.errors import OutputError
from napari_uninuc.io.targets import replacing


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_a_file_appears_only_when_whole(tmp_path):
    target = tmp_path / "new" / "deep" / "a.txt"
    with replacing(target) as part:
        part.write_text("whole")
        assert part.parent == target.parent
        assert not target.exists()
    assert target.read_text() == "whole"
    assert names(target.parent) == ["a.txt"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def write_half():
        with replacing(target) as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_failure_removes_the_folders_it_made(tmp_path):
    with pytest.raises(OutputError, match="No space"), replacing(tmp_path / "x" / "y" / "a.txt"):
        raise OSError(28, "No space left on device")
    assert names(tmp_path) == []


def test_a_folder_is_replaced_whole(tmp_path):
    target = tmp_path / "a.ome.zarr"
    for content in ("old", "new"):
        with replacing(target, folder=True) as part:
            part.mkdir()
            (part / ".zgroup").touch()
            (part / content).touch()
    assert names(target) == [".zgroup", "new"]
    assert names(tmp_path) == ["a.ome.zarr"]


def test_a_failure_leaves_the_old_folder(tmp_path, monkeypatch):
    target = tmp_path / "a.ome.zarr"
    target.mkdir()
    (target / ".zgroup").write_text("old")
    rename = os.rename

    def refuse_second(source, destination):
        if str(source).endswith(".part"):
            raise PermissionError(13, "Permission denied")
        rename(source, destination)

    monkeypatch.setattr(os, "rename", refuse_second)
    with (
        pytest.raises(OutputError, match="Permission denied"),
        replacing(target, folder=True) as part,
    ):
        part.mkdir()
    assert (target / ".zgroup").read_text() == "old"
    assert names(tmp_path) == ["a.ome.zarr"]


def test_a_folder_of_something_else_is_never_replaced(tmp_path):
    (tmp_path / "a.ome.zarr").mkdir()
    (tmp_path / "a.ome.zarr" / "thesis.tex").touch()
    with (
        pytest.raises(OutputError, match="something else"),
        replacing(tmp_path / "a.ome.zarr", folder=True),
    ):
        pytest.fail("the body must not run")
    assert names(tmp_path / "a.ome.zarr") == ["thesis.tex"]


def test_files_and_folders_do_not_replace_each_other(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="got a folder"), replacing(tmp_path / "folder"):
        pytest.fail("the body must not run")
    with pytest.raises(OutputError, match="got a file"), replacing(tmp_path / "file", folder=True):
        pytest.fail("the body must not run")
    with pytest.raises(OutputError, match="is a file"), replacing(tmp_path / "file" / "a.txt"):
        pytest.fail("the body must not run")
    assert names(tmp_path) == ["file", "folder"]


def test_a_name_the_system_refuses_is_one_clear_line(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"), replacing(tmp_path / ("a" * 999)):
        pytest.fail("the body must not run")
    assert names(tmp_path) == []
