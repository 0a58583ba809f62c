"""Regions of a slide in a real window: drawn, corrected, listed, saved and brought back."""

import json

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from driving import centre_of
from npe2 import PluginManifest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog, QLineEdit, QMessageBox

import napari_uninuc
from napari_uninuc.core.nuclei import Status
from napari_uninuc.gui import contributions
from napari_uninuc.gui.contributions import read_slide_file
from napari_uninuc.gui.slides import region_sizes
from napari_uninuc.gui.slides.layer import slide_pixels_of
from napari_uninuc.io.filling import fill_polygon
from napari_uninuc.journal.folder import read_heading
from napari_uninuc.slides import vendor_slide
from napari_uninuc.slides.opening import open_slide
from napari_uninuc.slides.run import segment_slide
from napari_uninuc.slides.tiff_slide import TiffSlide
from napari_uninuc.testing import FakeAnnotator, make_tile

SHAPE = (900, 1200)
A = ((100.0, 200.0), (420.0, 640.0))
B = ((500.0, 700.0), (800.0, 1100.0))
LAYOUT = {"tile": (256, 256), "photometric": "rgb", "compression": "deflate"}


@pytest.fixture(scope="module")
def tissue():
    return make_tile(SHAPE, 700, seed=4)


def write_pyramid(path, rgb, mpp=0.25, levels=3):
    """An OME-TIFF whose levels are every second px of the one before."""
    scale = {} if mpp is None else {"PhysicalSizeX": mpp, "PhysicalSizeY": mpp}
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(rgb, subifds=levels - 1, metadata={"axes": "YXS", **scale}, **LAYOUT)
        for place in range(1, levels):
            coarse = np.ascontiguousarray(rgb[:: 2**place, :: 2**place])
            writer.write(coarse, subfiletype=1, metadata=None, **LAYOUT)
    return path


@pytest.fixture
def slide_file(tmp_path, tissue):
    return write_pyramid(tmp_path / "scan.ome.tif", tissue.tile.rgb)


class Bench:
    """A room with a slide in it."""

    def __init__(self, room, path):
        self.room, self.canvas = room, room.canvas
        self.panel = room.widget.regions
        self.slides = room.widget.slides
        room.widget.picture.show_slide(path)
        self.layer = room.widget.picture.image.value
        room.idle()

    @property
    def slide(self):
        return self.slides.current

    @property
    def camera(self):
        viewer = self.room.viewer
        return getattr(viewer, "scene", viewer).camera  # moved in napari 0.9

    @property
    def session(self):
        return self.room.session

    def draw(self, corners):
        """Press R and drag a rectangle, in px of the slide; wait until it can be worked at."""
        self.canvas.key(Qt.Key.Key_R)
        assert self.slides.drawing.tool.armed
        (y0, x0), (y1, x1) = corners
        self.canvas.drag([(y0, x0), ((y0 + y1) / 2, (x0 + x1) / 2), (y1, x1)], self.layer)
        self.room.idle()
        return self.slides.region

    def rows(self):
        shown = self.panel.list
        items = [shown.topLevelItem(place) for place in range(shown.topLevelItemCount())]
        return [[item.text(column) for column in range(4)] for item in items]

    def choose(self, place):
        self.panel.list.setCurrentItem(self.panel.list.topLevelItem(place))


@pytest.fixture
def slide_in(room):
    made = []

    def open_(path) -> Bench:
        made.append(Bench(room, path))
        return made[-1]

    yield open_
    for each in made:
        vars(each).clear()


@pytest.fixture
def bench(slide_in, slide_file):
    return slide_in(slide_file)


# -- opening --------------------------------------------------------------------------------


def test_a_slide_is_a_lazy_pyramid_to_scale(bench, tissue, monkeypatch):
    layer = bench.layer
    assert (layer.multiscale, layer.rgb, len(layer.data)) == (True, True, 3)
    np.testing.assert_allclose(layer.scale, 0.25)
    assert [str(unit) for unit in layer.units] == ["micrometer"] * 2
    np.testing.assert_array_equal(layer.data[0][70:80, 5:900], tissue.tile.rgb[70:80, 5:900])
    assert bench.slide.survey.tissue.mask.any()
    assert bench.panel.isVisible()


def test_showing_a_slide_whole_reads_nothing_of_its_finest_level(
    slide_in, tmp_path, tissue, monkeypatch
):
    read, original = [], TiffSlide.read

    def noted(self, level, box):
        read.append((level, box))
        return original(self, level, box)

    monkeypatch.setattr(TiffSlide, "read", noted)
    large = np.tile(tissue.tile.rgb, (3, 3, 1))
    bench = slide_in(write_pyramid(tmp_path / "large.ome.tif", large, levels=5))
    bench.canvas.shot()
    assert read
    assert not [box for level, box in read if level == 0]
    bench.draw(A)
    finest = [box for level, box in read if level == 0]
    _, (y1, x1) = A
    assert all(box[2] <= y1 + 520 and box[3] <= x1 + 520 for box in finest)


def test_napari_offers_slides_to_us_and_leaves_labels_alone(tmp_path, tissue, slide_file):
    from pathlib import Path

    manifest = PluginManifest.from_file(Path(napari_uninuc.__file__).with_name("napari.yaml"))
    manifest.validate_imports()
    (ours,) = [r for r in manifest.contributions.readers if r.command.endswith("read_slide_file")]
    assert {"*.svs", "*.ndpi", "*.tif", "*.tiff", "*.zarr"} <= set(ours.filename_patterns)
    ((data, described, kind),) = read_slide_file(str(slide_file))(str(slide_file))
    assert (kind, described["multiscale"], len(data)) == ("image", True, 3)
    data[0].pixels.close()
    plain = tmp_path / "tile.tif"
    tifffile.imwrite(plain, tissue.tile.rgb[:64, :80], photometric="rgb")
    ((pixels, described, kind),) = read_slide_file(str(plain))(str(plain))
    np.testing.assert_array_equal(pixels, tissue.tile.rgb[:64, :80])
    assert "multiscale" not in described
    labels = tmp_path / "labels.tif"
    tifffile.imwrite(labels, np.zeros((64, 80), np.int32))
    assert read_slide_file(str(labels)) is None
    assert read_slide_file([str(slide_file)]) is None


def test_a_slide_without_scale_is_asked_for_it(slide_in, tmp_path, tissue, said):
    bench = slide_in(write_pyramid(tmp_path / "bare.ome.tif", tissue.tile.rgb, mpp=None))
    assert bench.slide.mpp is None
    assert "does not say how large a pixel is" in bench.panel.hint.text()
    assert not bench.panel.draw.isEnabled()
    bench.canvas.key(Qt.Key.Key_R)
    assert not bench.slides.drawing.tool.armed
    assert "enter its size under Picture" in said[-1]
    field = bench.room.widget.picture.mpp
    field.setValue(7.0)
    field.editingFinished.emit()
    assert "between 0.05 and 5" in said[-1]
    field.setValue(0.25)
    field.editingFinished.emit()
    bench.room.idle()
    np.testing.assert_allclose(bench.layer.scale, 0.25)
    assert bench.slide.survey is not None
    bench.draw(A)
    assert bench.session.tile.mpp == 0.25
    assert not field.isEnabled()  # regions were cut by it


def test_a_damaged_tile_is_white_and_said_once(slide_in, tmp_path, tissue, said):
    path = write_pyramid(tmp_path / "cut.ome.tif", tissue.tile.rgb, levels=2)
    with tifffile.TiffFile(path) as tif:
        offsets = tif.series[0].levels[0].pages[0].dataoffsets
    with path.open("r+b") as file:
        for offset in offsets[-3:]:
            file.seek(offset)
            file.write(b"\xff" * 64)
    bench = slide_in(path)
    corner = bench.layer.data[0][-20:, -20:]
    assert (corner == 255).all()
    assert (bench.layer.data[0][-200:-180, -20:] == 255).all()
    assert len([text for text in said if "cannot be decoded" in text]) == 1


# -- drawing --------------------------------------------------------------------------------


def test_a_dragged_rectangle_becomes_a_region_in_its_exact_place(bench, tissue):
    region = bench.draw(A)
    y0, x0, y1, x1 = region.place.box_yxyx
    for drawn, got in zip(np.ravel(A), (y0, x0, y1, x1), strict=True):
        assert abs(drawn - got) < 4  # screen px are 1.5 px of the slide here
    tile = bench.session.tile
    np.testing.assert_array_equal(tile.rgb, tissue.tile.rgb[y0:y1, x0:x1])
    assert (tile.mpp, tile.origin_yx_slide, tile.place) == (0.25, (y0, x0), region.place)
    assert tile.name == "scan.ome, Region 1"
    bench.room.outline()
    nuclei = bench.room.bench.desk.bridge.nuclei
    assert len(bench.session.labels) > 20
    for id_ in list(bench.session.labels.nuclei)[:20]:
        y, x = centre_of(bench.session.labels, id_)
        seen = bench.layer.world_to_data(nuclei.data_to_world((y, x)))
        np.testing.assert_allclose(seen, (y + y0, x + x0), atol=1e-6)
        assert tissue.labels[round(y + y0), round(x + x0)]


def test_a_finer_slide_is_cut_at_the_models_level_and_lies_exactly(slide_in, tmp_path, tissue):
    path = write_pyramid(
        tmp_path / "fine.ome.tif", tissue.tile.rgb.repeat(2, 0).repeat(2, 1), 0.125
    )
    bench = slide_in(path)
    region = bench.draw(((200.0, 400.0), (640.0, 1000.0)))
    tile, (y0, x0, y1, x1) = bench.session.tile, region.place.box_yxyx
    assert (region.place.level, tile.downsample, tile.mpp) == (1, 2.0, 0.25)
    np.testing.assert_array_equal(tile.rgb, tissue.tile.rgb[y0 // 2 : y1 // 2, x0 // 2 : x1 // 2])
    nuclei = bench.room.bench.desk.bridge.nuclei
    corners = nuclei.data_to_world((-0.5, -0.5)), nuclei.data_to_world(np.add(tile.shape, -0.5))
    for corner, wanted in zip(corners, ((y0, x0), (y1, x1)), strict=True):
        np.testing.assert_allclose(bench.layer.world_to_data(corner), np.subtract(wanted, 0.5))


def test_what_is_done_to_a_tile_can_be_done_to_a_region(bench, tissue):
    region = bench.draw(A)
    y0, x0, y1, x1 = region.place.box_yxyx
    inside = [
        (y, x) for y, x in tissue.centres_yx if y0 + 30 < y < y1 - 30 and x0 + 30 < x < x1 - 30
    ]
    bench.canvas.click(inside[0], bench.layer)  # px of the slide
    bench.room.until(lambda: bench.session.hand.draft and bench.session.hand.draft.answered)
    bench.canvas.key(Qt.Key.Key_Return)
    (id_,) = bench.session.labels.nuclei
    y, x = inside[0]
    assert bench.session.labels.at((y - y0, x - x0)) == id_
    bench.canvas.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not len(bench.session.labels)
    bench.room.outline()
    bench.canvas.key(Qt.Key.Key_N)
    bench.canvas.key(Qt.Key.Key_A)
    rows = bench.session.labels.nuclei.values()
    assert sum(row.status is Status.REVIEWED for row in rows) == 1


def test_esc_puts_the_tool_away_and_gives_the_canvas_back(bench):
    bench.draw(A)
    tools = bench.room.bench.desk.tools
    bench.canvas.key(Qt.Key.Key_R)
    assert bench.slides.drawing.tool.armed
    assert not tools.active
    bench.canvas.key(Qt.Key.Key_Escape)
    assert not bench.slides.drawing.tool.armed
    assert tools.active
    bench.panel.draw.click()
    assert bench.slides.drawing.tool.armed
    bench.canvas.key(Qt.Key.Key_R)
    assert not bench.slides.drawing.tool.armed
    assert len(bench.slide.regions) == 1


def test_a_drag_that_was_given_up_draws_nothing(bench):
    bench.canvas.key(Qt.Key.Key_R)
    bench.canvas.press(A[0], bench.layer)
    bench.canvas.move(A[1], bench.layer, buttons=Qt.MouseButton.LeftButton)
    bench.canvas.key(Qt.Key.Key_Escape)
    bench.canvas.release(A[1], bench.layer)
    bench.room.idle()
    assert not bench.slide.regions


def test_regions_too_small_too_large_or_beside_the_slide_are_refused(bench, said, monkeypatch):
    bench.draw(((100.0, 100.0), (130.0, 400.0)))
    assert "at least 64 x 64 px" in said[-1]
    assert bench.slides.drawing.tool.armed  # for the next try
    bench.canvas.key(Qt.Key.Key_R)
    bench.draw(((-60.0, 100.0), (-20.0, 400.0)))
    assert "beside it" in said[-1]
    bench.canvas.key(Qt.Key.Key_R)
    monkeypatch.setattr(region_sizes, "_free_bytes", lambda: 45_000_000)
    bench.draw(((50.0, 50.0), (800.0, 1000.0)))
    assert "up to 300 x 300 px fits in this machine's memory" in said[-1]
    assert not bench.slide.regions
    assert len(said) == 3


# -- several regions ------------------------------------------------------------------------


def test_regions_are_listed_gone_to_renamed_and_removed(bench, monkeypatch, qtbot):
    first = bench.draw(A)
    bench.room.outline()
    second = bench.draw(B)
    qtbot.wait(200)
    names, sizes, nuclei, done = zip(*bench.rows(), strict=True)
    assert names == ("Region 1", "Region 2")
    y0, x0, y1, x1 = first.place.box_yxyx
    assert sizes[0] == f"{(x1 - x0) / 4:,.0f} x {(y1 - y0) / 4:,.0f}"
    assert int(nuclei[0]) == len(bench.slides.session_of(first).labels) > 0
    assert (nuclei[1], done) == ("0", ("0 %", ""))
    bench.canvas.key(Qt.Key.Key_G)
    assert bench.slides.region is first
    centre = np.array(bench.camera.center[-2:]) / 0.25
    np.testing.assert_allclose(centre, ((y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2), atol=1)
    bench.canvas.key(Qt.Key.Key_G, Qt.KeyboardModifier.ShiftModifier)
    assert bench.slides.region is second
    item = bench.panel.list.topLevelItem(0)
    spot = bench.panel.list.visualItemRect(item).center()
    QTest.mouseClick(bench.panel.list.viewport(), Qt.MouseButton.LeftButton, pos=spot)
    QTest.mouseDClick(bench.panel.list.viewport(), Qt.MouseButton.LeftButton, pos=spot)
    assert bench.slides.region is first
    bench.choose(0)
    bench.panel.rename.click()
    (editor,) = bench.panel.list.findChildren(QLineEdit)
    editor.selectAll()
    QTest.keyClicks(editor, "margin")
    QTest.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: first.name == "margin")
    assert bench.slides.session_of(first).tile.name == "scan.ome, margin"
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.No)
    bench.choose(1)
    bench.panel.remove.click()
    assert len(bench.slide.regions) == 2
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    bench.choose(1)
    bench.panel.remove.click()
    assert [region.name for region in bench.slide.regions] == ["margin"]
    assert not [layer for layer in bench.room.viewer.layers if "Region 2" in layer.name]


def test_nuclei_of_all_regions_stay_in_view_and_a_click_goes_to_another(bench):
    first = bench.draw(A)
    bench.room.outline()
    bench.draw(B)
    desk = bench.room.bench.desk_of(first.layer)
    assert desk.bridge.nuclei.visible
    bench.canvas.settle()
    bench.canvas.click((250, 400), bench.layer)
    assert bench.slides.region is first
    bench.canvas.key(Qt.Key.Key_Escape)


def test_a_click_on_the_overview_goes_there(bench):
    overview = bench.panel.overview
    camera = bench.camera
    place = QPoint(overview.width() // 2, overview.height() // 4)
    QTest.mouseClick(overview, Qt.MouseButton.LeftButton, pos=place)
    y, x = np.array(camera.center[-2:]) / 0.25
    assert abs(y - SHAPE[0] / 4) < 12
    assert abs(x - SHAPE[1] / 2) < 12
    painted = overview.grab().toImage()
    blue = [
        painted.pixelColor(i, j).blue() > painted.pixelColor(i, j).red() + 80
        for i in range(painted.width())
        for j in range(painted.height())
    ]
    assert any(blue) or bench.slide.survey.tissue.mask.all()


def test_deleting_the_slide_layer_hides_the_panel_and_closes_the_file(bench):
    pixels = slide_pixels_of(bench.layer)
    bench.draw(A)
    bench.room.viewer.layers.remove(bench.layer)
    assert bench.slides.current is None
    assert not bench.panel.isVisible()
    assert pixels.slide._tif.filehandle.closed
    bench.room.outline()  # the region goes on as a picture
    assert len(bench.session.labels)


# -- files and disk -------------------------------------------------------------------------


def saved(bench, path):
    bench.room.bench.save(path)
    bench.room.idle()
    assert path.exists()
    return path


@pytest.mark.parametrize("step", [1, 2])
def test_exports_carry_places_on_the_slide(slide_in, tmp_path, tissue, step):
    rgb = tissue.tile.rgb.repeat(step, 0).repeat(step, 1)
    bench = slide_in(write_pyramid(tmp_path / "scan.ome.tif", rgb, 0.25 / step))
    region = bench.draw(tuple((y * step, x * step) for y, x in A))
    bench.room.outline()
    labels, (y0, x0, _, _) = bench.session.labels, region.place.box_yxyx
    found = json.loads(saved(bench, tmp_path / "a.geojson").read_text())
    assert len(found["features"]) == len(labels)
    for feature in found["features"][:30]:
        id_ = int(feature["properties"]["metadata"]["UniNuc: id"])
        crop = fill_polygon(feature["geometry"]["coordinates"], rgb.shape[:2], (0, 0))
        drawn = np.zeros(rgb.shape[:2], bool)
        (top, left), mask = crop
        drawn[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
        wanted = np.zeros_like(drawn)
        own = (labels.pixels == id_).repeat(step, 0).repeat(step, 1)
        wanted[y0 : y0 + own.shape[0], x0 : x0 + own.shape[1]] = own
        np.testing.assert_array_equal(drawn, wanted)
        assert feature["properties"]["measurements"]["UniNuc: area px^2"] == wanted.sum()
    table = pd.read_csv(saved(bench, tmp_path / "a.csv"))
    row = table.iloc[3]
    rows, columns = np.nonzero((labels.pixels == row["id"]).repeat(step, 0).repeat(step, 1))
    np.testing.assert_allclose(row["slide_y_px"], rows.mean() + y0, rtol=1e-5)
    np.testing.assert_allclose(row["slide_x_um"], (columns.mean() + x0) * 0.25 / step, rtol=1e-5)
    group = zarr.open_group(str(saved(bench, tmp_path / "a.ome.zarr")), mode="r")
    scale, move = group.attrs["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    assert scale["scale"] == [1.0, 0.25, 0.25]
    np.testing.assert_allclose(move["translation"], [0, y0 * 0.25 / step, x0 * 0.25 / step])


def test_a_region_of_a_scanned_part_counts_from_that_part(
    slide_in, tmp_path, tissue, monkeypatch, said
):
    """Of a slide in a frame, as Leica's and MIRAX are; an older result counts from the frame."""
    pytest.importorskip("openslide")
    path, (top, left) = tmp_path / "scan.svs", (130, 210)
    about = "Aperio Image Library v11\r\n1200x900 (256x256)|AppMag = 40|MPP = 0.25"
    tifffile.imwrite(path, tissue.tile.rgb, description=about, metadata=None, **LAYOUT)
    whole = open_slide(path)
    segment_slide(whole, FakeAnnotator, tmp_path / "old")
    whole.close()
    scanned = (top, left, top + 700, left + 900)
    monkeypatch.setattr(vendor_slide, "_bounds", lambda properties, shape: scanned)
    bench = slide_in(path)
    assert bench.slide.levels[0].shape == (700, 900)
    assert bench.layer.data[0].shape == (700, 900, 3)
    region = bench.draw(((100, 200), (420, 640)))
    y0, x0, y1, x1 = region.place.box_yxyx
    part = tissue.tile.rgb[top + y0 : top + y1, left + x0 : left + x1]
    np.testing.assert_array_equal(bench.session.tile.rgb, part)
    bench.room.outline()
    found = json.loads(saved(bench, tmp_path / "a.geojson").read_text())["features"]
    corners = np.concatenate([feature["geometry"]["coordinates"][0] for feature in found])
    assert (corners.min(axis=0) >= (x0, y0)).all()
    assert (corners.max(axis=0) <= (x1, y1)).all()
    bench.slides.add_result(tmp_path / "old")
    bench.room.idle()
    assert bench.slide.result is None
    assert any("counts from [0, 0]" in text for text in said)


def test_a_slide_of_jpeg_tiles_opens_as_a_slide(slide_in, tmp_path, tissue):
    path = tmp_path / "jpeg.ome.tif"
    layout = LAYOUT | {"compression": "jpeg"}
    scale = {"axes": "YXS", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(tissue.tile.rgb, subifds=1, metadata=scale, **layout)
        coarse = np.ascontiguousarray(tissue.tile.rgb[::4, ::4])
        writer.write(coarse, subfiletype=1, metadata=None, **layout)
    bench = slide_in(path)
    assert bench.layer.multiscale
    np.testing.assert_array_equal(bench.layer.data[0][:, :], tifffile.imread(path))


def test_what_a_picture_lacks_is_told_in_the_window(tmp_path, tissue, monkeypatch):
    told: list[str] = []
    monkeypatch.setattr(contributions, "warn", told.append)
    path = tmp_path / "tiles.tif"
    rgb = np.ascontiguousarray(tissue.tile.rgb[:512, :512])
    tiles = [rgb[:256, :256], None, rgb[256:, :256], rgb[256:, 256:]]
    with tifffile.TiffWriter(path) as writer:
        writer.write(
            (b"" if tile is None else tile.tobytes() for tile in tiles),
            shape=rgb.shape,
            dtype=np.uint8,
            tile=(256, 256),
            photometric="rgb",
        )
    read = read_slide_file(str(path))
    assert read is not None
    pixels = read(str(path))[0][0]
    assert (pixels[:256, 256:] == 255).all()
    np.testing.assert_array_equal(pixels[256:], rgb[256:])
    assert "1 of 4 tiles are missing" in told[0]


@pytest.mark.slow
def test_the_next_time_the_slide_is_opened_all_regions_come_back(make_room, slide_file):
    room = make_room()
    bench = Bench(room, slide_file)
    bench.draw(A)
    room.outline()
    chosen = sorted(bench.session.labels.nuclei)[:3]
    bench.session.delete(chosen[:1])
    bench.session.review(chosen[1:])
    left = [bench.session.labels.pixels.copy(), dict(bench.session.labels.nuclei)]
    bench.slides.rename(bench.slides.region, "margin")
    bench.draw(B)
    room.outline()
    room.until(lambda: room.bench.sessions.folder_of(bench.session) is not None)
    kept = room.bench.sessions.folder_of(bench.session)
    assert read_heading(kept).slide == bench.session.tile.place
    vars(bench).clear()
    room.close()
    room.viewer.layers.clear()
    again = Bench(make_room(), slide_file)
    assert again.panel.bring_back.isVisible()
    assert again.panel.bring_back.text() == "Bring back 2 regions"
    assert "You worked at 2 regions" in again.panel.earlier.text()
    again.panel.bring_back.click()
    again.room.idle()
    assert not again.panel.bring_back.isVisible()
    assert [region.name for region in again.slide.regions] == ["margin", "Region 2"]
    session = again.slides.session_of(again.slide.regions[0])
    np.testing.assert_array_equal(session.labels.pixels, left[0])
    assert dict(session.labels.nuclei) == left[1]
    region = again.draw(((460.0, 60.0), (600.0, 300.0)))
    assert region.name == "Region 3"
    vars(again).clear()


def test_not_now_leaves_earlier_regions_on_disk(make_room, slide_file):
    room = make_room()
    bench = Bench(room, slide_file)
    bench.draw(A)
    room.outline()
    vars(bench).clear()
    room.close()
    room.viewer.layers.clear()
    again = Bench(make_room(), slide_file)
    assert again.panel.bring_back.text() == "Bring back 1 region"
    again.panel.not_now.click()
    assert not again.panel.bring_back.isVisible()
    assert not again.slide.regions
    vars(again).clear()


# -- the result of a whole slide ------------------------------------------------------------


def test_a_result_is_corrected_in_a_region_and_merged_back(
    slide_in, slide_file, tmp_path, said, monkeypatch
):
    out = tmp_path / "out"
    slide = open_slide(slide_file)
    segment_slide(slide, FakeAnnotator, out)
    slide.close()
    bench = slide_in(slide_file)
    panel = bench.room.widget.result
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    panel.add.click()
    bench.room.idle()
    assert "expected the output folder" in said[-1]
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(out))
    panel.add.click()
    bench.room.idle()
    shown, result = bench.slide.result_layer, bench.slide.result
    assert shown.multiscale
    assert shown.name == "result: out"
    before = np.asarray(shown.data[0][...])
    assert not panel.merge.isEnabled()
    region = bench.draw(A)
    y0, x0, y1, x1 = region.place.box_yxyx
    np.testing.assert_array_equal(bench.session.labels.pixels, before[y0:y1, x0:x1])
    assert (region.place.result, region.place.own_from) == (result.key, before.max() + 1)
    deleted = sorted(set(np.unique(before[y0 + 40 : y1 - 40, x0 + 40 : x1 - 40]).tolist()) - {0})[
        :5
    ]
    bench.session.delete(deleted)
    assert panel.merge.text() == "Merge Region 1 back"
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    panel.merge.click()
    bench.room.idle()
    assert said[-1] == "Region 1 is merged back: 0 nuclei changed, 0 added, 5 removed."
    wanted = np.where(np.isin(before, deleted), 0, before)
    np.testing.assert_array_equal(np.asarray(shown.data[0][...]), wanted)
    assert set(result.ids().tolist()) == set(np.unique(wanted).tolist()) - {0}
    assert not panel.bar.isVisible()
    bench.room.viewer.layers.remove(shown)
    assert not panel.add.isHidden()  # on its page; the region's is shown


def test_regions_drawn_before_the_first_is_read_have_names_of_their_own(bench, said):
    for box in ((40, 60, 240, 300), (300, 100, 480, 300)):
        bench.slides.drawing.add(bench.slide, 0, box)
    bench.room.idle()
    assert [row.name for row in bench.slide.regions] == ["Region 1", "Region 2"]
    assert not bench.slide.coming
    bench.slides.drawing.add(bench.slide, 0, (0, 0, 10**6, 10**6))  # cannot be read
    bench.room.idle()
    assert "must lie in" in said[-1]
    assert bench.slide.free_name() == "Region 3"
