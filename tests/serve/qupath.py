"""A client of samapi written from the description of the protocol alone; nothing of ours is used.

Bodies are text as Gson writes it: no spaces, null fields left out, ``=`` as an escape.
"""

import base64
import http.client
import io
import json
import math

import numpy as np
from PIL import Image
from skimage.measure import grid_points_in_poly


def png_of(rgb) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, format="PNG")
    return stream.getvalue()


def base64_of(png: bytes) -> str:
    return base64.b64encode(png).decode("ascii").replace("=", "\\u003d")


def gson(**fields) -> bytes:
    """JSON without spaces; `b64img` is a PNG."""
    picture = base64_of(fields.pop("b64img"))
    text = json.dumps({**fields, "b64img": "@"}, separators=(",", ":"))
    return text.replace('"@"', f'"{picture}"').encode()


def box_body(png, bbox, **more) -> bytes:
    return gson(
        **{"type": "vit_b", "bbox": bbox, "b64img": png, "multimask_output": True}
        | {"checkpoint_url": "uninuc:uninuc-n"}
        | more
    )


def point_body(png, coords, labels) -> bytes:
    return gson(
        type="vit_b",
        b64img=png,
        point_coords=coords,
        point_labels=labels,
        multimask_output=True,
        checkpoint_url="uninuc:uninuc-n",
    )


def automask_body(png, **more) -> bytes:
    fields = {
        "type": "vit_b",
        "b64img": png,
        "points_per_side": 16,
        "points_per_batch": 64,
        "pred_iou_thresh": 0.88,
        "stability_score_thresh": 0.95,
        "stability_score_offset": 1.0,
        "box_nms_thresh": 0.2,
        "crop_n_layers": 0,
        "crop_nms_thresh": 0.7,
        "crop_overlap_ratio": 0.3413333333333333,
        "crop_n_points_downscale_factor": 1,
        "min_mask_region_area": 0,
        "output_type": "Multi-mask (smallest)",
        "include_image_edge": False,
        "checkpoint_url": "uninuc:uninuc-n",
    }
    return gson(**fields | more)


def sam3_body(png, text=None, positive=(), negative=(), threshold=0.4) -> bytes:
    words = {} if text is None else {"text_prompt": text}
    return gson(
        **{"type": "sam3", "b64img": png, **words},
        positive_bboxes=list(positive),
        negative_bboxes=list(negative),
        checkpoint_url="uninuc:uninuc-n",
        reset_prompts=False,
        confidence_threshold=threshold,
    )


class Extension:
    """The extension with one base URL typed in; a new connection for each request.

    Parameters
    ----------
    host, port : of the server
    base : path as typed by a person
    """

    def __init__(self, host, port, base="/sam/", headers=None):
        self.host, self.port, self.base = host, port, base
        self.headers = {
            "accept": "application/json",
            "Content-Type": "application/json; charset=utf-8",
            **(headers or {}),
        }

    def send(self, method, path, body=None, headers=None):
        """Status and body of one request."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=120)
        try:
            connection.request(method, path, body, self.headers | (headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def prompt(self, body):
        """To the base exactly as typed."""
        return self.features(self.send("POST", self.base, body))

    def post(self, name, body):
        base = self.base if self.base.endswith("/") else f"{self.base}/"
        return self.features(self.send("POST", f"{base}{name}/", body))

    @staticmethod
    def features(answer):
        status, body = answer
        assert status == 200, body
        found = json.loads(body)
        assert isinstance(found, list)
        return found


def rings_of(feature):
    geometry = feature["geometry"]
    polygons = geometry["coordinates"]
    if geometry["type"] == "Polygon":
        polygons = [polygons]
    else:
        assert geometry["type"] == "MultiPolygon"
    return polygons


def check(feature, shape):
    """What QuPath's reader, and the one that shows the objects, insist on."""
    assert feature["type"] == "Feature"
    properties = feature["properties"]
    assert "object_idx" not in properties
    assert properties["objectType"] in ("annotation", "detection")
    assert math.isfinite(properties["quality"])
    colour = properties.get("classification", {"color": [0, 0, 0]})["color"]
    assert len(colour) == 3
    assert all(isinstance(value, (int, float)) for value in properties["measurements"].values())
    for polygon in rings_of(feature):
        assert polygon
        for ring in polygon:
            assert len(ring) >= 4
            assert ring[0] == ring[-1]
            points = np.array(ring, float)
            assert np.isfinite(points).all()
            assert (points >= 0).all()
            assert (points <= (shape[1], shape[0])).all()


def raster(feature, shape):
    """Pixels, [x, x + 1) x [y, y + 1), whose centre is in an odd number of rings."""
    mask = np.zeros(shape, bool)
    for polygon in rings_of(feature):
        for ring in polygon:
            corners = np.array(ring, float)[:, ::-1] - 0.5  # y, x of corners among centres
            mask ^= grid_points_in_poly(shape, corners) > 0
    return mask
