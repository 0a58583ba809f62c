"""The parts of the widget; each follows the desk that is worked at."""

from napari_uninuc.gui.panels.classes import ClassesPanel
from napari_uninuc.gui.panels.compare import ComparePanel
from napari_uninuc.gui.panels.earlier import EarlierPanel
from napari_uninuc.gui.panels.model import ModelPanel
from napari_uninuc.gui.panels.naming import NamingPanel
from napari_uninuc.gui.panels.outline import OutlinePanel
from napari_uninuc.gui.panels.pages import Pages
from napari_uninuc.gui.panels.picture import PicturePanel
from napari_uninuc.gui.panels.regions import RegionsPanel
from napari_uninuc.gui.panels.result import ResultPanel
from napari_uninuc.gui.panels.review import ReviewPanel
from napari_uninuc.gui.panels.save import SavePanel
from napari_uninuc.gui.panels.stain import StainPanel
from napari_uninuc.gui.panels.state_line import StateLine
from napari_uninuc.gui.panels.teaching import TeachingPanel
from napari_uninuc.gui.panels.tools import ToolsPanel
from napari_uninuc.gui.panels.worklist import WorklistPanel

__all__ = [
    "ClassesPanel",
    "ComparePanel",
    "EarlierPanel",
    "ModelPanel",
    "NamingPanel",
    "OutlinePanel",
    "Pages",
    "PicturePanel",
    "RegionsPanel",
    "ResultPanel",
    "ReviewPanel",
    "SavePanel",
    "StainPanel",
    "StateLine",
    "TeachingPanel",
    "ToolsPanel",
    "WorklistPanel",
]
