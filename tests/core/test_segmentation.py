import numpy as np
import pandas as pd
import pytest

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.nuclei import Status
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


@pytest.fixture
def three() -> Segmentation:
    """Ids 2, 5 and 9, one a row of a 3 x 4 picture."""
    labels = np.repeat([[2], [5], [9]], 4, axis=1).astype(np.int32)
    table = Segmentation.from_labels(labels).table.assign(
        status=["reviewed", "automatic", "reviewed"]
    )
    table["class"] = ["tumour", "immune", "immune"]
    return Segmentation(labels, table, {"detect": 1.0}, ClassPalette.of_names(["immune", "other"]))


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({}, [2, 5, 9]),
        ({"status": "reviewed"}, [2, 9]),
        ({"status": Status.REVIEWED}, [2, 9]),
        ({"status": ["automatic", "edited"]}, [5]),
        ({"class_name": "immune"}, [5, 9]),
        ({"status": "reviewed", "class_name": "immune"}, [9]),
        ({"class_name": "other"}, []),
    ],
)
def test_a_part_keeps_its_ids(three, asked, kept):
    before = three.labels.copy()
    part = three.only(**asked)
    assert part.table["id"].tolist() == kept
    assert part.table.index.tolist() == list(range(len(kept)))
    assert sorted(set(part.labels.ravel().tolist()) - {0}) == kept
    assert all((part.labels[three.labels == id_] == id_).all() for id_ in kept)
    assert part.classes == three.classes
    np.testing.assert_array_equal(three.labels, before)


def test_a_part_nobody_can_tell_is_refused(three):
    with pytest.raises(LabelsError, match="immune, other, tumour, got 'stroma'"):
        three.only(class_name="stroma")
    with pytest.raises(LabelsError, match="a table without"):
        Segmentation.from_labels(three.labels).only(status="reviewed")


def test_every_class_of_the_table_has_a_colour(three):
    palette = three.palette
    assert palette.names == ("immune", "other", "tumour")
    assert palette.classes[:2] == three.classes.classes
    assert len({each.colour for each in palette.classes}) == 3
    assert Segmentation.from_labels(np.zeros((2, 2), int)).palette.names == ("nucleus",)
    table = three.table.assign(**{"class": ["", " ", "x"]})
    assert Segmentation(three.labels, table, {}).palette.names == ("x",)
