"""What the window alone depends on: all that the package does, but for what only computes."""

import tomllib
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface
from packaging.requirements import Requirement

_COMPUTES = {"sam2", "timm", "torch", "torchvision"}
_EXTRAS = ("all", "client", "gui")
_SAME = ("license", "requires-python", "authors", "classifiers", "scripts", "entry-points")


class WindowAlone(MetadataHookInterface):
    """Takes the metadata from the package's own ``pyproject.toml``."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Fill in what is dynamic."""
        text = (Path(self.root).parent / "pyproject.toml").read_text(encoding="utf-8")
        project = tomllib.loads(text)["project"]
        metadata["dependencies"] = needed_by_the_window(project)
        metadata["description"] = f"{project['description']}; without what only a server needs"
        metadata |= {field: project[field] for field in _SAME}


def needed_by_the_window(project: dict[str, Any]) -> list[str]:
    """Choose of the package's requirements, and of its extras for the window."""
    extras = project["optional-dependencies"]
    needed = [*project["dependencies"], *(each for name in _EXTRAS for each in extras[name])]
    left_out = {*_COMPUTES, project["name"]}
    return [each for each in needed if Requirement(each).name not in left_out]
