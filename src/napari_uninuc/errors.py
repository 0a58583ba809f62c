"""Errors a user can cause: one base class, each child also the natural builtin.

Every message is one line that says what was expected, what came, and what to do about it.
"""

__all__ = [
    "CheckpointError",
    "DatasetError",
    "DeviceError",
    "ImageError",
    "LabelsError",
    "ModelNotFoundError",
    "OutputError",
    "PromptError",
    "RecipeError",
    "ServerAwayError",
    "ServerError",
    "SessionError",
    "UniNucError",
]


class UniNucError(Exception):
    """Base of every error this package raises on purpose.

    Examples
    --------
    >>> from napari_uninuc import UniNucError
    >>> from napari_uninuc.io.images import read_image
    >>> try:
    ...     read_image("gone.png")
    ... except UniNucError as problem:
    ...     print(f"{type(problem).__name__}: {problem}")
    ImageError: gone.png...
    """


class ImageError(UniNucError, ValueError):
    """Pixels, their shape or type, or a picture file that cannot be used."""


class LabelsError(UniNucError, ValueError):
    """A label image, or its table, that cannot be used."""


class PromptError(UniNucError, ValueError):
    """Points, boxes or mask prompts of the wrong shape, or outside their range."""


class CheckpointError(UniNucError, OSError):
    """A model file or card that is missing, damaged or not what its card promises."""


class ModelNotFoundError(UniNucError, LookupError):
    """No model of that id, or nothing at that path."""


class RecipeError(UniNucError, ValueError):
    """A recipe or setting with an unknown key, or with a value out of range."""


class DatasetError(UniNucError, OSError):
    """A dataset folder that is missing, incomplete or inconsistent."""


class OutputError(UniNucError, OSError):
    """A result that cannot be written where it was asked for."""


class SessionError(UniNucError, OSError):
    """A saved session that is missing, damaged or another picture's, or that cannot be kept."""


class ServerError(UniNucError, OSError):
    """A server that does not answer, refuses, or speaks another protocol."""


class ServerAwayError(ServerError):
    """A server that does not answer, or went away while it did; asking again may help."""


class DeviceError(UniNucError, RuntimeError):
    """A device that does not exist here or cannot do what was asked."""
