"""Recipes: TOML files of values, checked on load, unknown keys refused.

``${NAME}`` in any string stands for the environment variable NAME, as in
``${UNINUC_DATA}/monuseg/test``.
Relative paths start at the current folder, as on the command line.
"""

from __future__ import annotations

import os
import re
import reprlib
import tomllib
from collections.abc import Iterator
from glob import escape
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from napari_uninuc.datasets.folder import LabelledImage, read_folder, select_images
from napari_uninuc.datasets.public.registry import LAYOUTS, read_layout
from napari_uninuc.errors import RecipeError

Model = TypeVar("Model", bound=BaseModel)

FOLDER_LAYOUT = "folder"
"""The layout of `napari_uninuc.datasets.folder`: images/, labels/, classes/."""

_MAX_BYTES = 2**16  # tomllib takes time with the square of nested tables
_SHORT = reprlib.Repr()
"""Says what was got in one short line, however much it was."""
_SHORT.maxstring = _SHORT.maxother = 100

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def _as_patterns(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Patterns = Annotated[tuple[str, ...], BeforeValidator(_as_patterns)]
_Shift = Annotated[float, Field(ge=-8, le=8)]


class DatasetSpec(BaseModel):
    """One data set of a recipe.

    Attributes
    ----------
    name : how reports call it
    path : folder that `napari_uninuc.datasets.folder.read_folder` reads, or a public data set
        as unzipped
    layout : "folder", or a public data set's (``uninuc data list`` has them)
    split : splits or folds of a public data set; empty takes all. ``SPLIT-val`` is a fifth of a
        split, the same for everybody, ``SPLIT-fit`` the rest
    partial : a part of a public data set is enough
    include, exclude : names or glob patterns; empty `include` takes all
    weight : how often training draws from it, relative to the others (> 0)
    exhaustive : every nucleus is labelled
        Where False, unlabelled nuclei exist: no detection loss, no automatic evaluation.
    mpp : micrometres per pixel; None is unknown. TOML has no null: write ``mpp = "unknown"``
    label_shift_yx : pixels by which training moves the labels to lie on their nuclei
        For labels known to lie off, nuinsseg's 0.45 px too high for instance: (0.45, 0).

    A public layout brings its own `exhaustive` and `mpp`; what the recipe says wins.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    path: Path
    layout: str = FOLDER_LAYOUT
    split: Patterns = ()
    partial: bool = False
    include: Patterns = ()
    exclude: Patterns = ()
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    exhaustive: bool = True
    mpp: Annotated[
        Annotated[float, Field(gt=0, allow_inf_nan=False)] | None,
        BeforeValidator(lambda value: None if value == "unknown" else value),
    ] = 0.25
    label_shift_yx: tuple[_Shift, _Shift] = (0.0, 0.0)

    @model_validator(mode="before")
    @classmethod
    def _as_published(cls, values: Any) -> Any:
        """Take from the layout what the recipe does not say."""
        layout = LAYOUTS.get(str(values.get("layout"))) if isinstance(values, dict) else None
        if layout is None:
            return values
        scale = "unknown" if layout.mpp is None else layout.mpp
        return {"mpp": scale, "exhaustive": layout.exhaustive, **values}

    @field_validator("layout")
    @classmethod
    def _known_layout(cls, name: str) -> str:
        if name != FOLDER_LAYOUT and name not in LAYOUTS:
            raise ValueError(f"expected one of {', '.join((FOLDER_LAYOUT, *LAYOUTS))}")
        return name

    @model_validator(mode="after")
    def _only_public_sets_are_split(self) -> DatasetSpec:
        if self.layout == FOLDER_LAYOUT and (self.split or self.partial):
            raise ValueError(
                "split and partial are for public layouts; a plain folder is split by include "
                "and exclude"
            )
        return self

    def images(self) -> list[LabelledImage]:
        """List the images this entry selects.

        Raises
        ------
        DatasetError
            As `read_folder` and `read_layout`.
        """
        if self.layout == FOLDER_LAYOUT:
            return read_folder(self.path, self.include, self.exclude)
        images = read_layout(self.layout, self.path, self.split, partial=self.partial)
        return list(select_images(images, self.include, self.exclude, self.path))

    def with_few_images(self, count: int) -> DatasetSpec:
        """The same entry with its first images only; a part of a public data set is enough then.

        Raises
        ------
        DatasetError
            As `images`.
        """
        partial = self.layout != FOLDER_LAYOUT
        some = self.model_copy(update={"partial": partial})
        names = tuple(escape(image.name) for image in some.images()[:count])
        return some.model_copy(update={"include": names, "exclude": ()})


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
        with file.open("rb") as stream:
            text = stream.read(_MAX_BYTES + 1)
        if len(text) > _MAX_BYTES:
            raise RecipeError(
                f"{file}: expected a recipe of at most {_MAX_BYTES} bytes, got more; check the path"
            )
        stored = tomllib.loads(text.decode("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise RecipeError(f"{file}: cannot read the recipe: {reason}") from error
    except RecipeError:
        raise
    except ValueError as error:  # of TOML, and of numbers of too many digits
        raise RecipeError(f"{file}: not valid TOML: {error}") from error
    except RecursionError as error:
        raise RecipeError(f"{file}: brackets nested too deeply; correct it") from error
    try:
        return model.model_validate(_expand(stored, file, ()))
    except RecursionError as error:
        raise RecipeError(f"{file}: tables nested too deeply; correct it") from error
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
        text = f"{key}: {first['msg']}, got {_SHORT.repr(first['input'])}"
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
    return ".".join(str(part) for part in location)[:200] or "recipe"
