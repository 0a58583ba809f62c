"""Requests to a server, damaged at random: bodies, sizes, pictures, headers, addresses."""

import base64
import json
import random
import socket
from collections import Counter

__all__ = ["Fuzzer"]

_NAMES = ("", "automask/", "sam3/", "weights/", "progress/", "version/", "upload/", "x/")
_OWN = ("info", "lease", "tiles/{}", "tiles/{}/answer", "tiles/{}/segment", "tiles/{}/fields")
_VALUES = (
    *(None, True, False, 0, -1, 1e308, 2**63, 2**4000, "", "x", [], {}, [[]], [[0, 0]]),
    *([1, 2, 3, 4], [-5, -5, 900, 900], [9, 9, 3, 3], [1.5, 2.5, 30.5, 40.5], "\u0000", "é" * 50),
    *(float("nan"), float("inf"), [None] * 4, ["a"] * 4, [[1, 1]] * 2000, "A" * 5000),
)
_FIELDS = (
    *("type", "b64img", "bbox", "point_coords", "point_labels", "checkpoint_url", "text_prompt"),
    *("positive_bboxes", "negative_bboxes", "confidence_threshold", "pred_iou_thresh"),
    *("min_mask_region_area", "mpp", "brown", "field", "score_threshold", "prompt", "name", "url"),
)
_HEADERS = (
    *(b"host: evil.example", b"origin: http://evil.example", b"content-length: 99999999999"),
    *(b"content-length: -1", b"transfer-encoding: chunked", b"expect: 100-continue"),
    *(b"content-encoding: gzip", b"x: " + b"y" * 40000, b"\xff\xfe: 1", b"connection: upgrade"),
    *(b"authorization: Bearer " + b"k" * 999, b"sec-fetch-site: cross-site", b"host: "),
    *(b"x-uninuc-lease: \xff", b"range: bytes=0-1", b"upgrade: websocket"),
)


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

    def run(self, count: int) -> Counter[int]:
        """Send so many requests; how often each status came, 0 where the connection was closed."""
        return Counter(self._send(*self._made()) for _ in range(count))

    def _made(self) -> tuple[bytes, bool]:
        rng = self._rng
        body = self._body()
        method = rng.choice(("POST",) * 6 + ("GET", "PUT", "DELETE", "HEAD", "BREW"))
        lines = [f"{method} {self._path()} HTTP/1.1".encode()]
        headers = [b"host: 127.0.0.1", b"content-type: application/json"]
        headers.append(b"content-length: %d" % len(body))
        if rng.random() < 0.2:
            headers[rng.randrange(len(headers))] = rng.choice(_HEADERS)
        request = b"\r\n".join([*lines, *headers, b"", body])
        if rng.random() < 0.1:
            request = self._torn(request)
        return request, rng.random() < 0.05

    def _path(self) -> str:
        rng = self._rng
        if rng.random() < 0.3:
            digest = "".join(rng.choices("0123456789abcdef", k=rng.choice((32, 32, 31, 0))))
            return "/uninuc/v1/" + rng.choice(_OWN).format(digest)
        prefix = rng.choice(("",) * 4 + ("/0.25um", "/0um", "/1e9um", "/key/abc", "/..%2f..", "//"))
        query = rng.choice(("",) * 4 + ("?type=vit_b", "?type=%00", "?type=" + "a" * 900))
        return f"{prefix}/sam/{rng.choice(_NAMES)}{query}"

    def _body(self) -> bytes:
        rng = self._rng
        fields = {"type": "vit_b", "b64img": base64.b64encode(self._picture()).decode()}
        if rng.random() < 0.6:
            fields["bbox"] = [rng.randrange(-50, 300) for _ in range(4)]
        for _ in range(rng.choice((0, 0, 1, 1, 2))):
            fields[rng.choice(_FIELDS)] = rng.choice(_VALUES)
        body = json.dumps(fields).encode()
        return self._torn(body) if rng.random() < 0.25 else body

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

    def _send(self, request: bytes, leave: bool) -> int:
        """Status of the answer; 0 where there is none."""
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=60) as connection:
                connection.sendall(request)
                if leave:
                    return 0
                connection.shutdown(socket.SHUT_WR)
                answer = connection.recv(64)
        except OSError:
            return 0
        return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0
