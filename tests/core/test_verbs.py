"""What holds for every verb, on random label maps."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_uninuc.core.labels import LabelMap


def state(labels: LabelMap) -> tuple[bytes, dict]:
    return labels.pixels.tobytes(), dict(labels.nuclei)


@given(data=st.data())
def test_every_verb_can_be_taken_back_and_done_again(scenes, data):
    scene = data.draw(scenes)
    before = state(scene.labels)
    edit = scene.gesture().edit
    assert state(scene.labels) == before, "making an edit changes nothing"
    if edit is None:
        return
    scene.labels.apply(edit)
    after = state(scene.labels)
    assert after != before, "an edit that changes nothing is None"
    scene.labels.apply(edit.inverse())
    assert state(scene.labels) == before
    scene.labels.apply(edit)
    assert state(scene.labels) == after


@given(data=st.data())
def test_no_verb_changes_a_nucleus_it_was_not_asked_to(scenes, data):
    scene = data.draw(scenes)
    before, rows = np.array(scene.labels.pixels), dict(scene.labels.nuclei)
    gesture = scene.gesture()
    if gesture.edit is None:
        return
    scene.labels.apply(gesture.edit)
    for id_ in rows.keys() - gesture.asked:
        np.testing.assert_array_equal(before == id_, scene.labels.pixels == id_)
        assert scene.labels.nuclei[id_] == rows[id_]


@given(data=st.data(), steps=st.integers(1, 6))
def test_boxes_areas_and_ids_stay_in_step(scenes, data, steps):
    scene = data.draw(scenes)
    labels, given_before = scene.labels, set(scene.labels.nuclei)
    for _ in range(steps):
        next_id = labels.next_id
        edit = scene.gesture().edit
        if edit is None:
            continue
        labels.apply(edit)
        assert labels.next_id >= next_id
        new = {i for i in labels.nuclei if i not in given_before}
        assert edit.verb == "paint" or all(i >= next_id for i in new), "ids are never reused"
        given_before |= new
    fresh = LabelMap.from_labels(np.array(labels.pixels), dict(labels.nuclei))
    assert len(fresh) == len(labels) == sum(row.visible for row in labels.nuclei.values())
    for id_, row in labels.nuclei.items():
        assert fresh.area(id_) == labels.area(id_)
        if row.visible:
            assert fresh.box(id_) == labels.box(id_)


@given(data=st.data())
def test_the_crop_of_an_edit_is_tight_and_its_rows_are_those_touched(scenes, data):
    scene = data.draw(scenes)
    edit = scene.gesture().edit
    if edit is None:
        return
    changed = edit.before != edit.after
    if changed.size:
        for edge in (changed[0], changed[-1], changed[:, 0], changed[:, -1]):
            assert edge.any()
    touched = set(np.unique(np.concatenate([edit.before[changed], edit.after[changed]]))) - {0}
    touched |= {i for i in edit.ids if edit.rows_before[i] != edit.rows_after[i]}
    assert edit.ids == touched
