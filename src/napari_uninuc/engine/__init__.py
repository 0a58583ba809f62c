"""Tiles in, boxes and masks out: fields, windows, prompts, devices and the embedding cache."""
