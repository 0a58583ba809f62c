"""The bundled model behind the server answers as it does everywhere else."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from qupath import automask_body, box_body, check, png_of, point_body, raster, rings_of, sam3_body
from scipy import ndimage
from skimage import data

from napari_uninuc.client.address import ServerAddress
from napari_uninuc.client.annotator import connect
from napari_uninuc.core.prompts import Prompt
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.annotator import load_annotator
from napari_uninuc.engine.predictor import Predictor
from napari_uninuc.serve import scale
from napari_uninuc.serve.answers import mask_of

RGB = np.ascontiguousarray(data.immunohistochemistry()[100:292, 80:240])
SHAPE = RGB.shape[:2]


@pytest.fixture(scope="module")
def server(running):
    with running(load_annotator("uninuc-n", "cpu")) as made:
        yield made


@pytest.fixture(scope="module")
def labels(server):
    predictor = Predictor(server.engine.engine)
    predictor.set_image(RGB, mpp=0.25)
    return predictor.segment()


def test_automask_is_what_the_predictor_outlines(server, labels):
    found = server.qupath("/0.25um/sam/").post("automask", automask_body(png_of(RGB)))
    assert len(found) == len(labels.table) > 5
    painted = np.zeros(SHAPE, int)
    for feature, row in zip(found, labels.table.itertuples(), strict=True):
        check(feature, SHAPE)
        painted[raster(feature, SHAPE)] = row.id
        assert feature["properties"]["quality"] == pytest.approx(row.predicted_iou, abs=1e-4)
    np.testing.assert_array_equal(painted, labels.labels)


def test_a_box_is_what_the_window_answers(server, labels):
    y0, x0, y1, x1 = labels.table.loc[0, ["y0", "x0", "y1", "x1"]].tolist()
    (feature,) = server.qupath("/0.25um/sam/").prompt(box_body(png_of(RGB), [x0, y0, x1, y1]))
    answer = server.engine.answer(Tile.from_array(RGB, 0.25), Prompt(box_yxyx=(y0, x0, y1, x1)))
    expected = np.zeros(SHAPE, bool)
    top, left, bottom, right = answer.mask.box_yxyx
    expected[top:bottom, left:right] = answer.mask.mask
    np.testing.assert_array_equal(raster(feature, SHAPE), expected)


def test_background_points_elsewhere_in_the_picture_spoil_no_outline(server, labels):
    """QuPath sends all of them with every box and point."""
    qupath, png, pixels = server.qupath("/0.25um/sam/"), png_of(RGB), labels.labels
    height, width = SHAPE
    far = [[x, y] for x in range(2, width, 12) for y in (2, height - 3) if not pixels[y, x]]
    assert len(far) > 4
    for row in labels.table.head(8).itertuples():
        box = [row.x0, row.y0, row.x1, row.y1]
        rows = np.argwhere(pixels == row.id)
        inside = rows[len(rows) // 2, ::-1].tolist()
        alone = qupath.prompt(box_body(png, box))
        more = {"point_coords": far, "point_labels": [0] * len(far)}
        assert alone
        assert qupath.prompt(box_body(png, box, **more)) == alone
        alone = qupath.prompt(point_body(png, [inside], [1]))
        assert qupath.prompt(point_body(png, [*far, inside], [0] * len(far) + [1])) == alone


def test_a_background_point_that_an_outline_covers_is_told(server, labels):
    png = png_of(RGB)
    first, second = labels.table.iloc[0], labels.table.iloc[1]
    box = [int(min(first[n], second[n])) for n in ("x0", "y0")]
    box += [int(max(first[n], second[n])) for n in ("x1", "y1")]
    qupath = server.qupath("/0.25um/sam/")
    (alone,) = qupath.prompt(box_body(png, box))
    y, x = (
        int(v) for v in np.argwhere(ndimage.binary_erosion(raster(alone, SHAPE), iterations=2))[0]
    )
    found = qupath.prompt(box_body(png, box, point_coords=[[x, y]], point_labels=[0]))
    assert not any(raster(feature, SHAPE)[y, x] for feature in found)


def test_examples_are_found_again_with_what_is_like_them(server, labels):
    y0, x0, y1, x1 = labels.table.loc[0, ["y0", "x0", "y1", "x1"]].tolist()
    body = sam3_body(png_of(RGB), positive=[[x0, y0, x1 - x0, y1 - y0]], threshold=0.3)
    found = server.qupath("/0.25um/sam/").post("sam3", body)
    assert 0 < len(found) < len(labels.table)
    rings = [np.array(rings_of(feature)[0][0]) for feature in found]
    assert any(ring.min(axis=0).tolist() == [x0, y0] for ring in rings)


def test_features_are_the_means_under_each_mask(server, labels):
    tile = Tile.from_array(RGB, 0.25)
    masks = [mask_of(labels, row) for row in range(len(labels.table))]
    rows = server.engine.features(tile, masks)
    assert rows.shape[0] == len(masks)
    assert np.isfinite(rows).all()
    alone = server.engine.features(tile, masks[3:4])
    np.testing.assert_allclose(alone[0], rows[3], rtol=1e-6)
    assert server.engine.features(tile, []).shape[0] == 0


@pytest.mark.parametrize(
    ("mpp", "brown"), [(0.25, None), (0.4, None), (None, False)], ids=["stated", "other", "none"]
)
def test_a_client_gets_what_the_model_says_here_to_the_last_bit(server, mpp, brown):
    """Nuclei, clicks, features and descriptions: classes taught on both sides are the same."""
    tile = replace(Tile.from_array(RGB, mpp), brown=brown)
    here, there = load_annotator("uninuc-n", "cpu"), connect(ServerAddress(server.url))
    (field,) = here.fields(tile)
    assert there.fields(tile) == [field]
    found, told = (each.segment_field(tile, field, 0.2) for each in (here, there))
    masks = [one.mask for one in found]
    assert len(found) == len(told) > 3
    for one, other in zip(found, told, strict=True):
        assert one.box_yxyx == other.box_yxyx
        assert one.mask.origin_yx == other.mask.origin_yx
        np.testing.assert_array_equal(one.mask.mask, other.mask.mask)
    prompt = Prompt(box_yxyx=masks[0].box_yxyx).with_point((40, 40), inside=False)
    np.testing.assert_array_equal(
        here.answer(tile, prompt).logits.logits, there.answer(tile, prompt).logits.logits
    )
    np.testing.assert_array_equal(here.features(tile, masks), there.features(tile, masks))
    rows = here.describe(tile, masks)
    assert rows.shape[1] > 100
    np.testing.assert_array_equal(rows, there.describe(tile, masks))
    few = rows.copy()
    few[2:] = np.nan  # some are known already: here the rest alone is described
    np.testing.assert_allclose(here.describe(tile, masks, few), rows, rtol=1e-4, atol=1e-4)
    here.close()
    there.close()


def drawn_nuclei():
    """Discs of 7 um in the colours of H&E, 512 px of 0.25 um."""
    ys, xs = np.mgrid[:512, :512]
    rgb = np.full((512, 512, 3), (236, 214, 226), float)
    rgb[(ys % 56 - 28) ** 2 + (xs % 56 - 28) ** 2 <= 14**2] = (96, 70, 140)
    rgb += np.random.default_rng(0).normal(0, 4, rgb.shape)
    return ndimage.gaussian_filter(rgb, (0.7, 0.7, 0)).clip(0, 255).astype(np.uint8)


def test_a_scale_is_guessed_from_the_nuclei(server):
    rgb = drawn_nuclei()
    half = np.asarray(Image.fromarray(rgb).resize((256, 256), Image.Resampling.BOX))
    guesses = [server.service.scales.guess(Tile.from_array(pixels)) for pixels in (rgb, half)]
    assert guesses == [scale.Scale(0.25, guessed=True), scale.Scale(0.5, guessed=True)]


def test_where_no_nucleus_is_the_models_own_scale_is_taken(server):
    glass = Tile.from_array(np.full((300, 300, 3), 240, np.uint8))
    assert server.service.scales.guess(glass) == scale.Scale(0.25, guessed=True)


def test_words_name_the_classes_of_a_classifier(running, server, labels, taught_by_size):
    """One that knows two classes, and takes the larger half of the nuclei for one of them."""
    masks = [mask_of(labels, row) for row in range(len(labels.table))]
    names = ("small", "large")
    offer = taught_by_size("mine", names, server.engine, masks, Tile.from_array(RGB, 0.25))
    with running(server.engine, classifiers=[offer]) as taught_server:
        qupath = taught_server.qupath("/0.25um/sam/")
        found = {name: qupath.post("sam3", sam3_body(png_of(RGB), text=name)) for name in "sl"}
        assert found == {"s": [], "l": []}
        small, big = (qupath.post("sam3", sam3_body(png_of(RGB), text=name)) for name in names)
    assert len(small) + len(big) == len(labels.table)
    assert {each["properties"]["classification"]["name"] for each in big} == {"large"}
    sizes = [np.mean([raster(each, SHAPE).sum() for each in group]) for group in (small, big)]
    assert sizes[0] < sizes[1]
