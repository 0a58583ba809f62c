"""Public names have a docstring: also those that ruff takes for private, not being in __all__."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src/napari_uninuc"


def is_setter(node: ast.AST) -> bool:
    """The docstring of a property is its getter's."""
    decorators = getattr(node, "decorator_list", [])
    return any(isinstance(each, ast.Attribute) and each.attr == "setter" for each in decorators)


def without_docstring(node: ast.Module | ast.ClassDef, name: str = "") -> Iterator[str]:
    for each in node.body:
        if not isinstance(each, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if each.name.startswith("_") or is_setter(each):
            continue
        if not (ast.get_docstring(each) or "").strip():
            yield f"{name}{each.name}"
        if isinstance(each, ast.ClassDef):
            yield from without_docstring(each, f"{name}{each.name}.")


def test_every_public_name_has_a_docstring():
    missing = {
        f"{path.relative_to(PACKAGE).as_posix()}: {name}"
        for path in PACKAGE.rglob("*.py")
        for name in without_docstring(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert missing == set()


@pytest.mark.parametrize(
    ("code", "missing"),
    [
        ("def seen(): ...", ["seen"]),
        ("__all__ = []\ndef seen():\n    ' '", ["seen"]),
        ("class Seen:\n    'Text.'\n    @property\n    def size(self): ...", ["Seen.size"]),
        ("class _Hidden:\n    def seen(self): ...\ndef _hidden(): ...", []),
        ("class Seen:\n    'Text.'\n    @size.setter\n    def size(self, value): ...", []),
    ],
)
def test_what_is_missing_is_found(code, missing):
    assert list(without_docstring(ast.parse(code))) == missing
