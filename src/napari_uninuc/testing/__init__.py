"""For tests, ours and yours: an annotator without torch, and tissue whose nuclei are known.

>>> from napari_uninuc.testing import FakeAnnotator, make_tile
>>> tissue, annotator = make_tile(n_nuclei=12), FakeAnnotator()
>>> field = annotator.fields(tissue.tile)[0]
>>> len(annotator.segment_field(tissue.tile, field, score_threshold=0.0))
12
"""

from napari_uninuc.testing.annotator import FakeAnnotator, FakeCard
from napari_uninuc.testing.tissue import SyntheticTile, make_label_map, make_tile

__all__ = ["FakeAnnotator", "FakeCard", "SyntheticTile", "make_label_map", "make_tile"]
