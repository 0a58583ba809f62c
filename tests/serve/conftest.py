"""A server on a real port, with an annotator without torch, and clients for it."""

import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from qupath import Extension, png_of

from napari_uninuc.core.classifier import Classifier, Examples, Scale
from napari_uninuc.io.classifiers import SavedClassifier, Teacher, write_classifier
from napari_uninuc.serve.asking import Service
from napari_uninuc.serve.offers import LearntOffer, Offer, Offers
from napari_uninuc.serve.running import listen, make_server
from napari_uninuc.testing import FakeAnnotator, FakeCard, make_tile


class Server:
    """A server in a thread of its own.

    Attributes
    ----------
    engine : what answers
    said : lines it printed
    port : it listens at
    """

    def __init__(self, engine, *, key=None, port=0, tls=None, classifiers=(), learnt=()):
        self.engine, self.said = engine, []
        self._scheme = "http" if tls is None else "https"
        states = {
            name: LearntOffer(each, f"{name} is better") for name, each in dict(learnt).items()
        }
        self.service = Service(engine, self.said.append, Offers(dict(classifiers), states))
        self._socket = listen("127.0.0.1", port)
        self.port = self._socket.getsockname()[1]
        self._server = make_server(self.service, host="127.0.0.1", key=key, tls=tls)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
            time.sleep(0.01)

    @property
    def url(self):
        return f"{self._scheme}://127.0.0.1:{self.port}"

    @property
    def application(self):
        return self._server.config.app

    def qupath(self, base="/sam/", **options):
        return Extension("127.0.0.1", self.port, base, **options)

    def stop(self):
        self._server.should_exit = True
        self._thread.join(60)
        assert not self._thread.is_alive()
        self.service.close()
        self._socket.close()


@contextmanager
def _running(engine, **options):
    server = Server(engine, **options)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def running():
    """Run a server for a block: engine, and options of `Server`."""
    return _running


@pytest.fixture
def server(running):
    """With a `FakeAnnotator` of two classes, and no key."""
    with running(FakeAnnotator(FakeCard(classes=("nucleus", "tumour")))) as made:
        yield made


@pytest.fixture(scope="session")
def tissue():
    """A tile of 256 x 256 px with thirty nuclei."""
    return make_tile((256, 256), 30)


@pytest.fixture(scope="session")
def taught_by_size(tissue, tmp_path_factory):
    """Teach a classifier that names the smaller and the larger half of the tile's nuclei."""

    def teach(name, names, engine=None, nuclei=None, tile=None):
        engine, tile = engine or FakeAnnotator(), tile or tissue.tile
        if nuclei is None:
            (field,) = engine.fields(tile)
            nuclei = [each.mask for each in engine.segment_field(tile, field, 0.0)]
        rows = engine.describe(tile, nuclei)
        areas = np.array([mask.area for mask in nuclei])
        told = Examples(rows, (areas > np.median(areas)).astype(np.int64), names)
        scale = Scale.of(rows)
        teacher = Teacher(engine.card.id, engine.card.sha256, engine.description)
        saved = SavedClassifier(
            teacher, Classifier.learnt(told, scale), ("#ffd400", "#00c8ff"), told, scale
        )
        path = tmp_path_factory.mktemp("taught") / f"{name}.safetensors"
        write_classifier(saved, path)
        return name, Offer(saved.ready_for(teacher), path.read_bytes())

    return teach


@pytest.fixture(scope="session")
def png(tissue):
    return png_of(tissue.tile.rgb)


@pytest.fixture(scope="session")
def box_of(tissue):
    """Box (x0, y0, x1, y1) of a nucleus of the tile by its id, two px larger on each side."""

    def find(id_):
        rows, columns = np.nonzero(tissue.labels == id_)
        return [
            max(0, int(columns.min()) - 2),
            max(0, int(rows.min()) - 2),
            int(columns.max()) + 3,
            int(rows.max()) + 3,
        ]

    return find
