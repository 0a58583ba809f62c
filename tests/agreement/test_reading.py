"""Readings out of sessions, files and results of whole slides."""

from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from tifffile import TiffWriter

from napari_uninuc.agreement.comparison import common_part, compare
from napari_uninuc.agreement.crops import lent_crops
from napari_uninuc.agreement.reading import open_reading
from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.errors import LabelsError, UniNucError
from napari_uninuc.session import AnnotationSession
from napari_uninuc.session.autosave import Autosave
from napari_uninuc.slides.opening import open_slide
from napari_uninuc.slides.regions import place_of, read_region
from napari_uninuc.slides.results import open_result
from napari_uninuc.slides.run import segment_slide
from napari_uninuc.testing import FakeAnnotator, FakeCard, make_tile

BOX = (100, 140, 300, 420)


class Source:
    """Gives a run an annotator without a model."""

    def __call__(self):
        return FakeAnnotator(FakeCard(), field_size=256, halo=40)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A slide whose second level is outlined, and the folder of that."""
    folder = tmp_path_factory.mktemp("run")
    rgb = make_tile((520, 760), 300, seed=3).tile.rgb
    levels = [rgb.repeat(2, 0).repeat(2, 1), rgb]
    layout = {"tile": (256, 256), "photometric": "rgb", "compression": "deflate"}
    path = folder / "slide.ome.tif"
    with TiffWriter(path, ome=True) as writer:
        scale = {"PhysicalSizeX": 0.125, "PhysicalSizeY": 0.125}
        writer.write(levels[0], subifds=1, metadata={"axes": "YXS", **scale}, **layout)
        writer.write(levels[1], subfiletype=1, **layout)
    with closing(open_slide(path)) as slide:
        segment_slide(slide, Source(), folder / "out")
    return path, folder / "out"


def corrected(path, out, root):
    """The session of a region that began from the result, one nucleus deleted."""
    result = open_result(out)
    with closing(open_slide(path)) as slide:
        place = place_of(slide, result.plan.fingerprint, result.plan.level, BOX)
        tile = read_region(slide, BOX, place, "region")
    session = AnnotationSession(tile, ClassPalette.of_names(["nucleus"]), result.part(BOX).labels)
    whole = [
        id_
        for id_ in session.labels.nuclei
        if min(session.labels.box(id_)[:2]) > 0 and session.labels.area(id_) > 30
    ]
    with closing(Autosave(session, root=root, on_problem=print)) as autosave:
        session.delete(whole[:1])
    return autosave.folder, whole[0]


def test_a_result_of_a_slide_is_read_block_by_block(run):
    _, out = run
    result = open_result(out)
    reading = open_reading(out)
    assert reading.shape == result.plan.shape == (520, 760)
    assert np.array_equal(reading.pixels(BOX), result.pixels(BOX))
    for row in range(0, len(reading.ids), 17):
        y0, x0, y1, x1 = reading.boxes_yxyx[row].tolist()
        ys, xs = np.nonzero(result.pixels((0, 0, 520, 760)) == reading.ids[row])
        assert (ys.min(), xs.min(), ys.max() + 1, xs.max() + 1) == (y0, x0, y1, x1)
    beside = open_reading(out / "labels.ome.zarr")
    found = compare(reading, replace(beside, name="again"))
    assert len(found.a_ids) == len(reading.ids)
    assert found.disagreements == ()
    assert found.figures.f1[-1].value == 1


def test_a_corrected_region_is_compared_with_the_slide_it_was_cut_from(run, tmp_path):
    path, out = run
    session, deleted = corrected(path, out, tmp_path)
    found = compare(open_reading(out), open_reading(session))
    assert found.a.shape == (200, 280)
    assert [each.a_ids for each in found.disagreements] == [(deleted,)]
    with (
        lent_crops(path, found.a, found.b) as from_slide,
        lent_crops(None, found.a, found.b) as own,
    ):
        box = found.disagreements[0].box_yxyx
        assert np.array_equal(from_slide(box), own(box))


def test_sessions_of_two_pictures_are_not_compared(tmp_path):
    folders = []
    for seed in range(2):
        tissue = make_tile((64, 64), 4, seed=seed)
        session = AnnotationSession(tissue.tile, ClassPalette.of_names(["nucleus"]))
        with closing(Autosave(session, root=tmp_path, on_problem=print)) as autosave:
            session.paint((2, 2, 6, 6), np.ones((4, 4), np.int32))
        folders.append(autosave.folder)
    first, second = map(open_reading, folders)
    assert common_part(first, first) == (first, first)
    with pytest.raises(LabelsError, match="compare readings of one picture"):
        common_part(first, second)


def test_what_is_no_reading_is_told_in_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("gone", "empty"):
        with pytest.raises(UniNucError) as problem:
            open_reading(tmp_path / name)
        assert "\n" not in str(problem.value)
