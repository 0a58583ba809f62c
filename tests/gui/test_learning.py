"""Learning from corrections in a real window, with a process that only says that it learns."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from driving import centre_of
from qtpy.QtCore import Qt
from safetensors.numpy import save

from napari_uninuc.gui.panels.learning import SessionsDialog
from napari_uninuc.gui.work.model_slot import InState
from napari_uninuc.journal.folder import journals_in
from napari_uninuc.journal.framing import JournalReader
from napari_uninuc.journal.listing import find_all
from napari_uninuc.journal.records import Record
from napari_uninuc.network.adapter_card import CARD_KEY, AdapterCard, Proof, states_folder
from napari_uninuc.testing import FakeCard

SHA = "ab" * 32
CARD = FakeCard(sha256=SHA)

SCRIPT = """
import os, shutil, sys
words = sys.argv[1:]
target = words[words.index("--output") + 1]
how, state, log = {how!r}, {state!r}, {log!r}
with open(log, "a") as file:
    print(*words, sep="|", file=file)
for k in range(4):
    print(f"step {{k}} 4 proving, part 1 of 4", flush=True)
if how == "waits":
    for line in sys.stdin:
        with open(log, "a") as file:
            print(line.strip(), file=file)
        if line.strip() == "go":
            break
    else:
        os._exit(1)
if how == "fails":
    print("uninuc: error: no such session; name another", file=sys.stderr)
    sys.exit(2)
if how == "no better":
    print("not better by more than chance, nothing was written: of 10 nuclei kept aside, 5 now")
    sys.exit(3)
os.makedirs(os.path.dirname(target), exist_ok=True)
shutil.copy(state, target)
print(f"1 sessions -> {{target}}: of 10 nuclei kept aside, 5 right before, 9 now")
"""


def state_file(path):
    """A learnt state of the fake model that changes nothing; written without torch."""
    proof = Proof(
        nuclei=10,
        right_before=5,
        right_after=9,
        deleted=0,
        false_before=0,
        false_after=0,
        better=9,
        gain=0.3,
        low=0.1,
        high=0.5,
        confidence=0.99,
    )
    card = AdapterCard(
        name="mine",
        model="fake",
        weights_sha256=SHA,
        sessions=("one",),
        accepted=10,
        redrawn=0,
        added=0,
        deleted=0,
        proof=proof,
        score_threshold=0.4,
        licence="BSD-3-Clause",
        commercial_use=True,
        made=datetime.now(UTC),
        made_by="napari-uninuc",
    )
    path.write_bytes(save({}, metadata={CARD_KEY: card.model_dump_json()}))
    return path


@pytest.fixture
def at_learning(make_room, tmp_path, monkeypatch):
    """A room with a picture that is outlined, and a process that ends as it is told."""
    monkeypatch.setenv("UNINUC_MODELS", str(tmp_path / "models"))
    log = tmp_path / "log.txt"

    def make(how):
        room = make_room(card=CARD)
        script = tmp_path / "process.py"
        state = state_file(tmp_path / "made.safetensors")
        script.write_text(SCRIPT.format(how=how, state=str(state), log=str(log)))
        box = room.widget.model.learning
        box.learning.command = (sys.executable, str(script))
        room.open()
        room.outline()
        room.widget.model.title.setChecked(True)
        return room, box, log

    return make


def review(room, count):
    room.session.review(list(room.session.labels.nuclei)[:count])
    room.widget.model.refresh_later()


def test_it_is_offered_when_there_is_enough(at_learning):
    room, box, _ = at_learning("better")
    review(room, 7)
    assert not box.start.isEnabled()
    assert "10 nuclei" in box.told.text()
    assert "3 are missing" in box.told.text()
    review(room, 10)
    assert box.start.isEnabled()


def test_a_better_state_is_taken_and_the_way_back_is_one_choice(at_learning):
    room, box, log = at_learning("better")
    review(room, 10)
    box.start.click()
    room.until(lambda: box.learning.state is None)
    room.idle()
    words = log.read_text().splitlines()[0].split("|")
    folder = room.bench.sessions.folder_of(room.session)
    assert words[:2] == ["learn", str(folder)]
    assert words[words.index("--model") + 1] == "uninuc-n"
    assert "5 right before, 9 now" in box.told.text()
    wanted, _ = room.bench.models.wanted
    assert isinstance(wanted, InState)
    assert wanted.adapter.parent == states_folder("fake")
    assert box.states.count() == 2
    assert "(5 -> 9 of 10)" in box.states.itemText(1)

    box.states.setCurrentIndex(0)
    box.states.activated.emit(0)
    room.idle()
    assert room.bench.models.wanted[0] == "uninuc-n"
    box.states.setCurrentIndex(1)
    box.states.activated.emit(1)
    room.idle()
    assert room.bench.models.wanted[0] == wanted
    box.states.setCurrentIndex(1)
    box.refresh()
    box.forget.click()
    room.idle()
    assert not wanted.adapter.exists()
    assert room.bench.models.wanted[0] == "uninuc-n"
    assert box.states.count() == 1


def test_no_better_says_so_and_changes_nothing(at_learning):
    room, box, _ = at_learning("no better")
    review(room, 10)
    box.start.click()
    room.until(lambda: box.learning.state is None)
    assert "No better by more than chance, so nothing has changed" in box.told.text()
    assert room.bench.models.wanted[0] == "uninuc-n"
    assert not states_folder("fake").exists()


def test_what_went_wrong_is_told(at_learning, monkeypatch):
    room, box, _ = at_learning("fails")
    heard = []
    box.learning._on_problem = heard.append
    review(room, 10)
    box.start.click()
    room.until(lambda: box.learning.state is None)
    assert heard == ["Nothing was learnt, and nothing has changed: no such session; name another"]


def test_it_rests_goes_on_and_the_window_goes_on_meanwhile(at_learning):
    room, box, log = at_learning("waits")
    review(room, 10)
    box.start.click()
    room.until(lambda: box.learning.state is not None and box.learning.state.done == 3)
    assert not box.start.isEnabled()
    assert "left" in box.told.text()
    box.pause.click()
    room.until(lambda: "pause" in log.read_text())
    assert box.told.text().startswith("Paused")
    spot = centre_of(room.session.labels, max(room.session.labels.nuclei))
    room.canvas.click(spot, room.bench.desk.bridge.image)
    room.until(lambda: room.session.hand.draft is not None and room.session.hand.draft.answered)
    box.pause.click()
    room.until(lambda: box.learning.state is None)
    assert "9 now" in box.told.text()


@pytest.mark.parametrize("how", ["cancelled", "the picture is closed and then it", "window closed"])
def test_what_is_cancelled_or_left_behind_leaves_nothing(at_learning, how):
    room, box, log = at_learning("waits")
    review(room, 10)
    box.start.click()
    room.until(lambda: box.learning.state is not None and box.learning.state.done == 3)
    if how == "window closed":
        room.close()
    elif how == "cancelled":
        box.cancel.click()
    else:
        room.viewer.layers.clear()
        room.idle()
        assert box.learning.state is not None
        box.cancel.click()
    assert box.learning.state is None
    assert not states_folder("fake").exists()
    assert "go" not in log.read_text().splitlines()


def test_another_model_meanwhile_is_left_in_use(at_learning):
    room, box, _ = at_learning("waits")
    review(room, 10)
    box.start.click()
    room.until(lambda: box.learning.state is not None and box.learning.state.done == 3)
    room.bench.models.use("uninuc-o")
    room.idle()
    box.learning.pause()
    box.learning.go_on()
    room.until(lambda: box.learning.state is None)
    room.idle()
    assert room.bench.models.wanted[0] == "uninuc-o"
    assert box.told.text().startswith("Learnt, for uninuc-n")


def heads_of(folder: Path):
    return [
        Record(payload).head
        for path in journals_in(folder).values()
        for payload in JournalReader(path).records()
    ]


def test_the_record_says_in_which_state_clicks_were_answered(at_learning):
    room, _, _ = at_learning("better")
    room.annotator.card = FakeCard(sha256=SHA, learnt="mine", learnt_sha256="cd" * 32)
    room.bench.models.changed.emit()
    review(room, 1)
    review(room, 2)
    folder = room.bench.sessions.folder_of(room.session)
    room.until(lambda: len([h for h in heads_of(folder) if h.what == "edit"]) >= 3)
    said = [h.answered_by for h in heads_of(folder) if h.what == "edit" and h.by is None]
    assert said[0].settings == {"learnt": "mine", "learnt_sha256": "cd" * 32}
    assert said[1:] == [None]


def test_pictures_to_learn_from_are_ticked(at_learning, monkeypatch):
    room, box, log = at_learning("better")
    review(room, 10)
    room.bench.finish()
    room.until(lambda: bool(find_all()))

    def tick(dialog):
        dialog.list.item(0).setCheckState(Qt.CheckState.Checked)
        return SessionsDialog.DialogCode.Accepted

    monkeypatch.setattr(SessionsDialog, "exec", tick)
    box.others.click()
    room.until(lambda: log.exists() and box.learning.state is None)
    assert log.read_text().split("|")[1] in [str(each.path) for each in find_all()]


def learn_once(room, box):
    review(room, 10)
    box.start.click()
    room.until(lambda: box.learning.state is None)
    room.idle()
    return room.bench.models.wanted[0]


def test_the_state_chosen_last_is_taken_up_again(at_learning, make_room):
    room, box, _ = at_learning("better")
    wanted = learn_once(room, box)
    assert isinstance(wanted, InState)
    room.close()
    again = make_room(card=CARD)
    again.idle()
    assert again.bench.models.wanted[0] == wanted
    assert again.bench.models.source == "uninuc-n"
    box = again.widget.model.learning
    box.states.setCurrentIndex(0)
    box.states.activated.emit(0)
    again.idle()
    again.close()
    third = make_room(card=CARD)
    third.idle()
    assert third.bench.models.wanted[0] == "uninuc-n"


def test_a_remembered_state_that_is_gone_is_told_once(at_learning, make_room, said):
    room, box, _ = at_learning("better")
    learn_once(room, box).adapter.unlink()
    room.close()
    again = make_room(card=CARD)
    again.idle()
    assert again.bench.models.wanted[0] == "uninuc-n"
    assert [line for line in said if "is gone" in line]
    said.clear()
    again.close()
    third = make_room(card=CARD)
    third.idle()
    assert not [line for line in said if "is gone" in line]


def test_a_state_that_another_window_wrote_first_stays(at_learning):
    """The process says under which name it wrote."""
    room, box, _ = at_learning("better")
    script = Path(box.learning.command[1])
    renamed = 'target = target.replace(".safetensors", "-2.safetensors")\nos.makedirs('
    script.write_text(script.read_text().replace("os.makedirs(", renamed, 1))
    wanted = learn_once(room, box)
    assert wanted.adapter.stem.endswith("-2")
    assert wanted.adapter.is_file()
