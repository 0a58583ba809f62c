"""`uninuc learn` on small corrected pictures, with a model of random weights."""

from contextlib import closing

import numpy as np
import pytest

import children
from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.session import AnnotationSession
from napari_uninuc.session.autosave import Actor, Autosave
from napari_uninuc.testing import make_tile


def fails(problem):
    raise AssertionError(repr(problem))


def made_session(root, reviewed, seed=0):
    """A session in which a model outlined 14 nuclei; two are deleted and some reviewed."""
    tissue = make_tile((128, 128), n_nuclei=14, seed=seed)
    session = AnnotationSession(tissue.tile, ClassPalette.of_names(["nucleus"]))
    with closing(Autosave(session, root=root, on_problem=fails)) as autosave:
        masks = []
        for id_ in np.unique(tissue.labels)[1:].tolist():
            ys, xs = np.nonzero(tissue.labels == id_)
            y0, x0 = int(ys.min()), int(xs.min())
            crop = tissue.labels[y0 : ys.max() + 1, x0 : xs.max() + 1] == id_
            masks.append(InstanceMask((y0, x0), crop, 0.9, 0, 0.8))
        with autosave.by(Actor("uninuc-n")):
            session.begin_automatic()
            session.add_automatic(masks, [mask.box_yxyx for mask in masks])
        ids = sorted(session.labels.nuclei)
        session.delete(ids[:2])
        session.review(ids[2 : 2 + reviewed])
    return autosave.folder


@pytest.fixture
def quick(monkeypatch):
    """Teach two steps: what is learnt is not the matter here."""
    from napari_uninuc.training import learn_run
    from napari_uninuc.training.learning import Teaching

    monkeypatch.setattr(learn_run, "Teaching", lambda: Teaching(steps=2))


@pytest.fixture
def better(quick, monkeypatch):
    """Whatever is learnt is proved."""
    from napari_uninuc.network.adapter_card import Proof
    from napari_uninuc.training import learn_run

    def proved(before, after):
        n = len(before)
        assert len(after) == n > 0
        return Proof(
            nuclei=n,
            right_before=0,
            right_after=n,
            deleted=0,
            false_before=0,
            false_after=0,
            better=n,
            gain=0.5,
            low=0.4,
            high=0.6,
            confidence=0.99,
        )

    monkeypatch.setattr(learn_run, "proof_of", proved)


def test_a_state_is_learnt_and_taken_by_segment(
    uninuc, refused, random_model, better, picture, tmp_path
):
    sessions = [made_session(tmp_path / "sessions", 6, seed) for seed in (0, 1)]
    target = tmp_path / "mine.safetensors"
    words = ["--output", target, "--model", random_model, "--device", "cpu"]
    status, out, _ = uninuc("learn", *sessions, *words)
    assert status == 0
    assert out.startswith(f"2 sessions -> {target}: of ")
    assert target.stat().st_size < 4e6

    from napari_uninuc.network.adapter_card import read_adapter_card

    card = read_adapter_card(target)
    assert (card.name, card.accepted, card.deleted) == ("mine", 12, 4)
    assert card.sessions == tuple(session.name for session in sessions)

    labels = tmp_path / "nuclei.tif"
    with_state = ["--output", labels, "--model", random_model, "--adapter", target]
    assert uninuc("segment", picture, *with_state)[0] == 0
    line = refused("segment", picture, "--output", labels, "--adapter", target)
    assert "was taught on uninuc-n" in line


def test_what_is_no_better_is_not_written(uninuc, random_model, quick, tmp_path):
    session, target = made_session(tmp_path / "sessions", 10), tmp_path / "mine.safetensors"
    words = ["--output", target, "--model", random_model, "--device", "cpu"]
    status, out, _ = uninuc("learn", session, *words)
    assert status == 3
    assert out.startswith("not better by more than chance, nothing was written: of 10 nuclei")
    assert not target.exists()


def test_too_few_corrections_say_how_many_are_missing(refused, random_model, tmp_path):
    session, target = made_session(tmp_path / "sessions", 7), tmp_path / "mine.safetensors"
    line = refused("learn", session, "--output", target, "--model", random_model)
    assert "at least 10 nuclei" in line
    assert "got 7; correct 3 more" in line
    assert not target.exists()


@pytest.mark.parametrize("name", ["mine.tif", "my state.safetensors"])
def test_a_name_that_cannot_be_is_refused_before_anything_is_read(refused, tmp_path, name):
    assert "--output" in refused("learn", tmp_path / "none", "--output", tmp_path / name)


def test_it_ends_with_the_window_that_drives_it(random_model, tmp_path):
    """Its standard input ends when the window does, however that ends."""
    session, target = made_session(tmp_path / "sessions", 10), tmp_path / "mine.safetensors"
    words = ("learn", session, "--driven", "--output", target, "--model", random_model)
    with children.start(children.COMMAND, *words) as process:
        process.stdin.write("pause\n")
        process.stdin.flush()
        assert process.stdout.readline().startswith("step 0 ")
        process.stdin.close()
        assert process.wait(timeout=300) == 1
    assert not target.exists()
