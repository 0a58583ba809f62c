"""What goes to the terminal: results on standard output, errors and progress on the other."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

__all__ = ["one_line", "progress_bar", "report_error", "report_warning"]


def one_line(text: str) -> str:
    """Fold a message into one line."""
    return " ".join(text.split())


def report_error(text: str) -> None:
    """Print an error as one line on standard error."""
    click.echo(f"uninuc: error: {one_line(text)}", err=True)


def report_warning(text: str) -> None:
    """Print what the user should know, though it is done, as one line on standard error."""
    click.echo(f"uninuc: warning: {one_line(text)}", err=True)


@contextmanager
def progress_bar(title: str, unit: str) -> Iterator[Callable[..., None]]:
    """Show progress on standard error while the block runs; nothing where that is a file.

    Parameters
    ----------
    title : what is being done
    unit : what is counted; "B" is bytes, shown as kB and MB

    Yields
    ------
    progress : takes (done, total or None), and named values to show behind the bar
    """
    from tqdm import tqdm

    layout = {"leave": False, "dynamic_ncols": True, "unit_scale": unit == "B"}
    with tqdm(desc=title, unit=unit, disable=None, **layout) as bar:

        def show(done: int, total: int | None, **values: float) -> None:
            bar.total = total
            if values:
                bar.set_postfix({name: f"{v:.3g}" for name, v in values.items()}, refresh=False)
            bar.update(done - bar.n)

        yield show
