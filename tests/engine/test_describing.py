import numpy as np
import pytest

from napari_uninuc.core.geometry import label_boxes
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.shapes import N_NEIGHBOURS, N_SHAPES
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine import describing
from napari_uninuc.engine.describing import describe_nuclei
from napari_uninuc.engine.loading import load_engine
from napari_uninuc.testing import make_tile


@pytest.fixture(scope="module")
def engine():
    return load_engine("uninuc-n", "cpu")


def masks_of(labels):
    ids, boxes = label_boxes(labels)
    return [
        InstanceMask((y0, x0), labels[y0:y1, x0:x1] == id_, 1.0, 0, 1.0)
        for id_, (y0, x0, y1, x1) in zip(ids.tolist(), boxes.tolist(), strict=True)
    ]


def test_every_nucleus_has_a_row_and_like_ones_have_like_rows(engine):
    tissue = make_tile((256, 256), n_nuclei=24)
    masks = masks_of(tissue.labels)
    rows = describe_nuclei(engine, tissue.tile, masks)
    assert rows.shape[0] == len(masks)
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()
    again = describe_nuclei(engine, tissue.tile, masks[::-1])[::-1]
    assert np.allclose(rows, again, atol=1e-4)
    assert describe_nuclei(engine, tissue.tile, []).shape == (0, 0)


def test_a_picture_of_several_fields_is_described_as_its_parts_are(engine):
    tissue = make_tile((300, 1500), n_nuclei=60, seed=3)
    rows = describe_nuclei(engine, tissue.tile, masks_of(tissue.labels))
    part = Tile.from_array(tissue.tile.rgb[:, :640], tissue.tile.mpp)
    ids = [i for i, (_, x) in enumerate(tissue.centres_yx, 1) if x < 300]
    kept = np.where(np.isin(tissue.labels[:, :640], ids), tissue.labels[:, :640], 0)
    alone = describe_nuclei(engine, part, masks_of(kept))
    whole = rows[np.isin(np.unique(tissue.labels)[1:], ids)]
    shapes = slice(-N_SHAPES - N_NEIGHBOURS, -N_NEIGHBOURS)
    assert np.allclose(alone[:, shapes], whole[:, shapes], atol=1e-3)
    near = np.abs(alone[:, :300] - whole[:, :300]).mean()
    assert near < 0.1 * np.abs(whole[:, :300]).mean()


def test_only_what_is_new_is_looked_at_and_the_rows_are_those_of_all(engine, monkeypatch):
    tissue = make_tile((256, 256), n_nuclei=24)
    masks = masks_of(tissue.labels)
    whole = describe_nuclei(engine, tissue.tile, masks)
    moved = masks[3]
    masks[3] = InstanceMask(moved.origin_yx, moved.mask[:-2], 1.0, 0, 1.0)
    earlier = whole.copy()
    earlier[3] = np.nan
    looked_at = []
    own = describing._by_themselves

    def seen(engine, tile, chosen, middles):
        looked_at.append(len(chosen))
        return own(engine, tile, chosen, middles)

    monkeypatch.setattr(describing, "_by_themselves", seen)
    rows = describe_nuclei(engine, tissue.tile, masks, earlier)
    assert looked_at == [1]
    assert np.allclose(rows, describe_nuclei(engine, tissue.tile, masks), atol=1e-4)
    assert not np.allclose(rows[3], whole[3], atol=1e-2)
