"""Pages for people: their links lead somewhere, and the built ones need no network."""

import importlib.util
import re
from collections import Counter
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

import children

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page
    for folder in ("", ".github", "benchmarks", "docs", "models", "recipes")
    for page in (ROOT / folder).glob("**/*.md" if folder else "*.md")
    if "_build" not in page.parts
)
_LOADS = re.compile(
    r"""<(?:script|img|iframe)[^>]*\ssrc=["'](?:https?:)?//|<link[^>]*\shref=["'](?:https?:)?//"""
    r"""|@import\s*(?:url\()?["']?(?:https?:)?//|url\(["']?(?:https?:)?//"""
)
"""What a browser would fetch from elsewhere by itself; links to click are none of these."""


@cache
def tokens_of(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))


def plain(token: Token) -> str:
    return "".join(child.content for child in token.children or [])


@cache
def anchors_of(page: Path) -> set[str]:
    """Names that GitHub gives to headings: lower case, no punctuation, spaces become hyphens."""
    tokens = tokens_of(page)
    titles = [
        plain(tokens[k + 1]) for k, token in enumerate(tokens) if token.type == "heading_open"
    ]
    slugs = [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]
    before: Counter[str] = Counter()
    anchors = set()
    for slug in slugs:
        anchors.add(f"{slug}-{before[slug]}" if before[slug] else slug)
        before[slug] += 1
    return anchors


def links_of(page: Path) -> list[str]:
    inline = [child for token in tokens_of(page) for child in token.children or []]
    found = [child.attrGet("href") or child.attrGet("src") for child in inline]
    return [str(link) for link in found if link]


def broken_links(page: Path) -> list[str]:
    broken = []
    for link in links_of(page):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        if not target.exists() or (parts.fragment and parts.fragment not in anchors_of(target)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_anchors_lead_somewhere(page):
    assert broken_links(page) == []


def test_a_broken_link_and_a_broken_anchor_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b`: c\n\n[x](#a-b-c) [y](#gone) [z](gone.md) ![p](gone.png) [w](page.md)\n"
    )
    assert broken_links(page) == ["#gone", "gone.md", "gone.png"]


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://elsewhere.example/a.js"></script>',
        '<link rel="stylesheet" href="//elsewhere.example/a.css">',
        '@import url("https://elsewhere.example/a.css");',
        "src: url(https://elsewhere.example/a.woff2)",
    ],
)
def test_what_a_page_would_load_from_elsewhere_is_seen(text):
    assert _LOADS.search(text)
    assert not _LOADS.search(text.replace("https:", "").replace("//elsewhere.example/", ""))
    assert not _LOADS.search('<a href="https://elsewhere.example/">read more</a>')


def test_every_page_of_docs_is_in_the_table_of_contents():
    listed = {
        (index.parent / name).with_suffix(".md")
        for index in (ROOT / "docs/index.md", ROOT / "docs/api/index.md")
        for block in tokens_of(index)
        if block.type == "fence" and block.info == "{toctree}"
        for name in block.content.splitlines()
        if name and not name.startswith(":")
    }
    written = {page for page in PAGES if page.is_relative_to(ROOT / "docs")}
    assert written - listed == {ROOT / "docs/index.md"}


_NO_NETWORK = """
import sys

def refuse(event, arguments):
    if event.startswith(("socket.connect", "socket.getaddrinfo", "urllib.Request")):
        raise SystemExit(f"network: {event} {arguments[-2:]}")

sys.addaudithook(refuse)
from sphinx.cmd.build import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("sphinx") is None, reason="needs the extra docs, which test brings"
)
def test_pages_are_built_without_warning_and_load_nothing_from_elsewhere(tmp_path):
    site = tmp_path / "site"
    strict = ["-W", "--keep-going", "-q", "-b", "html", "-d", tmp_path / "trees"]
    done = children.run(_NO_NETWORK, *strict, ROOT / "docs", site, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    predictor = (site / "api/predictor.html").read_text(encoding="utf-8")
    assert "load_predictor" in predictor
    assert '<div class="doctest' in predictor  # examples, see test_examples
    fetched = {
        path.relative_to(site).as_posix(): match.group()
        for pattern in ("*.html", "*.css", "*.js")
        for path in site.rglob(pattern)
        if (match := _LOADS.search(path.read_text(encoding="utf-8")))
    }
    assert fetched == {}
