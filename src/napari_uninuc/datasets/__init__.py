"""Labelled images on disk and the recipes that name them."""
