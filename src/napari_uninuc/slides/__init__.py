"""Whole slides: pyramids read lazily, segmented tile by tile, put together without seams."""
