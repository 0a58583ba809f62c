"""The regions of the slide: list, overview, and going from one to the next."""

from pathlib import Path
from typing import Any

from psygnal import SignalInstance
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLabel,
    QMessageBox,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from napari_uninuc.gui.desk import Desk
from napari_uninuc.gui.panels.export_all import ask_where
from napari_uninuc.gui.panels.frame import Panel, button, key_button, row
from napari_uninuc.gui.panels.overview import Edges, Overview
from napari_uninuc.gui.slides.all_slides import Slides
from napari_uninuc.gui.slides.open_slide import OpenSlide, Region
from napari_uninuc.gui.slides.region_view import box_in_view
from napari_uninuc.gui.window.keymap import key_of
from napari_uninuc.gui.window.notices import tell, tell_problem
from napari_uninuc.gui.work.kept_pictures import write_all
from napari_uninuc.gui.work.walk import State
from napari_uninuc.gui.workbench import Workbench

__all__ = ["RegionsPanel"]

_COLUMNS = ("Region", "Size (um)", "Nuclei", "Done")
_MOST_ROWS = 6
_PAUSE_MS = 80


class RegionsPanel(Panel):
    """Seen only while a slide is open."""

    def __init__(self, viewer: Any, window: QWidget, workbench: Workbench, slides: Slides) -> None:
        super().__init__("Slide and regions")
        self._viewer, self._window, self._workbench = viewer, window, workbench
        self._slides = slides
        self._shown_survey: object = None
        self._rows: dict[Region, QTreeWidgetItem] = {}
        self._chosen_for: Region | None = None
        self.hint = QLabel()
        self.hint.setWordWrap(True)
        self.overview = Overview()
        self.draw = key_button("region")
        self.draw.setCheckable(True)
        self.list = _list()
        self.previous = _short_button("Previous", "previous_region")
        self.next = _short_button("Next", "next_region")
        self.rename = button("Rename", "Call the region something else.")
        self.remove = button("Remove", "Take the region out of the list; it stays on disk.")
        self.sum = QLabel()
        self.export = button(
            "Export all...", "Write the nuclei of every region of the list, in one format."
        )
        self.earlier = QLabel()
        self.earlier.setWordWrap(True)
        self.bring_back = button("Bring back", "Open these regions with all that was corrected.")
        self.not_now = button("Not now", "Leave them on disk; they are offered again next time.")
        self.earlier_buttons = row(self.bring_back, self.not_now)
        self._assemble()
        self._connect()

    def _assemble(self) -> None:
        for part in (
            self.overview,
            self.hint,
            self.earlier,
            self.earlier_buttons,
            self.draw,
            self.list,
            row(self.previous, self.next),
            row(self.rename, self.remove, self.export),
            self.sum,
        ):
            self.column.addWidget(part)

    def _connect(self) -> None:
        slides = self._slides
        slides.changed.connect(self._on_signal)
        self.overview.pressed.connect(self._on_overview)
        self.draw.clicked.connect(self._on_draw)
        self.previous.clicked.connect(slides.tour.go_previous)
        self.next.clicked.connect(slides.tour.go_next)
        self.list.itemDoubleClicked.connect(self._on_double_click)
        self.list.itemChanged.connect(self._on_edited)
        self.list.itemSelectionChanged.connect(self._enable)
        self.rename.clicked.connect(self._on_rename)
        self.remove.clicked.connect(self._on_remove)
        self.export.clicked.connect(self._on_export)
        self.bring_back.clicked.connect(slides.earlier.bring_back)
        self.not_now.clicked.connect(slides.earlier.dismiss)
        self._camera = getattr(self._viewer, "scene", self._viewer).camera  # moved in napari 0.9
        self._view_timer = QTimer(self)
        self._view_timer.setSingleShot(True)
        self._view_timer.setInterval(_PAUSE_MS)
        self._view_timer.timeout.connect(self._show_boxes)
        for event in (self._camera.events.center, self._camera.events.zoom):
            event.connect(self._on_camera)

    def close_panel(self) -> None:
        """Stop listening to the viewer."""
        self._view_timer.stop()
        self._slides.changed.disconnect(self._on_signal, missing_ok=True)
        for event in (self._camera.events.center, self._camera.events.zoom):
            event.disconnect(self._on_camera)

    # -- showing ----------------------------------------------------------------------------

    def slow_signals(self, desk: Desk) -> list[SignalInstance]:
        """Every edit: the counts."""
        return [desk.session.labels.changed]

    def refresh(self) -> None:
        """Show slide and list; works without a desk."""
        slide = self._slides.current
        self.setEnabled(True)
        self.setVisible(slide is not None)
        if slide is None:
            self._rows, self._shown_survey = {}, None
            self.list.clear()
            return
        if slide.survey is not self._shown_survey:
            self._shown_survey = slide.survey
            self.overview.set_tissue(None if slide.survey is None else slide.survey.tissue)
        self.draw.setChecked(self._slides.drawing.tool.armed)
        self.draw.setEnabled(slide.mpp is not None)
        self.hint.setText(self._advice(slide))
        self.hint.setVisible(bool(self.hint.text()))
        self._offer(slide)
        self._fill_list(slide)
        self._show_boxes()

    def refresh_later(self) -> None:
        """Show the counts."""
        slide = self._slides.current
        if slide is not None and list(self._rows) == slide.regions:
            self._write_counts()

    def _advice(self, slide: OpenSlide) -> str:
        if slide.mpp is None:
            return (
                "<b>This slide does not say how large a pixel is.</b> Enter the size under "
                "Picture to go on: 0.25 for a 40x scan, 0.5 for 20x."
            )
        if self._slides.drawing.tool.armed:
            return "Drag a rectangle on the slide. Esc puts the tool away."
        if not slide.regions and not slide.earlier:
            return "Press Region (R), then drag a rectangle around what you want to correct."
        return ""

    def _offer(self, slide: OpenSlide) -> None:
        count = len(slide.earlier)
        for part in (self.earlier, self.earlier_buttons):
            part.setVisible(bool(count))
        if not count:
            return
        what = "one region" if count == 1 else f"{count} regions"
        nuclei = sum(found.session.nuclei for found in slide.earlier)
        last = max(found.session.changed for found in slide.earlier).astimezone()
        self.earlier.setText(
            f"You worked at {what} of this slide before: {nuclei:,} nuclei, last on "
            f"{last:%A, %d %B %Y, %H:%M}."
        )
        self.bring_back.setText("Bring back 1 region" if count == 1 else f"Bring back {what}")

    def _fill_list(self, slide: OpenSlide) -> None:
        """Bring the list up to date; rows stay where they can, for one may be being renamed."""
        here = self._slides.region
        self.list.blockSignals(True)
        if list(self._rows) != slide.regions:
            self._rows = {region: self._row(slide, region) for region in slide.regions}
            self.list.clear()
            self.list.addTopLevelItems(list(self._rows.values()))
            self._chosen_for = None
        for region, item in self._rows.items():
            item.setText(0, region.name)
            font = item.font(0)
            font.setBold(region is here)
            for column in range(len(_COLUMNS)):
                item.setFont(column, font)
            if region is here and here is not self._chosen_for:
                self._chosen_for = here
                self.list.setCurrentItem(item)
        self.list.blockSignals(False)
        self.list.setVisible(bool(slide.regions))
        rows = min(len(slide.regions), _MOST_ROWS) + 1.5
        self.list.setFixedHeight(round(rows * self.list.fontMetrics().height() * 1.35))
        self._write_counts()
        self._enable()

    def _row(self, slide: OpenSlide, region: Region) -> QTreeWidgetItem:
        y0, x0, y1, x1 = region.place.box_yxyx
        mpp = slide.mpp or 0.0
        size = f"{(x1 - x0) * mpp:,.0f} x {(y1 - y0) * mpp:,.0f}"
        item = QTreeWidgetItem([region.name, size, "", ""])
        item.setData(0, Qt.ItemDataRole.UserRole, region)
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
        for column in (1, 2, 3):
            item.setTextAlignment(column, Qt.AlignmentFlag.AlignRight)
        return item

    def _write_counts(self) -> None:
        self.list.blockSignals(True)
        states = []
        for region, item in self._rows.items():
            session = self._slides.session_of(region)
            if session is None:
                continue
            state = session.queue.progress
            item.setText(2, f"{len(session.labels):,}")
            item.setText(3, f"{100 * state.reviewed / state.total:.0f} %" if state.total else "")
            states.append(state)
        self.list.blockSignals(False)
        total = State(sum(each.reviewed for each in states), sum(each.total for each in states))
        self.sum.setText(f"All together: {total}.")
        self.sum.setVisible(len(states) > 1)

    def _enable(self) -> None:
        slide = self._slides.current
        count = 0 if slide is None else len(slide.regions)
        for part in (self.previous, self.next):
            part.setEnabled(count > 1 or (count == 1 and self._slides.region is None))
        for part in (self.rename, self.remove):
            part.setEnabled(self.chosen is not None)
        self.export.setEnabled(count > 0)

    def _on_camera(self, _event: Any = None) -> None:
        if self._slides.current is not None and not self._view_timer.isActive():
            self._view_timer.start()

    def _show_boxes(self) -> None:
        slide, here = self._slides.current, self._slides.region
        if slide is None:
            return
        shape = slide.levels[0].shape
        boxes = [(_share(r.place.box_yxyx, shape), r is here) for r in slide.regions]
        view = box_in_view(self._viewer, self._window, slide.layer)
        self.overview.set_boxes(boxes, _share(view, shape))

    # -- doing ------------------------------------------------------------------------------

    @property
    def chosen(self) -> Region | None:
        """The region chosen in the list."""
        items = self.list.selectedItems()
        return items[0].data(0, Qt.ItemDataRole.UserRole) if items else None

    def _on_draw(self) -> None:
        self._slides.drawing.toggle()
        self.refresh()

    def _on_overview(self, y: float, x: float) -> None:
        slide = self._slides.current
        if slide is not None:
            height, width = slide.levels[0].shape
            self._slides.tour.go_to_place((y * height, x * width))

    def _on_double_click(self, item: QTreeWidgetItem, _column: int) -> None:
        self._slides.tour.go_to(item.data(0, Qt.ItemDataRole.UserRole))

    def _on_edited(self, item: QTreeWidgetItem, column: int) -> None:
        if column == 0:
            self._slides.rename(item.data(0, Qt.ItemDataRole.UserRole), item.text(0))
            QTimer.singleShot(0, self.refresh)  # a name that was refused is shown as it is

    def _on_rename(self) -> None:
        items = self.list.selectedItems()
        if items:
            self.list.editItem(items[0], 0)

    def _on_export(self) -> None:
        where = ask_where(self)
        if where is not None:
            self.export_all(*where)

    def export_all(self, folder: Path, ending: str) -> None:
        """Write every region of the list into a folder, named after slide and region."""
        self._workbench.finish()
        sessions = {region.name: self._slides.session_of(region) for region in self._rows}
        frozen = [
            (name, session.segmentation(), session.tile)
            for name, session in sessions.items()
            if session is not None
        ]
        self._workbench.worker.submit(
            "Exporting the regions",
            lambda: write_all(frozen, folder, ending),
            on_done=lambda _: tell(f"Saved the nuclei of {len(frozen)} regions in {folder}"),
            on_error=tell_problem,
        )

    def _on_remove(self) -> None:
        region = self.chosen
        if region is None:
            return
        answer = QMessageBox.question(
            self,
            "Remove region",
            f"Take {region.name} out of the list? Its nuclei stay on disk, and you are asked "
            "whether to bring it back when you open the slide again.",
        )
        if answer == QMessageBox.StandardButton.Yes:
            self._slides.remove(region)


def _short_button(word: str, action: str) -> QPushButton:
    """Make a key's button that says less, where the panel says that it is about regions."""
    key = key_of(action)
    return button(f"{word} ({key.shown})", key.tooltip)


def _list() -> QTreeWidget:
    made = QTreeWidget()
    made.setRootIsDecorated(False)
    made.setUniformRowHeights(True)
    made.setEditTriggers(QAbstractItemView.EditTrigger.EditKeyPressed)
    made.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    made.setToolTip("Double-click a region to go to it.")
    titles = QTreeWidgetItem(list(_COLUMNS))
    titles.setToolTip(3, "How many of its nuclei are reviewed.")
    made.setHeaderItem(titles)
    header = QHeaderView(Qt.Orientation.Horizontal)
    made.setHeader(header)
    header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    header.setSectionsMovable(True)
    header.setStretchLastSection(False)
    header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
    return made


def _share(box: tuple[float, float, float, float], shape: tuple[int, int]) -> Edges:
    height, width = shape
    return box[0] / height, box[1] / width, box[2] / height, box[3] / width
