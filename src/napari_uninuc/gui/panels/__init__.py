"""The parts of the widget; each follows the desk that is worked at."""

from napari_uninuc.gui.panels.classes import ClassesPanel
from napari_uninuc.gui.panels.compare import ComparePanel
from napari_uninuc.gui.panels.earlier import EarlierPanel
from napari_uninuc.gui.panels.model import ModelPanel
from napari_uninuc.gui.panels.outline import OutlinePanel
from napari_uninuc.gui.panels.picture import PicturePanel
from napari_uninuc.gui.panels.regions import RegionsPanel
from napari_uninuc.gui.panels.result import ResultPanel
from napari_uninuc.gui.panels.review import ReviewPanel
from napari_uninuc.gui.panels.save import SavePanel
from napari_uninuc.gui.panels.tools import ToolsPanel

__all__ = [
    "ClassesPanel",
    "ComparePanel",
    "EarlierPanel",
    "ModelPanel",
    "OutlinePanel",
    "PicturePanel",
    "RegionsPanel",
    "ResultPanel",
    "ReviewPanel",
    "SavePanel",
    "ToolsPanel",
]
