"""A small Hiera model, SAM 2's own model of the same size, and a server that knows ranges."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from sam2.modeling.backbones.hieradet import Hiera
from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
from sam2.modeling.position_encoding import PositionEmbeddingSine
from sam2.modeling.sam2_base import SAM2Base
from torch import nn

from napari_uninuc.network.config import PRESETS, DetectorConfig, HieraConfig, ModelConfig

TINY = "uninuc-tiny"


@pytest.fixture
def tiny_config() -> ModelConfig:
    """All parts of uninuc-s at a hundredth of its size, inputs of 256."""
    return replace(
        PRESETS["uninuc-s"],
        id=TINY,
        encoder=HieraConfig(16, 1, (1, 1, 2, 1), (3,), (7, 7), (8, 4, 14, 7)),
        detector=DetectorConfig(
            backbone="convnext_atto",
            dim=64,
            heads=4,
            layers=2,
            ffn_dim=64,
            queries=12,
            groups=3,
            block=128,
            base_size=24.0,
            text_dim=8,
        ),
        input_size=256,
    )


@pytest.fixture
def tiny_preset(tiny_config: ModelConfig, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make the small model a preset; its name."""
    monkeypatch.setitem(PRESETS, TINY, tiny_config)
    return TINY


@pytest.fixture
def build_sam2() -> Callable[[ModelConfig], SAM2Base]:
    """SAM 2.1's own model (facebookresearch/sam2, configs/sam2.1), random and nowhere zero.

    With the decoder's options that its `build_sam2` sets by default.
    """

    def build(config: ModelConfig) -> SAM2Base:
        hiera = config.encoder
        assert isinstance(hiera, HieraConfig)
        with torch.random.fork_rng():
            torch.manual_seed(1)
            trunk = Hiera(
                embed_dim=hiera.embed_dim,
                num_heads=hiera.num_heads,
                stages=hiera.stages,
                global_att_blocks=hiera.global_att_blocks,
                window_pos_embed_bkg_spatial_size=hiera.background_grid,
                window_spec=hiera.window_spec,
            )
            neck = FpnNeck(
                position_encoding=PositionEmbeddingSine(256),
                d_model=256,
                backbone_channel_list=list(reversed(hiera.channels)),
                fpn_top_down_levels=[2, 3],
                fpn_interp_model="nearest",
            )
            model = SAM2Base(
                image_encoder=ImageEncoder(trunk=trunk, neck=neck, scalp=1),
                memory_attention=nn.Linear(4, 4),
                memory_encoder=nn.Linear(4, 4),
                image_size=config.input_size,
                directly_add_no_mem_embed=True,
                use_high_res_features_in_sam=True,
                multimask_output_in_sam=True,
                iou_prediction_use_sigmoid=True,
                use_obj_ptrs_in_encoder=True,
                pred_obj_scores=True,
                pred_obj_scores_mlp=True,
                fixed_no_obj_ptr=True,
                use_mlp_for_obj_ptr_proj=True,
                no_obj_embed_spatial=True,
                sam_mask_decoder_extra_args={
                    "dynamic_multimask_via_stability": True,
                    "dynamic_multimask_stability_delta": 0.05,
                    "dynamic_multimask_stability_thresh": 0.98,
                },
            )
            for parameter in model.parameters():
                parameter.data.add_(torch.randn_like(parameter), alpha=0.03)
        return model.eval()

    return build


@dataclass
class RangeServer:
    """A web server on 127.0.0.1 with one body for every address, and faults to order."""

    body: bytes = b""
    drop_after: int | None = None
    ranges: bool = True
    wrong_range: bool = False
    announce_length: bool = True
    status: int = 200
    asked: list[str | None] = field(default_factory=list)
    url: str = ""


def _handler(server: RangeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            server.asked.append(asked)
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            if server.status != 200:
                return self.send_error(server.status)
            if asked and server.ranges and start >= len(server.body):
                return self.send_error(416)
            partial = asked is not None and server.ranges
            body = server.body[start:] if partial else server.body
            self.send_response(206 if partial else 200)
            if partial:
                first = 0 if server.wrong_range else start
                last = len(server.body) - 1
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(server.body)}")
            if server.announce_length:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if server.drop_after is None else body[: server.drop_after])

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    return Handler


@pytest.fixture
def range_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[RangeServer]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    settings = RangeServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(settings))
    settings.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield settings
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def user_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty user's model folder, and no mirror."""
    folder = tmp_path / "user-models"
    monkeypatch.setenv("UNINUC_MODELS", str(folder))
    monkeypatch.delenv("UNINUC_MIRROR", raising=False)
    return folder
