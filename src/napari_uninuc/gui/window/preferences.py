"""What a person has chosen in napari's preferences (File > Preferences, napari 0.9 and later)."""

from dataclasses import dataclass, fields

__all__ = ["Preferences", "preferences"]

_PLUGIN = "napari-uninuc"
_SECTION = "correcting"


@dataclass(frozen=True, slots=True)
class Preferences:
    """The section "Correct nuclei" of the manifest; these defaults hold where there is none.

    Attributes
    ----------
    model : id, path or address of a server, loaded when the widget opens
    commercial_use : offer only models whose licences allow commercial use
    device : auto, cpu, cuda or mps
    classes : names with commas between them, for pictures newly opened; empty takes the model's
    keep : corrections are written to disk as they are made
    embeddings : what the model computed of a picture is kept on disk, for opening it again
    """

    model: str = "uninuc-n"
    commercial_use: bool = False
    device: str = "auto"
    classes: str = ""
    keep: bool = True
    embeddings: bool = True

    @property
    def class_names(self) -> list[str]:
        """Names of `classes`, in order, each once."""
        names = (name.strip() for name in self.classes.split(","))
        return list(dict.fromkeys(name for name in names if name))


def preferences() -> Preferences:
    """Read what is chosen now; the defaults where napari has no settings of plugins."""
    try:
        from napari.settings import get_plugin_settings

        chosen = getattr(get_plugin_settings(_PLUGIN), _SECTION)
        return Preferences(
            **{each.name: getattr(chosen, each.name) for each in fields(Preferences)}
        )
    except (ImportError, LookupError, AttributeError, TypeError):
        # napari before 0.9, or a napari that did not read this version's manifest.
        return Preferences()
