"""The one table of keys, and when its shortcuts work."""

import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QComboBox,
    QLineEdit,
    QMainWindow,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_uninuc.gui.window.keyboard import Keyboard
from napari_uninuc.gui.window.keymap import KEYS, button_text, key_of


class Form(QMainWindow):
    def __init__(self):
        super().__init__()
        self.button, self.line, self.spin = QPushButton("x"), QLineEdit(), QSpinBox()
        self.combo = QComboBox()
        self.combo.setEditable(True)
        middle = QWidget()
        layout = QVBoxLayout(middle)
        for widget in (self.button, self.line, self.spin, self.combo):
            layout.addWidget(widget)
        self.setCentralWidget(middle)


@pytest.fixture
def form(qtbot):
    made = Form()
    qtbot.addWidget(made)
    made.show()
    qtbot.waitExposed(made)
    made.activateWindow()
    made.button.setFocus()
    qtbot.waitUntil(lambda: made.button.hasFocus())
    return made


@pytest.fixture
def pressed():
    return []


@pytest.fixture
def keyboard(form, pressed):
    made = Keyboard(form, {key.action: lambda key=key: pressed.append(key.action) for key in KEYS})
    made.set_armed(True)
    yield made
    made.close()


def test_no_key_is_given_twice():
    sequences = [sequence for key in KEYS for sequence in key.keys]
    assert len(sequences) == len(set(sequences))
    assert all(QKeySequence(sequence).toString() for sequence in sequences)
    assert len({key.action for key in KEYS}) == len(KEYS)


def test_every_napari_key_that_is_covered_is_told_of():
    settings = pytest.importorskip("napari.utils.shortcuts")
    taken = {str(each) for keys in settings.default_shortcuts.values() for each in keys}
    for key in KEYS:
        names = {sequence.replace("Return", "Enter") for sequence in key.keys}
        ours_alone = {"Enter", "Esc", "O"}  # no meaning while a picture is seen flat and unpainted
        if names & taken - ours_alone:
            assert key.covers, key.action


def test_words_and_keys_are_for_people():
    assert button_text("split") == "Split (T)"
    for key in KEYS:
        assert key.words
        assert key.tooltip.endswith(".")
    with pytest.raises(KeyError):
        key_of("nonsense")


def test_keys_work_wherever_the_focus_is(form, keyboard, pressed):
    for widget in (form.button, form):
        for key in (Qt.Key.Key_T, Qt.Key.Key_Return, Qt.Key.Key_Escape, Qt.Key.Key_3):
            QTest.keyClick(widget, key)
        QTest.keyClick(widget, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert pressed == 2 * ["split", "keep", "drop", "class_3", "undo"]


def test_question_mark_shows_the_keys(form, keyboard, pressed):
    QTest.keyClick(form.button, Qt.Key.Key_Question, Qt.KeyboardModifier.ShiftModifier)
    assert pressed == ["keys"]


@pytest.mark.parametrize("field", ["line", "spin", "combo"])
def test_typing_is_left_alone(form, keyboard, pressed, qtbot, field):
    widget = getattr(form, field)
    widget.setFocus()
    qtbot.waitUntil(lambda: not keyboard.active)
    for key in (Qt.Key.Key_3, Qt.Key.Key_Return, Qt.Key.Key_Backspace, Qt.Key.Key_Escape):
        QTest.keyClick(form.focusWidget(), key)
    QTest.keyClick(form.focusWidget(), Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert pressed == []
    QTest.keyClick(form.focusWidget(), Qt.Key.Key_T)
    assert pressed == (["split"] if field == "spin" else []), "a number has no letters"
    pressed.clear()
    form.button.setFocus()
    qtbot.waitUntil(lambda: keyboard.active)
    QTest.keyClick(form.button, Qt.Key.Key_T)
    assert pressed == ["split"]


def test_a_field_that_cannot_be_typed_into_does_not_count(form, keyboard, pressed, qtbot):
    form.line.setReadOnly(True)
    form.line.setFocus()
    qtbot.waitUntil(form.line.hasFocus)
    assert keyboard.active


def test_nothing_is_taken_while_not_armed(form, keyboard, pressed):
    keyboard.set_armed(False)
    QTest.keyClick(form.button, Qt.Key.Key_T)
    assert pressed == []
    keyboard.set_armed(True)
    keyboard.close()
    keyboard.close()
    QTest.keyClick(form.button, Qt.Key.Key_T)
    assert pressed == []
