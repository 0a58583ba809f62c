import csv

import numpy as np
import pytest
from PIL import Image

from napari_uninuc.cli.app import run
from napari_uninuc.core.classifier import Classifier, Examples, Scale
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.describing import DESCRIPTION_VERSION, describe_nuclei
from napari_uninuc.engine.predictor import load_predictor
from napari_uninuc.io.classifiers import SavedClassifier, Teacher, write_classifier
from napari_uninuc.testing import make_tile


@pytest.fixture(scope="module")
def lesson(tmp_path_factory):
    """A picture of large and small nuclei, and a classifier that was taught on it."""
    folder = tmp_path_factory.mktemp("lesson")
    rgb = np.concatenate(
        [
            make_tile((256, 256), n_nuclei=14, radius_px=(11.0, 13.0)).tile.rgb,
            make_tile((256, 256), n_nuclei=30, radius_px=(5.0, 6.0), seed=1).tile.rgb,
        ]
    )
    picture = folder / "picture.png"
    Image.fromarray(rgb).save(picture)
    predictor = load_predictor("uninuc-n", device="cpu")
    tile = Tile.from_array(rgb, 0.25)
    predictor.set_image(tile)
    found = predictor.segment()
    boxes = found.table[["y0", "x0", "y1", "x1"]].to_numpy().tolist()
    masks = [
        InstanceMask((y0, x0), found.labels[y0:y1, x0:x1] == id_, 1.0, 0, 1.0)
        for id_, (y0, x0, y1, x1) in zip(found.table["id"].tolist(), boxes, strict=True)
    ]
    rows = describe_nuclei(predictor.engine, tile, masks)
    small = (np.array([mask.area for mask in masks]) < 220).astype(np.int64)
    told = np.concatenate([np.flatnonzero(small == k)[:4] for k in (0, 1)])
    examples = Examples(rows[told], small[told], ("large", "small"))
    card = predictor.card
    for name, sha in (("mine", card.sha256), ("other", "0" * 64)):
        saved = SavedClassifier(
            Teacher(card.id, sha, DESCRIPTION_VERSION),
            Classifier.learnt(examples, Scale.of(rows)),
            ("#ffd400", "#00c8ff"),
            examples,
            Scale.of(rows),
        )
        write_classifier(saved, folder / f"{name}.safetensors")
    return picture, folder


def test_segment_gives_the_classes_that_were_taught(lesson, tmp_path):
    picture, folder = lesson
    target = tmp_path / "nuclei.csv"
    options = ["--mpp", "0.25", "--device", "cpu", "--classifier", str(folder / "mine.safetensors")]
    assert run(["segment", str(picture), "--output", str(target), *options]) == 0
    with target.open() as file:
        rows = list(csv.DictReader(file))
    assert {row["class"] for row in rows} == {"large", "small"}
    right = [(float(row["area_px"]) < 220) == (row["class"] == "small") for row in rows]
    assert np.mean(right) > 0.9
    assert all(0.5 <= float(row["class_probability"]) <= 1 for row in rows)


def test_a_classifier_of_other_weights_is_refused_and_nothing_is_written(lesson, tmp_path, capsys):
    picture, folder = lesson
    target = tmp_path / "nuclei.csv"
    options = ["--device", "cpu", "--classifier", str(folder / "other.safetensors")]
    assert run(["segment", str(picture), "--output", str(target), *options]) == 2
    said = capsys.readouterr().err
    assert "taught with uninuc-n (000000000000" in said
    assert len(said.strip().splitlines()) == 1
    assert not target.exists()


def test_slide_counts_and_maps_every_class_that_was_taught(lesson, tmp_path):
    import pandas as pd
    import tifffile

    picture, folder = lesson
    rgb = np.full((768, 768, 3), 244, np.uint8)
    rgb[128:640, 128:384] = np.asarray(Image.open(picture))
    scan, output = tmp_path / "scan.tif", tmp_path / "result"
    tifffile.imwrite(scan, rgb, tile=(256, 256))
    arguments = ["slide", str(scan), "--output", str(output), "--mpp", "0.25", "--device", "cpu"]
    mine = ["--classifier", str(folder / "mine.safetensors")]
    assert run([*arguments, *mine]) == 0
    counted = pd.read_parquet(output / "nuclei.parquet")["class"].value_counts().to_dict()
    assert set(counted) == {"large", "small"}
    assert run(arguments) == 2  # begun with a classifier, not gone on with without
