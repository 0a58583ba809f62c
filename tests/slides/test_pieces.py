"""Rows and lines of a slide against those that pictures have, which are made another way."""

import gzip
import json
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.engine.protocol import FoundNucleus
from napari_uninuc.io.geojson import at_full_resolution, features_of, packed
from napari_uninuc.io.geojson_lines import LineFrame, detection_lines
from napari_uninuc.io.table import measure_nuclei
from napari_uninuc.slides.nuclei import Nuclei
from napari_uninuc.slides.pieces import Piece, pieces_of, write_up
from napari_uninuc.slides.rows import COLUMNS, rows_of
from napari_uninuc.testing import make_tile

SPACE = UUID("12345678-1234-5678-1234-567812345678")
AT = (7, 9)


def nuclei_of(segmentation, at=AT):
    found = []
    for row in segmentation.table.itertuples():
        crop = segmentation.labels[row.y0 : row.y1, row.x0 : row.x1] == row.id
        mask = InstanceMask((row.y0 + at[0], row.x0 + at[1]), crop, row.score, 0, 0.5)
        found.append(FoundNucleus(mask, (0.25, 1.5, 10.75, 20.0)))
    nuclei = Nuclei.of_found(3, found)
    nuclei.id[:] = segmentation.table["id"]
    return nuclei


def ragged(seed, kind):
    rng = np.random.default_rng(seed)
    if kind == "noise":  # pieces, holes, corners that touch
        labels = rng.integers(0, 7, (30, 40)).astype(np.int32)
    else:
        labels = make_tile((160, 200), 60, seed=seed).labels.copy()
        if kind == "holes":
            labels[rng.random(labels.shape) < 0.1] = 0
    segmentation = Segmentation.from_labels(labels)
    segmentation.table["score"] = rng.random(len(segmentation.table))
    return segmentation


@pytest.mark.parametrize("step", [1.0, 2.0, 1.5])
@settings(max_examples=15)
@given(seed=st.integers(0, 1000), kind=st.sampled_from(["noise", "smooth", "holes"]))
def test_lines_are_those_of_features(step, seed, kind):
    segmentation = ragged(seed, kind)
    features = features_of(segmentation, SPACE, 0.25, AT)
    expected = [json.dumps(at_full_resolution(feature, step)) for feature in features]
    nuclei = nuclei_of(segmentation)
    frame = LineFrame(SPACE, 0.25, step, ("nucleus",))
    lines = detection_lines(nuclei.id, nuclei.runs, nuclei.class_id, nuclei.score, frame)
    assert lines == expected


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), kind=st.sampled_from(["noise", "smooth", "holes"]))
def test_rows_are_those_of_pictures(seed, kind):
    """Equal to the last bit: two builds that differ there would not write the same file."""
    segmentation = ragged(seed, kind)
    nuclei = nuclei_of(segmentation)
    origins = np.tile(AT, (len(nuclei), 1))
    rows = rows_of(nuclei, origins, ["nucleus"] * len(nuclei), 0.125, 2.0)
    truth = measure_nuclei(segmentation, 0.25)
    assert list(rows) == list(COLUMNS)
    for name in ("id", "class", "score", "area_um2", "perimeter_um", "solidity", "eccentricity"):
        assert rows[name].tolist() == truth[name].astype(rows[name].dtype).tolist()
    for axis, first in zip("yx", AT, strict=True):
        centre = (truth[f"centroid_{axis}_px"] + first + 0.5) * 2.0 - 0.5
        found = [rows[f"centroid_{axis}_{unit}"].tolist() for unit in ("px", "um")]
        assert found == [each.astype(np.float32).tolist() for each in (centre, centre * 0.125)]
        assert rows[f"{axis}0"].tolist() == (2 * (truth[f"{axis}0"] + first)).tolist()
    assert rows["detected_x0"].tolist() == [3.0] * len(nuclei)


def test_pieces_are_whole_tiles_and_all_of_them():
    tiles = np.repeat([2, 5, 6, 9], [700, 800, 3000, 1])
    one = nuclei_of(ragged(0, "smooth")).take(np.array([0]))
    nuclei = one.take(np.zeros(len(tiles), np.int64))
    nuclei.tile[:] = tiles
    cut = list(pieces_of(nuclei))
    assert [sizes for _, sizes in cut] == [(700, 800), (3000,), (1,)]
    assert np.concatenate([piece.tile for piece, _ in cut]).tolist() == tiles.tolist()
    assert list(pieces_of(Nuclei.none())) == []


def test_only_the_first_line_follows_no_other():
    nuclei = nuclei_of(ragged(0, "smooth"))
    frame = LineFrame(SPACE, 0.25, 1.0, ("nucleus",))
    texts = [
        gzip.decompress(
            write_up(Piece(nuclei, (len(nuclei),), frame, 0.25, False, True, first)).lines
        ).decode()
        for first in (True, False)
    ]
    assert texts[0].startswith('\n{"type"')
    assert texts[1] == "," + texts[0]


def test_members_are_one_file_and_the_same_every_time():
    text = b"nuclei " * 1000
    member = packed(text)
    assert gzip.decompress(member + packed(b"more")) == text + b"more"
    assert member == packed(text)
    assert member[4:8] == b"\0\0\0\0"  # no time of writing
