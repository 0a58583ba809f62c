"""What a session teaches, made as a person makes it and read from its folder."""

from contextlib import closing

import numpy as np
import pytest

from napari_uninuc.core import verbs
from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.examples import Kind
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.errors import SessionError
from napari_uninuc.journal.corrections import read_corrections
from napari_uninuc.session import AnnotationSession
from napari_uninuc.session.autosave import Actor, Autosave
from napari_uninuc.testing import make_tile

NAN = float("nan")


def fails(problem):
    raise AssertionError(repr(problem))


class Desk:
    """A session of a tile with 12 nuclei, all but the last outlined by a model."""

    def __init__(self, root):
        self.tissue = make_tile((128, 128), n_nuclei=12)
        self.session = AnnotationSession(self.tissue.tile, ClassPalette.of_names(["nucleus"]))
        self.autosave = Autosave(self.session, root=root, on_problem=fails)

    def true(self, id_):
        ys, xs = np.nonzero(self.tissue.labels == id_)
        y0, x0 = int(ys.min()), int(xs.min())
        mask = self.tissue.labels[y0 : ys.max() + 1, x0 : xs.max() + 1] == id_
        return InstanceMask((y0, x0), mask, 0.9, 0, 0.8)

    def run(self):
        masks = [self.true(id_) for id_ in range(1, 12)]
        with self.autosave.by(Actor("uninuc-n")):
            self.session.begin_automatic()
            self.session.add_automatic(masks, [mask.box_yxyx for mask in masks])
        return sorted(self.session.labels.nuclei)

    def learnt(self):
        self.autosave.close()
        said, problem = read_corrections(self.autosave.folder)
        assert problem is None
        return said


@pytest.fixture
def desk(tmp_path):
    made = Desk(tmp_path / "sessions")
    with closing(made.autosave):
        yield made


def kinds(said):
    return {str(kind): count for kind, count in said.counts().items() if count}


def test_each_kind_of_correction_is_told_apart(desk):
    ids = desk.run()
    session = desk.session
    session.review(ids[:3])
    grown = np.pad(session.labels.mask(ids[3]).mask, 1, constant_values=True)
    y, x = session.labels.mask(ids[3]).origin_yx
    session.do(
        verbs.refine(session.labels, ids[3], InstanceMask((y - 1, x - 1), grown, 0.9, 0, 0.9))
    )
    gone = session.labels.mask(ids[4])
    session.delete([ids[4]])
    unknown = desk.true(12)
    session.do(
        verbs.add_nucleus(
            session.labels, InstanceMask(unknown.origin_yx, unknown.mask, NAN, 0, NAN), 0
        )
    )
    said = desk.learnt()
    assert kinds(said) == {"accepted": 3, "redrawn": 1, "added": 1, "deleted": 1}
    assert not said.exhaustive
    (deleted,) = [each for each in said.examples if each.kind is Kind.DELETED]
    assert deleted.origin_yx == gone.origin_yx
    np.testing.assert_array_equal(deleted.mask, gone.mask)
    assert said.tile.digest == desk.tissue.tile.digest


def test_what_was_undone_teaches_nothing_and_redone_does(desk):
    ids = desk.run()
    desk.session.delete([ids[0]])
    desk.session.delete([ids[1]])
    desk.session.undo()
    desk.session.delete([ids[2]])
    desk.session.undo()
    desk.session.redo()
    desk.session.review(ids[3:5])
    desk.session.undo()
    assert kinds(desk.learnt()) == {"deleted": 2}


def test_what_a_model_throws_away_or_is_undone_with_its_run_is_no_counter_example(desk):
    desk.run()
    desk.run()
    desk.session.undo()
    assert kinds(desk.learnt()) == {}


def test_merged_and_redrawn_nuclei_are_no_counter_examples(desk):
    ids = desk.run()
    session = desk.session
    before = session.labels.mask(ids[0])
    session.delete([ids[0]])
    session.do(
        verbs.add_nucleus(
            session.labels, InstanceMask(before.origin_yx, before.mask, NAN, 0, NAN), 0
        )
    )
    assert kinds(desk.learnt()) == {"added": 1}


def test_a_picture_reviewed_to_its_end_is_exhaustive(desk):
    desk.session.review(desk.run())
    assert desk.learnt().exhaustive


def test_the_scale_is_that_of_the_end(desk):
    desk.session.review(desk.run()[:1])
    from dataclasses import replace

    desk.session.tile = replace(desk.session.tile, mpp=0.5)
    desk.session.review(sorted(desk.session.labels.nuclei)[1:2])
    assert desk.learnt().tile.mpp == 0.5


def test_what_is_no_session_is_refused(tmp_path):
    with pytest.raises(SessionError, match="expected a session folder"):
        read_corrections(tmp_path)
