"""The network, its presets, its model files and their cards."""
