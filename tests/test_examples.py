"""Examples in docstrings are run as they stand, in an empty folder, offline.

Each by itself; those of methods go on from the example of their class.
"""

import ast
import doctest
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src/napari_uninuc"

_LISTED = re.compile(r"^\.\. auto(?:module|class):: (\S+)\n((?:   :.*\n)*)", re.MULTILINE)
_MEMBERS = re.compile(r":members: (.+)")
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def docstrings_of(path: Path) -> Iterator[tuple[str, int, str]]:
    """Dotted name, line and text of every docstring of a file; nothing is imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    module = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
    waiting: list[tuple[str, ast.AST]] = [(module.removesuffix(".__init__"), tree)]
    while waiting:
        name, node = waiting.pop()
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield name, node.body[0].lineno - 1, text
            waiting += [(f"{name}.{n.name}", n) for n in node.body if hasattr(n, "name")]


def examples() -> Iterator[doctest.DocTest]:
    parser = doctest.DocTestParser()
    for path in sorted(PACKAGE.rglob("*.py")):
        texts = {name: (line, text) for name, line, text in docstrings_of(path)}
        for name, (line, text) in texts.items():
            if ">>> " in text:
                test = parser.get_doctest(text, {}, name, str(path), line)
                _, above = texts.get(name.rpartition(".")[0], (0, ""))
                test.examples[:0] = parser.get_examples(above)
                yield test


EXAMPLES = {example.name: example for example in examples()}


WITH_EXAMPLES = {
    "core.segmentation": ["Segmentation"],
    "core.tile": ["Tile"],
    "engine.annotator": ["load_annotator"],
    "engine.predictor": [
        "load_predictor",
        "Predictor",
        "Predictor.predict",
        "Predictor.predict_batch",
        "Predictor.segment",
        "Predictor.set_image",
    ],
    "io.coco": ["write_coco"],
    "io.formats": ["write_segmentation"],
    "io.geojson": ["write_geojson"],
    "io.images": ["read_image"],
    "io.labels": ["read_labels", "read_segmentation"],
    "io.ome_zarr": ["write_ome_zarr"],
    "io.table": ["write_csv", "write_parquet"],
    "io.tiff": ["write_ome_tiff", "write_tiff"],
    "journal.listing": ["find_sessions"],
    "session.annotation": ["AnnotationSession"],
    "session.autosave": ["Autosave", "restore"],
    "slides.opening": ["open_slide"],
    "slides.run": ["segment_slide"],
}
"""What people call from Python."""


@pytest.fixture
def nothing_around(tmp_path, monkeypatch):
    """Work in a new folder, and reach no other machine."""

    def refuse(*address, **options):
        raise AssertionError(f"an example asks the network for {address}")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def failures_of(example: doctest.DocTest) -> str:
    said: list[str] = []
    doctest.DocTestRunner(optionflags=_FLAGS).run(example, out=said.append)
    return "".join(said)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
@pytest.mark.usefixtures("nothing_around")
def test_example_does_what_it_says(name):
    assert failures_of(EXAMPLES[name]) == ""


def test_what_people_call_has_an_example():
    wanted = {f"napari_uninuc.{room}.{n}" for room, names in WITH_EXAMPLES.items() for n in names}
    assert wanted - set(EXAMPLES) == set()


def listed_in_reference() -> set[str]:
    """Modules, and names of modules of which only some are listed, in docs/api."""
    listed = set()
    for page in (ROOT / "docs/api").glob("*.md"):
        for target, rest in _LISTED.findall(page.read_text(encoding="utf-8")):
            chosen = _MEMBERS.search(rest)
            names = chosen.group(1).split(",") if chosen else []
            listed |= {f"{target}.{name.strip()}" for name in names} or {target}
    return listed


def test_every_example_is_in_the_reference():
    listed = listed_in_reference()
    assert [
        name for name in EXAMPLES if not any(f"{name}.".startswith(f"{n}.") for n in listed)
    ] == []


@pytest.mark.usefixtures("nothing_around")
@pytest.mark.parametrize(
    "text",
    [
        ">>> 1 + 1\n3\n",
        ">>> import warnings\n>>> warnings.warn('old')\n",
        ">>> import socket\n>>> socket.create_connection(('example.org', 80))\n",
    ],
)
def test_a_wrong_example_fails(text):
    example = doctest.DocTestParser().get_doctest(text, {}, "wrong", None, None)
    assert "Failed example" in failures_of(example)
