"""From recipes and labelled images to a model folder."""
