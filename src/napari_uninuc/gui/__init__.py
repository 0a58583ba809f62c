"""Everything that napari, Qt or magicgui sees; nothing else in the package imports them."""
