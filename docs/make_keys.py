"""Write docs/keys.md, the list of keys to print, from the table of keys.

QT_QPA_PLATFORM=offscreen python docs/make_keys.py [--output docs/keys.md]
"""

from pathlib import Path

import click
from qtpy.QtWidgets import QApplication

from napari_uninuc.gui.window.key_sheet import key_rows
from napari_uninuc.gui.window.keymap import HABITS, MOUSE

_HEAD = """# Keys

To be printed. In the window, `?` shows the same.
"""


@click.command()
@click.option("--output", default="docs/keys.md", type=click.Path(path_type=Path))
def main(output: Path) -> None:
    """Write the page."""
    _application = QApplication.instance() or QApplication([])
    output.write_text(page(), encoding="utf-8")


def page() -> str:
    """The page as it should be."""
    parts = [
        _HEAD,
        _table("key", "what it does", key_rows()),
        "## Mouse, with Fix or add\n",
        _table("mouse", "what it does", list(MOUSE)),
        "## If you come from elsewhere\n",
        _table("there", "here", list(HABITS)),
    ]
    return "\n".join(parts)


def _table(left: str, right: str, rows: list[tuple[str, str]]) -> str:
    lines = [f"| {left} | {right} |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
