"""A folder of pictures as a list of work: from one to the next, how far each is, all exported."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari.layers import Image
from psygnal import SignalInstance
from qtpy.QtWidgets import (
    QFileDialog,
    QHeaderView,
    QLabel,
    QTreeWidget,
    QTreeWidgetItem,
)

from napari_uninuc.errors import UniNucError
from napari_uninuc.gui.desk import Desk
from napari_uninuc.gui.panels.export_all import ask_where
from napari_uninuc.gui.panels.frame import Panel, button, key_button, row
from napari_uninuc.gui.window.notices import tell, tell_problem, warn
from napari_uninuc.gui.window.show import add_tile
from napari_uninuc.gui.work.kept_pictures import (
    KeptPicture,
    export_picture,
    pictures_in,
    read_kept,
    state_of,
)
from napari_uninuc.gui.work.walk import Walk
from napari_uninuc.gui.workbench import Workbench
from napari_uninuc.io.formats import write_segmentation

__all__ = ["WorklistPanel"]

_MOST_ROWS = 8


class WorklistPanel(Panel):
    """The list, two keys, the sum of all, and one export.

    Attributes
    ----------
    walk : through the pictures of the folder
    """

    def __init__(self, viewer: Any, workbench: Workbench) -> None:
        super().__init__("Folder of pictures", folded=True)
        self._viewer, self._workbench = viewer, workbench
        self._layer: Image | None = None
        self._shown: Path | None = None  # by that layer
        self.walk: Walk[Path] = Walk(self._open)
        self.choose = button(
            "Open a folder...", "Go through its pictures one after the other, in order of names."
        )
        self.export = button(
            "Export all...", "Write the nuclei of every picture that was begun, in one format."
        )
        self.list = QTreeWidget()
        self.list.setHeaderLabels(["Picture", "State"])
        self.list.setRootIsDecorated(False)
        header: Any = self.list.header()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setStretchLastSection(False)
        self.list.setToolTip("Double-click a picture to go to it.")
        self.sum = QLabel()
        self.sum.setWordWrap(True)
        self.previous, self.next = key_button("previous_picture"), key_button("next_picture")
        steps = row(self.previous, self.next)
        for part in (row(self.choose, self.export), self.list, self.sum, steps):
            self.column.addWidget(part)
        self.choose.clicked.connect(self._on_choose)
        self.export.clicked.connect(self._on_export)
        self.previous.clicked.connect(self.walk.go_previous)
        self.next.clicked.connect(self.walk.go_next)
        self.list.itemDoubleClicked.connect(self._on_double_click)
        self.walk.changed.connect(self.refresh)

    def slow_signals(self, desk: Desk) -> list[SignalInstance]:
        """Every edit: the state of the picture that is open."""
        return [desk.session.labels.changed]

    def refresh(self) -> None:
        """Show the list as it is; works without a desk."""
        self.setEnabled(True)
        items, here = self.walk.items, self.walk.current
        for part in (self.list, self.sum, self.export, self.previous, self.next):
            part.setVisible(bool(items))
        if self.list.topLevelItemCount() != len(items):
            self.list.clear()
            self.list.addTopLevelItems([QTreeWidgetItem([each.name, ""]) for each in items])
            rows = min(len(items), _MOST_ROWS) + 1.5
            self.list.setFixedHeight(round(rows * self.list.fontMetrics().height() * 1.35))
        for place, path in enumerate(items):
            shown: Any = self.list.topLevelItem(place)
            state = self.walk.state_of(path)
            shown.setText(0, path.name)
            shown.setText(1, "..." if state is None else str(state))
            font = shown.font(0)
            font.setBold(path == here)
            shown.setFont(0, font)
        place = 0 if here is None else items.index(here) + 1
        self.sum.setText(f"Picture {place} of {len(items)}. All together: {self.walk.total}.")

    def refresh_later(self) -> None:
        """Note how far the picture that is open is."""
        desk = self._open_desk
        if desk is not None and self._shown is not None:
            self.walk.note(self._shown, state_of(desk.session))

    @property
    def _open_desk(self) -> Desk | None:
        """Where the picture of the list that was opened last is corrected, seen or not."""
        return None if self._layer is None else self._workbench.desk_of(self._layer)

    def open_folder(self, folder: Path) -> None:
        """Take the pictures of a folder as the list, open the first, look at the others."""
        try:
            paths = pictures_in(folder)
        except OSError as problem:
            tell_problem(problem)
            return
        if not paths:
            tell(f"There is no picture in {folder.name}.")
        self.walk.begin(paths)
        self.walk.go_next()
        self._look_at_all(paths)

    def _look_at_all(self, paths: list[Path]) -> None:
        def look() -> Iterator[tuple[Path, KeptPicture | Exception]]:
            for path in paths:
                yield path, _read(path)

        def found(each: tuple[Path, KeptPicture | Exception]) -> None:
            path, kept = each
            if isinstance(kept, KeptPicture) and path != self.walk.current:
                session = None if kept.restored is None else kept.restored.session
                self.walk.note(path, state_of(session))

        self._workbench.worker.submit(
            "Looking at the folder", look, on_yield=found, on_error=tell_problem
        )

    def _open(self, path: Path) -> None:
        self.refresh_later()
        self._workbench.finish()
        self._workbench.worker.submit(
            f"Reading {path.name}",
            lambda: read_kept(path),
            on_done=lambda kept: self._opened(path, kept),
            on_error=tell_problem,
            urgent=True,
        )

    def _opened(self, path: Path, kept: KeptPicture) -> None:
        """Show it in the place of the picture before, whose corrections are on disk."""
        if path != self.walk.current:
            return
        before, self._layer = self._layer, add_tile(self._viewer, kept.tile)
        self._shown = path
        session = None if kept.restored is None else kept.restored.session
        tile = kept.tile if session is None else session.tile
        self._workbench.take(self._layer, tile, session, kept.folder)
        if before is not None and before in self._viewer.layers:
            self._viewer.layers.remove(before)
        self.walk.note(path, state_of(session))

    # -- one export of all ------------------------------------------------------------------

    def _on_export(self) -> None:
        where = ask_where(self)
        if where is not None:
            self.export_all(*where)

    def export_all(self, folder: Path, ending: str) -> None:
        """Write every picture that was begun into a folder, named after the picture."""
        self._workbench.finish()
        # What is open need not be what the list stands at: that one may be on its way, or broken.
        desk = self._open_desk
        begun = desk is not None and desk.session.steps.history.can_undo
        shown = self._shown if begun else None
        frozen = None if desk is None else (desk.session.segmentation(), desk.session.tile)
        paths, stems = self.walk.items, [path.stem for path in self.walk.items]
        written, problems = list[Path](), list[Exception]()

        def write_one(path: Path, target: Path) -> bool:
            if path != shown or frozen is None:
                return export_picture(read_kept(path), target)
            write_segmentation(frozen[0], target, frozen[1])
            return True

        def write() -> Iterator[None]:
            for path in paths:
                name = path.stem if stems.count(path.stem) == 1 else path.name
                try:
                    if write_one(path, folder / f"{name}-nuclei{ending}"):
                        written.append(path)
                except UniNucError as problem:  # the others go on
                    problems.append(problem)
                yield

        def done(_: object) -> None:
            if problems:
                tell_problem(problems[0])
            if len(problems) > 1:
                warn(f"{len(problems) - 1} more pictures could not be exported, either")
            tell(f"Saved the nuclei of {len(written)} pictures in {folder}")

        self._workbench.worker.submit(
            "Exporting the folder", write, on_done=done, on_error=tell_problem
        )

    def _on_choose(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder of pictures")
        if folder:
            self.open_folder(Path(folder))

    def _on_double_click(self, item: QTreeWidgetItem, _column: int) -> None:
        path = self.walk.items[self.list.indexOfTopLevelItem(item)]
        if path == self.walk.current and (path != self._shown or self._open_desk is None):
            self._open(path)  # it could not be read, or its layer was deleted
        self.walk.go_to(path)


def _read(path: Path) -> KeptPicture | Exception:
    """Read one of many; one that cannot be read is told of when it is opened."""
    try:
        return read_kept(path)
    except UniNucError as problem:
        return problem
