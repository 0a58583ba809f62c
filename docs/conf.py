"""How the pages of this folder and the reference of the Python API become HTML, with no network.

scripts/test.sh builds them, and every warning is an error.
"""

import re
from importlib.metadata import version as version_of

from sphinx.application import Sphinx

project = "napari-uninuc"
author = "The napari-uninuc authors"
copyright = "2026, the napari-uninuc authors"
version = release = version_of("napari-uninuc")

extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc"]
exclude_patterns = ["_build"]

html_theme = "furo"  # fonts of the system, scripts beside the pages: nothing from elsewhere
html_title = f"{project} {version}"
html_copy_source = False
html_show_sourcelink = False

myst_heading_anchors = 3  # links to headings work here as they do on GitHub

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
default_role = "py:obj"
maximum_signature_line_length = 88
numpydoc_class_members_toctree = False
numpydoc_show_class_members = False

_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)]+)\)")


def _name_files_outside(app: Sphinx, page: str, text: list[str]) -> None:
    """A link that leaves this folder becomes the file's name: the built pages stand alone."""
    if "/" not in page:
        text[0] = _OUTSIDE.sub(r"\1 (`\2` in the sources)", text[0])


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _name_files_outside)
