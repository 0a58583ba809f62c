"""Correcting the nuclei of one picture; knows neither torch nor napari."""

from napari_uninuc.session.annotation import AnnotationSession
from napari_uninuc.session.draft import Draft
from napari_uninuc.session.steps import Filter

__all__ = ["AnnotationSession", "Draft", "Filter"]
