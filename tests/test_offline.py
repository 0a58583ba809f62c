"""No connection is opened: the main jobs run where every use of the network ends the process."""

import os
import subprocess
import sys

import pytest

_FORBIDDEN = """
import sys

def refuse(event, arguments):
    if event.startswith(("socket.connect", "socket.getaddrinfo", "socket.gethostby", "socket.bind",
                         "socket.sendto", "http.client.connect", "urllib.Request", "ftplib.")):
        print(f"network: {event} {arguments[-2:]}", file=sys.stderr)
        import os
        os._exit(99)

sys.addaudithook(refuse)
"""

_RUN = "from napari_uninuc.cli.app import main\nmain()\n"


def run(*arguments, code=_RUN):
    return subprocess.run(
        [sys.executable, "-c", _FORBIDDEN + code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=1800,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )


@pytest.mark.parametrize(
    "code",
    [
        "import socket\nsocket.create_connection(('127.0.0.1', 9), timeout=1)",
        "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:9/')",
    ],
)
def test_the_trap_works(code):
    done = run(code=code)
    assert done.returncode == 99
    assert "network:" in done.stderr


def test_outlining_and_exporting_open_no_connection(tmp_path):
    done = run("demo", "--output", tmp_path, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "labels.tif").is_file()
    again = run("convert", tmp_path / "labels.tif", "--output", tmp_path / "nuclei.csv")
    assert again.returncode == 0, again.stderr


def test_the_list_of_models_and_the_doctor_open_no_connection():
    for command in (["models"], ["doctor"]):
        done = run(*command)
        assert done.returncode == 0, done.stderr


def test_fetching_a_model_is_what_opens_one(tmp_path, monkeypatch):
    monkeypatch.setenv("UNINUC_MODELS", str(tmp_path))
    done = run("models", "fetch", "uninuc-s")
    assert done.returncode == 99, done.stderr
    assert "network:" in done.stderr
