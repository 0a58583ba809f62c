import shutil
import subprocess

import httpx
import pytest

from napari_uninuc.client.address import ServerAddress
from napari_uninuc.client.annotator import connect
from napari_uninuc.core.prompts import Prompt
from napari_uninuc.errors import OutputError, ServerError
from napari_uninuc.serve.running import check_tls
from napari_uninuc.testing import FakeAnnotator

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Two pairs of certificate and key of 127.0.0.1, signed by themselves."""
    folder = tmp_path_factory.mktemp("tls")
    pairs = [(folder / f"cert{k}.pem", folder / f"key{k}.pem") for k in range(2)]
    for certificate, key in pairs:
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
                *("-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"),
                *("-keyout", str(key), "-out", str(certificate)),
            ],
            check=True,
            capture_output=True,
        )
    return pairs


def test_a_window_trusts_the_authority_it_is_told(running, certificates, tissue, monkeypatch):
    with running(FakeAnnotator(), tls=certificates[0]) as server:
        assert server.url.startswith("https")
        with pytest.raises(ServerError, match="SSL_CERT_FILE"):
            connect(ServerAddress(server.url))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates[0][0]))
        remote = connect(ServerAddress(server.url))
        prompt = Prompt((tissue.centres_yx[0],), (True,))
        assert remote.answer(tissue.tile, prompt).mask.area > 0
        remote.close()
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{server.port}/sam/version/")


def test_files_that_belong_together(certificates):
    (certificate, key), (other, _) = certificates
    check_tls(certificate, key)
    with pytest.raises(OutputError, match="PEM"):
        check_tls(other, key)
