"""The commands of docs/serve.md are run as they stand there."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from napari_uninuc.serve import bodies, leases, room, running
from napari_uninuc.wire import constants

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/serve.md").read_text(encoding="utf-8")
COMMANDS = [token.content for token in MarkdownIt("commonmark").parse(PAGE) if token.info == "bash"]


@pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "base64", "curl"))), reason="needs bash, base64 and curl"
)
def test_curl_gets_what_the_page_promises(server, png, tmp_path):
    (tmp_path / "tile.png").write_bytes(png)
    answers = []
    for command in COMMANDS:
        done = subprocess.run(
            ["bash", "-euc", command],
            cwd=tmp_path,
            env=os.environ | {"SERVER": server.url},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answers.append(done.stdout)
    weights, version, box, everything, info = answers
    assert json.loads(weights)[0]["url"] == "uninuc:fake"
    assert version
    (feature,) = json.loads(box)
    assert feature["properties"]["objectType"] == "annotation"
    assert len(json.loads(everything)) > 20
    assert json.loads(info)["protocol"] == 1


@pytest.mark.parametrize(
    "told",
    [
        f"| body | {constants.BODY_BYTES // 2**20} MiB; {bodies._ALL_BYTES // 2**20} MiB at a time",
        f"| values in a body | {bodies._MOST_VALUES:,} |",
        f"| picture | {constants.PICTURE_PX:,} px",
        f"| {constants.POINTS:,} | 422 |",
        f"| {constants.MASKS:,}; {constants.MASKS_PX // 10**6} million | 422 |",
        f"| {room._PROMPTS_A_CLIENT}, {room._RUNS_A_CLIENT} | 429 |",
        f"| {running._CONNECTIONS_A_PEER}; {running._CONNECTIONS} |",
        f"| {leases._LEASES_A_PEER}; {leases._ALL_LEASES} |",
        f"| {constants.HEADERS_S:g} s to send the head",
        f"| {constants.BODY_S:g} s between two parts",
        f"| {running._KEEP_ALIVE_S} s between two requests",
        f"| {constants.LEASE_S:g} s without a request",
        f"| {constants.HEARTBEAT_S:g} s without news",
        f"| {constants.CONNECT_S:g} s to connect",
        f"| {constants.ANSWER_S:g} s without a byte",
        f"| {constants.PATIENCE_S:g} s for a click",
        f"| {constants.RETRY_S:g} s between two tries",
        f"| {constants.GOODBYE_S:g} s to end its lease",
    ],
)
def test_limits_and_time_outs_of_the_page_are_those_of_the_code(told):
    assert told in PAGE
