import json
import os
import re
import signal
import socket
import urllib.error
import urllib.request
from datetime import UTC, datetime

import click
import pytest

import children
from napari_uninuc.cli import serve as module
from napari_uninuc.testing import FakeAnnotator

KEY = "correct-horse-battery"


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "key.txt"
    path.write_text(f"{KEY}\nwhat follows is not read\n", encoding="utf-8")
    path.chmod(0o600)
    return path


@pytest.fixture(autouse=True)
def _no_key(monkeypatch):
    monkeypatch.delenv("UNINUC_KEY", raising=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org"])
def test_other_computers_need_a_key(refused, host):
    assert "needs a key" in refused("serve", "--host", host)


@pytest.mark.parametrize(
    "key",
    ["short", "x" * 200, "with spaces in it", "schlüssel-schlüssel"],
    ids=["few", "many", "blank", "umlaut"],
)
def test_a_key_that_is_none(refused, tmp_path, monkeypatch, key):
    path = tmp_path / "key.txt"
    path.write_text(key, encoding="utf-8")
    path.chmod(0o600)
    line = refused("serve", "--host", "0.0.0.0", "--key-file", path)
    assert "a key is 16 to 128 letters" in line
    assert key not in line
    monkeypatch.setenv("UNINUC_KEY", key)
    assert key not in refused("serve", "--host", "0.0.0.0")


def test_files_that_are_not_there(refused, tmp_path, key_file):
    assert "No such file" in refused("serve", "--key-file", tmp_path / "no")
    gone = tmp_path / "gone.pem"
    assert "belong together" in refused("serve", "--tls-cert", key_file)
    assert "nothing there" in refused("serve", "--tls-cert", gone, "--tls-key", gone)


def test_tls_files_that_are_no_certificate(refused, key_file):
    line = refused("serve", "--port", 0, "--tls-cert", key_file, "--tls-key", key_file)
    assert "PEM" in line


def test_classifiers_need_names_that_an_address_can_hold(tmp_path, monkeypatch):
    annotator = FakeAnnotator()
    monkeypatch.setattr(module, "read_taught", lambda path, card: None)
    for name in ("with blank", "a", "b/a"):
        path = tmp_path / f"{name}.safetensors"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    paths = {name: tmp_path / f"{name}.safetensors" for name in ("a", "b/a", "with blank")}
    assert list(module._offers_of((paths["a"],), (), annotator).named) == ["a"]
    for wrong in ((paths["a"], paths["b/a"]), (paths["with blank"],)):
        for chosen in ((wrong, ()), ((), wrong)):
            with pytest.raises(click.ClickException, match="rename the file"):
                module._offers_of(*chosen, annotator)


def test_a_port_that_is_taken(refused, no_model_is_loaded):
    with socket.create_server(("127.0.0.1", 0)) as other:
        line = refused("serve", "--port", other.getsockname()[1])
    assert "cannot listen" in line


def test_without_the_extra_one_line_says_what_to_install(refused, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert "pip install 'napari-uninuc[serve]'" in refused("serve")


@pytest.fixture
def process(random_model):
    """Start the command as people do; gives the process and the address it printed."""
    started = []

    def start(*options, **variables):
        words = ("serve", "--port", "0", "--device", "cpu", "--model", random_model, *options)
        made = children.start(children.COMMAND, *words, env=variables)
        started.append(made)
        lines = []
        for line in made.stdout:
            lines.append(line)
            if line.startswith("Ctrl+C"):
                break
        text = "".join(lines)
        address = re.search(r"https?://\S+/sam/", text)
        assert address, text + made.stderr.read()
        return made, address.group(), text

    yield start
    for made in started:
        if made.poll() is None:
            made.kill()
        made.wait(60)
        for stream in (made.stdin, made.stdout, made.stderr):
            stream.close()


def get(url, **headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
        return answer.read()


@pytest.fixture
def learnt(random_model, tmp_path):
    """Write a learnt state of the random model, for weights of a check value or its own."""

    def write(name, sha256=None):
        from napari_uninuc.network.adapter import Adapter, write_adapter
        from napari_uninuc.network.adapter_card import AdapterCard, Proof
        from napari_uninuc.network.registry import find_model

        own = find_model(random_model).card
        counts = dict.fromkeys(("nuclei", "deleted", "right_before", "right_after"), 9)
        counts |= {"false_before": 1, "false_after": 1}
        proof = Proof(**counts, gain=0.1, low=0.05, high=0.2, confidence=0.98)
        card = AdapterCard(
            name=name,
            model=own.id,
            weights_sha256=sha256 or own.sha256,
            sessions=("one",),
            accepted=9,
            redrawn=0,
            added=0,
            deleted=0,
            proof=proof,
            score_threshold=0.3,
            licence=own.licence,
            commercial_use=own.commercial_use,
            made=datetime.now(UTC),
            made_by="tests",
        )
        write_adapter(Adapter.of(card, {}), tmp_path / f"{name}.safetensors")
        return tmp_path / f"{name}.safetensors"

    return write


def test_learnt_states_are_said_and_offered(process, learnt):
    anna, ben = learnt("anna"), learnt("ben")
    _, address, text = process("--adapter", anna, "--adapter", ben)
    assert "in the learnt state anna; to choose from: ben, as it came" in text
    told = json.loads(get(address.replace("/sam/", "/uninuc/v1/info")))
    assert [each["name"] for each in told["learnt"]] == ["anna", "ben"]
    assert told["card"]["learnt"] == "anna"
    assert told["as_it_came"]["learnt"] == ""
    assert "9 right before" in told["learnt"][0]["told"]
    menu = json.loads(get(f"{address}weights/?type=vit_b"))
    assert [each["name"] for each in menu] == ["uninuc-n+anna", "uninuc-n+ben", "uninuc-n"]


def test_a_state_of_other_weights_ends_it_with_one_line(refused, learnt, random_model):
    path = learnt("other", "cd" * 32)
    line = refused("serve", "--port", 0, "--model", random_model, "--adapter", path)
    assert "was taught on" in line
    line = refused("serve", "--port", 0, "--model", random_model, "--adapter", path.parent / "no")
    assert "no such learnt state" in line


@pytest.mark.skipif(os.name != "posix", reason="an interrupt is sent as POSIX does")
def test_it_serves_until_it_is_interrupted(process):
    made, address, text = process()
    assert "uninuc-n on CPU" in text
    assert "/0.25um/sam/" in text
    assert "not encrypted" not in text
    (entry,) = json.loads(get(f"{address}weights/?type=vit_b"))
    assert entry["name"] == "uninuc-n"
    made.send_signal(signal.SIGINT)
    out, err = made.communicate(timeout=60)
    assert (made.returncode, out.strip(), err) == (0, "stopped", "")


def test_for_other_computers_it_says_that_nothing_is_encrypted_and_hides_its_key(process, key_file):
    _, address, text = process("--host", "0.0.0.0", "--key-file", key_file)
    assert "not encrypted" in text
    assert KEY not in text
    assert address.startswith("http://THIS-COMPUTER:")
    assert address.endswith("/key/YOUR-KEY/sam/")
    port = re.search(r":(\d+)/", address).group(1)
    told = get(f"http://127.0.0.1:{port}/uninuc/v1/info", Authorization=f"Bearer {KEY}")
    assert json.loads(told)["card"]["id"] == "uninuc-n"
    with pytest.raises(urllib.error.HTTPError, match="401") as refusal:
        get(f"http://127.0.0.1:{port}/uninuc/v1/info")
    refusal.value.close()
