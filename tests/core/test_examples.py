import numpy as np
import pytest

from napari_uninuc.core.examples import Example, Kind, examples_of, is_exhaustive
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Nucleus, Status

BOX = (0.0, 0.0, 4.0, 4.0)


def labels_of(*statuses, boxes=None):
    """Nuclei 1, 2, ... of 4 x 4 px side by side."""
    pixels = np.zeros((10, 6 * len(statuses)), np.int32)
    rows = {}
    for k, status in enumerate(statuses):
        pixels[3:7, 6 * k + 1 : 6 * k + 5] = k + 1
        box = BOX if boxes is None else boxes[k]
        rows[k + 1] = Nucleus(k + 1, 0, 0.9, 0.8, status, box)
    return LabelMap.from_labels(pixels, rows)


def taken(y, x, height=4, width=4):
    return Example(Kind.DELETED, (y, x), np.ones((height, width), np.bool_))


def test_only_what_a_person_answers_for_is_an_example():
    labels = labels_of(Status.REVIEWED, Status.EDITED, Status.AUTOMATIC)
    found = examples_of(labels, redrawn=[2], taken_away=[])
    assert [(each.kind, each.origin_yx) for each in found] == [
        (Kind.ACCEPTED, (3, 1)),
        (Kind.REDRAWN, (3, 7)),
    ]
    assert found[0].box_yxyx == (3, 1, 7, 5)
    assert found[0].mask.all()


def test_what_no_detector_saw_was_added():
    (found,) = examples_of(labels_of(Status.EDITED, boxes=[None]), [], [])
    assert found.kind is Kind.ADDED


@pytest.mark.parametrize(
    ("x", "kept"),
    [
        (20, True),  # nothing is there now
        (1, False),  # drawn anew
        (4, True),  # one of four columns is another nucleus's
        (13, True),  # what the model put there again is nobody's word
    ],
)
def test_a_deleted_nucleus_teaches_unless_it_was_drawn_anew(x, kept):
    labels = labels_of(Status.REVIEWED, Status.REVIEWED, Status.AUTOMATIC, Status.AUTOMATIC)
    found = examples_of(labels, [], [taken(3, x)])
    assert any(each.kind is Kind.DELETED for each in found) is kept


def test_a_picture_is_exhaustive_where_all_of_it_was_reviewed():
    def whole(*statuses):
        return is_exhaustive(labels_of(*statuses).nuclei.values())

    assert whole(Status.REVIEWED, Status.REVIEWED)
    assert not whole(Status.REVIEWED, Status.EDITED)
    assert not whole(Status.REVIEWED, Status.AUTOMATIC)
    assert not is_exhaustive([])
