"""Pages that a browser shows without a network: one style, tables, pictures inside."""

import html
from collections.abc import Iterable, Sequence

__all__ = ["html_page", "html_picture", "html_table"]

_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em;"
    "overflow-wrap:anywhere}"
    "table{border-collapse:collapse;margin:.5em 0 1.5em}"
    "td,th{border:1px solid #8888;padding:.25em .6em;text-align:left;vertical-align:top}"
    "img{image-rendering:pixelated;max-width:22em}"
    ".numbers{overflow-x:auto}"
    ".numbers table{font-size:.84em;font-variant-numeric:tabular-nums}"
    ".numbers td,.numbers th{padding:.2em .35em;text-align:right;white-space:nowrap}"
    "@media print{body{margin:0;max-width:none;font-size:12px}tr{break-inside:avoid}"
    "h2,h3{break-after:avoid}}"
)
"""Names without a space may be long: they break anywhere, so that no picture is pushed out."""


def html_page(title: str, parts: Iterable[str]) -> str:
    """Put a page together; the title is escaped, the parts are HTML."""
    escaped = html.escape(title)
    head = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{escaped}</title>',
        '<meta name="viewport" content="width=device-width">',
        f"<style>{_STYLE}</style></head><body>",
        f"<h1>{escaped}</h1>",
    ]
    return "\n".join([*head, *parts, "</body></html>", ""])


def html_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = False
) -> str:
    """Lay text out as a table; all of it is escaped. No columns, no heading.

    Many columns of `numbers` are small and to the right, and no line is broken in them.
    """
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in columns)
    lines = ["<table>", *([f"<tr>{head}</tr>"] if head else [])]
    for row in rows:
        lines.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>")
    table = "\n".join([*lines, "</table>"])
    return f'<div class="numbers">{table}</div>' if numbers else table


def html_picture(png: str, words: str) -> str:
    """Show a PNG in base64, with words for who does not see it."""
    return f'<img alt="{html.escape(words)}" src="data:image/png;base64,{png}">'
