"""Recipes: TOML files of values, checked on load, unknown keys refused.

``${NAME}`` in any string stands for the environment variable NAME, as in
``${UNINUC_DATA}/monuseg/test``.
Relative paths start at the current folder, as on the command line.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from napari_uninuc.datasets.folder import LabelledImage, read_folder
from napari_uninuc.errors import RecipeError

Model = TypeVar("Model", bound=BaseModel)

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def _as_patterns(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Patterns = Annotated[tuple[str, ...], BeforeValidator(_as_patterns)]


class DatasetSpec(BaseModel):
    """One data set of a recipe.

    Attributes
    ----------
    name : how reports call it
    path : folder that `napari_uninuc.datasets.folder.read_folder` reads
    include, exclude : names or glob patterns; empty `include` takes all
    weight : how often training draws from it, relative to the others (> 0)
    exhaustive : every nucleus is labelled
        Where False, unlabelled nuclei exist: no detection loss, no automatic evaluation.
    mpp : micrometres per pixel; None is unknown. TOML has no null: write ``mpp = "unknown"``
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    path: Path
    include: Patterns = ()
    exclude: Patterns = ()
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    exhaustive: bool = True
    mpp: Annotated[
        Annotated[float, Field(gt=0, allow_inf_nan=False)] | None,
        BeforeValidator(lambda value: None if value == "unknown" else value),
    ] = 0.25

    def images(self) -> list[LabelledImage]:
        """List the images this entry selects; raises DatasetError as `read_folder` does."""
        return read_folder(self.path, self.include, self.exclude)


def load_toml_recipe(path: str | Path, model: type[Model]) -> Model:
    """Read a TOML recipe, fill in environment variables, and validate it.

    Parameters
    ----------
    path : recipe file, UTF-8
    model : pydantic model the values must fit; it decides what is refused

    Raises
    ------
    RecipeError
        File unreadable or not TOML, an environment variable is not set, or a value does not
        fit; one line with file, key, what was expected and what was got.
    """
    file = Path(path)
    try:
        stored = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise RecipeError(f"{file}: cannot read the recipe: {reason}") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{file}: not valid TOML: {error}") from error
    values = _expand(stored, file, ())
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise RecipeError(_one_line(file, model, error)) from error


def _expand(value: Any, file: Path, key: tuple[str | int, ...]) -> Any:
    """Replace ``${NAME}`` in every string of a parsed TOML value."""
    if isinstance(value, dict):
        return {name: _expand(item, file, (*key, name)) for name, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, file, (*key, index)) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def lookup(found: re.Match[str]) -> str:
        name = found.group(1)
        if not os.environ.get(name):
            raise RecipeError(
                f"{file}: {_dotted(key)}: environment variable {name} is not set; "
                f"set it (export {name}=FOLDER) or write the path out"
            )
        return os.environ[name]

    return _VARIABLE.sub(lookup, value)


def _one_line(file: Path, model: type[BaseModel], error: ValidationError) -> str:
    """Say the first validation error on one line, and how many more there are."""
    problems = error.errors(include_url=False)
    first = problems[0]
    key = _dotted(first["loc"])
    if first["type"] == "extra_forbidden":
        known = ", ".join(_known_keys(model, first["loc"]))
        text = f"unknown key {key!r}; expected one of: {known}"
    elif first["type"] == "missing":
        text = f"{key}: expected a value, got none; add it"
    else:
        text = f"{key}: {first['msg']}, got {first['input']!r}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return " ".join(f"{file}: {text}{more}".split())


def _known_keys(model: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    """List the keys allowed where an unknown one was found, following `location` downwards."""
    for part in location[:-1]:
        if isinstance(part, str) and part in model.model_fields:
            model = next(_models_in(model.model_fields[part].annotation), model)
    return sorted(field.alias or name for name, field in model.model_fields.items())


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def _dotted(location: tuple[str | int, ...]) -> str:
    return ".".join(str(part) for part in location) or "recipe"
