"""The story of a session as a page: HTML for a browser, Markdown for a repository."""

import html
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from napari_uninuc.core.stain import StainScore
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import OutputError
from napari_uninuc.io.html_pages import html_page, html_picture, html_table
from napari_uninuc.io.targets import replacing
from napari_uninuc.journal.folder import SessionHeading
from napari_uninuc.journal.records import ComparisonBegun
from napari_uninuc.journal.story import Change, Story, tell_story

__all__ = ["REPORT_SUFFIXES", "report_suffix", "write_report"]

Rows = Sequence[Sequence[str]]


def report_suffix(path: Path) -> str:
    """Find the format of a report by its name; OutputError where there is none."""
    suffix = path.suffix.lower()
    if suffix not in REPORT_SUFFIXES:
        raise OutputError(
            f"{path}: expected a name that ends in {' or '.join(REPORT_SUFFIXES)}, got "
            f"{path.name!r}; change the ending"
        )
    return suffix


def write_report(
    folder: Path, heading: SessionHeading, tile: Tile, path: Path, stain: Rows = ()
) -> Story:
    """Write what happened in a session, with pictures inside, whole or not at all.

    Parameters
    ----------
    folder, heading : of the session, plain files only
    tile : its picture
    path : ends in one of `REPORT_SUFFIXES`
    stain : what is said of its immunohistochemistry: rows of name and `StainScore.cells`

    Returns
    -------
    story : what was written

    Raises
    ------
    SessionError
        There is no state to begin from.
    OutputError
        Another ending, or the file cannot be written.
    """
    render = REPORT_SUFFIXES[report_suffix(path)]
    story = tell_story(folder, heading, tile)
    text = render(story, stain)
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")
    return story


# -- what is said, whatever the format --------------------------------------------------------


def _title(story: Story) -> str:
    return f"Corrections of {story.heading.name or 'a picture without a name'}"


def _facts(story: Story) -> Rows:
    heading = story.heading
    height, width = heading.shape
    share = f"{100 * story.reviewed / story.total:.1f} %" if story.total else "none to review"
    scale = "unknown scale" if story.mpp is None else f"{story.mpp:g} um per px"
    return [
        ["Picture", heading.name or "without a name"],
        ["Size", f"{height} x {width} px, {scale}"],
        ["Digest of its pixels", heading.digest],
        ["Session begun", f"{heading.created:%Y-%m-%d %H:%M:%S} UTC by {heading.made_by}"],
        ["Nuclei", str(story.total)],
        *(
            [["Classes derived from examples", f"of {story.derived} nuclei"]]
            if story.derived
            else []
        ),
        ["Reviewed", f"{story.reviewed} of {story.total} ({share})"],
        *(["Two readers", _settled(begun)] for begun in story.comparisons),
        *(["Cannot be told", problem] for problem in story.problems),
    ]


def _settled(begun: ComparisonBegun) -> str:
    a, b = begun.readers
    how = ", without being told which is whose" if begun.blinded else ""
    return (
        f"{begun.disagreements} disagreements of A: {a} and B: {b}, settled by {begun.by} from "
        f"{begun.at:%Y-%m-%d %H:%M:%S} UTC on{how}"
    )


def _runs(story: Story) -> Rows:
    return [
        [
            f"{run.at:%Y-%m-%d %H:%M:%S}",
            run.by.model,
            run.by.weights_sha256 or "in no file",
            ", ".join(f"{name} {value}" for name, value in run.by.settings.items()),
        ]
        for run in story.runs
    ]


def _tables(story: Story, stain: Rows) -> Iterable[tuple[str, Sequence[str], Rows]]:
    counted = [[name, status, str(n)] for name, status, n in story.counts]
    kinds = [[kind, by, str(n)] for kind, by, n in story.kinds]
    hours = [[hour, str(n)] for hour, n in story.hours]
    yield "Immunohistochemistry (DAB)", ("nuclei", *StainScore.HEADINGS), stain
    yield "Nuclei by class and status", ("Class", "Status", "Nuclei"), counted
    yield "Automatic runs", ("When (UTC)", "Model", "Weights (sha256)", "Settings"), _runs(story)
    yield "Changes by kind", ("Kind", "By", "Changes"), kinds
    yield "Changes by a person, by hour", ("Hour (UTC)", "Changes"), hours


def _caption(change: Change) -> str:
    ids = ", ".join(map(str, change.ids[:8])) + (" ..." if len(change.ids) > 8 else "")
    return f"{change.at:%Y-%m-%d %H:%M:%S} {change.kind}: nucleus {ids}"


def _omitted(story: Story) -> str:
    return f"{story.not_shown} more are not shown: earlier ones, or larger than a thumbnail."


# -- HTML -------------------------------------------------------------------------------------


def _as_html(story: Story, stain: Rows) -> str:
    parts = [html_table((), _facts(story))]
    for name, columns, rows in _tables(story, stain):
        if rows:
            parts += [f"<h2>{name}</h2>", html_table(columns, rows)]
    if story.shown:
        parts += ["<h2>Outlines changed by a person</h2>", "<table>"]
        parts += ["<tr><th>Change</th><th>Before</th><th>After</th></tr>"]
        parts += [_html_change(change) for change in story.shown]
        parts += ["</table>"]
    if story.not_shown:
        parts += [f"<p>{_omitted(story)}</p>"]
    return html_page(_title(story), parts)


def _html_change(change: Change) -> str:
    pictures = "".join(
        f"<td>{html_picture(png, when)}</td>"
        for when, png in (("before", change.before), ("after", change.after))
    )
    return f"<tr><td>{html.escape(_caption(change))}</td>{pictures}</tr>"


# -- Markdown ---------------------------------------------------------------------------------


def _as_markdown(story: Story, stain: Rows) -> str:
    parts = [f"# {_plain(_title(story))}", _markdown_table(("", ""), _facts(story))]
    for name, columns, rows in _tables(story, stain):
        if rows:
            parts += [f"## {name}", _markdown_table(columns, rows)]
    if story.shown:
        lines = ["| Change | Before | After |", "|---|---|---|"]
        lines += [_markdown_change(change) for change in story.shown]
        parts += ["## Outlines changed by a person", "\n".join(lines)]
    if story.not_shown:
        parts += [_omitted(story)]
    return "\n\n".join([*parts, ""])


def _markdown_table(columns: Sequence[str], rows: Rows) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_plain(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _markdown_change(change: Change) -> str:
    before, after = (f"data:image/png;base64,{png}" for png in (change.before, change.after))
    return f"| {_plain(_caption(change))} | ![before]({before}) | ![after]({after}) |"


def _plain(text: str) -> str:
    """Keep a text from being read as Markdown or HTML."""
    escaped = html.escape(" ".join(text.split()), quote=False)
    return "".join(f"\\{sign}" if sign in "\\`*_[]|#!" else sign for sign in escaped)


REPORT_SUFFIXES: dict[str, Callable[[Story, Rows], str]] = {".html": _as_html, ".md": _as_markdown}
"""How each ending is written."""
