from dataclasses import replace

import pytest
import torch

from napari_uninuc.network.build import build_model
from napari_uninuc.network.config import ModelConfig, preset
from napari_uninuc.network.obedience import fit_box, obey_clicks
from napari_uninuc.network.uninuc import Embedding, UniNuc, WindowPrompts

SIZES = [(32, 32), (64, 96), (160, 32), (96, 224)]


def _config(name: str, tiny_config: ModelConfig) -> ModelConfig:
    return tiny_config if name == "tiny" else preset(name)


def _click(config: ModelConfig, size: tuple[int, int]) -> WindowPrompts:
    """A click in the middle of a window that is the whole input."""
    grid = (size[0] // config.coarse_stride, size[1] // config.coarse_stride)
    return WindowPrompts(
        torch.zeros(1, dtype=torch.long),
        torch.zeros((1, 2), dtype=torch.long),
        grid,
        torch.tensor([[[size[1] / 2, size[0] / 2], [0.0, 0.0]]]),
        torch.tensor([[1, -1]]),
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["uninuc-n", "tiny"])
@torch.no_grad()
def test_every_size_of_whole_cells_works(
    name: str, size: tuple[int, int], tiny_config: ModelConfig
) -> None:
    config = _config(name, tiny_config)
    model = build_model(config, seed=0).eval()
    embedding = model.encode(torch.randn(1, 3, *size))
    assert embedding.size_hw == size
    logits, ious = model.decode(embedding, _click(config, size))
    stride = config.logit_stride
    assert logits.shape == (1, 4, size[0] // stride, size[1] // stride)
    assert ious.shape == (1, 4)
    assert ((ious >= 0) & (ious <= 1)).all()
    output = model.detect(embedding)
    for scores, boxes in output.layers:
        assert scores.shape[:3] == boxes.shape[:3] == output.valid.shape
        assert torch.isfinite(scores).all()
        assert (boxes[..., 2:] > 0).all()
    assert output.dense[0].shape[-2:] == (size[0] // output.stride, size[1] // output.stride)
    assert output.valid.any()


def _with_trained_quality(model: UniNuc) -> None:
    torch.nn.init.normal_(model.sam_mask_decoder.hq_mlp.layers[-1].weight, std=0.1)


@torch.no_grad()
def test_quality_branch_starts_as_exactly_nothing(tiny_config: ModelConfig) -> None:
    plain = build_model(
        replace(tiny_config, mask=replace(tiny_config.mask, mshq=False)), seed=0
    ).eval()
    model = build_model(tiny_config, seed=1).eval()
    missing = model.load_state_dict(plain.state_dict(), strict=False).missing_keys
    additions = ("hq_token", "hq_mlp", "phi0", "phi1", "phi2")
    assert {name.split(".")[1] for name in missing} == set(additions)
    image, prompt = torch.randn(1, 3, 96, 64), _click(tiny_config, (96, 64))
    before = model.decode(model.encode(image, detection=False), prompt)[0]
    expected = plain.decode(plain.encode(image, detection=False), prompt)[0]
    assert torch.equal(before, expected)
    _with_trained_quality(model)
    trained = model.decode(model.encode(image, detection=False), prompt)[0]
    assert (trained - before).abs().max() > 1e-2


@torch.no_grad()
def test_refinement_starts_as_nothing_and_reads_clicks() -> None:
    config = preset("uninuc-n")
    model = build_model(config, seed=0).eval()
    refine = model.sam_mask_decoder.refine
    embedding, prompt = _encoded(model), _click(config, (64, 64))
    before = model.decode(embedding, prompt)[0]
    model.sam_mask_decoder.refine = None
    plain = model.decode(embedding, prompt)[0]
    assert not torch.equal(plain, before)  # a click is obeyed only where there is refinement
    obeyed = obey_clicks(plain, prompt.points_xy, prompt.labels, config.logit_stride)
    assert torch.equal(obeyed, before)
    model.sam_mask_decoder.refine = refine
    torch.nn.init.normal_(refine.layers[-1].weight, std=0.1)
    assert not torch.equal(model.decode(embedding, prompt)[0], before)


@torch.no_grad()
def test_a_tight_box_is_fitted_and_another_is_not() -> None:
    config = preset("uninuc-n")
    model = build_model(config, seed=0).eval()
    embedding, prompt = _encoded(model), _click(config, (64, 64))
    corners = torch.tensor([[[10.0, 12.0], [50.0, 40.0]]])
    loose = replace(prompt, points_xy=corners, labels=torch.tensor([[2, 3]]))
    tight = replace(loose, tight=True)
    expected = fit_box(
        model.decode(embedding, loose)[0], corners, loose.labels, config.logit_stride
    )
    fitted = model.decode(embedding, tight)[0]
    assert torch.equal(fitted, expected)
    assert torch.equal(model.decode(embedding, replace(prompt, tight=True))[0],
                       model.decode(embedding, prompt)[0])  # fmt: skip


def _encoded(model: UniNuc, **asked: bool) -> Embedding:
    torch.manual_seed(0)
    return model.encode(torch.randn(1, 3, 64, 64), **asked)


@torch.no_grad()
def test_text_moves_scores_and_its_absence_changes_nothing(tiny_config: ModelConfig) -> None:
    model = build_model(tiny_config, seed=0).eval()
    torch.manual_seed(1)
    embedding, words = _encoded(model), torch.randn(2, 8)
    without = model.detect(embedding).layers[-1][0]
    first, other = (model.detect(embedding, text).layers[-1][0] for text in (words, -words))
    assert first.shape == without.shape
    assert not torch.equal(first, without)
    assert not torch.equal(first, other)
    assert torch.equal(model.detect(embedding, None).layers[-1][0], without)
    # Attention knows no order of words.
    swapped = model.detect(embedding, words.flip(0)).layers[-1][0]
    torch.testing.assert_close(swapped, first, rtol=1e-4, atol=1e-5)


def test_model_without_text_ignores_it() -> None:
    model = build_model(preset("uninuc-n"), seed=0).eval()
    with torch.no_grad():
        embedding = _encoded(model)
        with_text = model.detect(embedding, torch.randn(2, 8)).layers[-1][0]
        assert torch.equal(with_text, model.detect(embedding).layers[-1][0])


@pytest.mark.parametrize("name", ["uninuc-n", "tiny"])
def test_groups_do_not_see_each_other(name: str, tiny_config: ModelConfig) -> None:
    config = _config(name, tiny_config)
    model = build_model(config, seed=0).eval()
    groups = config.detector.groups
    assert groups > 1
    embedding = _encoded(model)
    many, one = model.detect(embedding, groups=groups), model.detect(embedding)
    for (scores, boxes), (first_scores, first_boxes) in zip(many.layers, one.layers, strict=True):
        assert scores.shape[1] == boxes.shape[1] == groups
        torch.testing.assert_close(scores[:, :1], first_scores, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(boxes[:, :1], first_boxes, rtol=1e-4, atol=1e-3)
        assert not torch.equal(scores[:, 0], scores[:, 1])
    many.layers[-1][0].sum().backward()
    gradient = model.detector.content.grad
    assert (gradient.abs().sum(dim=1) > 0).all()


@torch.no_grad()
def test_detection_is_made_only_when_asked_for(tiny_config: ModelConfig) -> None:
    model = build_model(tiny_config, seed=0).eval()
    assert _encoded(model, detection=False).detection == ()
    assert len(_encoded(model).detection) == 3
