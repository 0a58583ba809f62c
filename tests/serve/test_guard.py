import json

import pytest
from qupath import box_body
from starlette.datastructures import Headers

from napari_uninuc.serve.address import Address, read_address
from napari_uninuc.serve.guard import Guard, is_loopback
from napari_uninuc.serve.refusals import Refusal
from napari_uninuc.testing import FakeAnnotator

KEY = "correct-horse-battery"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/sam/", Address("", None, "/sam")),
        ("/0.25um/sam/weights/", Address("", 0.25, "/sam/weights")),
        ("/1um/sam", Address("", 1.0, "/sam")),
        ("/0.5µm/sam/", Address("", 0.5, "/sam")),
        ("/0,25um/sam/", Address("", 0.25, "/sam")),
        ("/0.25UM/sam/", Address("", 0.25, "/sam")),
        ("/key/abc/0.25um/sam/", Address("abc", 0.25, "/sam")),
        ("/key/abc", Address("abc", None, "")),
        ("/", Address("", None, "")),
        ("/0.25/sam/", Address("", None, "/0.25/sam")),
    ],
)
def test_an_address_is_taken_apart(path, expected):
    assert read_address(path) == expected


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8000"},
        {"Host": "localhost.evil.example"},
        {"Host": ""},
        {"Host": "8.8.8.8"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_web_page_may_not_drive_the_engine(server, png, box_of, headers):
    status, text = server.qupath().send("POST", "/sam/", box_body(png, box_of(3)), headers)
    assert status == 403
    assert json.loads(text)["detail"]
    assert server.engine.calls == []
    assert server.qupath().send("GET", "/uninuc/v1/info", headers=headers)[0] == 403


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST:8000", "[::1]:8000"])
def test_the_names_of_this_computer_are_right(server, name):
    assert server.qupath().send("GET", "/sam/version/", headers={"Host": name})[0] == 200


def test_other_addresses_are_asked_for_by_number_or_by_name():
    guard = Guard(None, "0.0.0.0", ("gpu.hospital.example",))
    for host in ("10.0.0.5:8000", "[fe80::1]:8000", "localhost", "GPU.hospital.example:8000"):
        guard.check(Headers({"host": host}), Address("", None, "/sam"))
    for host in ("gpu.hospital.example.evil.example", "hospital.example", "10.0.0.5.evil"):
        with pytest.raises(Refusal, match="name"):
            guard.check(Headers({"host": host}), Address("", None, "/sam"))


def test_without_its_key_a_server_answers_nothing(running, png, box_of):
    with running(FakeAnnotator(), key=KEY) as server:
        body = box_body(png, box_of(3))
        bearer = {"Authorization": f"Bearer {KEY}"}
        for path in ("/sam/", "/sam/weights/", "/uninuc/v1/info", "/nowhere"):
            method = "POST" if path == "/sam/" else "GET"
            assert server.qupath().send(method, path, body)[0] == 401
        for wrong in (f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", "Bearer ", f"Basic {KEY}", KEY):
            send = server.qupath(headers={"Authorization": wrong}).send
            assert send("POST", "/sam/", body)[0] == 401
        assert server.qupath(f"/key/{KEY}x/sam/").send("POST", "/sam/", body)[0] == 401
        assert server.engine.calls == []
        assert server.qupath(headers=bearer).send("POST", "/sam/", body)[0] == 200
        assert len(server.qupath(f"/key/{KEY}/0.25um/sam/").prompt(body)) == 1
        assert server.qupath().send("GET", f"/key/{KEY}/sam/weights/?type=vit_b")[0] == 200
        assert not any(KEY in line for line in server.said)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.1.2.3", False),
        ("example.org", False),
    ],
)
def test_what_is_loopback(host, expected):
    assert is_loopback(host) is expected
