"""Watches the image layers of a viewer: which of them a person means, and what becomes of it."""

from collections.abc import Callable, Sequence
from typing import Any

from napari.layers import Image, Layer
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_uninuc.gui.layers.meant import Covers, is_shown, meant_picture, put_below

__all__ = ["PictureWatch"]

_SHOWN_BY = ("visible", "opacity", "blending")
"""Attributes of a layer that say whether it is seen; each has an event of the same name."""
_OF_LIST = ("inserted", "removed", "moved", "reordered")


class PictureWatch:
    """Knows the picture that a person means; `meant_picture` says by what rules.

    Layers come, go and change places many at a time. That the picture is no longer seen is told
    at once, for nothing may be drawn for it; which one is meant instead, once that is over.

    Parameters
    ----------
    viewer : its layers are watched
    covers : whether an image hides another that lies below it
    belongings : the layers that are drawn for an image; they move with it

    Attributes
    ----------
    lost_sight : the picture was hidden, covered or deleted
    settled : layers have changed and it was looked again which picture is meant
    removed : an image that was deleted
    repainted : an image that was given other pixels
    renamed : an image has another name
    """

    lost_sight = Signal()
    settled = Signal()
    removed = Signal(Image)
    repainted = Signal(Image)
    renamed = Signal()

    def __init__(
        self, viewer: Any, covers: Covers, belongings: Callable[[Image], Sequence[Layer]]
    ) -> None:
        self._viewer, self._covers, self._belongings = viewer, covers, belongings
        self._picture: Image | None = None
        self._opened: Image | None = None
        self._watched: list[Image] = []
        self._soon = QTimer()
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.timeout.connect(self.look)

    @property
    def picture(self) -> Image | None:
        """The picture that is meant."""
        return self._picture

    @property
    def in_sight(self) -> bool:
        """The picture is there, not hidden, and no other lies over it."""
        return self._picture is not None and self._picture is meant_picture(
            self._viewer.layers, self._picture, None, self._covers
        )

    @property
    def all_hidden(self) -> bool:
        """There are pictures, but none is drawn."""
        return bool(self._watched) and not any(map(is_shown, self._watched))

    def begin(self) -> None:
        """Watch from now on; the active picture is meant or, where it is none, that on top."""
        active = self._viewer.layers.selection.active
        self._opened = active if isinstance(active, Image) else None
        for layer in self._viewer.layers:
            self._watch(layer)
        for name in _OF_LIST:
            getattr(self._viewer.layers.events, name).connect(getattr(self, f"_on_{name}"))
        self.look()

    def close(self) -> None:
        """Watch no more."""
        self._soon.stop()
        for name in _OF_LIST:
            getattr(self._viewer.layers.events, name).disconnect(getattr(self, f"_on_{name}"))
        for layer in list(self._watched):
            self._unwatch(layer)
        self._picture = self._opened = None

    def fall_silent(self) -> None:
        """Tell nothing more; nothing of Qt is touched, which may be gone."""
        for signal in (self.lost_sight, self.settled, self.removed, self.repainted, self.renamed):
            signal.disconnect()

    def choose(self, layer: Image) -> None:
        """Say which picture is meant; it is brought to sight where it is not seen."""
        self._picture, self._opened = layer, None
        layer.visible = True
        layer.opacity = layer.opacity or 1.0
        layers = self._viewer.layers
        above = [each for each in self._watched if each is not layer and each in layers]
        for each in above:
            if layers.index(each) > layers.index(layer) and self._covers(each, layer):
                put_below(layers, [each, *self._belongings(each)], layer)

    def look(self) -> None:
        """Look now which picture is meant."""
        opened, self._opened = self._opened, None
        self._picture = meant_picture(self._viewer.layers, self._picture, opened, self._covers)
        self.settled.emit()

    def _watch(self, layer: Layer) -> None:
        if isinstance(layer, Image):
            self._watched.append(layer)
            for name in _SHOWN_BY:
                getattr(layer.events, name).connect(self._on_sight)
            layer.events.data.connect(self._on_data)
            layer.events.name.connect(self._on_name)

    def _unwatch(self, layer: Image) -> None:
        self._watched = [each for each in self._watched if each is not layer]
        for name in _SHOWN_BY:
            getattr(layer.events, name).disconnect(self._on_sight)
        layer.events.data.disconnect(self._on_data)
        layer.events.name.disconnect(self._on_name)

    def _on_inserted(self, event: Any) -> None:
        self._watch(event.value)
        if isinstance(event.value, Image):
            if is_shown(event.value):
                self._opened = event.value
            self._on_sight()

    def _on_removed(self, event: Any) -> None:
        layer = event.value
        if any(each is layer for each in self._watched):
            self._unwatch(layer)
            if layer is self._opened:
                self._opened = None
            if layer is self._picture:
                self._picture = None
            self.removed.emit(layer)
            self._on_sight()

    def _on_moved(self, event: Any) -> None:
        if isinstance(event.value, Image):
            self._on_sight()

    def _on_reordered(self, _event: Any) -> None:
        self._on_sight()

    def _on_sight(self, _event: Any = None) -> None:
        if not self.in_sight:
            self.lost_sight.emit()
        self._soon.start()

    def _on_data(self, event: Any) -> None:
        self.repainted.emit(event.source)

    def _on_name(self, _event: Any) -> None:
        self.renamed.emit()
