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
_RUN_ALL = """
from napari_uninuc.cli.app import run
for words in " ".join(sys.argv[1:]).split(" THEN "):
    assert run(words.split()) == 0, words
"""


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


@pytest.mark.slow
def test_outlining_exporting_the_list_of_models_and_the_doctor_open_no_connection(tmp_path):
    """One after the other in one process, which has torch to load."""
    demo = ("demo", "--output", tmp_path, "--device", "cpu")
    convert = ("convert", tmp_path / "labels.tif", "--output", tmp_path / "nuclei.csv")
    rest = ("THEN", "models", "THEN", "doctor")
    done = run(*demo, "THEN", *convert, *rest, code=_RUN_ALL)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "labels.tif").is_file()
    assert (tmp_path / "nuclei.csv").is_file()


def test_fetching_a_model_is_what_opens_one(tmp_path, monkeypatch):
    monkeypatch.setenv("UNINUC_MODELS", str(tmp_path))
    done = run("models", "fetch", "uninuc-s")
    assert done.returncode == 99, done.stderr
    assert "network:" in done.stderr
