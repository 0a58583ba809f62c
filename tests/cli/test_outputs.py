from pathlib import Path

import pytest

from napari_uninuc.cli.outputs import plan_outputs, require_place
from napari_uninuc.errors import OutputError


def names(pairs, folder):
    return [str(target.relative_to(folder)) for _, target in pairs]


@pytest.mark.parametrize(
    ("sources", "output", "suffix", "targets"),
    [
        (["a.png"], "r.ome.tif", None, ["r.ome.tif"]),
        (["a.png"], "new/r.CSV", None, ["new/r.CSV"]),
        (["a.png"], "r.csv", ".csv", ["r.csv"]),
        (["a.png"], "out", ".csv", ["out/a.csv"]),
        (["a.png", "b.jpg"], "out", None, ["out/a.tif", "out/b.tif"]),
        (["a.png", "b.ome.tif"], "out", ".ome.zarr", ["out/a.ome.zarr", "out/b.ome.zarr"]),
        (["s.1.png", "s.2.png"], "out", ".csv", ["out/s.1.csv", "out/s.2.csv"]),
    ],
)
def test_names_of_results(tmp_path, sources, output, suffix, targets):
    pairs = plan_outputs([Path(name) for name in sources], tmp_path / output, suffix)
    assert [str(source) for source, _ in pairs] == sources
    assert names(pairs, tmp_path) == targets
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sources", "output", "suffix", "text"),
    [
        (["a.png"], "r.psd", None, "expected a name that ends in"),
        (["a.png"], "folder", None, "expected a name that ends in"),
        (["a.png", "b.png"], "r.tif", None, "expected a folder for 2 images"),
        (["a.png"], "r.tif", ".csv", "expected a folder"),
        (["x/a.png", "y/A.jpg"], "out", None, "would both be written to"),
        (["a.tif", "a.ome.tif"], "out", ".csv", "would both be written to"),
    ],
)
def test_refused_plans(tmp_path, sources, output, suffix, text):
    with pytest.raises(OutputError, match=text):
        plan_outputs([Path(name) for name in sources], tmp_path / output, suffix)


def test_a_source_is_never_replaced(tmp_path):
    source = tmp_path / "a.tif"
    source.write_bytes(b"precious")
    link = tmp_path / "link.tif"
    link.symlink_to(source)
    for sources, output, suffix in [
        ([source], source, None),
        ([source], link, None),
        ([source, tmp_path / "b.tif"], tmp_path, None),
    ]:
        with pytest.raises(OutputError, match=r"would replace .*a\.tif"):
            plan_outputs(sources, output, suffix)
    assert source.read_bytes() == b"precious"


def test_what_else_is_read_is_not_replaced_and_nothing_is_written_into_it(tmp_path):
    picture, store = tmp_path / "p.tif", tmp_path / "s.ome.zarr"
    picture.write_bytes(b"precious")
    store.mkdir()
    with pytest.raises(OutputError, match=r"would replace .*p\.tif"):
        plan_outputs([tmp_path / "a.geojson"], picture, None, [None, picture])
    for sources, also_read in (([store], []), ([tmp_path / "a.geojson"], [store])):
        with pytest.raises(OutputError, match=r"into .*s\.ome\.zarr, which is read"):
            plan_outputs(sources, store / "labels" / "a.tif", None, also_read)
    assert picture.read_bytes() == b"precious"


def test_places_of_the_wrong_kind(tmp_path):
    (tmp_path / "folder.tif").mkdir()
    (tmp_path / "file.ome.zarr").touch()
    (tmp_path / "file").touch()
    for name, text in [
        ("folder.tif", "a file is written here, got a folder"),
        ("file.ome.zarr", "a folder is written here, got a file"),
        ("file/below.tif", "cannot be written"),
    ]:
        with pytest.raises(OutputError, match=text):
            require_place(tmp_path / name)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a place nobody may write to")
def test_a_place_closed_even_to_root():
    with pytest.raises(OutputError, match=r"/proc/new/a\.tif: cannot be written"):
        require_place(Path("/proc/new/a.tif"))
