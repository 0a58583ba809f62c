"""The result of a slide as DICOM annotations."""

import json
from contextlib import closing

import highdicom
import numpy as np
import pytest

from napari_uninuc.cli.app import run
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.errors import OutputError
from napari_uninuc.io.labels import read_segmentation
from napari_uninuc.slides import annotations
from napari_uninuc.slides.annotations import slide_nuclei, write_slide_annotations
from napari_uninuc.slides.opening import open_slide
from napari_uninuc.slides.results import open_result
from napari_uninuc.slides.run import segment_slide
from napari_uninuc.testing import FakeAnnotator, FakeCard, make_tile


class Source:
    """Gives a run an annotator without a model."""

    def __call__(self):
        return FakeAnnotator(FakeCard(), field_size=256, halo=40)


@pytest.fixture(scope="module")
def result(tmp_path_factory, slide_writers):
    """Of a slide whose second level was outlined."""
    folder = tmp_path_factory.mktemp("run")
    rgb = make_tile((400, 500), 100, seed=3).tile.rgb
    write, name = slide_writers["ome-tiff"]
    path = write(folder / name, rgb.repeat(2, 0).repeat(2, 1), 0.125, 2)
    with closing(open_slide(path)) as slide:
        segment_slide(slide, Source(), folder / "out")
    return open_result(folder / "out")


@pytest.mark.parametrize("square", [96, 4096])
def test_every_pixel_of_it_comes_back(result, tmp_path, monkeypatch, square):
    monkeypatch.setattr(annotations, "_SQUARE", square)
    path = tmp_path / "a.ann.dcm"
    write_slide_annotations(result, slide_nuclei(result), path)
    (group,) = highdicom.ann.annread(path).get_annotation_groups()
    assert group.algorithm_type.value == "AUTOMATIC"
    assert group.algorithm_identification.name == result.plan.model
    stored = read_segmentation(path)
    labels = result.pixels((0, 0, *result.plan.shape))
    assert len(np.unique(labels)) > 20
    np.testing.assert_array_equal(stored.segmentation.labels, labels)
    assert stored.mpp == result.plan.level_mpp == 0.25
    # Points are px of full resolution, of which two are one of the level.
    reach = np.concatenate(group.get_graphic_data("2D")).max(axis=0)
    rows, columns = np.nonzero(labels)
    assert reach.tolist() == [2 * (columns.max() + 1), 2 * (rows.max() + 1)]
    _, measured, _ = group.get_measurements()
    areas = dict(zip(measured[:, 0].astype(int).tolist(), measured[:, 1].tolist(), strict=True))
    assert areas == {i: n / 16 for i, n in enumerate(np.bincount(labels.ravel())) if i and n}


def test_convert_takes_the_folder_or_the_labels_in_it(result, tmp_path, capsys):
    target = tmp_path / "a.ann.dcm"
    for source in (result.folder, result.labels_path):
        assert run(["convert", str(source), "--output", str(target)]) == 0
        said = f"{source} -> {target}: {len(result.ids())} nuclei\n"
        assert capsys.readouterr().out == said


def test_classes_and_states_of_a_corrected_result(result, tmp_path, monkeypatch):
    nuclei = slide_nuclei(result)
    named = nuclei.table.assign(
        status=["reviewed", *["automatic"] * (len(nuclei.table) - 1)],
        **{"class": ["b", *["a"] * (len(nuclei.table) - 1)]},
    )
    some = Segmentation(nuclei.labels, named[:5], {}, nuclei.classes)
    write_slide_annotations(result, some, tmp_path / "a.ann.dcm")
    groups = highdicom.ann.annread(tmp_path / "a.ann.dcm").get_annotation_groups()
    assert [(each.label, each.algorithm_type.value) for each in groups] == [
        ("b", "SEMIAUTOMATIC"),
        ("a", "SEMIAUTOMATIC"),
    ]
    stored = read_segmentation(tmp_path / "a.ann.dcm").segmentation
    assert stored.table["id"].tolist() == sorted(named["id"][:5].tolist())


def test_other_formats_and_damage_are_told(result, tmp_path, capsys):
    assert run(["convert", str(result.folder), "--output", str(tmp_path / "a.tif")]) == 2
    assert "name nuclei.geojson.gz or labels.ome.zarr in it" in capsys.readouterr().err
    missing = ["--only-class", "none"]
    assert (
        run(["convert", str(result.folder), "--output", str(tmp_path / "a.ann.dcm"), *missing]) == 2
    )
    assert "expected one of the classes" in capsys.readouterr().err
    state = result.folder / "run.json"
    kept = state.read_text()
    state.write_text(json.dumps(json.loads(kept) | {"finished": None}))
    try:
        with pytest.raises(OutputError, match="finished run"):
            open_result(result.folder)
    finally:
        state.write_text(kept)
    assert not list(tmp_path.iterdir())
