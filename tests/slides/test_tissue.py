import numpy as np
import pytest

from napari_uninuc.slides.overview import overview_of
from napari_uninuc.slides.tissue import find_tissue, tissue_mask


def test_overview_is_the_mean_over_area(opened, make_slide, tissue):
    rgb = tissue(640, 960)
    slide = opened(make_slide("tiff", rgb, levels=1))
    seen = overview_of(slide, 8.0)  # 32 px of 0.25
    assert seen.shape == (20, 30, 3)
    mean = rgb.reshape(20, 32, 30, 32, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(seen, mean, atol=1.01)


def test_overview_joins_its_blocks(opened, make_slide, tissue, monkeypatch):
    from napari_uninuc.slides import overview

    slide = opened(make_slide("ome-tiff", tissue(700, 1030)))
    whole = overview_of(slide, 3.3)
    monkeypatch.setattr(overview, "_PIXELS_AT_ONCE", 100**2)
    off = np.abs(overview_of(slide, 3.3).astype(int) - whole)
    assert off.max() <= 20  # of 255, at edges of blocks alone
    assert (off > 1).any(axis=2).mean() < 0.03


def test_tissue_is_told_from_glass(opened, make_slide, tissue, glass):
    slide = opened(make_slide("svs", glass(tissue(800, 900), (2000, 2600), at=(600, 500))))
    found = find_tissue(slide)
    truth = np.zeros((2000, 2600), bool)
    truth[600:1400, 500:1400] = True
    seen = truth.reshape(-1, 100, 26, 100).mean(axis=(1, 3)) > 0.5
    at = (np.arange(20) * 100 + 50, np.arange(26) * 100 + 50)
    rows, columns = (
        np.minimum((axis * 0.25 / found.mpp).astype(int), side - 1)
        for axis, side in zip(at, found.mask.shape, strict=True)
    )
    assert (found.mask[np.ix_(rows, columns)] == seen).mean() > 0.97
    assert found.area_mm2 == pytest.approx(truth.sum() * 0.25**2 / 1e6, rel=0.1)
    assert found.touches((0.0, 0.0, 100.0, 100.0)) is False
    assert found.touches((0.0, 0.0, 160.0, 160.0)) is True


@pytest.mark.parametrize("shape", [(200, 300), (9, 9)])
@pytest.mark.parametrize("level", [255, 243, 215])
def test_glass_alone_holds_no_tissue(level, shape):
    noise = np.random.default_rng(0).normal(level, 1.5, (*shape, 3))
    assert not tissue_mask(noise.clip(0, 255).astype(np.uint8), 8.0).any()


def test_a_slide_that_is_all_tissue_is_all_tissue(tissue):
    assert tissue_mask(tissue(512, 512)[::8, ::8], 2.0).mean() > 0.9


def test_holes_in_the_scan_are_no_tissue(tissue):
    rgb = np.full((200, 200, 3), 243, np.uint8)
    rgb[:, 100:] = 0
    assert not tissue_mask(rgb, 8.0).any()


def test_lumina_are_filled_and_dust_is_dropped():
    rgb = np.full((200, 200, 3), 243, np.uint8)
    rgb[50:150, 50:150] = (200, 120, 170)
    rgb[90:100, 90:100] = 243  # 80 um across
    rgb[10:12, 10:12] = 60
    mask = tissue_mask(rgb, 8.0)
    assert mask[95, 95]
    assert not mask[11, 11]
    assert mask.sum() == pytest.approx(100**2, rel=0.05)
