"""The worker's thread: order, cancelling, exceptions, and its end in every bad moment."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from qtpy.QtCore import QObject, QThread
from qtpy.QtWidgets import QApplication

from napari_uninuc.gui.work.jobs import TaskState, Worker


@pytest.fixture
def worker(qapp):
    made = Worker()
    yield made
    made.close()
    assert made.join(120)


class Gate:
    """Work that waits in the thread until it is let go."""

    def __init__(self, result=None):
        self.began, self.go, self.result = threading.Event(), threading.Event(), result

    def __call__(self):
        self.began.set()
        assert self.go.wait(120)
        return self.result


def test_answers_arrive_in_the_windows_thread(worker, qtbot):
    seen = []
    worker.answered.connect(
        lambda number, answer: seen.append((number, answer, QThread.currentThread()))
    )
    worker.ask(7, lambda: threading.current_thread().name)
    qtbot.waitUntil(lambda: len(seen) == 1)
    assert seen == [(7, "uninuc-worker", QApplication.instance().thread())]


def test_a_newer_prompt_replaces_the_one_that_waits(worker, qtbot):
    answered, gate = [], Gate(1)
    worker.answered.connect(lambda number, answer: answered.append(number))
    worker.ask(1, gate)
    assert gate.began.wait(120)
    for number in (2, 3, 4):
        worker.ask(number, lambda: None)
    gate.go.set()
    qtbot.waitUntil(lambda: len(answered) >= 2)
    assert answered == [1, 4]


def test_a_prompt_kept_is_answered_although_a_newer_came(worker, qtbot):
    answered, gate = [], Gate()
    worker.answered.connect(lambda number, answer: answered.append(number))
    worker.ask(1, gate)
    assert gate.began.wait(120)
    worker.ask(2, lambda: None)
    worker.keep_prompt(2)
    worker.keep_prompt(9)  # nobody waits under this number
    worker.ask(3, lambda: None)
    worker.ask(4, lambda: None)
    worker.forget_prompt([3])  # replaced long ago
    worker.forget_prompt([4])
    worker.ask(5, lambda: None)
    gate.go.set()
    qtbot.waitUntil(lambda: len(answered) >= 3)
    assert answered == [1, 2, 5]


def test_tasks_run_in_order_and_tell_of_every_step(worker, qtbot):
    told = []

    def steps():
        yield "a"
        yield "b"
        return "end"

    first = worker.submit("first", steps, on_yield=told.append, on_done=told.append)
    second = worker.submit("second", lambda: "plain", on_done=told.append)
    assert worker.tasks == (first, second)
    qtbot.waitUntil(lambda: not worker.tasks)
    assert told == ["a", "b", "end", "plain"]
    assert (first.state, second.state) == (TaskState.DONE, TaskState.DONE)


def test_a_prompt_is_served_between_two_steps(worker, qtbot):
    order, gate = [], Gate()

    def steps():
        yield gate()
        order.append("second step")

    worker.submit("long", steps)
    assert gate.began.wait(120)
    worker.ask(1, lambda: order.append("prompt"))
    gate.go.set()
    qtbot.waitUntil(lambda: not worker.tasks)
    assert order == ["prompt", "second step"]


def test_prompts_wait_for_the_task_that_makes_what_they_need(worker, qtbot):
    order, gate = [], Gate()

    def load():
        yield gate()
        order.append("loaded")

    worker.submit("before", gate)
    worker.submit("load", load, holds_live=True)
    worker.ask(1, lambda: order.append("prompt"))
    gate.go.set()
    qtbot.waitUntil(lambda: len(order) == 2)
    assert order == ["loaded", "prompt"]


def test_cancelling_keeps_what_has_arrived_and_cleans_up(worker, qtbot):
    kept, cleaned, cancelled, gate = [], [], [], Gate()

    def steps():
        try:
            yield 1
            yield gate()
            yield 3
        finally:
            cleaned.append(threading.current_thread().name)

    task = worker.submit("run", steps, on_yield=kept.append, on_cancel=lambda: cancelled.append(1))
    waiting = worker.submit("next", lambda: kept.append("never"))
    assert gate.began.wait(120)
    waiting.cancel()
    task.cancel()
    assert task.cancelling
    gate.go.set()
    qtbot.waitUntil(lambda: not worker.tasks)
    assert kept == [1, None]
    assert (cleaned, cancelled) == (["uninuc-worker"], [1])
    assert (task.state, waiting.state) == (TaskState.CANCELLED, TaskState.CANCELLED)


def test_exceptions_arrive_and_the_thread_goes_on(worker, qtbot):
    problems = []

    def steps():
        yield 1
        raise MemoryError("out of memory")

    task = worker.submit("run", steps, on_error=problems.append)
    worker.unanswered.connect(lambda number, problem: problems.append((number, problem)))
    worker.ask(3, lambda: 1 / 0)
    qtbot.waitUntil(lambda: len(problems) == 2)
    numbers = [each for each in problems if isinstance(each, tuple)]
    assert numbers[0][0] == 3
    assert isinstance(numbers[0][1], ZeroDivisionError)
    assert task.state is TaskState.FAILED
    done = []
    worker.submit("after", lambda: 5, on_done=done.append)
    qtbot.waitUntil(lambda: done == [5])


def test_nothing_is_delivered_after_closing_in_mid_computation(qapp, qtbot):
    worker, gate, told = Worker(), Gate(), []
    worker.submit("run", gate, on_done=told.append, on_cancel=lambda: told.append("cancelled"))
    worker.answered.connect(lambda *answer: told.append(answer))
    worker.ask(1, lambda: 1)
    assert gate.began.wait(120)
    worker.close()
    worker.close()
    assert worker._thread.is_alive()  # neither waited: the step under way has not ended
    gate.go.set()
    assert worker.join(120)
    qtbot.wait(50)
    assert told == []
    assert worker.tasks == ()


def test_the_thread_ends_when_qt_destroys_the_worker(qapp, qtbot):
    parent = QObject()
    worker, gate, told = Worker(parent), Gate(), []
    worker.submit("run", gate, on_done=told.append)
    assert gate.began.wait(120)
    thread = worker._thread
    parent.deleteLater()
    qtbot.wait(50)
    gate.go.set()
    thread.join(120)
    assert not thread.is_alive()
    assert told == []


def test_the_window_lives_while_the_worker_computes(worker, qtbot, stall_meter):
    def steps():
        for _ in range(5):
            yield np.linalg.svd(np.random.default_rng(0).normal(size=(200, 200)))

    done = []
    worker.submit("run", steps, on_done=lambda _: done.append(1))
    with stall_meter() as meter:
        qtbot.waitUntil(lambda: done == [1], timeout=120_000)
    assert np.median(meter.gaps_ms) < 100


ENDS = """
import sys, time
from qtpy.QtWidgets import QApplication
from napari_uninuc.gui.work.jobs import Worker
application = QApplication([])
worker = Worker()
def steps():
    while True:
        time.sleep(0.05)
        sum(range(100000))
        yield
worker.submit("endless", steps)
worker.ask(1, lambda: time.sleep(0.2))
time.sleep(0.2)
application.processEvents()
{how}
"""


@pytest.mark.parametrize("how", ["", "sys.exit(0)", "del worker", "del application"])
def test_python_ends_cleanly_in_mid_computation(qapp, how):
    child = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", ENDS.format(how=how)],
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert (child.returncode, child.stderr) == (0, "")


def test_an_urgent_task_goes_before_others_and_between_the_steps_of_one(worker, qtbot):
    done, gate = [], Gate(1)

    def steps():
        gate()
        yield
        done.append("step")
        yield

    worker.submit("long", steps)
    assert gate.began.wait(5)
    worker.submit("later", lambda: done.append("later"))
    worker.submit("read", lambda: done.append("read"), urgent=True)
    gate.go.set()
    qtbot.waitUntil(lambda: not worker.tasks)
    assert done == ["read", "step", "later"]


def test_an_urgent_task_waits_for_the_model(worker, qtbot):
    done, gate = [], Gate(1)
    worker.submit("busy", gate)
    assert gate.began.wait(5)
    worker.submit("load", lambda: done.append("load"), holds_live=True)
    worker.submit("read", lambda: done.append("read"), urgent=True)
    gate.go.set()
    qtbot.waitUntil(lambda: not worker.tasks)
    assert done == ["load", "read"]
