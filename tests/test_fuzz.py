"""Hostile files: a few cases of every reader, each attack by its name, and what commands say."""

import json
import os
import re
import struct
import subprocess
import sys
import zlib
from itertools import pairwise
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_uninuc.cli.app import run
from napari_uninuc.datasets.recipes import load_toml_recipe
from napari_uninuc.errors import CheckpointError, ImageError, LabelsError, RecipeError
from napari_uninuc.evaluation.recipe import EvaluationRecipe
from napari_uninuc.io.formats import write_segmentation
from napari_uninuc.io.images import read_image
from napari_uninuc.io.labels import read_labels
from napari_uninuc.network.card import read_card, sha256_of

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "fuzz_readers.py"
READERS = (
    *("picture", "label picture", "label TIFF", "OME-Zarr 0.4", "OME-Zarr 0.5", "GeoJSON", "COCO"),
    *("session", "train recipe", "evaluate recipe"),
)
"""All but those that load torch, which takes long; they are tested below and in tests/network."""

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="measures with /proc, makes pipes")
PIXELS = np.arange(40 * 48 * 3, dtype=np.uint32).astype(np.uint8).reshape(40, 48, 3)


@LINUX
def test_a_few_spoilt_inputs_of_every_reader_are_read_or_refused():
    chosen = [word for reader in READERS for word in ("--reader", reader)]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--cases", "6", *chosen],
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\| all \| 60 \| \d+ \| \d+ \| 0 \|", done.stdout)


def in_one_line(caught):
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < 1000
    return said


# -- bombs and absurd sizes -------------------------------------------------------------------


def test_a_tiff_of_large_empty_tiles_is_refused(tmp_path):
    path = tmp_path / "sparse.tif"
    nothing = (b"" for _ in range(64))
    tifffile.imwrite(path, nothing, shape=(30_000, 30_000), dtype="u4", tile=(4096, 4096))
    assert path.stat().st_size < 2000
    for read, error in ((read_image, ImageError), (read_labels, LabelsError)):
        with pytest.raises(error, match="bytes of pixels for each of the file") as caught:
            read(path)
        in_one_line(caught)


def test_a_tiff_without_a_pixel_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, photometric="rgb", metadata=None)
    raw = bytearray(path.read_bytes())
    (at,) = struct.unpack_from("<I", raw, 4)
    for entry in range(at + 2, at + 2 + 12 * raw[at], 12):
        if struct.unpack_from("<H", raw, entry)[0] in (256, 257):
            struct.pack_into("<I", raw, entry + 8, 0)
    path.write_bytes(raw)
    with pytest.raises(ImageError) as caught:
        read_image(path)
    in_one_line(caught)


@pytest.fixture
def ome(tmp_path):
    """Make an OME-TIFF of which the XML is the one given."""

    def make(text):
        path = tmp_path / "case" / "a.ome.tif"
        path.parent.mkdir(exist_ok=True)
        plane = PIXELS[..., 0]
        tifffile.imwrite(path, plane, description=text.encode(), metadata=None)
        return path

    return make


OME = (
    '<?xml version="1.0"?>{dtd}<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
    '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="48" '
    'SizeY="40" SizeC="1" SizeZ="{planes}" SizeT="1">{data}</Pixels></Image></OME>'
)


def test_entities_that_grow_are_not_unfolded(ome):
    grown = "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in pairwise("abcdefghi"))
    dtd = f'<!DOCTYPE OME [<!ENTITY a "aaaaaaaaaa">{grown}]>'
    path = ome(OME.format(dtd=dtd, planes=1, data="&i;"))
    assert read_image(path).shape == (40, 48)


def test_planes_without_number_are_refused(ome):
    with pytest.raises(ImageError, match="one plane") as caught:
        read_image(ome(OME.format(dtd="", planes=2**31 - 1, data='<TiffData IFD="0"/>')))
    in_one_line(caught)


def test_a_file_that_an_ome_tiff_names_is_not_opened(ome, tmp_path):
    tifffile.imwrite(tmp_path / "other.tif", np.full((40, 48), 7, np.uint8), metadata=None)
    other = '<TiffData IFD="0"><UUID FileName="../other.tif">urn:uuid:1</UUID></TiffData>'
    path = ome(OME.format(dtd="", planes=1, data=other))
    np.testing.assert_array_equal(read_labels(path), PIXELS[..., 0])


CODECS = {
    "zlib": ({"id": "zlib", "level": 1}, lambda raw: zlib.compress(raw, 1)),
    "zstd": ({"id": "zstd", "level": 1}, numcodecs.Zstd(1).encode),
    "blosc": (numcodecs.Blosc("zstd").get_config(), numcodecs.Blosc("zstd").encode),
    "lz4": ({"id": "lz4", "acceleration": 1}, numcodecs.LZ4().encode),
    "bz2": ({"id": "bz2", "level": 1}, numcodecs.BZ2(1).encode),
}


@pytest.mark.parametrize("name", CODECS)
def test_a_chunk_that_unpacks_to_more_than_a_chunk_is_refused(two_nuclei, tmp_path, name):
    path = tmp_path / "a.ome.zarr"
    write_segmentation(two_nuclei, path)
    codec, pack = CODECS[name]
    described = json.loads((path / "0" / ".zarray").read_text())
    (path / "0" / ".zarray").write_text(json.dumps(described | {"compressor": codec}))
    chunk = next(each for each in (path / "0").rglob("0") if each.is_file())
    chunk.write_bytes(pack(two_nuclei.labels.tobytes()))
    if name != "bz2":
        np.testing.assert_array_equal(read_labels(path), two_nuclei.labels)
    chunk.write_bytes(pack(bytes(20_000_000)))
    with pytest.raises(LabelsError, match="expected chunks") as caught:
        read_labels(path)
    in_one_line(caught)


def test_a_blosc_chunk_that_claims_to_go_on_is_refused(two_nuclei, tmp_path):
    """The decoder would read past its end, and the process might die."""
    path = tmp_path / "a.ome.zarr"
    write_segmentation(two_nuclei, path)
    chunk = next(each for each in (path / "0").rglob("0") if each.is_file())
    raw = bytearray(chunk.read_bytes())
    struct.pack_into("<I", raw, 12, 2**29)
    chunk.write_bytes(raw)
    with pytest.raises(LabelsError, match="damaged one") as caught:
        read_labels(path)
    in_one_line(caught)


# -- ways out of the folder -------------------------------------------------------------------


@LINUX
@pytest.mark.parametrize("kind", ["link out", "pipe", "device"])
@pytest.mark.parametrize("name", [".zattrs", "0/.zarray", "0/0/0"])
def test_a_zarr_of_links_and_pipes_is_refused(two_nuclei, tmp_path, kind, name):
    path = tmp_path / "a.ome.zarr"
    write_segmentation(two_nuclei, path)
    file = path / name
    (tmp_path / "secret").write_bytes(file.read_bytes())
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to(tmp_path / "secret" if kind == "link out" else "/dev/zero")
    with pytest.raises(LabelsError, match="inside the folder") as caught:
        read_labels(path)
    in_one_line(caught)


def test_a_zarr_may_be_linked_to_as_a_whole(two_nuclei, tmp_path):
    write_segmentation(two_nuclei, tmp_path / "a.ome.zarr")
    (tmp_path / "b.ome.zarr").symlink_to(tmp_path / "a.ome.zarr")
    np.testing.assert_array_equal(read_labels(tmp_path / "b.ome.zarr"), two_nuclei.labels)


# -- recipes, cards, weights ------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["a = " + "[" * 5000, "a." * 5000 + "b = 1", "a = " + "9" * 5000, "a" * 2**21, "\x00"],
    ids=["brackets", "tables", "digits", "length", "null"],
)
def test_absurd_toml_is_one_line(tmp_path, text):
    (tmp_path / "card.toml").write_text(text)
    with pytest.raises(CheckpointError) as caught:
        read_card(tmp_path)
    in_one_line(caught)
    with pytest.raises(RecipeError) as caught:
        load_toml_recipe(tmp_path / "card.toml", EvaluationRecipe)
    in_one_line(caught)


@LINUX
def test_devices_are_not_read_to_their_end(tmp_path):
    (tmp_path / "card.toml").symlink_to("/dev/zero")
    for read in (read_card, sha256_of):
        with pytest.raises(CheckpointError) as caught:
            read(tmp_path / "card.toml")
        in_one_line(caught)
    with pytest.raises(RecipeError):
        load_toml_recipe("/dev/zero", EvaluationRecipe)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("step", value) for value in ("3", -1, 2.0, True, 10**6)),
        *(("seconds", value) for value in (float("nan"), -1.0, "1")),
        *(("generators", value) for value in (None, 5, [], [5])),
        *(("optimiser", value) for value in ({}, 5, {"state": {}, "param_groups": []})),
        *(("model", value) for value in (None, {}, {5: 5})),
    ],
)
def test_a_checkpoint_that_cannot_be_gone_on_with_is_one_line(tmp_path, monkeypatch, key, value):
    import torch

    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    from fuzz_networks import learn, make_checkpoints, trainer_in

    make_checkpoints(tmp_path)
    folder = tmp_path / "run"
    whole = trainer_in(folder)
    whole._resume()
    learn(whole)
    stored = torch.load(folder / "checkpoint.pt", weights_only=True)
    torch.save(stored | {key: value}, folder / "checkpoint.pt")
    with pytest.raises(CheckpointError) as caught:
        trainer_in(folder)._resume()
    in_one_line(caught)


# -- what a person sees -----------------------------------------------------------------------


def bad_inputs(folder: Path) -> dict[str, Path]:
    """One bad input of each kind."""
    folder.mkdir()
    Image.fromarray(PIXELS).save(folder / "cut.png")
    (folder / "cut.png").write_bytes((folder / "cut.png").read_bytes()[:200])
    (folder / "text.tif").write_bytes(b"II*\x00" + b"\xff" * 100)
    (folder / "deep.geojson").write_text("[" * 10_000)
    (folder / "bad.coco.json").write_text('{"images": 5, "annotations": [], "categories": []}')
    (folder / "bad.ome.zarr").mkdir()
    (folder / "bad.ome.zarr" / ".zgroup").write_text('{"zarr_format": {}}')
    (folder / "session").mkdir()
    (folder / "session" / "session.json").write_text('{"format": 1e999}')
    (folder / "bad.toml").write_text("a = " + "[" * 5000)
    (folder / "model").mkdir()
    (folder / "model" / "card.toml").write_text("id = 5\n")
    (folder / "model" / "model.safetensors").write_bytes(b"\xff" * 20)
    (folder / "bad.pt").write_bytes(b"PK\x03\x04" + bytes(50))
    return {each.name: each for each in folder.iterdir()}


COMMANDS = [
    *(("segment", name, "--output", "OUT.tif") for name in ("cut.png", "text.tif", "bad.pt")),
    *(
        ("convert", name, "--output", "OUT.csv")
        for name in ("cut.png", "text.tif", "deep.geojson", "bad.coco.json", "bad.ome.zarr")
    ),
    ("export", "session", "--output", "OUT.geojson"),
    ("export", "session", "--report", "OUT.html"),
    *((command, "bad.toml") for command in ("train", "evaluate")),
    *(("models", command, "model") for command in ("verify", "show")),
    ("models", "convert", "bad.pt", "--output", "OUT"),
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: "-".join(words[:3]))
def test_commands_refuse_bad_inputs_in_one_line(words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = bad_inputs(tmp_path / "in")
    before = sorted(tmp_path.rglob("*"))
    status = run([str(files.get(word, word)) for word in words])
    written = capsys.readouterr()
    assert (status, written.out) == (2, "")
    assert written.err.startswith("uninuc: error: ")
    assert written.err.count("\n") == 1
    assert "Traceback" not in written.err
    assert sorted(tmp_path.rglob("*")) == before
