import subprocess
import sys

import click
import pytest

import children
from napari_uninuc import __version__
from napari_uninuc.cli import app
from napari_uninuc.errors import ImageError

COMMANDS = ("convert", "demo", "doctor", "evaluate", "models", "segment", "serve", "train")


@pytest.fixture
def failing(monkeypatch):
    """Add a command that raises what the test puts in."""

    def add(problem):
        @click.command()
        def fail():
            raise problem

        monkeypatch.setitem(app.uninuc.commands, "fail", fail)

    return add


def test_help_names_every_command_and_loads_nothing_heavy():
    heavy = "{'torch', 'napari', 'qtpy', 'numpy', 'pandas', 'skimage', 'zarr', 'tqdm'}"
    code = (
        "import sys; from napari_uninuc.cli.app import run; run(['--help']); "
        f"run(['segment', '--help']); print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=1800, check=True
    )
    *text, loaded = done.stdout.splitlines()
    assert loaded == "[]"
    for command in COMMANDS:
        assert any(line.startswith(f"  {command} ") for line in text)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_teaches_by_example(uninuc, command):
    status, out, err = uninuc(command, "--help")
    assert (status, err) == (0, "")
    examples = out.partition("Example")[2].splitlines()
    assert any(f"uninuc {command}" in line for line in examples)


def test_no_words_print_help(uninuc):
    status, out, err = uninuc()
    assert (status, err) == (0, "")
    assert out.startswith("Usage: uninuc ")


def test_version(uninuc):
    assert uninuc("--version") == (0, f"uninuc, version {__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["frob"], "uninuc --help"),
        (["segment"], "uninuc segment --help"),
        (["segment", "a.png"], "uninuc segment --help"),
        (["segment", "a.png", "--output", "a.tif", "--frob"], "uninuc segment --help"),
        (["segment", "a.png", "--output", "a.tif", "--mpp", "0"], "uninuc segment --help"),
        (["segment", "a.png", "--output", "a.tif", "--mpp", "nan"], "uninuc segment --help"),
        (["segment", "a.png", "--output", "a.tif", "--mpp", "inf"], "uninuc segment --help"),
        (["segment", "a.png", "--output", "a.tif", "--device", "abacus"], "uninuc segment --help"),
        (["segment", "a", "--output", "a.tif", "--score-threshold", "2"], "uninuc segment --help"),
        (["segment", "a.png", "--output", "d", "--format", ".psd"], "uninuc segment --help"),
        (["models", "frob"], "uninuc models --help"),
        (["train", "r.toml", "--smoke", "--resume"], "uninuc train --help"),
    ],
)
def test_bad_usage_is_one_line_that_names_the_help(refused, words, hint):
    assert refused(*words).endswith(f"see {hint}")


def test_process_ends_with_the_status_and_one_line(tmp_path):
    words = ("segment", tmp_path / "no.png", "--output", tmp_path / "a.tif")
    done = children.run(children.COMMAND, *words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"uninuc: error: {tmp_path / 'no.png'}: ")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_messages_of_several_lines_become_one(refused, failing):
    failing(ImageError("first\n   second\n"))
    assert refused("fail") == "first second"


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (PermissionError(13, "Permission denied", "/a/b"), "/a/b: Permission denied"),
        (OSError(28, "No space left on device"), "No space left on device; make room"),
        (MemoryError(), "out of memory; "),
    ],
)
def test_what_the_system_refuses_is_one_line(refused, failing, problem, text):
    failing(problem)
    assert refused("fail").startswith(text)


def test_full_graphics_memory_is_one_line(refused, failing):
    import torch

    failing(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert refused("fail").startswith("out of memory; ")


def test_interrupt_is_130_and_no_traceback(uninuc, failing):
    failing(KeyboardInterrupt())
    status, out, err = uninuc("fail")
    assert (status, out) == (130, "")
    assert err.split() == ["uninuc:", "error:", "interrupted"]


@pytest.mark.parametrize("problem", [KeyError("ours"), RuntimeError("ours"), OSError("ours")])
def test_our_own_mistakes_keep_their_traceback(failing, problem):
    failing(problem)
    with pytest.raises(type(problem), match="ours"):
        app.run(["fail"])


def test_debugging_shows_the_traceback_of_any_error(failing, monkeypatch):
    failing(ImageError("bad pixels"))
    monkeypatch.setenv("UNINUC_DEBUG", "1")
    with pytest.raises(ImageError, match="bad pixels"):
        app.run(["fail"])


def test_the_window_alone_says_what_it_cannot_do(refused, failing):
    failing(ModuleNotFoundError("No module named 'torch'", name="torch"))
    assert "torch is not installed: here is the window alone" in refused("fail")


def test_another_module_that_is_missing_is_a_mistake_of_ours(uninuc, failing):
    failing(ModuleNotFoundError("No module named 'nowhere'", name="nowhere"))
    with pytest.raises(ModuleNotFoundError):
        uninuc("fail")
