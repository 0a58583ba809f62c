import threading
from collections import Counter

import pytest

from napari_uninuc.serve.leases import Leases
from napari_uninuc.serve.refusals import Refusal
from napari_uninuc.serve.room import EngineRoom


@pytest.fixture
def room():
    made = EngineRoom()
    yield made
    assert made.close()


@pytest.fixture
def held(room):
    """Keep the room busy until told: gives what lets it go on."""
    begun, gate = threading.Event(), threading.Event()

    def wait():
        begun.set()
        gate.wait(60)

    room.ask("holder", wait)
    assert begun.wait(60)
    yield gate
    gate.set()


def test_results_and_errors_come_back(room):
    assert room.ask("a", lambda: 5).result(60) == 5
    with pytest.raises(ZeroDivisionError):
        room.ask("a", lambda: 1 / 0).result(60)

    def steps():
        yield 1
        yield 2
        return "end"

    seen = []
    assert room.run("a", steps(), seen.append).future.result(60) == "end"
    assert seen == [1, 2]


def test_clients_take_turns(room, held):
    order = []
    futures = [room.ask("greedy", lambda: order.append("greedy")) for _ in range(20)]
    futures += [room.ask(name, lambda name=name: order.append(name)) for name in ("b", "c", "d")]
    held.set()
    for future in futures:
        future.result(60)
    assert set(order[:4]) == {"greedy", "b", "c", "d"}


def test_the_newest_prompt_takes_the_place_of_the_one_that_waits(room, held):
    other = room.ask("b", lambda: "b", latest=True)
    plain = room.ask("a", lambda: "plain")
    old = room.ask("a", lambda: "old", latest=True)
    new = room.ask("a", lambda: "new", latest=True)
    with pytest.raises(Refusal) as problem:
        old.result(0)
    assert problem.value.status == 409
    held.set()
    assert [each.result(60) for each in (plain, new, other)] == ["plain", "new", "b"]


def test_prompts_go_between_steps_and_do_not_starve_a_run(room, held):
    order = []

    def steps():
        for _ in range(3):
            order.append("step")
            yield

    run = room.run("r", steps())
    futures = [room.ask("p", lambda: order.append("prompt")) for _ in range(25)]
    held.set()
    run.future.result(60)
    for future in futures:
        future.result(60)
    assert order[0] == "prompt"
    assert order.index("step") <= 9
    assert Counter(order) == {"prompt": 25, "step": 3}


def test_runs_of_clients_take_turns_step_by_step(room, held):
    order = []

    def steps(name):
        for _ in range(3):
            order.append(name)
            yield

    runs = [room.run(name, steps(name)) for name in "ab"]
    held.set()
    for run in runs:
        run.future.result(60)
    assert order == ["a", "b"] * 3


def test_what_nobody_waits_for_is_not_done(room, held):
    done, closed = [], []

    def steps():
        try:
            while True:
                done.append("step")
                yield
        finally:
            closed.append(True)

    begun = threading.Event()
    run = room.run("a", steps(), lambda _: begun.set())
    forgotten = room.ask("a", lambda: done.append("prompt"))
    assert forgotten.cancel()
    held.set()
    assert begun.wait(60)
    assert run.future.cancel()
    room.ask("b", lambda: None).result(60)
    while not closed:
        assert room.waiting <= 1
    assert "prompt" not in done


def test_a_client_has_a_bound_and_others_do_not_feel_it(room, held):
    asked = [room.ask("a", lambda: None) for _ in range(32)]
    with pytest.raises(Refusal) as problem:
        room.ask("a", lambda: None)
    assert problem.value.status == 429
    assert asked[0].cancel()
    asked[0] = room.ask("a", lambda: None)  # who went away holds no place
    other = room.ask("b", lambda: "b")
    runs = [room.run("a", iter(())) for _ in range(4)]
    with pytest.raises(Refusal):
        room.run("a", iter(()))
    assert len(runs) == 4
    held.set()
    assert other.result(60) == "b"


def test_closing_tells_those_who_wait(room, held):
    waiting = room.ask("a", lambda: None)
    closing = threading.Thread(target=room.close)
    closing.start()
    with pytest.raises(Refusal) as problem:
        waiting.result(60)
    assert problem.value.status == 503
    held.set()
    closing.join(60)
    with pytest.raises(Refusal):
        room.ask("a", lambda: None)


def test_a_lease_lives_by_being_used():
    now = [0.0]
    leases = Leases(10.0, clock=lambda: now[0])
    token = leases.begin("a")
    for now[0] in (8.0, 16.0):
        leases.renew(token)
    now[0] = 27.0
    with pytest.raises(Refusal) as problem:
        leases.renew(token)
    assert problem.value.status == 410
    assert len(leases) == 0
    for unknown in ("", "x", token):
        with pytest.raises(Refusal):
            leases.renew(unknown)


def test_leases_of_one_computer_are_bounded():
    leases = Leases()
    tokens = {leases.begin("a") for _ in range(32)}
    assert len(tokens) == 32
    with pytest.raises(Refusal) as problem:
        leases.begin("a")
    assert problem.value.status == 429
    leases.end(tokens.pop())
    leases.begin("a")
    leases.begin("b")
