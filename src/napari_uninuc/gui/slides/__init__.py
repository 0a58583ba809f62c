"""Slides in the window: shown lazily, regions drawn on them, results of whole slides."""
