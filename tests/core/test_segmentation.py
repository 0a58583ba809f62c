import numpy as np
import pandas as pd
import pytest

from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.segmentation import TABLE_COLUMNS, Segmentation
from napari_uninuc.errors import LabelsError


def block(y, x, height, width, score, class_id=0):
    return InstanceMask((y, x), np.ones((height, width), dtype=bool), score, class_id, 1.0)


def test_rows_follow_the_labels():
    instances = [block(0, 0, 4, 4, 0.5), block(1, 1, 1, 1, 0.25), block(2, 0, 4, 4, 0.75, 1)]
    result = Segmentation.from_instances(instances, (8, 8), ["tumour", "immune"], {"detect": 1.5})
    assert np.unique(result.labels).tolist() == [0, 1, 3], "2 is wholly covered"
    assert tuple(result.table.columns) == TABLE_COLUMNS
    assert result.table.to_numpy().tolist() == [
        [1, 0.5, "tumour", 0, 0, 2, 4],
        [3, 0.75, "immune", 2, 0, 6, 4],
    ]
    assert dict(result.timings) == {"detect": 1.5}


def test_no_instance_gives_an_empty_table_with_all_columns():
    result = Segmentation.from_instances([], (5, 6), ["nucleus"], {})
    assert result.labels.shape == (5, 6)
    assert not result.labels.any()
    assert tuple(result.table.columns) == TABLE_COLUMNS
    assert len(result.table) == 0


def test_a_class_without_a_name_is_refused():
    with pytest.raises(LabelsError, match="name every class"):
        Segmentation.from_instances([block(0, 0, 1, 1, 1.0, 2)], (4, 4), ["a", "b"], {})


def test_foreign_labels_get_unknown_scores():
    labels = np.zeros((5, 6), dtype=np.uint16)
    labels[1:3, 2:6] = 900
    result = Segmentation.from_labels(labels, "cell")
    assert result.labels.dtype == np.int32
    assert result.table.drop(columns="score").to_numpy().tolist() == [[900, "cell", 1, 2, 3, 6]]
    assert result.table["score"].isna().all()


def test_ids_beyond_int32_are_refused():
    with pytest.raises(LabelsError, match="2147483647"):
        Segmentation.from_labels(np.array([[2**31]]))


def test_labels_and_table_are_checked():
    table = pd.DataFrame({name: [] for name in TABLE_COLUMNS})
    with pytest.raises(LabelsError, match="int32"):
        Segmentation(np.zeros((2, 2), dtype=np.int64), table, {})
    with pytest.raises(LabelsError, match="none named score"):
        Segmentation(np.zeros((2, 2), dtype=np.int32), table.drop(columns="score"), {})
