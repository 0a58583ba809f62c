"""The panel with its model on a server: a real server, a real window."""

import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from driving import centre_of
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QInputDialog

from napari_uninuc.client.address import ServerAddress
from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.errors import ServerError
from napari_uninuc.gui.work.model_slot import ModelSlot, OnServer, load_bundled
from napari_uninuc.io.classifiers import write_classifier
from napari_uninuc.journal.folder import journals_in
from napari_uninuc.journal.framing import JournalReader
from napari_uninuc.journal.records import Record
from napari_uninuc.serve.asking import Service
from napari_uninuc.serve.offers import LearntOffer, Offer, Offers
from napari_uninuc.serve.running import listen, make_server
from napari_uninuc.testing import FakeAnnotator, FakeCard
from napari_uninuc.wire.constants import PATIENCE_S

KEY = "correct-horse-battery"


@contextmanager
def serving(engine, port=0, offers=None):
    socket = listen("127.0.0.1", port)
    service = Service(engine, lambda text: None, offers or Offers())
    server = make_server(service, host="127.0.0.1", key=KEY)
    thread = threading.Thread(target=server.run, args=([socket],))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield socket.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(60)
        service.close()
        socket.close()


@pytest.fixture
def remote_room(make_room):
    """The widget as it is, save that what computes here is a `FakeAnnotator`."""
    room = make_room()
    here = room.bench.models._load

    def load(model, device):
        there = isinstance(model, ServerAddress | OnServer)
        return load_bundled(model, device) if there else here(model, device)

    room.bench.models._load = load
    return room


def connect(room, port):
    panel = room.widget.model
    panel.server.setText(f"127.0.0.1:{port}")
    panel.key.setText(KEY)
    panel.on_server.click()
    room.until(lambda: not room.bench.models.loading)


def test_everything_goes_on_over_a_server_that_is_started_anew(remote_room, said):
    room, engine = remote_room, FakeAnnotator()
    room.open(n_nuclei=12)
    with serving(engine) as port:
        connect(room, port)
        assert "at http://127.0.0.1" in room.bench.models.annotator.device_name
        room.outline()
        assert len(room.session.labels) == 12
        assert "segment" in engine.calls
        assert room.annotator.calls.count("segment") == 0
    nucleus = next(iter(room.session.labels.nuclei))
    y, x = centre_of(room.session.labels, nucleus)
    room.session.hand.pick(nucleus)
    draft = room.session.hand.click((y + 6, x + 6), True)
    assert not draft.answered
    room.until(lambda: bool(room.bench.models.notices or said))
    with serving(FakeAnnotator(), port):
        room.until(lambda: room.session.hand.draft is not None and room.session.hand.draft.answered)
        room.session.hand.keep()
        assert len(room.session.labels) == 12
        room.close()


def test_classes_are_taught_by_keys_while_the_model_is_on_a_server(remote_room, said):
    """What is learnt here stays when the server goes, and learning goes on once it is back."""
    room, engine = remote_room, FakeAnnotator()
    room.open(n_nuclei=24)
    with serving(engine) as port:
        connect(room, port)
        room.outline()
        order = begin_teaching(room)
        room.until(lambda: bool(room.session.derived))
        room.idle()
        assert set(room.session.derived) == set(order)
        assert room.session.derived[order[2]][0] == 1
        assert "known again" in room.widget.teaching.state.text()
    known = dict(room.session.derived)
    room.session.delete([order[8]])
    room.until(lambda: bool(said))
    assert "does not answer" in said[0]
    assert dict(room.session.derived) == known
    with serving(FakeAnnotator(), port):
        room.until(lambda: set(room.session.derived) == {*order} - {order[8]})
    assert not said[1:]


def test_a_classifier_that_the_server_offers_is_loaded_by_name(
    remote_room, said, monkeypatch, tmp_path
):
    room = remote_room
    room.open(n_nuclei=24)
    room.outline()
    begin_teaching(room)
    room.until(lambda: room.bench.desk.teaching.outcome is not None)
    taught = room.bench.desk.teaching.outcome.taught
    write_classifier(taught, tmp_path / "sizes.safetensors")
    offer = Offer(taught.ready_for(taught.teacher), (tmp_path / "sizes.safetensors").read_bytes())
    with serving(FakeAnnotator(), offers=Offers({"sizes": offer})) as port:
        connect(room, port)
        room.open(n_nuclei=24, seed=7)
        room.outline()
        asked = []

        def choose(parent, title, label, choices, *_):
            asked.append(choices)
            return choices[0], True

        monkeypatch.setattr(QInputDialog, "getItem", choose)
        room.widget.teaching.load.click()
        room.until(lambda: bool(room.session.derived))
        assert asked == [["sizes", "From a file..."]]
        assert {"small", "large"} <= set(room.session.classes.names)
        assert set(room.session.derived) == set(room.session.labels.nuclei)
    assert not said


def with_states(*names):
    return Offers(
        {},
        {
            name: LearntOffer(
                FakeAnnotator(FakeCard(learnt=name, learnt_sha256="ab" * 32)), f"{name}: 5 of 9 now"
            )
            for name in names
        },
    )


def choose_state(room, name):
    box = room.widget.model.learnt
    box.setCurrentIndex(box.findData(name))
    box.activated.emit(box.currentIndex())
    room.until(lambda: not room.bench.models.loading)


def test_learnt_states_of_the_server_are_chosen_and_stand_in_the_record(remote_room, said):
    room, panel = remote_room, remote_room.widget.model
    room.open(n_nuclei=12)
    panel.title.setChecked(True)
    assert not panel.learnt.isVisibleTo(panel)
    assert panel.learning.isVisibleTo(panel)
    offers = with_states("anna", "ben")
    with serving(FakeAnnotator(), offers=offers) as port:
        connect(room, port)
        box = panel.learnt
        assert [box.itemText(k) for k in range(box.count())] == ["anna", "ben", "As it came"]
        assert (box.currentText(), box.isVisibleTo(panel)) == ("anna", True)
        assert not panel.learning.isVisibleTo(panel)
        assert "learnt: anna," in panel.state.text()
        assert "anna: 5 of 9 now" in panel.state.text()
        for name, learnt in (("ben", "ben"), ("", "")):
            choose_state(room, name)
            assert room.bench.models.annotator.card.learnt == learnt
            assert box.currentData() == name
        choose_state(room, "ben")
        room.outline()
        assert "segment" in offers.learnt["ben"].engine.calls
        assert "segment" not in offers.learnt["anna"].engine.calls
        room.bench.finish()
        heads = [
            str(Record(payload).head)
            for path in journals_in(room.bench.sessions.folder_of(room.session)).values()
            for payload in JournalReader(path).records()
        ]
        assert any("'learnt': 'ben'" in head for head in heads)
    with serving(FakeAnnotator(), port, with_states("carl")):
        choose_state(room, "anna")  # the list is of before
        assert "offers: carl" in said[-1]
        assert room.bench.models.annotator.card.learnt == "ben"
        assert box.currentData() == "ben"
        choose_state(room, "")
        assert room.bench.models.annotator.card.learnt == ""
        assert [box.itemText(k) for k in range(box.count())] == ["carl", "As it came"]
    room.bench.models.use("uninuc-n", "cpu")
    room.until(lambda: not room.bench.models.loading)
    assert not box.isVisibleTo(panel)
    assert panel.learning.isVisibleTo(panel)


def test_a_server_that_comes_back_with_another_model_is_chosen_again_by_one_click(
    remote_room, said
):
    room, panel = remote_room, remote_room.widget.model
    room.open(n_nuclei=12)
    with serving(FakeAnnotator()) as port:
        connect(room, port)
        room.outline()
    nucleus = next(iter(room.session.labels.nuclei))
    y, x = centre_of(room.session.labels, nucleus)
    other = FakeAnnotator(FakeCard(id="other"))
    with serving(other, port):
        room.session.hand.pick(nucleus)
        room.session.hand.click((y + 6, x + 6), True)
        room.until(lambda: any("choose it again" in text for text in said))
        assert "answer" not in other.calls
        assert len(room.session.labels) == 12
        panel.on_server.click()
        room.until(lambda: not room.bench.models.loading)
        assert room.bench.models.annotator.card.id == "other"
        room.session.hand.click((y + 6, x + 6), True)
        room.until(lambda: room.session.hand.draft is not None and room.session.hand.draft.answered)


def begin_teaching(room):
    """Two nuclei each of two classes, by pointing and a digit; ids by area."""
    session = room.session
    session.classes = ClassPalette.of_names(["nucleus", "small", "large"])
    order = sorted(session.labels.nuclei, key=session.labels.area)
    for id_, digit in ((order[0], 2), (order[1], 2), (order[-1], 3), (order[-2], 3)):
        room.canvas.move(centre_of(session.labels, id_), room.bench.desk.bridge.image)
        room.canvas.key(getattr(Qt.Key, f"Key_{digit}"))
    room.widget.teaching.title.setChecked(True)
    room.widget.teaching.on.click()
    return order


def test_a_wrong_key_is_told_and_the_model_here_stays(remote_room, said):
    room = remote_room
    with serving(FakeAnnotator()) as port:
        room.widget.model.server.setText(f"127.0.0.1:{port}")
        room.widget.model.on_server.click()
        room.until(lambda: bool(said))
    assert "key" in said[0]
    assert room.bench.models.annotator.device_name == "CPU (fake)"


def test_another_model_is_not_kept_waiting_by_a_click_at_a_server_that_is_away(remote_room):
    room = remote_room
    room.open(n_nuclei=12)
    with serving(FakeAnnotator()) as port:
        connect(room, port)
        room.outline()
    y, x = centre_of(room.session.labels, next(iter(room.session.labels.nuclei)))
    room.session.hand.click((y + 6, x + 6), True)
    room.until(lambda: bool(room.bench.models.notices) or room.bench.models.wanted is None)
    began = time.monotonic()
    room.bench.models.use("uninuc-n", "cpu")
    room.until(lambda: not room.bench.models.loading)
    assert time.monotonic() - began < PATIENCE_S / 2
    assert room.bench.models.annotator.device_name == "CPU (fake)"


def test_a_computer_that_is_not_there_is_told_and_meanwhile_what_is_tried(room, said, monkeypatch):
    """A mistyped name takes seconds to fail: the panel must not look as if nothing was pressed."""
    room.open(n_nuclei=3)
    panel, answer = room.widget.model, threading.Event()

    def connect(_model, _device):
        answer.wait(60)
        raise ServerError("http://nobody:8000 does not answer; is 'uninuc serve' running there?")

    monkeypatch.setattr(room.bench.models, "_load", connect)
    panel.title.setChecked(True)
    panel.server.setFocus()
    QTest.keyClicks(panel.server, "nobody:8000")
    QTest.keyClick(panel.server, Qt.Key.Key_Return)
    assert panel.state.text().startswith("Connecting to http://nobody:8000 ...")
    assert "(fake)" in panel.state.text()  # what computes until then
    answer.set()
    room.until(lambda: bool(said))
    assert "does not answer" in str(said[0])
    assert not panel.state.text().startswith("Connecting")


def test_what_is_no_address_is_told(room, said):
    room.widget.model.server.setText("ftp://x")
    room.widget.model.on_server.click()
    assert "http://NAME:PORT" in said[0]


def test_another_key_is_another_choice():
    made = []

    class AtOnce:
        def submit(self, name, work, *, on_done, **_):
            made.append(name)
            on_done(work())

    slot = ModelSlot(AtOnce(), lambda model, device: FakeAnnotator(), on_problem=print)
    for key in ("one", "one", "other"):
        slot.use(ServerAddress("http://gpu:8000", key), "server")
    assert made == ["Connecting to http://gpu:8000"] * 2


_NO_TORCH = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "timm", "sam2"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refuse())
"""


def test_the_panel_and_a_server_need_no_torch():
    code = (
        f"{_NO_TORCH}\n"
        "import napari_uninuc.gui.widget, napari_uninuc.client.annotator\n"
        "from napari_uninuc.gui.panels.model import ModelPanel\n"
        "from napari_uninuc.network.registry import list_models\n"
        "from napari_uninuc.gui.work.model_slot import load_bundled\n"
        "assert list_models(print)\n"
        "try:\n    load_bundled('uninuc-n', 'cpu')\n"
        "except LookupError as problem:\n    print(problem)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=1800, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "torch is not installed; choose a server" in done.stdout


def test_without_the_http_library_one_line_says_what_to_install(monkeypatch):
    from napari_uninuc.errors import ModelNotFoundError

    monkeypatch.setitem(sys.modules, "napari_uninuc.client.annotator", None)
    monkeypatch.delitem(sys.modules, "httpx", raising=False)
    with pytest.raises(ModelNotFoundError, match="client"):
        load_bundled(ServerAddress("http://gpu:8000"), "server")
