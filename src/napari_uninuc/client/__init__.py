"""A model that computes on a server: an annotator without torch."""
