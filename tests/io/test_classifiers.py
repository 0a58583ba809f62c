import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from napari_uninuc.core.classifier import Classifier, Examples, Scale
from napari_uninuc.errors import CheckpointError
from napari_uninuc.io.classifiers import (
    SavedClassifier,
    Teacher,
    read_classifier,
    write_classifier,
)


@pytest.fixture
def saved():
    rows = np.random.default_rng(0).normal(0, 1, (30, 6)).astype(np.float32)
    examples = Examples(rows[:9], np.repeat([0, 1, 2], 3), ("tumour", "lymphocyte", "stroma"))
    scale = Scale.of(rows)
    return SavedClassifier(
        Teacher("uninuc-n", "ab" * 32, 1),
        Classifier.learnt(examples, scale),
        ("#ffd400", "#00c8ff", "#ff4fb4"),
        examples,
        scale,
    )


def test_what_is_read_says_what_was_written(saved, tmp_path):
    path = tmp_path / "mine.safetensors"
    write_classifier(saved, path)
    again = read_classifier(path)
    rows = np.random.default_rng(1).normal(0, 1, (5, 6)).astype(np.float32)
    before, after = (each.classifier.probabilities(rows) for each in (saved, again))
    assert (before == after).all()
    assert again.teacher == saved.teacher
    assert again.colours == saved.colours
    assert again.examples.names == saved.examples.names
    assert (again.examples.features == saved.examples.features).all()
    assert again.scale.count == saved.scale.count


def test_other_weights_are_refused_by_name(saved):
    ready = saved.ready_for(Teacher("uninuc-n", "ab" * 32, 1))
    assert ready.palette.names == ready.classifier.names
    for other in (Teacher("uninuc-n", "cd" * 32, 1), Teacher("uninuc-n", "ab" * 32, 2)):
        with pytest.raises(CheckpointError, match="taught with uninuc-n"):
            saved.ready_for(other)


def test_other_files_are_refused(saved, tmp_path):
    with pytest.raises(CheckpointError, match="no such classifier"):
        read_classifier(tmp_path / "gone.safetensors")
    plain = tmp_path / "plain.safetensors"
    save_file({"weights": np.zeros(3, np.float32)}, plain)
    with pytest.raises(CheckpointError, match="expected a classifier"):
        read_classifier(plain)
    text = tmp_path / "text.safetensors"
    text.write_text("hello")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_classifier(text)


def test_arrays_that_do_not_fit_are_refused(saved, tmp_path):
    path = tmp_path / "mine.safetensors"
    write_classifier(saved, path)
    raw = path.read_bytes()
    for size in range(0, len(raw), 97):
        path.write_bytes(raw[:size])
        with pytest.raises(CheckpointError):
            read_classifier(path)
    path.write_bytes(raw)
    from safetensors import safe_open

    with safe_open(path, "numpy") as opened:
        head = opened.metadata()
    arrays = load_file(path)
    save_file({**arrays, "bias": np.zeros(7)}, path, metadata=head)
    with pytest.raises(CheckpointError, match="bias"):
        read_classifier(path)
