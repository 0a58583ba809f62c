"""Readers of pictures and label images, writers of segmentations; one format per file."""
