"""The group of commands, and the one place where their errors become one line."""

import errno
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from napari_uninuc import __version__
from napari_uninuc.cli.compare import compare
from napari_uninuc.cli.convert import convert
from napari_uninuc.cli.data import data
from napari_uninuc.cli.demo import demo
from napari_uninuc.cli.doctor import doctor
from napari_uninuc.cli.evaluate import evaluate
from napari_uninuc.cli.explain import explain
from napari_uninuc.cli.export import export
from napari_uninuc.cli.learn import learn
from napari_uninuc.cli.leave_out import leave_out
from napari_uninuc.cli.messages import one_line, report_error
from napari_uninuc.cli.models import models
from napari_uninuc.cli.score import score
from napari_uninuc.cli.segment import segment
from napari_uninuc.cli.serve import serve
from napari_uninuc.cli.slide import slide
from napari_uninuc.cli.train import train
from napari_uninuc.errors import UniNucError

__all__ = ["main", "run", "uninuc"]

_BAD_INPUT = 2
_INTERRUPTED = 130  # 128 + SIGINT, as shells count

_COMPUTES = ("sam2", "timm", "torch", "torchvision")
"""What the window alone is installed without (client/hatch_build.py)."""

_FROM_THE_SYSTEM = (OSError, MemoryError, RuntimeError)
"""May come from the machine; `_of_the_system` says which did."""


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit status: 0 on success, 2 on bad usage or input, 3 where learning made nothing "
    "better, 130 when interrupted. "
    "UNINUC_DEBUG=1 shows the traceback of an error.",
)
@click.version_option(__version__, "-V", "--version", prog_name="uninuc")
@click.pass_context
def uninuc(context: click.Context) -> None:
    """Outline every nucleus of histology images, headless.

    \b
    Start here:
      uninuc demo                                   segment a tile that is already here
      uninuc segment tile.png --output tile.tif     segment your own
      uninuc doctor                                 what works on this machine
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for _command in (
    demo,
    segment,
    score,
    slide,
    serve,
    compare,
    convert,
    export,
    learn,
    train,
    evaluate,
    leave_out,
    explain,
    data,
    models,
    doctor,
):
    uninuc.add_command(_command)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit status.

    Parameters
    ----------
    arguments : words after ``uninuc``

    Returns
    -------
    status : 0 success; 2 bad usage or input, told in one line on standard error; 130 interrupted

    Raises
    ------
    Exception
        A mistake of ours; and every error where the environment sets UNINUC_DEBUG.
    """
    try:
        result: Any = uninuc.main(list(arguments), prog_name="uninuc", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.ClickException as problem:
        return _failed(_usage(problem))
    except click.Abort as problem:
        return _failed("interrupted", _INTERRUPTED, problem)
    except UniNucError as problem:
        return _failed(str(problem), cause=problem)
    except ModuleNotFoundError as problem:
        if problem.name not in _COMPUTES:
            raise
        return _failed(
            f"{problem.name} is not installed: here is the window alone, whose model computes on a "
            "server; for this command install napari-uninuc as a whole",
            cause=problem,
        )
    except _FROM_THE_SYSTEM as problem:
        text = _of_the_system(problem)
        if text is None:
            raise
        return _failed(text, cause=problem)


def main() -> NoReturn:
    """Be the process ``uninuc``: quiet libraries, one line an error, an exit status."""
    if not _debugging():
        # An application's choice: other libraries' remarks would bury our one line.
        logging.getLogger().addHandler(logging.NullHandler())
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
    sys.exit(run(sys.argv[1:]))


def _failed(text: str, status: int = _BAD_INPUT, cause: BaseException | None = None) -> int:
    if cause is not None and _debugging():
        raise cause
    report_error(text)
    return status


def _usage(problem: click.ClickException) -> str:
    text = problem.format_message().rstrip(".")
    context = getattr(problem, "ctx", None)
    return text if context is None else f"{text}; see {context.command_path} --help"


def _of_the_system(problem: BaseException) -> str | None:
    """Say what the machine refused; None where the error is not the machine's."""
    if isinstance(problem, MemoryError) or type(problem).__name__ == "OutOfMemoryError":
        return "out of memory; close other programs, use a smaller image or --device cpu"
    if isinstance(problem, OSError) and problem.strerror is not None:
        place = f"{problem.filename}: " if problem.filename else ""
        advice = "; make room" if problem.errno == errno.ENOSPC else ""
        return f"{place}{one_line(problem.strerror)}{advice}"
    return None


def _debugging() -> bool:
    return os.environ.get("UNINUC_DEBUG", "0") not in ("", "0")


if __name__ == "__main__":
    main()
