"""Broken and odd slides: outlined, or refused in one line with nothing half-written."""

import json
import shutil
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_uninuc.errors import UniNucError
from napari_uninuc.slides.opening import open_slide
from napari_uninuc.slides.run import segment_slide
from napari_uninuc.slides.summary import OUTPUTS
from napari_uninuc.testing import FakeAnnotator, FakeCard

SHAPE = (200, 220)
TIFFS = ["ome-tiff", "svs", "tiff"]
HEADER = 4096
"""Bytes at each end, where directories and descriptions lie."""
ODD = [None, 0, -1, 1, 2.5, 1e308, -1e-308, 2**63, "", "x", "0.25", [], [0], {}, True]

few = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@dataclass(frozen=True)
class Source:
    def __call__(self):
        return FakeAnnotator(FakeCard(), field_size=256, halo=40)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, slide_writers, tissue):
    """Kind -> a small slide."""
    folder, rgb = tmp_path_factory.mktemp("whole"), tissue(*SHAPE)
    return {
        kind: write(folder / name, rgb, levels=2) for kind, (write, name) in slide_writers.items()
    }


@pytest.fixture
def place(tmp_path):
    """An empty folder, the same one each time it is asked for."""

    def empty():
        shutil.rmtree(tmp_path, ignore_errors=True)
        tmp_path.mkdir()
        return tmp_path

    return empty


def outlined(path, out, mpp=None):
    """Run the slide; what it said where it was refused, None where it was outlined."""
    slide = None
    try:
        slide = open_slide(path, mpp)
        segment_slide(slide, Source(), out)
    except UniNucError as problem:
        return str(problem)
    finally:
        if slide is not None:
            slide.close()
    return None


def require_all_or_one_line(path, out, mpp=None):
    """Run the slide, look at what is there then; True where it was outlined."""
    refused = outlined(path, out, mpp)
    there = {each.name for each in out.iterdir()} if out.exists() else set()
    if refused is None:
        assert there == {*OUTPUTS.values(), "run.json"}
    else:
        assert len(refused.splitlines()) == 1
        assert not there & {*OUTPUTS.values()}
        assert not list(out.rglob(".*"))
    return refused is None


@st.composite
def damage(draw):
    """Where a file ends, and bytes of its ends and its middle that are others."""
    cut = draw(st.sampled_from([1.0, 1.0, 1.0, 0.999, 0.9, 0.5, 0.01]))
    count = draw(st.integers(0 if cut < 1 else 1, 8))
    place = st.one_of(st.integers(0, HEADER), st.integers(-HEADER, -1), st.integers(0, 2**20))
    value = st.one_of(st.sampled_from([0, 1, 127, 128, 255]), st.integers(0, 255))
    return cut, draw(st.lists(st.tuples(place, value), min_size=count, max_size=count))


@pytest.mark.parametrize("kind", TIFFS)
@pytest.mark.filterwarnings("ignore")
@few
@given(harm=damage())
def test_a_garbled_tiff(whole, place, kind, harm):
    folder, (cut, bytes_) = place(), harm
    spoilt = bytearray(whole[kind].read_bytes())
    for where, value in bytes_:
        spoilt[where % len(spoilt)] = value
    path = folder / whole[kind].name
    path.write_bytes(spoilt[: int(len(spoilt) * cut)])
    require_all_or_one_line(path, folder / "out")


def leaves(node, way=()):
    """Ways to every value of a JSON document."""
    yield way
    for key, child in (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    ):
        yield from leaves(child, (*way, key))


def put(node, way, value):
    if not way:
        return value
    copy = dict(node) if isinstance(node, dict) else list(node)
    copy[way[0]] = put(node[way[0]], way[1:], value)
    return copy


@pytest.mark.parametrize("name", [".zattrs", "0/.zarray", "1/.zarray"])
@pytest.mark.filterwarnings("ignore")
@few
@given(data=st.data())
def test_an_odd_ome_zarr(whole, place, name, data):
    folder = place()
    path = folder / "slide.zarr"
    shutil.copytree(whole["zarr-0.4"], path)
    described = json.loads((path / name).read_text())
    for _ in range(data.draw(st.integers(1, 2))):
        way = data.draw(st.sampled_from(sorted(leaves(described), key=repr)))
        described = put(described, way, data.draw(st.sampled_from(ODD)))
    (path / name).write_text(json.dumps(described))
    require_all_or_one_line(path, folder / "out")


@few
@given(
    mpp=st.one_of(
        st.floats(0.01, 10),
        st.floats(5e-324, 1e308),
        st.sampled_from([0.0, -0.25, float("nan"), float("inf"), 1e300, 0.05, 5.0]),
    )
)
def test_an_absurd_scale_from_the_user(whole, place, mpp):
    folder = place()
    done = require_all_or_one_line(whole["tiff"], folder / "out", mpp)
    assert done == (0.05 <= mpp <= 5)


def test_levels_without_a_pixel(place, slide_writers, tissue):
    folder = place()
    for levels in ([(0, 0)], [SHAPE, (0, 5)], [(5, 0), (0, 5)]):
        path = folder / f"slide{len(levels)}{levels[0][0]}.zarr"
        slide_writers["zarr-0.4"][0](path, tissue(*SHAPE), levels=len(levels))
        for place_, (height, width) in enumerate(levels):
            described = json.loads((path / str(place_) / ".zarray").read_text())
            described["shape"] = [3, height, width]
            (path / str(place_) / ".zarray").write_text(json.dumps(described))
        assert not require_all_or_one_line(path, folder / "out")


@pytest.mark.parametrize("side", [2**63, 2**40, 2**31])
def test_sides_that_no_slide_has(place, slide_writers, tissue, side):
    folder = place()
    path = folder / "slide.zarr"
    slide_writers["zarr-0.4"][0](path, tissue(*SHAPE), levels=2)
    described = json.loads((path / "0" / ".zarray").read_text())
    described["shape"][1] = side
    (path / "0" / ".zarray").write_text(json.dumps(described))
    assert not require_all_or_one_line(path, folder / "out")


def test_the_whole_ones_are_outlined(whole, place):
    folder = place()
    for kind, path in whole.items():
        assert require_all_or_one_line(path, folder / kind)
