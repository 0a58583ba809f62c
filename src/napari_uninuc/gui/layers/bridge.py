"""Between the session and napari's layers, which are a picture of it and nothing more.

Edits reach the nuclei layer as changed pixels; what napari's own tools paint there reaches the
session as one edit. Layers may be renamed, moved, hidden or deleted at any time: they are kept
by reference, and made again from the session when something is to be shown on them.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from napari.layers import Image, Labels, Layer
from psygnal import Signal

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.edits import Edit
from napari_uninuc.gui.canvas.draft_marks import DraftMarks
from napari_uninuc.gui.canvas.marks import Marks
from napari_uninuc.gui.canvas.overlay import Overlay, pass_by_unseen
from napari_uninuc.gui.canvas.strokes import Strokes
from napari_uninuc.gui.layers.colours import ColourBy, NucleusColours
from napari_uninuc.gui.layers.feature_table import FeatureTable
from napari_uninuc.gui.layers.layer_tables import CLASSES_KEY
from napari_uninuc.gui.layers.meant import hides, put_above
from napari_uninuc.gui.layers.nuclei_layer import NucleiLayer
from napari_uninuc.gui.layers.nuclei_outlines import NucleiOutlines
from napari_uninuc.gui.layers.placement import PLACED_BY, Placement, unit_factors
from napari_uninuc.gui.window.idle import IdleQueue
from napari_uninuc.session import AnnotationSession

__all__ = ["LayerBridge"]

_LEFT_OPACITY = 0.7  # napari's own
_WIDTH_PX, _HALO_PX = 1.5, 3.0
_BOX_PX, _BOX_HALO_PX = 1.0, 2.0


class LayerBridge:
    """Shows a session on napari layers and takes over what napari's brush does.

    Parameters
    ----------
    viewer : gets a labels layer of the nuclei; outlines and marks are drawn over all layers
    session : the truth
    image : the layer that shows the tile
    placement : where the tile lies; by default it is the whole of `image`
    prefix : of the layer's name
    on_problem : told what a stroke or a foreign change of the nuclei layer did wrong; the
        layer shows the session again then

    Attributes
    ----------
    marks : what is drawn for the nucleus in hand, the selection and the cursor
    outlines : of all nuclei
    image_lost : the image layer was deleted, or given other pixels. The bridge goes on with the
        place it had; whether to close it is for the receiver
    label_chosen : napari's drawing tools paint another nucleus now
    colour_by_changed : colours tell something else now
    """

    image_lost = Signal()
    label_chosen = Signal()
    colour_by_changed = Signal()

    def __init__(
        self,
        viewer: Any,
        session: AnnotationSession,
        image: Layer,
        placement: Placement | None = None,
        *,
        prefix: str = "",
        on_problem: Callable[[Exception], None],
    ):
        self._viewer, self._session, self._on_problem = viewer, session, on_problem
        self._image: Layer | None = image
        self._prefix, self._hidden, self._blanked = prefix, False, False
        self._placement = Placement.of(image) if placement is None else placement
        self._colours = NucleusColours(session.labels, session.classes)
        self._idle = IdleQueue()
        self._nuclei: NucleiLayer | None = None
        self._overlay = Overlay(viewer)
        self._marks = Marks(self._overlay.node)
        self._features = FeatureTable(session, self._publish_features)
        self._make_nuclei_layer()
        boxes = Strokes(self._overlay.node, _BOX_PX, _BOX_HALO_PX, many=True)
        lines = Strokes(self._overlay.node, _WIDTH_PX, _HALO_PX, inside=True, many=True)
        self.outlines = NucleiOutlines(session, self._colours, lines, boxes, self._idle)
        self.marks = DraftMarks(session, self._marks, self._idle)
        self._place_overlay()
        viewer.layers.selection.active = self.nuclei
        self._connect(image)

    def _connect(self, image: Layer) -> None:
        self._session.labels.changed.connect(self._on_edit)
        self._session.classes_changed.connect(self._on_classes)
        self._session.derived_changed.connect(self._on_derived)
        self._session.staining_changed.connect(self._on_staining)
        for event in (self._viewer.layers.events.inserted, self._viewer.layers.events.removed):
            event.connect(self._place_overlay)  # the unit of the world may be another now
        self._viewer.layers.events.removed.connect(self._on_layer_removed)
        self._viewer.dims.events.ndisplay.connect(self._follow_visible)
        self._viewer.mouse_drag_callbacks.insert(0, self._watch_stroke)
        for name in PLACED_BY:
            getattr(image.events, name).connect(self._on_image_moved)
        image.events.data.connect(self._on_image_data)

    def close(self, *, remove_layers: bool = False) -> None:
        """Let go of session, viewer and layers; the nuclei layer stays unless told otherwise."""
        self._session.labels.changed.disconnect(self._on_edit, missing_ok=True)
        self._session.classes_changed.disconnect(self._on_classes, missing_ok=True)
        self._session.derived_changed.disconnect(self._on_derived, missing_ok=True)
        self._session.staining_changed.disconnect(self._on_staining, missing_ok=True)
        self._viewer.layers.events.removed.disconnect(self._on_layer_removed)
        for event in (self._viewer.layers.events.inserted, self._viewer.layers.events.removed):
            event.disconnect(self._place_overlay)
        self._viewer.dims.events.ndisplay.disconnect(self._follow_visible)
        if self._watch_stroke in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._watch_stroke)
        self._forget_image()
        self.marks.close()
        self.flush()
        self._features.close()
        self._overlay.close()
        layer = self.nuclei_if_there
        if layer is not None and not remove_layers:
            layer.opacity, layer.contour = _LEFT_OPACITY, 1  # nobody outlines it any more
        self._forget_nuclei()
        if remove_layers and layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def rename(self, prefix: str) -> None:
        """Give the layer's name another prefix; one renamed by a person keeps its name."""
        before, self._prefix = self._prefix, prefix
        for layer in self.layers:
            if before and layer.name.startswith(before):
                layer.name = prefix + layer.name[len(before) :]

    def show(self) -> None:
        """Show nuclei and marks."""
        self._hidden = False
        self.nuclei.visible = True
        self._follow_visible()

    def rise(self) -> None:
        """Lie above the picture again, where it was moved over its nuclei and hides them."""
        image, layers = self._image, self._viewer.layers
        if isinstance(image, Image) and image in layers and hides(image, image):
            put_above(layers, [each for each in self.layers if each in layers], image)

    def hide(self, *, marks_only: bool = False) -> None:
        """Hide nuclei and marks, or only what is drawn for the nucleus in hand; none is made."""
        self._hidden = True
        nuclei = self.nuclei_if_there
        if nuclei is not None and not marks_only:
            nuclei.visible = False
        self._follow_visible()

    @property
    def blanked(self) -> bool:
        """Nothing of ours is seen, while a key is held down, say."""
        return self._blanked

    @blanked.setter
    def blanked(self, blanked: bool) -> None:
        self._blanked = blanked
        self._follow_visible()

    def _follow_visible(self, _event: Any = None) -> None:
        """Outlines are seen where the nuclei layer is, seen flat."""
        nuclei = self.nuclei_if_there
        flat = self._viewer.dims.ndisplay == 2
        seen = nuclei is not None and nuclei.visible and flat
        self._overlay.visible = seen and not self._blanked
        self._marks.node.visible = not self._hidden
        if nuclei is not None:
            pass_by_unseen(self._viewer, nuclei)

    # -- places -----------------------------------------------------------------------------

    @property
    def image(self) -> Layer | None:
        """The layer that shows the tile; None once it was deleted."""
        return self._image

    @property
    def nuclei(self) -> Labels:
        """The nuclei layer; made again if it was deleted."""
        return (self._nuclei or self._make_nuclei_layer()).layer

    @property
    def nuclei_if_there(self) -> Labels | None:
        """The nuclei layer; None where it was deleted."""
        return None if self._nuclei is None else self._nuclei.layer

    @property
    def layers(self) -> tuple[Labels, ...]:
        """The layer that shows this session, if it is there; none is made."""
        nuclei = self.nuclei_if_there
        return () if nuclei is None else (nuclei,)

    def to_tile(
        self, position: tuple[float, ...], dims_displayed: list[int]
    ) -> tuple[float, float] | None:
        """Turn a position of a mouse event into tile px (y, x), which may lie off the tile.

        Returns
        -------
        place : None where the tile is not seen flat: in 3-D, or along other axes
        """
        axes = len(position)
        if sorted(dims_displayed) != [axes - 2, axes - 1]:
            return None
        place = np.array(position, dtype=np.float64)
        place[-2:] /= self._world_units()
        if self._image is not None:
            return self._placement.to_tile(self._image.world_to_data(place))
        y, x = self.nuclei.world_to_data(place)[-2:]
        return float(y), float(x)

    def to_world(self, place_yx_tile: tuple[float, float]) -> tuple[float, float]:
        """Turn tile px into the last two axes of the viewer's world."""
        y, x = self.nuclei.data_to_world(place_yx_tile)[-2:] * self._world_units()
        return float(y), float(x)

    def _place_overlay(self, _event: Any = None) -> None:
        """Draw where the tile lies in the world, as it is counted now."""
        if self._nuclei is None:  # nothing is drawn, and no layer is made for that
            return
        first = np.array(self.to_world((0.0, 0.0)))
        down, right = (np.array(self.to_world(each)) - first for each in ((1.0, 0.0), (0.0, 1.0)))
        self._overlay.place(np.column_stack([down, right, first]))

    def _world_units(self) -> npt.NDArray[np.float64]:
        """World units per unit of the picture: napari counts in the smallest unit of all layers.

        A layer in nanometres beside a picture in micrometres makes mouse and camera count in
        nanometres, which `world_to_data` of a layer does not know (seen with napari 0.9).
        """
        world = getattr(self._viewer.dims, "units", None)
        if world is None or len(world) < 2:
            return np.ones(2)
        factors = unit_factors(self._placement.units, tuple(world[-2:]))
        return np.ones(2) if factors is None else factors

    def screen_px(self) -> float:
        """Screen px per tile px, for lines that must be seen at any zoom."""
        camera = getattr(self._viewer, "scene", self._viewer).camera  # moved in napari 0.9
        step = np.subtract(self.to_world((0, 1)), self.to_world((0, 0)))
        return float(camera.zoom * np.linalg.norm(step))

    # -- session -> layers ------------------------------------------------------------------

    @property
    def colour_by(self) -> ColourBy:
        """What the colour of a nucleus tells."""
        return self._colours.by

    @colour_by.setter
    def colour_by(self, by: ColourBy) -> None:
        if by is not self._colours.by:
            self._colours.by = by
            self._recolour_all()
            self.colour_by_changed.emit()

    def _recolour_all(self) -> None:
        if self._nuclei is not None:
            self._nuclei.recolour_all(self._colours)
        self.outlines.recolour_all()

    def flush(self) -> None:
        """Show everything now that is being shown bit by bit."""
        self._idle.flush()
        self._features.flush()

    def _on_edit(self, edit: Edit) -> None:
        recoloured = self._colours.follow(edit)
        self._features.touch(edit.ids)
        self.outlines.follow(edit)
        if self._nuclei is not None:
            self._nuclei.show(edit, recoloured)
        elif not self._hidden:
            self._make_nuclei_layer()

    def _on_classes(self, palette: ClassPalette) -> None:
        """Show names and colours that may have changed."""
        if self._colours.take_palette(palette):
            self._recolour_all()
        self._features.touch(())
        self._publish_classes()

    def _on_derived(self) -> None:
        self._colours.take_derived(self._session.derived)
        self._recolour_all()
        self._features.touch(())

    def _on_staining(self) -> None:
        self._colours.take_staining(self._session.staining)
        if self.colour_by is ColourBy.STAINING:
            self._recolour_all()

    def _publish_classes(self) -> None:
        """Leave names and colours with the layer, so that napari's own saving keeps them."""
        if self._nuclei is not None:
            classes = self._session.classes.classes
            self._nuclei.layer.metadata[CLASSES_KEY] = {one.name: one.colour for one in classes}

    def _publish_features(self, table: pd.DataFrame) -> None:
        if self._nuclei is not None:
            self._nuclei.layer.features = table
            self._nuclei.draw_thumbnail()

    # -- layers -> session ------------------------------------------------------------------

    def _watch_stroke(self, viewer: Any, event: Any) -> Iterator[None]:
        """See strokes begin and end, whatever napari's tool; runs before the layer's own."""
        nuclei = self._nuclei
        if nuclei is None or viewer.layers.selection.active is not nuclei.layer:
            return
        nuclei.begin_stroke()
        yield
        while event.type == "mouse_move":
            yield
        nuclei.end_stroke()

    # -- layers that come and go ------------------------------------------------------------

    def _make_nuclei_layer(self) -> NucleiLayer:
        self._nuclei = made = NucleiLayer(
            self._session,
            self._colours,
            self._placement,
            self._idle,
            self._on_problem,
            self._prefix,
        )
        if not self._prefix and any(each.name == made.layer.name for each in self._viewer.layers):
            made.layer.name = f"{self._session.tile.name}: {made.layer.name}"  # not "nuclei [1]"
        self._insert(made.layer, self._image)
        made.layer.events.visible.connect(self._follow_visible, position="last")
        made.layer.events.opacity.connect(self._follow_visible, position="last")
        made.layer.events.selected_label.connect(self._on_label)
        self._follow_visible()
        self._features.flush()
        self._publish_classes()
        return made

    def _insert(self, layer: Labels, below: Layer | None) -> None:
        """Add a layer just above another, or on top, and leave the selection as it is."""
        layers = self._viewer.layers
        chosen, active = set(layers.selection), layers.selection.active
        place = layers.index(below) + 1 if below in layers else len(layers)
        layers.insert(place, layer)
        layers.selection.clear()
        layers.selection.update(chosen)
        layers.selection.active = active

    def _on_label(self, _event: Any) -> None:
        self.label_chosen.emit()

    def _on_layer_removed(self, event: Any) -> None:
        if self._nuclei is not None and event.value is self._nuclei.layer:
            self._forget_nuclei()
        elif event.value is self._image:
            self._forget_image()
            self.image_lost.emit()

    def _forget_nuclei(self) -> None:
        if self._nuclei is not None:
            self._nuclei.layer.events.visible.disconnect(self._follow_visible)
            self._nuclei.layer.events.opacity.disconnect(self._follow_visible)
            self._nuclei.layer.events.selected_label.disconnect(self._on_label)
            self._nuclei.close()
        self._nuclei = None
        self._follow_visible()

    def _forget_image(self) -> None:
        image, self._image = self._image, None
        if image is not None:
            for name in PLACED_BY:
                getattr(image.events, name).disconnect(self._on_image_moved)
            image.events.data.disconnect(self._on_image_data)

    def _on_image_moved(self, event: Any) -> None:
        """Follow the image, whatever of its place was changed."""
        old = self._placement
        self._placement = Placement.of(event.source, old.origin_yx_image, old.step)
        for layer in self.layers:
            self._placement.apply_to(layer)
        self._place_overlay()

    def _on_image_data(self, _event: Any) -> None:
        self.image_lost.emit()
