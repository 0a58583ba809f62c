"""Disagreements settled one by one: what is decided is there, undone, and in the journal."""

import random
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planting import PLANTS, plant

from napari_uninuc.agreement.comparison import compare
from napari_uninuc.agreement.reading import open_reading, reading_of
from napari_uninuc.core.nuclei import Status
from napari_uninuc.core.review_walk import ReviewWalk
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import LabelsError
from napari_uninuc.journal.folder import read_heading
from napari_uninuc.journal.records import EditDone
from napari_uninuc.journal.replay import Replay
from napari_uninuc.journal.report import write_report
from napari_uninuc.session.autosave import Autosave, restore
from napari_uninuc.session.resumed import restore_all
from napari_uninuc.session.settling import Choice, Settling


def tile_of(reading):
    return Tile.from_array(np.full((*reading.shape, 3), 200, np.uint8), 0.25, name="tile")


def settling_of(plants, seed=0, **options):
    a, b, _ = plant(plants, 5, seed)
    return a, b, Settling(tile_of(a), compare(a, b), **options)


def seen(settling):
    """Outlines with their classes, whatever the ids."""
    labels = settling.session.labels
    return {
        (labels.pixels == id_).tobytes() + settling.session.classes.name_of(row.class_id).encode()
        for id_, row in labels.nuclei.items()
    }


def said_by(reading, ids=None):
    pixels = reading.pixels((0, 0, *reading.shape))
    classes = [] if reading.classes is None else reading.classes.tolist()
    named = zip(reading.ids.tolist(), classes, strict=True)
    return {
        (pixels == id_).tobytes() + name.encode()
        for id_, name in named
        if ids is None or id_ in ids
    }


@given(st.lists(st.sampled_from(PLANTS), min_size=1, max_size=12), st.integers(0, 9), st.booleans())
@settings(max_examples=60, deadline=None)
def test_all_for_one_reader_is_what_that_reader_said(plants, seed, blinded):
    for side in (Choice.A, Choice.B):
        a, b, settling = settling_of(plants, seed, blinded=blinded, lots=random.Random(seed))
        session = settling.session
        before = seen(settling)
        for dispute in settling.disputes:
            assert settling.waits(dispute)
            assert settling.settle(dispute, side)
            assert not settling.waits(dispute)
        assert settling.open == 0
        assert all(row.status is Status.REVIEWED for row in session.labels.nuclei.values())
        differing = {i for d in settling.disputes for i in d.found.a_ids}
        agreed = said_by(a, set(compare(a, b).a_ids.tolist()) - differing)
        disputed = {i for d in settling.disputes for i in getattr(d.found, f"{side}_ids")}
        assert seen(settling) == agreed | said_by(a if side is Choice.A else b, disputed)
        for _ in settling.disputes:
            assert session.undo()
        assert not session.undo()
        assert seen(settling) == before
        assert settling.open == len(settling.disputes)


def overlapping():
    """Two discs, one a reader, that share a third of their pixels: each stands for itself."""
    ys, xs = np.ogrid[:40, :60]
    readings = []
    for name, x in (("a", 20), ("b", 28)):
        mask = (ys - 20) ** 2 + (xs - x) ** 2 <= 81
        readings.append(reading_of(name, Segmentation.from_labels(mask.astype(np.int32))))
    return readings


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("side", [Choice.A, Choice.B])
def test_nuclei_that_overlap_come_out_whole(order, side):
    a, b = overlapping()
    settling = Settling(tile_of(a), compare(a, b))
    assert len(settling.disputes) == 2
    for k in order:
        assert settling.settle(settling.disputes[k], side)
    chosen = (a if side is Choice.A else b).pixels((0, 0, *a.shape))
    assert np.array_equal(settling.session.labels.pixels > 0, chosen > 0)
    assert len(settling.session.labels) == 1


def test_the_review_leads_through_the_disputes_only_the_most_serious_first():
    _, _, settling = settling_of([*PLANTS, "only_a"], 2)
    walk, met = ReviewWalk(settling.session.queue), []
    while (id_ := walk.next()) is not None:
        dispute = settling.at(id_)
        assert dispute is not None
        met.append(dispute)
        settling.settle(dispute, Choice.B)
    assert met == list(settling.disputes)


def test_what_a_person_made_of_it_is_accepted_as_one_step():
    _, _, settling = settling_of(["split", "same"])
    session, [dispute] = settling.session, settling.disputes
    [shown] = dispute.ids[Choice.A]
    y, x = session.labels.mask(shown).origin_yx
    after = session.labels.pixels[y : y + 4, x : x + 20].copy()
    after[after == shown] = 0
    assert session.paint((y, x, y + 4, x + 20), after)
    assert settling.waits(dispute)
    assert settling.settle(dispute, Choice.ANEW)
    assert not settling.waits(dispute)
    assert session.steps.history.undo_name == "settle anew"
    assert not (session.labels.pixels[y : y + 4, x : x + 20] == shown).any()


def test_lots_decide_what_is_shown_only_where_nobody_is_told_whose_it_is():
    plants = ["split"] * 20
    _, _, told = settling_of(plants)
    assert {each.first for each in told.disputes} == {Choice.A}
    _, _, blinded = settling_of(plants, blinded=True, lots=random.Random(1))
    assert {each.first for each in blinded.disputes} == {Choice.A, Choice.B}
    shown = [
        len([i for i in d.all_ids if blinded.session.labels.area(i)]) for d in blinded.disputes
    ]
    assert set(shown) == {1, 2}


def test_the_journal_says_who_decided_what(tmp_path):
    _, _, settling = settling_of(PLANTS)
    session = settling.session
    begun = settling.begun("Dr Third")
    assert (begun.readers, begun.disagreements, begun.blinded) == (("a", "b"), 5, False)
    with closing(Autosave(session, root=tmp_path, on_problem=print)) as autosave:
        autosave.begin_comparison(begun, settling.states())
        for k, dispute in enumerate(settling.disputes):
            settling.settle(dispute, [Choice.A, Choice.B][k % 2])
        session.undo()
    folder = autosave.folder
    heads = [step.head for step in Replay(folder, read_heading(folder)).steps()]
    assert begun in heads
    edits = [head for head in heads if isinstance(head, EditDone)]
    assert [(e.move, e.verb) for e in edits] == [
        ("do", "settle for A"),
        ("do", "settle for B"),
        ("do", "settle for A"),
        ("do", "settle for B"),
        ("do", "settle for A"),
        ("undo", "settle for A"),
    ]
    assert all(head.by is None for head in edits)
    back = restore(folder)
    assert back.problem is None
    assert np.array_equal(back.session.labels.pixels, session.labels.pixels)
    write_report(folder, read_heading(folder), session.tile, tmp_path / "story.html")
    page = (tmp_path / "story.html").read_text()
    assert "5 disagreements of A: a and B: b, settled by Dr Third" in page
    assert "settle for B" in page
    assert open_reading(folder).classes is not None


@given(
    st.lists(st.sampled_from(PLANTS), min_size=1, max_size=8),
    st.integers(0, 9),
    st.booleans(),
    st.booleans(),
    st.integers(0, 8),
)
@settings(max_examples=40, deadline=None)
def test_what_is_open_is_open_again_after_reopening(
    tmp_path_factory, plants, seed, blinded, unnamed, done
):
    a, b, _ = plant(plants, 5, seed)
    a = replace(a, classes=None) if unnamed else a
    # Readings of slides list nuclei that no pixel here is of.
    spare = {"ids": np.append(a.ids, 5000), "boxes_yxyx": np.vstack([a.boxes_yxyx, [[0, 0, 1, 1]]])}
    spare["classes"] = None if a.classes is None else np.append(a.classes, "elsewhere")
    comparison = compare(replace(a, **spare), b)
    begun = Settling(tile_of(a), comparison, blinded=blinded, lots=random.Random(seed))
    root = tmp_path_factory.mktemp("sessions")
    with closing(Autosave(begun.session, root=root, on_problem=print)) as autosave:
        autosave.begin_comparison(begun.begun("Dr Third"), begun.states())
        for dispute in begun.disputes[:done]:
            begun.settle(dispute, Choice.B)
    back = restore_all(autosave.folder, begun.session.tile)
    assert back.problem is None
    settling = back.session.settling
    assert settling.session is back.session
    assert (settling.names, settling.blinded) == (begun.names, begun.blinded)
    assert [(d.ids, d.first, d.found.kind) for d in settling.disputes] == [
        (d.ids, d.first, d.found.kind) for d in begun.disputes
    ]
    assert settling.open == begun.open == max(0, len(begun.disputes) - done)
    assert back.session.queue.order() == begun.session.queue.order()
    for one, other in zip(settling.disputes[done:], begun.disputes[done:], strict=True):
        assert settling.settle(one, Choice.B)
        assert begun.settle(other, Choice.B)
    assert seen(settling) == seen(begun)
    while back.session.undo():  # those of before the reopening, too
        pass
    assert settling.open == len(settling.disputes)


def test_without_what_the_readers_outlined_the_nuclei_are_there(tmp_path):
    _, _, settling = settling_of(PLANTS)
    with closing(Autosave(settling.session, root=tmp_path, on_problem=print)) as autosave:
        autosave.begin_comparison(settling.begun("Dr Third"), settling.states())
        settling.settle(settling.disputes[0], Choice.B)
    (autosave.folder / "reader-b").write_bytes(b"damaged")
    back = restore_all(autosave.folder, settling.session.tile)
    assert "compare them again" in back.problem
    assert back.session.settling is None
    assert np.array_equal(back.session.labels.pixels, settling.session.labels.pixels)


def test_a_comparison_of_another_picture_is_refused():
    a, b, _ = plant(["same"], 1)
    with pytest.raises(LabelsError, match="compare readings of this picture"):
        Settling(Tile.from_array(np.zeros((9, 9, 3), np.uint8), 0.25), compare(a, b))
