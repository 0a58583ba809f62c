"""Two things at once give what they give one by one; threads are put back."""

import threading

import pytest
import torch

from napari_uninuc.engine.device import one_thread, side_by_side

CPU = torch.device("cpu")


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_both_run_at_the_same_time_on_half_of_the_threads(two_threads):
    meeting = threading.Barrier(2, timeout=300)

    def work(name):
        meeting.wait()  # passes only where the other is there too
        return name, torch.get_num_threads()

    assert side_by_side(CPU, lambda: work("a"), lambda: work("b")) == (("a", 1), ("b", 1))
    assert torch.get_num_threads() == 2


def test_with_one_thread_they_follow_each_other():
    with one_thread():
        order = []
        side_by_side(CPU, lambda: order.append(1), lambda: order.append(2))
    assert order == [1, 2]


@pytest.mark.parametrize("which", [0, 1])
def test_what_fails_is_told_after_both_have_ended(two_threads, which):
    ended = []

    def fails():
        raise ValueError("no")

    work = [lambda: ended.append(1), lambda: ended.append(1)]
    work[which] = fails
    with pytest.raises(ValueError, match="no"):
        side_by_side(CPU, *work)
    assert ended == [1]
    assert torch.get_num_threads() == 2


def test_new_threads_compute_with_all_of_them(two_threads):
    side_by_side(CPU, lambda: None, lambda: None)
    seen = []
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert seen == [2]
