"""The pages of the widget: what is seen without scrolling, and sections that fold."""

from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QScrollBar,
    QTabBar,
    QTableView,
    QTreeWidget,
)

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.gui.panels.frame import Panel

TEN = [f"a class of nuclei {number}" for number in range(10)]


def _seen_whole(widget, inside) -> bool:
    """Whether nothing of a widget is cut off by the window it is in."""
    shown = widget.visibleRegion().boundingRect()
    return inside.isAncestorOf(widget) and shown == widget.rect()


def test_nothing_of_click_class_next_scrolls_at_1280_by_720(room):
    room.open(n_nuclei=20)
    room.canvas.window.resize(1280, 720)
    room.session.classes = ClassPalette.of_names(TEN)
    room.outline()
    room.bench.desk.actions["next"]()
    room.canvas.settle()
    panels = room.widget
    loop = [*panels.tools.tools.values(), *panels.tools.verbs.values(), panels.tools.state]
    loop += [*panels.classes.buttons, *panels.review.buttons.values(), panels.review.bar]
    room.until(lambda: panels.review.why.isVisible())
    room.until(lambda: all(_seen_whole(each, panels) for each in [*loop, panels.review.why]))


def test_what_is_unfolded_below_the_end_of_the_page_is_scrolled_to(room):
    room.open(n_nuclei=20)
    room.canvas.window.resize(1280, 720)
    room.session.classes = ClassPalette.of_names(TEN)
    room.canvas.settle()
    panel, panels = room.widget.naming, room.widget
    assert not panel.title.isChecked()
    panel.title.setFocus()
    QTest.keyClick(panel.title, Qt.Key.Key_Space)  # as a click of the mouse does
    room.until(lambda: _seen_whole(panel.name, panels) and _seen_whole(panel.known, panels))
    assert _seen_whole(panel.title, panels)


def test_a_section_stays_folded_in_the_next_window(make_room):
    room = make_room()
    room.open(n_nuclei=3)
    panel = room.widget.classes
    assert panel.new_name.isVisible()
    QTest.mouseClick(panel.title, Qt.MouseButton.LeftButton)
    assert not panel.new_name.isVisible()
    room.close()
    again = make_room()
    again.open(n_nuclei=3, seed=1)
    assert not again.widget.classes.new_name.isVisible()
    assert again.widget.tools.state.isVisible()
    again.widget.classes.title.click()
    assert again.widget.classes.new_name.isVisible()


def test_a_section_can_begin_folded(qtbot):
    class Extra(Panel):
        def __init__(self):
            super().__init__("Extra", folded=True)

    made = Extra()
    qtbot.addWidget(made)
    assert not made.title.isChecked()
    made.title.click()
    again = Extra()
    qtbot.addWidget(again)
    assert again.title.isChecked()


def test_every_control_is_reached_by_the_keyboard_and_has_a_name(room):
    room.open(n_nuclei=3)
    room.session.classes = ClassPalette.of_names(TEN)
    controls = (QAbstractButton, QComboBox, QAbstractSlider, QAbstractSpinBox, QTreeWidget)
    found = [each for kind in controls for each in room.widget.findChildren(kind)]
    found = [each for each in found if not isinstance(each, QScrollBar) and _is_ours(each)]
    assert len(found) > 50
    for each in found:
        words = each.accessibleName() or (each.text() if isinstance(each, QAbstractButton) else "")
        assert words.strip(), each
        assert each.focusPolicy() & Qt.FocusPolicy.TabFocus, words
    room.canvas.widget.setFocus()
    room.canvas.key(Qt.Key.Key_F6)
    room.until(lambda: room.widget.isAncestorOf(QApplication.focusWidget()))
    room.widget.review.buttons["next"].setFocus()
    room.outline()
    QTest.keyClick(room.widget.review.buttons["next"], Qt.Key.Key_Space)
    assert room.session.hand.draft is not None
    QTest.keyClick(room.widget.review.buttons["next"], Qt.Key.Key_F6)
    room.until(room.canvas.widget.hasFocus)


def _is_ours(widget) -> bool:
    """Not one of those that Qt puts inside of others."""
    inside = type(widget).__name__ in ("QToolButton", "QPushButton") and isinstance(
        widget.parent(), QTabBar
    )
    inside |= isinstance(widget.parent(), QTableView)  # its corner, which does nothing here
    return not inside and widget.objectName() != "qt_spinbox_lineedit"


def test_the_hint_goes_for_good(make_room):
    room = make_room()
    hint = room.widget.hint
    assert hint.isVisible()
    words = hint.text.heightForWidth(hint.text.width())
    assert words <= hint.text.height() < words + 20  # all of them, and the picture around them
    QTest.mouseClick(room.widget.hint.done, Qt.MouseButton.LeftButton)
    assert not room.widget.hint.isVisible()
    room.close()
    assert not make_room().widget.hint.isVisible()


def test_the_page_follows_what_there_is_to_do(room):
    assert room.widget.pages.page == "Picture"
    room.open(n_nuclei=3)
    assert room.widget.pages.page == "Correct"
    room.widget.pages.turn_to("Results")
    room.open(n_nuclei=3, seed=1)
    assert room.widget.pages.page == "Results"  # where the person went
