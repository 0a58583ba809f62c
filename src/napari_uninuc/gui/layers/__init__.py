"""What of ours napari's layers show, and where it lies: picture, nuclei, colours, tables."""
