"""QuPath's extension, as an independent client from the protocol's description has it."""

import json

import numpy as np
import pytest
from qupath import (
    automask_body,
    box_body,
    check,
    gson,
    png_of,
    point_body,
    raster,
    rings_of,
    sam3_body,
)

from napari_uninuc import __version__
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.prompts import Answer, Prompt
from napari_uninuc.core.tile import Tile
from napari_uninuc.serve.answers import alike, outline_meant, outline_steps
from napari_uninuc.serve.scale import Scale
from napari_uninuc.serve.shapes import feature_of_prompt
from napari_uninuc.testing import FakeAnnotator, FakeCard, make_tile
from napari_uninuc.testing.tissue import EOSIN, HAEMATOXYLIN, ellipse

TYPES = ["vit_h", "vit_l", "vit_b", "vit_t", "sam2_l", "sam2_bp", "sam2_s", "sam2_t", "sam3"]
BASES = ["/sam/", "/sam", "/0.25um/sam/", "/0.5um/sam"]


def whole(mask, shape):
    painted = np.zeros(shape, bool)
    y0, x0, y1, x1 = mask.box_yxyx
    painted[y0:y1, x0:x1] = mask.mask
    return painted


def drained(steps):
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("type_", TYPES)
def test_weights_are_never_empty(server, base, type_):
    base = base if base.endswith("/") else f"{base}/"
    status, body = server.qupath(base).send("GET", f"{base}weights/?type={type_}")
    assert status == 200
    assert json.loads(body) == [{"type": type_, "name": "fake", "url": "uninuc:fake"}]


@pytest.mark.parametrize("path", ["/sam/weights/", "/sam/weights", "/samweights/"])
def test_weights_without_a_type_are_those_of_all(server, path):
    status, body = server.qupath().send("GET", path)
    assert status == 200
    assert [each["type"] for each in json.loads(body)] == TYPES


def test_what_is_registered_is_not_fetched(server):
    body = json.dumps({"type": "vit_b", "name": "x", "url": "http://127.0.0.1:9/weights.pth"})
    status, text = server.qupath().send("POST", "/sam/weights/", body)
    assert status == 200
    assert b"own model" in text


def test_the_small_addresses(server):
    send = server.qupath().send
    assert send("GET", "/sam/version/") == (200, __version__.encode())
    assert send("GET", "/sam/weights/cancel/")[0] == 200
    status, body = send("GET", "/sam/progress/")
    assert (status, json.loads(body)) == (200, {"message": None, "percent": -1})
    for name in ("upload", "video", "sam3video"):
        assert send("POST", f"/sam/{name}/", b"{}")[0] == 404
    assert send("GET", "/sam/")[0] == 405
    assert send("GET", "/elsewhere")[0] == 404


@pytest.mark.parametrize("base", BASES)
def test_a_box_gives_one_annotation_with_the_engines_own_pixels(server, tissue, png, box_of, base):
    x0, y0, x1, y1 = box_of(7)
    (feature,) = server.qupath(base).prompt(box_body(png, [x0, y0, x1, y1]))
    check(feature, tissue.tile.shape)
    answer = FakeAnnotator().answer(tissue.tile, Prompt(box_yxyx=(y0, x0, y1, x1)))
    expected = whole(answer.mask, tissue.tile.shape)
    assert expected.any()
    np.testing.assert_array_equal(raster(feature, tissue.tile.shape), expected)
    properties = feature["properties"]
    assert properties["objectType"] == "annotation"
    assert "classification" not in properties
    assert properties["quality"] == pytest.approx(answer.mask.predicted_iou, abs=1e-4)


def test_points_of_both_kinds(server, tissue, png):
    (y, x) = (round(value) for value in tissue.centres_yx[3])
    coords, labels = [[x + 9, y], [x, y]], [0, 1]
    (feature,) = server.qupath().prompt(point_body(png, coords, labels))
    check(feature, tissue.tile.shape)
    prompt = Prompt(((float(y), float(x + 9)), (float(y), float(x))), (False, True))
    answer = FakeAnnotator().answer(tissue.tile, prompt)
    shape = tissue.tile.shape
    np.testing.assert_array_equal(raster(feature, shape), whole(answer.mask, shape))


def test_outside_points_are_told_only_where_they_matter():
    """As often as it takes, and not for ever."""
    asked = []

    class Stubborn:
        def answer(self, tile, prompt):
            asked.append(prompt.points_yx)
            mask = np.zeros((20, 20), bool)
            mask[:, : 5 * len(prompt.points_yx)] = True
            return Answer(InstanceMask((10, 10), mask, 1.0, 0, 1.0), None)

    points = ((12.0, 11.0), (12.0, 14.0), (12.0, 19.0), (12.0, 29.0), (2.0, 2.0), (12.0, 60.0))
    prompt = Prompt(points, (True, *[False] * 5))
    outline_meant(Stubborn(), Tile.from_array(np.zeros((64, 64, 3), np.uint8)), prompt)
    assert asked == [points[:1], points[:2], points[:3]]


def test_a_box_with_background_points_and_corners_in_any_order(server, tissue, png, box_of):
    x0, y0, x1, y1 = box_of(5)
    more = {"point_coords": [[5, 9]], "point_labels": [0]}
    ordered = server.qupath().prompt(box_body(png, [x0, y0, x1, y1], **more))
    turned = server.qupath().prompt(box_body(png, [x1, y1, x0, y0], **more))
    assert len(ordered) == 1
    assert ordered == turned


def test_a_box_past_the_border_is_cut_and_one_outside_means_nothing(server, tissue, png):
    (feature,) = server.qupath().prompt(box_body(png, [-30, -20, 60, 70]))
    check(feature, tissue.tile.shape)
    assert server.qupath().prompt(box_body(png, [300, 300, 320, 330])) == []
    assert server.qupath().prompt(box_body(png, [-30, -30, -5, -5])) == []


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"point_coords": [[5, 9]], "point_labels": [0]},
        {"point_coords": [[500, 9]], "point_labels": [1]},
        {"point_coords": [], "point_labels": []},
    ],
    ids=["neither", "background", "outside", "empty"],
)
def test_what_means_nothing_is_answered_by_an_empty_list(server, png, fields):
    assert server.qupath().prompt(gson(type="vit_b", b64img=png, **fields)) == []
    assert server.said[-1].startswith("a prompt without")


def test_floats_are_cut_and_unknown_fields_ignored(server, tissue, png, box_of):
    box = box_of(4)
    exact = server.qupath().prompt(box_body(png, box))
    floats = server.qupath().prompt(box_body(png, [side + 0.7 for side in box], colour="red"))
    assert exact == floats


def test_all_nuclei_are_detections_with_class_score_and_measurements(server, tissue, png):
    found = server.qupath("/0.25um/sam/").post("automask", automask_body(png))
    expected = drained(outline_steps(FakeAnnotator(), tissue.tile))
    assert len(found) == len(expected.table) > 20
    labels = np.zeros(tissue.tile.shape, int)
    for feature, row in zip(found, expected.table.itertuples(), strict=True):
        check(feature, tissue.tile.shape)
        labels[raster(feature, tissue.tile.shape)] = row.id
        properties = feature["properties"]
        assert properties["objectType"] == "detection"
        assert properties["classification"]["name"] == "nucleus"
        assert properties["quality"] == pytest.approx(row.predicted_iou, abs=1e-4)
        measured = properties["measurements"]
        assert measured["UniNuc: score"] == pytest.approx(row.score)
        area = int((expected.labels == row.id).sum())
        assert measured["UniNuc: area px^2"] == area
        assert measured["UniNuc: area µm^2"] == pytest.approx(area / 16)
    np.testing.assert_array_equal(labels, expected.labels)


def test_thresholds_of_automask(server, png):
    everything = server.qupath().post("automask", automask_body(png))
    quality = sorted(feature["properties"]["quality"] for feature in everything)
    middle = quality[len(quality) // 2]
    sure = server.qupath().post("automask", automask_body(png, pred_iou_thresh=middle + 1e-4))
    assert 0 < len(sure) < len(everything)
    assert all(feature["properties"]["quality"] >= middle for feature in sure)
    area = "UniNuc: area px^2"
    areas = sorted(each["properties"]["measurements"][area] for each in everything)
    large = server.qupath().post("automask", automask_body(png, min_mask_region_area=areas[-3]))
    assert sorted(each["properties"]["measurements"][area] for each in large) == areas[-3:]


def test_an_empty_picture_has_no_nuclei(server):
    glass = png_of(np.full((80, 90, 3), 240, np.uint8))
    assert server.qupath().post("automask", automask_body(glass)) == []


def test_holes_and_parts_are_kept():
    mask = np.zeros((9, 12), bool)
    mask[1:6, 1:6] = True
    mask[3, 3] = False
    mask[7:9, 8:11] = True
    instance = InstanceMask((4, 5), mask, 1.0, 0, 0.8)
    (feature,) = feature_of_prompt(instance, "fake", Scale(0.25, False))
    check(feature, (40, 40))
    assert sorted(len(polygon) for polygon in rings_of(feature)) == [1, 2]
    np.testing.assert_array_equal(raster(feature, (40, 40)), whole(instance, (40, 40)))
    assert (
        feature_of_prompt(InstanceMask((0, 0), mask & False, 1, 0, 0), "f", Scale(1, False)) == []
    )


def test_a_region_at_another_zoom_lies_where_it_should(server, box_of, tissue, png):
    """Corners times downsample plus the region's origin, as the client reckons."""
    (feature,) = server.qupath().prompt(box_body(png, box_of(7)))
    on_slide = np.array(rings_of(feature)[0][0]) * 2.0 + (1000, 3000)
    rows, columns = np.nonzero(raster(feature, tissue.tile.shape))
    assert on_slide.min(axis=0).tolist() == [columns.min() * 2 + 1000, rows.min() * 2 + 3000]
    assert on_slide.max(axis=0).tolist() == [
        (columns.max() + 1) * 2 + 1000,
        (rows.max() + 1) * 2 + 3000,
    ]


def test_one_encoding_answers_all_and_two_clients_do_not_undo_each_others(server, png, box_of):
    other = png_of(make_tile((256, 256), 30, seed=5).tile.rgb)
    qupath = server.qupath("/0.25um/sam/")
    for _ in range(3):
        for picture in (png, other):
            qupath.prompt(box_body(picture, box_of(7)))
    assert server.engine.calls.count("encode") == 2
    assert server.engine.calls.count("answer") == 6


def test_the_same_pixels_in_another_file_are_the_same_picture(server, tissue, png, box_of):
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(tissue.tile.rgb).save(stream, format="PNG", compress_level=1)
    assert stream.getvalue() != png
    for picture in (png, stream.getvalue()):
        server.qupath("/0.25um/sam/").prompt(box_body(picture, box_of(7)))
    assert server.engine.calls.count("encode") == 1


def test_pixel_size_is_stated_in_the_address_or_guessed_and_said(running, png, box_of):
    seen = []

    class Spy(FakeAnnotator):
        def answer(self, tile, prompt):
            seen.append(tile.mpp)
            return super().answer(tile, prompt)

    with running(Spy()) as server:
        (stated,) = server.qupath("/0.5um/sam/").prompt(box_body(png, box_of(7)))
        assert seen == [0.5]
        assert server.said == []
        assert stated["properties"]["metadata"]["UniNuc: pixel size"] == "0.5 µm"
        assert "UniNuc: area µm^2" in stated["properties"]["measurements"]
        (guessed,) = server.qupath("/sam/").prompt(box_body(png, box_of(7)))
        assert "guessed" in guessed["properties"]["metadata"]["UniNuc: pixel size"]
        assert "UniNuc: area µm^2" not in guessed["properties"]["measurements"]
        (line,) = server.said
        assert f"/{seen[-1]:g}um/sam/" in line
        server.qupath("/sam/").prompt(box_body(png, box_of(8)))
        assert len(server.said) == 1  # once a picture
        for wrong in ("/0um/sam/", "/99um/sam/", "/0.0001um/sam/"):
            assert server.qupath(wrong).send("POST", wrong, box_body(png, box_of(7)))[0] == 404


def two_sizes():
    """Six small and six large nuclei; ids from 1 on, small ones first."""
    rgb = np.full((200, 220, 3), EOSIN, np.float64)
    labels = np.zeros((200, 220), int)
    for k in range(12):
        centre = (25 + 50 * (k // 4), 30 + 50 * (k % 4))
        inside = ellipse(labels.shape, centre, np.full(2, 6.0 if k % 2 else 14.0))
        rgb[inside], labels[inside] = HAEMATOXYLIN, k + 1
    return rgb.astype(np.uint8), labels


def test_example_boxes_find_what_is_like_them(server):
    rgb, labels = two_sizes()
    box = [30 - 15, 25 - 15, 31, 31]  # x, y, width, height around the first, a large one
    found = server.qupath().post("sam3", sam3_body(png_of(rgb), positive=[box]))
    assert {feature["properties"]["objectType"] for feature in found} == {"detection"}
    ids = {int(labels[raster(feature, labels.shape)].max()) for feature in found}
    assert ids == {1, 3, 5, 7, 9, 11}
    assert all(each["properties"]["measurements"]["UniNuc: likeness"] >= 0.4 for each in found)
    small = [80 - 8, 25 - 8, 17, 17]
    others = server.qupath().post("sam3", sam3_body(png_of(rgb), positive=[small], negative=[box]))
    assert {int(labels[raster(f, labels.shape)].max()) for f in others} == {2, 4, 6, 8, 10, 12}
    strict = sam3_body(png_of(rgb), positive=[box], threshold=1.0)
    assert len(server.qupath().post("sam3", strict)) <= len(found)


def test_others_are_answered_between_example_boxes():
    rgb, _ = two_sizes()
    tile, engine = Tile.from_array(rgb, 0.25), FakeAnnotator()
    nuclei = drained(outline_steps(engine, tile))
    boxes = [(10.0, 15.0, 41.0, 46.0)] * 5
    engine.calls.clear()
    steps = alike(engine, tile, nuclei, boxes[:3], boxes[3:])
    for done in range(5):
        assert next(steps) == (done, 5)
        assert engine.calls.count("answer") == done


@pytest.mark.parametrize("text", ["nucleus", "Nuclei", " cells "])
def test_words_for_every_nucleus(server, png, text):
    found = server.qupath().post("sam3", sam3_body(png, text))
    assert len(found) == len(server.qupath().post("automask", automask_body(png)))


def test_words_for_a_class_and_words_nobody_knows(server, png):
    assert server.qupath().post("sam3", sam3_body(png, "tumour")) == []  # known; none is here
    assert not any("nobody knows" in line for line in server.said)
    assert server.qupath().post("sam3", sam3_body(png, "Jane Doe")) == []
    assert "known are nucleus, tumour" in server.said[-1]
    assert not any("Jane" in line for line in server.said)
    assert server.qupath().post("sam3", sam3_body(png)) == []


def test_nuclei_of_a_class_alone(running, png):
    class Sorted(FakeAnnotator):
        def segment_steps(self, tile, field, score_threshold):
            from dataclasses import replace

            found = yield from super().segment_steps(tile, field, score_threshold)
            return [
                one._replace(mask=replace(one.mask, class_id=k % 2)) for k, one in enumerate(found)
            ]

    with running(Sorted(FakeCard(classes=("lymphocyte", "tumour")))) as server:
        found = server.qupath().post("sam3", sam3_body(png, "Lymphocytes"))
        everything = server.qupath().post("automask", automask_body(png))
        names = [each["properties"]["classification"]["name"] for each in everything]
        assert {each["properties"]["classification"]["name"] for each in found} == {"lymphocyte"}
        assert len(found) == names.count("lymphocyte")


def test_progress_of_a_run(running, png):
    with running(FakeAnnotator(field_size=64, halo=8)) as server, server.engine.held("segment"):
        from threading import Thread

        found = []
        asking = Thread(
            target=lambda: found.extend(server.qupath().post("automask", automask_body(png)))
        )
        asking.start()
        while True:
            told = json.loads(server.qupath().send("GET", "/sam/progress/")[1])
            if told["percent"] >= 0:
                break
        assert told["message"] == "Outlining nuclei"
        server.engine._gates["segment"].set()
        asking.join()
    assert found


def test_the_picture_is_laid_over_white_where_it_is_transparent(server, tissue, png, box_of):
    alpha = np.full((*tissue.tile.shape, 1), 255, np.uint8)
    rgba = png_of(np.concatenate([tissue.tile.rgb, alpha], axis=2))
    expected = server.qupath().prompt(box_body(png, box_of(7)))
    assert server.qupath().prompt(box_body(rgba, box_of(7))) == expected
    assert Tile.from_array(tissue.tile.rgb).digest == tissue.tile.digest
