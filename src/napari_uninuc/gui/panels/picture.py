"""Which picture is corrected, at what scale, and nuclei brought along from another layer."""

from pathlib import Path
from typing import Any

from magicgui.widgets import ComboBox
from napari.layers import Image, Labels, Shapes
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QDoubleSpinBox, QFileDialog, QLabel

from napari_uninuc.errors import UniNucError
from napari_uninuc.gui.desk import Desk
from napari_uninuc.gui.layers.taking_shapes import MARKS_KEY
from napari_uninuc.gui.panels.frame import Panel, button, row
from napari_uninuc.gui.slides.all_slides import Slides
from napari_uninuc.gui.slides.layer import SCANNER_SUFFIXES, slide_layer_data
from napari_uninuc.gui.slides.open_slide import OpenSlide
from napari_uninuc.gui.window.notices import tell_problem, warn
from napari_uninuc.gui.workbench import Workbench

__all__ = ["PicturePanel"]

_SLIDES = f"Slides (*.tif *.tiff {' '.join('*' + each for each in SCANNER_SUFFIXES)});;All (*)"


class _Size(QDoubleSpinBox):
    """Selects what it says when it gets the focus: into "not known" no number can be typed."""

    def focusInEvent(self, event: Any) -> None:
        super().focusInEvent(event)
        QTimer.singleShot(0, self.selectAll)  # a click puts the cursor somewhere after this


class PicturePanel(Panel):
    """Chooses an image layer and opens it."""

    def __init__(self, viewer: Any, workbench: Workbench, slides: Slides) -> None:
        super().__init__("Picture")
        self._viewer, self._workbench, self._slides = viewer, workbench, slides
        self.image = ComboBox(choices=lambda _: self._of_kind(Image), nullable=True)
        self.image.native.setToolTip("The picture whose nuclei are outlined and corrected.")
        self.open = button("Open", "Open the picture, or the plane of it that is shown.")
        self.open_slide = button(
            "Open a slide...",
            "Open a whole slide: SVS, NDPI, pyramidal TIFF, OME-Zarr and others. Only what is "
            "seen is read.",
        )
        self.mpp = _Size()
        self.mpp.setDecimals(4)
        self.mpp.setRange(0.0, 20.0)
        self.mpp.setSingleStep(0.05)
        self.mpp.setSpecialValueText("not known")
        self.mpp.setToolTip(
            "Size of a pixel in micrometres, as the scanner states it: 0.25 at 40x, 0.5 at 20x. "
            "Nuclei are found best when this is right."
        )
        self.hint = QLabel()
        self.hint.setWordWrap(True)
        self.labels = ComboBox(choices=lambda _: self._foreign_labels(), nullable=True)
        self.labels.native.setToolTip(
            "Layer of labels or shapes whose nuclei are taken over or added."
        )
        self.take_labels = button(
            "Take over",
            "Replace the nuclei by those of this layer. Undo brings yours back.",
        )
        self.add_labels = button(
            "Add",
            "Keep your nuclei, and add those of this layer where there are none.",
        )
        self.column.addWidget(row(self.image.native, self.open))
        self.column.addWidget(self.open_slide)
        self.column.addWidget(row(QLabel("Pixel size (um)"), self.mpp))
        self.column.addWidget(self.hint)
        self.column.addWidget(row(QLabel("Nuclei from"), self.labels.native))
        self.column.addWidget(row(self.take_labels, self.add_labels))
        self._typed_for: Desk | None = None
        self.image.changed.connect(self._on_image)
        self.open.clicked.connect(lambda: self._on_image(self.image.value))
        self.open_slide.clicked.connect(self._on_open_slide)
        self.mpp.editingFinished.connect(self._on_mpp)
        workbench.picture_changed.connect(self.refresh)
        self.take_labels.clicked.connect(lambda: self._on_take(beside=False))
        self.add_labels.clicked.connect(lambda: self._on_take(beside=True))
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
            event.connect(self._on_layers)
        workbench.models.changed.connect(self.refresh)
        slides.changed.connect(self.refresh)

    def close_panel(self) -> None:
        """Stop listening to the viewer."""
        for event in (self._viewer.layers.events.inserted, self._viewer.layers.events.removed):
            event.disconnect(self._on_layers)

    def refresh(self) -> None:
        """Show scale and advice of the picture worked at; choosing works without a desk."""
        self.setEnabled(True)
        has_desk = self.desk is not None
        for widget in (self.labels.native, self.take_labels, self.add_labels):
            widget.setEnabled(has_desk)
        slide = self._slide
        self.mpp.setEnabled(has_desk or slide is not None)
        self.hint.setText(self._advice())
        self.hint.setVisible(bool(self.hint.text()))
        self._list_layers()
        if self.mpp.hasFocus() and self._typed_for is self.desk:
            return  # somebody is typing; what was typed for another picture is not for this one
        self._typed_for = self.desk
        if slide is not None:
            self.mpp.setEnabled(not slide.regions)
            self.mpp.setValue(slide.mpp or 0.0)
        else:
            own = None if self.desk is None else self.desk.session.tile.mpp
            self.mpp.setValue(own or 0.0)

    @property
    def _slide(self) -> OpenSlide | None:
        """The slide whose scale the field is about: the one chosen, or that of the region."""
        slide = self._slides.current
        if slide is None:
            return None
        chosen = self.image.value
        on_it = chosen is slide.layer or any(each.layer is chosen for each in slide.regions)
        on_region = self.desk is not None and self.desk.session.tile.place is not None
        return slide if on_region or on_it else None

    def _advice(self) -> str:
        if self._workbench.on_other_plane:
            return "Another plane is shown now. Press Open to correct this one too."
        annotator = self._workbench.models.annotator
        if self.desk is None or annotator is None or annotator.card.mpp is None:
            return ""
        own, models = self.desk.session.tile.mpp, annotator.card.mpp
        if own is None:
            return (
                f"The picture does not say how large a pixel is; {models} um is assumed, as in a "
                "40x scan. Enter the right size above if you know it."
            )
        if not 0.5 <= own / models <= 2.0:
            return (
                f"The model was made for {models} um per pixel, the picture has {own:.3g}: it is "
                "resized for the model. Small nuclei may be missed."
            )
        return ""

    def _of_kind(self, kind: type) -> list[Any]:
        return [layer for layer in self._viewer.layers if isinstance(layer, kind)]

    def _foreign_labels(self) -> list[Any]:
        desk = self.desk
        return [
            layer
            for layer in self._viewer.layers
            if isinstance(layer, Labels | Shapes)
            and MARKS_KEY not in layer.metadata
            and (desk is None or not desk.owns(layer))
        ]

    def _on_layers(self, _event: Any = None) -> None:
        self._list_layers()

    def _list_layers(self) -> None:
        """Offer the layers there are by the names they have, and show the picture that is meant."""
        picture = self._workbench.picture
        with self.image.changed.blocked():
            self.image.reset_choices()
            self.image.value = picture if picture in self.image.choices else None
        self.labels.reset_choices()

    def _on_image(self, layer: Image | None) -> None:
        if layer is not None:
            self._workbench.open(layer)
        else:
            self._list_layers()

    def _on_mpp(self) -> None:
        value = self.mpp.value()
        if self._slide is not None:
            self._calibrate(value)
        elif self.desk is not None and 0 < value != self.desk.session.tile.mpp:
            self._workbench.rescale(value)

    def _calibrate(self, mpp: float) -> None:
        if mpp > 0:
            try:
                self._slides.calibrate(mpp)
            except UniNucError as problem:
                tell_problem(problem)

    def _on_open_slide(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open slide", "", _SLIDES)
        if path:
            self.show_slide(Path(path))

    def show_slide(self, path: Path) -> None:
        """Add a slide to the window and choose it."""
        try:
            data, described, _ = slide_layer_data(path)
        except UniNucError as problem:
            tell_problem(problem)
            return
        layer = self._viewer.add_image(data, **described)
        self.image.value = layer

    def _on_take(self, *, beside: bool) -> None:
        layer = self.labels.value
        if layer is None:
            return

        def tell(left_out: int, name: str = layer.name) -> None:
            if left_out > 0:
                warn(f"{left_out} nuclei of {name} do not lie on the picture.")

        try:
            notice = self._workbench.import_labels(layer, beside=beside, on_done=tell)
        except UniNucError as problem:
            tell_problem(problem)
            return
        if notice:
            warn(notice)
