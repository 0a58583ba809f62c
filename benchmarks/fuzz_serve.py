"""Requests to a server, damaged at random: bodies, sizes, pictures, headers, addresses."""

import base64
import io
import json
import random
import socket
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
from PIL import Image

from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.tile import Tile
from napari_uninuc.wire.messages import DescribeMessage

__all__ = ["Fuzzer"]

_SAM = {
    "": "POST",
    "automask/": "POST",
    "sam3/": "POST",
    "weights/": "GET",
    "progress/": "GET",
    "version/": "GET",
    "upload/": "POST",
    "x/": "GET",
}
_OWN = {
    "info": "GET",
    "lease": "POST",
    "tiles/{}": "PUT",
    "tiles/{}/answer": "POST",
    "tiles/{}/segment": "POST",
    "tiles/{}/fields": "POST",
    "tiles/{}/encode": "POST",
    "tiles/{}/describe": "POST",
    "classifiers/{}": "GET",
}
_VALUES = (
    *(None, True, False, 0, -1, 1e308, 2**63, 2**4000, "", "x", [], {}, [[]], [[0, 0]]),
    *([1, 2, 3, 4], [-5, -5, 900, 900], [9, 9, 3, 3], [1.5, 2.5, 30.5, 40.5], "\u0000", "é" * 50),
    *(float("nan"), float("inf"), [None] * 4, ["a"] * 4, [[1, 1]] * 2000, "A" * 5000),
)
_FIELDS = (
    *("type", "b64img", "bbox", "point_coords", "point_labels", "checkpoint_url", "text_prompt"),
    *("positive_bboxes", "negative_bboxes", "confidence_threshold", "pred_iou_thresh"),
    *("min_mask_region_area", "mpp", "brown", "field", "score_threshold", "prompt", "name", "url"),
    *("what", "count", "boxes", "pixels", "classifier", "learnt"),
)
_HEADERS = (
    *(b"host: evil.example", b"origin: http://evil.example", b"content-length: 99999999999"),
    *(b"content-length: -1", b"transfer-encoding: chunked", b"expect: 100-continue"),
    *(b"content-encoding: gzip", b"x: " + b"y" * 40000, b"\xff\xfe: 1", b"connection: upgrade"),
    *(b"authorization: Bearer " + b"k" * 999, b"sec-fetch-site: cross-site", b"host: "),
    *(b"x-uninuc-lease: \xff", b"range: bytes=0-1", b"upgrade: websocket"),
)


_AT_A_TIME = 12
_SQUARE = InstanceMask((3, 4), np.ones((7, 9), np.bool_), 1.0, 0, 1.0)
_NUCLEI = DescribeMessage.of([_SQUARE, _SQUARE], "description", None, None)


class Fuzzer:
    """Sends requests that are right but for some damage.

    Parameters
    ----------
    port : of a server at 127.0.0.1
    png : a small picture
    rng : decides everything
    """

    def __init__(self, port: int, png: bytes, rng: random.Random) -> None:
        self._port, self._png, self._rng = port, png, rng
        with Image.open(io.BytesIO(png)) as image:
            self._digest = Tile.from_array(np.asarray(image)).digest
        self._lease = self._begin()

    def run(self, count: int) -> Counter[int]:
        """Send so many requests; how often each status came, 0 where the connection was closed.

        Some at a time: a server waits for the rest of what says that more is to come.
        """
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            sent = pool.map(lambda made: self._send(*made), [self._made() for _ in range(count)])
            return Counter(sent)

    def _begin(self) -> str:
        """Begin a lease and send the picture, so that damage reaches what lies behind."""
        base = f"http://127.0.0.1:{self._port}/uninuc/v1"
        with httpx.Client(timeout=60) as http:
            lease = str(http.post(f"{base}/lease").json()["lease"])
            headers = {"x-uninuc-lease": lease}
            sent = http.put(f"{base}/tiles/{self._digest}", content=self._png, headers=headers)
            sent.raise_for_status()
        return lease

    def _made(self) -> tuple[bytes, bool, bool]:
        """Request, whether as much comes as it says, whether the client leaves at once."""
        rng = self._rng
        method, path, body = self._asked()
        if rng.random() < 0.05:
            method = rng.choice(("GET", "PUT", "DELETE", "HEAD", "BREW", "POST"))
        lines = [f"{method} {path} HTTP/1.1".encode()]
        headers = [b"host: 127.0.0.1", b"content-type: application/json"]
        headers.append(b"content-length: %d" % len(body))
        lease = "ended" if method == "DELETE" else self._lease  # else all that follows is refused
        headers.append(b"x-uninuc-lease: " + lease.encode())
        if rng.random() < 0.15:
            headers[rng.randrange(len(headers))] = rng.choice(_HEADERS)
        request = b"\r\n".join([*lines, *headers, b"", body])
        whole = rng.random() >= 0.05
        return (request if whole else self._torn(request)), whole, rng.random() < 0.05

    def _asked(self) -> tuple[str, str, bytes]:
        """Method, path and body of a request that is nearly right."""
        rng = self._rng
        if rng.random() < 0.4:
            name, method = rng.choice(list(_OWN.items()))
            odd = "".join(rng.choices("0123456789abcdef", k=rng.choice((32, 31, 0))))
            digest = self._digest if rng.random() < 0.9 else odd
            body = self._picture() if method == "PUT" else self._own_body()
            return method, f"/uninuc/v1/{name.format(digest)}", body
        names = list(_SAM)[:3] * 4 + list(_SAM)
        name = rng.choice(names)
        good = ("", "", "/0.25um", "/0.5um")
        bad = ("/0um", "/1e9um", "/key/abc", "/..%2f..", "//")
        prefix = rng.choice(good if rng.random() < 0.95 else bad)
        query = rng.choice(("",) * 9 + ("?type=vit_b", "?type=%00", "?type=" + "a" * 900))
        return _SAM[name], f"{prefix}/sam/{name}{query}", self._body()

    def _own_body(self) -> bytes:
        rng = self._rng
        point = [rng.uniform(-50, 300), rng.uniform(-50, 300)]
        prompt: dict[str, Any] = {"points_yx": [point], "inside": [True]}
        if rng.random() < 0.3:
            side = rng.randrange(5)
            packed = base64.b64encode(zlib.compress(bytes(4 * side * side))).decode()
            prompt["previous"] = {"origin_yx": [3, 4], "shape": [side, side], "packed": packed}
        fields: dict[str, Any] = {"mpp": 0.25, "field": 0, "score_threshold": 0.5}
        fields["prompt"] = prompt
        fields["learnt"] = rng.choice(("", "", "mine", "other", None))
        fields |= json.loads(_NUCLEI.model_dump_json(exclude={"mpp", "brown"}))
        for damaged in (fields, prompt):
            if rng.random() < 0.3:
                damaged[rng.choice([*damaged, "brown", "box_yxyx", "classifier"])] = rng.choice(
                    _VALUES
                )
        body = json.dumps(fields).encode()
        return self._torn(body) if rng.random() < 0.15 else body

    def _body(self) -> bytes:
        rng = self._rng
        fields: dict[str, Any] = {"type": "vit_b"}
        fields["b64img"] = base64.b64encode(self._picture()).decode()
        fields["checkpoint_url"] = rng.choice(("uninuc:fake", "uninuc:fake+mine", "uninuc:fake+?"))
        if rng.random() < 0.6:
            fields["bbox"] = [rng.randrange(-50, 300) for _ in range(4)]
        for _ in range(rng.choice((0, 0, 1, 1, 2))):
            fields[rng.choice(_FIELDS)] = rng.choice(_VALUES)
        body = json.dumps(fields).encode()
        return self._torn(body) if rng.random() < 0.2 else body

    def _picture(self) -> bytes:
        return self._torn(self._png) if self._rng.random() < 0.3 else self._png

    def _torn(self, content: bytes) -> bytes:
        """Change bytes, cut the end, or repeat a part."""
        rng, torn = self._rng, bytearray(content)
        kind = rng.randrange(3)
        if kind == 0:
            for _ in range(rng.randrange(1, 20)):
                torn[rng.randrange(len(torn))] = rng.randrange(256)
        elif kind == 1:
            del torn[rng.randrange(len(torn)) :]
        else:
            start = rng.randrange(len(torn))
            torn[start:start] = torn[start : start + rng.randrange(2000)] * rng.randrange(1, 5)
        return bytes(torn)

    def _send(self, request: bytes, whole: bool, leave: bool) -> int:
        """Status of the answer; 0 where there is none."""
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=60) as connection:
                connection.sendall(request)
                if leave:
                    return 0
                if not whole:
                    connection.shutdown(socket.SHUT_WR)
                answer = connection.recv(64)
        except OSError:
            return 0
        return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0
