"""Requests that nobody honest sends: a 4xx in words, no traceback, and the server goes on."""

import base64
import contextlib
import json
import random
import socket
import struct
import zlib

import numpy as np
import pytest
from fuzz_serve import Fuzzer
from qupath import automask_body, base64_of, box_body, gson, png_of

from napari_uninuc.testing import FakeAnnotator


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def bomb(width, height):
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + pixels + chunk(b"IEND", b"")


GREY16 = np.zeros((40, 40), np.uint16)
BODIES = {
    "nothing": (b"", 422),
    "no JSON": (b"picture", 422),
    "a list": (b"[1, 2]", 422),
    "no picture": (b'{"type": "vit_b"}', 422),
    "a number as picture": (b'{"type": "vit_b", "b64img": 5}', 422),
    "no base64": (b'{"type": "vit_b", "b64img": "***"}', 422),
    "base64 of text": (b'{"type": "vit_b", "b64img": "aGVsbG8\\u003d"}', 422),
    "deep": (b'{"b64img": "", "bbox": ' + b"[" * 40000 + b"]" * 40000 + b"}", 422),
    "too many values": (b'{"b64img": "", "x": [' + b"1," * 60000 + b"1]}", 413),
    "not UTF-8": (b'{"type": "\xff\xfe", "b64img": ""}', 422),
    "a type that is a path": (b'{"type": "../../etc/passwd", "b64img": ""}', 422),
    "a huge number": (b'{"b64img": "", "bbox": [' + b"9" * 5000 + b", 1, 2, 3]}", 422),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("path", ["/sam/", "/sam/automask/", "/sam/sam3/"])
def test_a_bad_body(server, name, path):
    body, expected = BODIES[name]
    status, text = server.qupath().send("POST", path, body)
    assert status == expected
    (detail,) = json.loads(text).values()
    assert detail
    assert "\n" not in detail
    assert "Traceback" not in detail


@pytest.mark.parametrize(
    "fields",
    [
        {"bbox": [1, 2, 3]},
        {"bbox": [1, 2, 3, "4"]},
        {"bbox": [1, 2, 3, None]},
        {"bbox": [1e300, 2, 3, 4]},
        {"bbox": [float("nan"), 2, 3, 4]},
        {"bbox": [float("inf"), 2, 3, 4]},
        {"point_coords": [[1, 2]], "point_labels": [1, 0]},
        {"point_coords": [[1, 2]], "point_labels": [7]},
        {"point_coords": [[1, 2, 3]], "point_labels": [1]},
        {"point_coords": [[1, 2]]},
        {"point_coords": [[1, 2]] * 2000, "point_labels": [1] * 2000},
    ],
)
def test_a_bad_prompt(server, png, fields):
    status, text = server.qupath().send("POST", "/sam/", gson(type="vit_b", b64img=png, **fields))
    assert status == 422
    assert json.loads(text)["detail"]
    assert server.engine.calls == []


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (bomb(100_000, 100_000), 413),
        (bomb(2**31 - 1, 2**31 - 1), 413),
        (bomb(8000, 8000), 413),
        (bomb(300, 300), 422),
        (bomb(0, 10), 422),
        (png_of(GREY16), 422),
        (b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", 422),
        (b"\x89PNG\r\n\x1a\n", 422),
    ],
    ids=["bomb", "largest", "too large", "cut", "empty", "16 bits", "GIF", "head"],
)
def test_a_bad_picture(server, picture, expected):
    status, text = server.qupath().send("POST", "/sam/automask/", automask_body(picture))
    assert status == expected, text


def test_a_picture_cut_short(server, png):
    whole = base64_of(png)
    for part in (whole[:-7], whole[: len(whole) // 2], whole[: len(whole) // 2 // 4 * 4]):
        body = b'{"type":"vit_b","b64img":"%s"}' % part.encode()
        assert server.qupath().send("POST", "/sam/automask/", body)[0] == 422


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_100_mb_is_refused_before_it_is_held(server, png, box_of, chunked):
    def parts():
        for _ in range(100):
            yield bytes(10**6)

    body = parts() if chunked else bytes(10**8)
    status, text = server.qupath().send("POST", "/sam/", body)
    assert status == 413
    assert b"64" in text or b"67108864" in text
    assert server.service.bodies._held == 0
    assert len(server.qupath().prompt(box_body(png, box_of(3)))) == 1


def test_connections_closed_early_leave_nothing(server, png, box_of):
    body = box_body(png, box_of(3))
    head = b"POST /sam/ HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: %d\r\n\r\n" % len(body)
    for k in range(200):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall((head + body)[: (k * 997) % (len(head) + len(body))])
    assert len(server.qupath().prompt(box_body(png, box_of(3)))) == 1
    assert server.service.bodies._held == 0
    assert server.service.room.waiting == 0
    assert not any("unexpected" in line for line in server.said)


def test_a_broken_body_of_a_head_request_only_ends_the_connection(server, caplog):
    """Nothing may follow the answer to HEAD, and uvicorn 0.54 tries (h11.LocalProtocolError)."""
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(
                b"HEAD /sam/ HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\n"
            )
            with contextlib.suppress(OSError):
                connection.sendall(b"y" * 70000)
                while connection.recv(1000):
                    pass
    assert server.qupath().send("GET", "/sam/version/")[0] == 200
    assert [each for each in caplog.records if each.exc_info] == []


def test_one_computer_cannot_take_every_connection(server, png, box_of):
    held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(300)]
    try:
        refused = held[-1].recv(100)
        assert refused.startswith(b"HTTP/1.1 429 ")
    finally:
        for connection in held:
            connection.close()
    assert len(server.qupath().prompt(box_body(png, box_of(3)))) == 1


def test_what_the_engine_refuses_is_told_in_its_words(server, png, box_of):
    from napari_uninuc.errors import DeviceError, PromptError

    ask = lambda: server.qupath("/0.25um/sam/").send(  # noqa: E731
        "POST", "/0.25um/sam/", box_body(png, box_of(3))
    )
    server.engine.fail_next("answer", PromptError("a box must be smaller, got more; draw again"))
    assert ask() == (422, b'{"detail":"a box must be smaller, got more; draw again"}')
    server.engine.fail_next("answer", DeviceError("full"))
    assert ask()[0] == 503
    server.engine.fail_next("answer", ZeroDivisionError("at /home/somebody/secret"))
    status, text = ask()
    assert status == 500
    assert b"secret" not in text
    assert ask()[0] == 200


def test_a_mistake_is_said_once_and_names_no_picture(server, png, box_of):
    server.engine.fail_next("answer", ZeroDivisionError("at /home/somebody/secret"))
    server.qupath("/0.25um/sam/").send("POST", "/0.25um/sam/", box_body(png, box_of(3)))
    (line,) = server.said
    assert "ZeroDivisionError" in line
    assert "secret" not in line


@pytest.mark.slow
def test_random_requests_get_an_answer_each(running, png, box_of, caplog):
    """300 here; benchmarks/serve.py sends 10,000."""
    with running(FakeAnnotator()) as server:
        statuses = Fuzzer(server.port, png, random.Random(0)).run(300)
        assert sum(statuses.values()) == 300
        assert set(statuses) <= {100, 200, 400, 401, 403, 404, 405, 408, 410, 413, 422, 429, 0}
        assert statuses[200] > 5
        assert statuses[422] > 20
        assert not any("unexpected" in line for line in server.said)
        assert len(server.qupath().prompt(box_body(png, box_of(3)))) == 1
    assert [each for each in caplog.records if each.exc_info] == []


def test_base64_is_decoded_strictly():
    from napari_uninuc.serve.pictures import unpack_base64
    from napari_uninuc.serve.refusals import Refusal

    assert unpack_base64(base64.b64encode(b"x")) == b"x"
    with pytest.raises(Refusal):
        unpack_base64(b"eA= =")
