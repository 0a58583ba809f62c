import json
import signal
import time

import numpy as np
import pytest
import tifffile
import zarr
from skimage import data

import children
from napari_uninuc.cli.slide import plan_slides
from napari_uninuc.errors import ImageError

# A shell that runs the tests in the background has them ignore Ctrl+C, and so would the child.
_WITH_CTRL_C = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from napari_uninuc.cli.app import main
main()
"""


@pytest.fixture
def slide_file(tmp_path):
    """Real tissue at 0.25 um/px in two levels, 300 x 420 px."""
    path = tmp_path / "slides" / "tissue.ome.tif"
    path.parent.mkdir()
    write_slide(path, data.immunohistochemistry()[:300, :420])
    return path


def write_slide(path, rgb, mpp=0.25):
    layout = {"tile": (128, 128), "photometric": "rgb", "compression": "deflate"}
    scale = {} if mpp is None else {"PhysicalSizeX": mpp, "PhysicalSizeY": mpp}
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(rgb, subifds=1, metadata={"axes": "YXS", **scale}, **layout)
        writer.write(np.ascontiguousarray(rgb[::2, ::2]), subfiletype=1, metadata=None, **layout)


def labels_of(folder):
    return np.asarray(zarr.open_group(str(folder / "labels.ome.zarr"), mode="r")["0"][...])


def test_a_slide_gives_what_the_picture_gives(uninuc, slide_file, random_model, tmp_path):
    words = ("--model", random_model, "--device", "cpu")
    status, out, err = uninuc("slide", slide_file, "--output", tmp_path / "out", *words)
    assert (status, err) == (0, "")
    labels = labels_of(tmp_path / "out")
    count = len(np.unique(labels)) - 1
    assert count > 3
    assert out.startswith(f"{slide_file} -> {tmp_path / 'out'}: {count} nuclei on 0.01 mm2")
    assert uninuc("segment", slide_file, "--output", tmp_path / "whole.tif", *words)[0] == 0
    whole = tifffile.imread(tmp_path / "whole.tif")
    # One field holds it all, so even the last digits of the network agree.
    pairs = set(zip(labels.ravel().tolist(), whole.ravel().tolist(), strict=True))
    assert len(pairs) == count + 1 == len(np.unique(whole))
    assert uninuc("slide", slide_file, "--output", tmp_path / "out", *words)[:2] == (0, out)


def test_slides_are_outlined_by_another_proposer_which_the_run_remembers(
    uninuc, slide_file, tmp_path
):
    words = ("slide", slide_file, "--output", tmp_path / "out", "--device", "cpu")
    by_maps = (*words, "--proposer", "ais")
    status, out, err = uninuc(*by_maps)
    assert (status, err) == (0, "")
    single = tmp_path / "whole.tif"
    assert uninuc("segment", slide_file, "--output", single, *by_maps[-4:])[0] == 0
    whole = tifffile.imread(single)
    np.testing.assert_array_equal(labels_of(tmp_path / "out") > 0, whole > 0)
    assert len(np.unique(whole)) - 1 == len(np.unique(labels_of(tmp_path / "out"))) - 1 > 10
    assert uninuc(*by_maps)[:2] == (0, out)  # carried on: it is done
    status, _, err = uninuc(*words, "--score-threshold", "0")
    assert status == 2
    assert "holds a run with proposer ais, got none" in err
    stated = ("slide", slide_file, "--output", tmp_path / "own", "--device", "cpu")
    assert uninuc(*stated, "--proposer", "detector")[0] == 0
    status, _, err = uninuc(*stated)  # the model's own way is what the card says anyway
    assert (status, err) == (0, "")


def test_a_proposer_that_lacks_its_weights_is_refused_before_the_first_tile(
    uninuc, slide_file, random_model, tmp_path
):
    words = ("slide", slide_file, "--output", tmp_path / "out", "--model", random_model)
    status, _, err = uninuc(*words, "--proposer", "next-point")
    assert status == 2
    assert err.count("\n") == 1
    assert "decoder of next points" in err
    assert not (tmp_path / "out" / "run.json").exists()


def test_outputs_can_be_left_out(uninuc, slide_file, random_model, tmp_path):
    without = [word for name in ("labels", "report", "density") for word in ("--without", name)]
    words = ("slide", slide_file, "--output", tmp_path / "out", "--model", random_model, *without)
    assert uninuc(*words, "--keep-tiles")[0] == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["nuclei.geojson.gz", "nuclei.parquet", "run.json", "tiles"]


def test_many_slides_from_a_list(uninuc, slide_file, random_model, tmp_path):
    folder = slide_file.parent
    write_slide(folder / "bare.ome.tif", data.immunohistochemistry()[:200, :200], mpp=None)
    write_slide(folder / "glass.ome.tif", np.full((300, 300, 3), 244, np.uint8))
    cohort = folder / "cohort.csv"
    cohort.write_text("slide,mpp\ntissue.ome.tif,\nbare.ome.tif,0.5\nglass.ome.tif,\n", "utf-8")
    words = ("--output", tmp_path / "out", "--model", random_model, "--without", "geojson")
    status, out, err = uninuc("slide", cohort, *words)
    assert (status, err) == (0, "")
    assert "no tissue found, 0 nuclei" in out
    assert out.endswith("3 of 3 slides done\n")
    settings = json.loads((tmp_path / "out" / "bare" / "run.json").read_text())["settings"]
    assert settings["mpp"] == 0.5


def test_one_bad_slide_does_not_stop_the_others(uninuc, slide_file, random_model, tmp_path):
    words = ("--output", tmp_path / "out", "--model", random_model)
    status, out, err = uninuc("slide", slide_file.parent / "gone.svs", slide_file, *words)
    assert status == 2
    assert err.count("\n") == 1
    assert "gone.svs: expected a slide, got nothing there" in err
    assert out.endswith("1 of 2 slides done\n")


def test_bad_words_are_refused_in_one_line(refused, slide_file, tmp_path):
    def words(*more, source=slide_file):
        return refused("slide", source, "--output", tmp_path / "out", *more)

    assert "not both" in words("--workers", 2, "--scheduler", "tcp://x:1")
    assert "a0" in words(source=listing(tmp_path, "slide,mpp\na.svs,a0\n"))
    assert "column slide" in words(source=listing(tmp_path, "name\na.svs\n"))
    assert "both be written" in words(source=listing(tmp_path, "slide\na/x.svs\nb/x.tif\n"))
    assert "no model" in words("--model", "uninuc-x").lower()
    bare = tmp_path / "bare.ome.tif"
    write_slide(bare, np.zeros((200, 200, 3), np.uint8), mpp=None)
    assert "--mpp" in words(source=bare)
    assert not (tmp_path / "out" / "run.json").exists()


@pytest.mark.parametrize(
    ("text", "coding"),
    [
        ("slide;mpp\na.svs;0,25\nü/b.svs;\n", "utf-8"),
        ("slide;mpp\na.svs;0,25\nü/b.svs;\n", "utf-8-sig"),
        ("slide;mpp\na.svs;0,25\nü/b.svs;\n", "cp1252"),
        ("Slide ;MPP\na.svs;0.25\nü/b.svs;\n;\n", "utf-8"),
        ("sep=;\nslide;mpp\na.svs;0,25\nü/b.svs;\n", "utf-8"),
        ("slide\tmpp\r\na.svs\t0,25\r\nü/b.svs\t\r\n", "utf-16"),
        ('slide,mpp\na.svs,"0,25"\nü/b.svs,\n', "utf-8"),
        ("mpp;note;slide\n0,25;x, y;a.svs\n;z;ü/b.svs\n", "utf-8"),
    ],
)
def test_lists_of_any_spreadsheet_are_read(tmp_path, text, coding):
    path = tmp_path / "list.csv"
    path.write_bytes(text.encode(coding))
    wanted = plan_slides([path], tmp_path / "out", None)
    assert [(each.slide, each.mpp) for each in wanted] == [
        (tmp_path / "a.svs", 0.25),
        (tmp_path / "ü" / "b.svs", None),
    ]


def test_a_decimal_comma_between_commas_is_not_guessed_at(tmp_path):
    with pytest.raises(ImageError, match="decimal comma needs quotes"):
        plan_slides([listing(tmp_path, "slide,mpp\na.svs,0,25\n")], tmp_path / "out", None)
    with pytest.raises(ImageError, match="column slide"):
        plan_slides([listing(tmp_path, "")], tmp_path / "out", None)


def listing(folder, text):
    path = folder / "list.csv"
    path.write_text(text, "utf-8")
    return path


def test_interrupted_goes_on(slide_file, random_model, tmp_path, uninuc):
    """Ctrl+C in a real process, in the middle of a slide."""
    rgb = np.tile(data.immunohistochemistry()[:200], (1, 14, 1))  # 8 tiles, cheap ones
    path = tmp_path / "large.ome.tif"
    write_slide(path, rgb)
    out = tmp_path / "out"
    words = ["slide", str(path), "--output", str(out), "--model", str(random_model)]
    words += ["--device", "cpu", "--without", "geojson", "--without", "report"]
    with children.start(_WITH_CTRL_C, *words, "--score-threshold", "0.99") as process:
        deadline = time.monotonic() + 1800
        while not list(out.glob("tiles/*.npz")) and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=1800)
    assert process.returncode == 130
    assert "tiles that were done are kept" in err
    assert err.endswith("uninuc: error: interrupted\n")
    kept = {each: each.stat().st_mtime_ns for each in out.glob("tiles/*.npz")}
    assert kept
    assert uninuc(*words, "--score-threshold", "0.99", "--keep-tiles")[0] == 0
    assert {each: each.stat().st_mtime_ns for each in kept} == kept
    assert len(list(out.glob("tiles/*.npz"))) > len(kept) + 1
