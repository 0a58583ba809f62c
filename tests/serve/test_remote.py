"""The annotator on a server beside the same one here: what it gives, and what it survives."""

import json
import threading
import time
from contextlib import suppress

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_uninuc.client.address import ServerAddress
from napari_uninuc.client.annotator import connect
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.prompts import MaskLogits, Prompt
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import DeviceError, ImageError, PromptError, ServerAwayError, ServerError
from napari_uninuc.io.classifiers import Teacher
from napari_uninuc.testing import FakeAnnotator, FakeCard
from napari_uninuc.wire.constants import LEASE_HEADER, MASKS_PX, OWN_ROOT
from napari_uninuc.wire.messages import DescribeMessage, LogitsMessage, MaskMessage

KEY = "correct-horse-battery"


@pytest.fixture
def linked():
    """Connect to a server; closed at the end."""
    made = []

    def link(server, **options):
        key = options.pop("key", "")
        made.append(connect(ServerAddress(server.url, key), **options))
        return made[-1]

    yield link
    for each in made:
        each.close()


@pytest.fixture
def remote(server, linked):
    return linked(server)


def same_mask(one, other):
    assert one.origin_yx == other.origin_yx
    np.testing.assert_array_equal(one.mask, other.mask)
    assert (one.score, one.class_id, one.predicted_iou) == (
        other.score,
        other.class_id,
        other.predicted_iou,
    )


def test_card_and_device_are_the_servers(server, remote):
    card = remote.card
    assert (card.id, card.mpp, card.licence) == ("fake", 0.25, "BSD-3-Clause")
    assert card.classes == ("nucleus", "tumour")
    assert remote.device_name == f"CPU (fake) at {server.url}"
    assert remote.memory_bytes() == 0


def test_answers_are_the_engines_own_to_the_last_bit(remote, tissue):
    tile, local = tissue.tile, FakeAnnotator()
    (field,) = remote.fields(tile)
    assert field == local.fields(tile)[0]
    assert remote.encode(tile, field) > 0
    assert remote.encode(tile, field) == 0.0
    assert remote.memory_bytes() > 0
    y, x = tissue.centres_yx[2]
    prompt = Prompt(((y, x),), (True,))
    for _ in range(3):
        here, there = local.answer(tile, prompt), remote.answer(tile, prompt)
        same_mask(here.mask, there.mask)
        assert here.logits.origin_yx == there.logits.origin_yx
        np.testing.assert_array_equal(here.logits.logits, there.logits.logits)
        prompt = prompt.with_previous(there.logits).with_point((y + 5, x - 3), False)


def test_an_answer_without_a_pixel(remote, tissue):
    far = MaskLogits((3, 3), np.full((4, 4), -8, np.float32))
    here = FakeAnnotator().answer(tissue.tile, Prompt(((2.0, 2.0),), (False,), None, far))
    there = remote.answer(tissue.tile, Prompt(((2.0, 2.0),), (False,), None, far))
    assert here.mask.area == 0
    assert there.mask.mask.shape == here.mask.mask.shape


def test_a_run_gives_what_it_gives_here(remote, tissue):
    tile, local = tissue.tile, FakeAnnotator()
    (field,) = local.fields(tile)
    here, there = (each.segment_field(tile, field, 0.5) for each in (local, remote))
    assert len(here) == len(there) > 10
    for one, other in zip(here, there, strict=True):
        same_mask(one.mask, other.mask)
        assert one.box_yxyx == pytest.approx(other.box_yxyx)


def test_what_nuclei_look_like_is_what_it_is_here(server, remote, tissue):
    """Also of nuclei that overlap, and of a picture the server has not seen or has forgotten."""
    tile, local = tissue.tile, FakeAnnotator()
    (field,) = local.fields(tile)
    masks = [each.mask for each in local.segment_field(tile, field, 0.0)]
    y, x = masks[0].origin_yx
    masks.append(InstanceMask((y + 1, x + 1), np.ones((7, 9), np.bool_), 1.0, 0, 1.0))
    for _ in range(2):
        np.testing.assert_array_equal(remote.describe(tile, masks), local.describe(tile, masks))
        np.testing.assert_array_equal(remote.features(tile, masks), local.features(tile, masks))
        server.service.shelf._tiles.clear()
    assert remote.description == local.description
    assert remote.describe(tile, []).shape == (0, 0)


def test_nuclei_that_are_none_are_refused(remote, tissue):
    def box(*yxyx, mask=None):
        y0, x0, y1, x1 = yxyx
        full = np.ones((y1 - y0, x1 - x0), np.bool_)
        return [InstanceMask((y0, x0), full if mask is None else mask, 1.0, 0, 1.0)]

    for beyond in (box(-1, 0, 3, 3), box(250, 250, 257, 256)):
        with pytest.raises(PromptError, match="inside the picture"):
            remote.describe(tissue.tile, beyond)
    with pytest.raises(PromptError, match="without"):
        remote.describe(tissue.tile, box(0, 0, 4, 4, mask=np.zeros((4, 4), np.bool_)))
    with pytest.raises(PromptError, match="send fewer"):
        remote.describe(tissue.tile, box(0, 0, 256, 256) * (MASKS_PX // 256**2 + 1))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), sign=st.sampled_from("Az09+/="), more=st.booleans())
def test_damaged_nuclei_are_refused_or_read(place, sign, more, tissue):
    mask = InstanceMask((3, 4), np.eye(5, dtype=np.bool_), 1.0, 0, 1.0)
    whole = DescribeMessage.of([mask, mask], "features", None, None)
    for name in ("boxes", "pixels"):
        text = getattr(whole, name)
        at = int(place * len(text))
        changed = text[:at] + sign + text[at + (not more) :]
        with suppress(PromptError):
            read = whole.model_copy(update={name: changed}).value(tissue.tile.shape)
            assert len(read) == 2


def test_a_server_that_is_away_is_told_at_once_where_nobody_waits(running, linked, tissue):
    masks = [InstanceMask((3, 4), np.ones((5, 5), np.bool_), 1.0, 0, 1.0)]
    with running(FakeAnnotator()) as server:
        told = []
        remote = linked(server, notice=told.append, patience_s=3)
    with pytest.raises(ServerAwayError, match="is it on"):
        remote.describe(tissue.tile, masks)
    assert told == []  # as it would be by who waits


def test_a_server_that_describes_nothing_is_named(server, linked, monkeypatch):
    monkeypatch.setattr(type(server.engine), "description", 0)
    remote = linked(server)
    with pytest.raises(ServerError, match="older version"):
        remote.description  # noqa: B018


def test_classifiers_are_chosen_by_name(running, linked, tissue, taught_by_size):
    offers = [taught_by_size("sizes", ("small", "large")), taught_by_size("ages", ("new", "old"))]
    engine = FakeAnnotator(FakeCard(classes=("nucleus",)))
    with running(engine, classifiers=offers) as server:
        remote = linked(server)
        assert remote.classifiers == ("sizes", "ages")
        assert remote.card.classes == ("small", "large")
        (field,) = remote.fields(tissue.tile)
        found = remote.segment_field(tissue.tile, field, 0.0)
        areas = [[o.mask.area for o in found if o.mask.class_id == k] for k in (0, 1)]
        assert np.mean(areas[0]) < np.mean(areas[1])

        with httpx.Client(base_url=f"{server.url}{OWN_ROOT}") as http:
            http.headers[LEASE_HEADER] = http.post("/lease").json()["lease"]
            where = f"/tiles/{tissue.tile.digest}/segment"
            body = {"field": 0, "score_threshold": 0.0, "mpp": tissue.tile.mpp}
            ids = {}
            for name in ("ages", ""):
                told = http.post(where, json=body | {"classifier": name}).text.splitlines()[-1]
                ids[name] = {each["mask"]["class_id"] for each in json.loads(told)["found"]}
            assert ids == {"ages": {0, 1}, "": {0}}
            refused = http.post(where, json=body | {"classifier": "../../etc/passwd"})
            assert refused.status_code == 422
            assert "passwd" not in refused.text + "".join(server.said)
            assert http.get("/classifiers/..%2Fkey").status_code in (404, 422)


def test_a_classifier_is_fetched_as_it_was_saved(running, linked, tissue, taught_by_size):
    with running(FakeAnnotator(), classifiers=[taught_by_size("sizes", ("a", "b"))]) as server:
        remote = linked(server)
        saved = remote.classifier("sizes")
        assert saved.classifier.names == ("a", "b")
        teacher = Teacher(remote.card.id, remote.card.sha256, remote.description)
        assert saved.ready_for(teacher).palette.names == ("a", "b")
        with pytest.raises(PromptError, match="sizes"):
            remote.classifier("other")


def test_what_both_sides_expect_is_not_printed(server, remote, tissue):
    remote.answer(tissue.tile, Prompt((tissue.centres_yx[0],), (True,)))
    server.application.own.leases._leases.clear()
    remote.answer(tissue.tile, Prompt((tissue.centres_yx[1],), (True,)))
    assert server.said == []
    with pytest.raises(PromptError):
        remote.describe(tissue.tile, [InstanceMask((999, 0), np.ones((2, 2), bool), 1, 0, 1)])
    assert len(server.said) == 1


def test_a_picture_is_sent_once_and_to_all(server, linked, tissue):
    one, other = linked(server), linked(server)
    prompt = Prompt((tissue.centres_yx[0],), (True,))
    for each in (one, other, one):
        each.answer(tissue.tile, prompt)
    assert len(server.service.shelf) == 1
    assert server.engine.calls.count("encode") == 1
    assert len(server.application.own.leases) == 2


def test_who_goes_leaves_its_place_to_others(server, linked, tissue):
    """Choosing among states connects anew each time; a computer may have 32 leases at a time."""
    for _ in range(40):
        remote = linked(server)
        remote.answer(tissue.tile, Prompt((tissue.centres_yx[0],), (True,)))
        assert len(server.application.own.leases) == 1
        remote.close()
        assert len(server.application.own.leases) == 0
        remote.close()


def test_going_does_not_wait_for_a_server_that_is_gone(running, linked, tissue):
    with running(FakeAnnotator()) as server:
        remote = linked(server)
        remote.answer(tissue.tile, Prompt((tissue.centres_yx[0],), (True,)))
    began = time.monotonic()
    remote.close()
    assert time.monotonic() - began < 20


def test_what_the_engine_refuses_is_raised_here(server, remote, tissue):
    (field,) = remote.fields(tissue.tile)
    with pytest.raises(PromptError, match="threshold must"):
        next(remote.segment_steps(tissue.tile, field, 1.5))
    with pytest.raises(PromptError, match="got none"):
        remote.answer(tissue.tile, Prompt())
    server.engine.fail_next("answer", ImageError("pixels are too coarse"))
    with pytest.raises(PromptError, match="too coarse"):
        remote.answer(tissue.tile, Prompt((tissue.centres_yx[0],), (True,)))
    server.engine.fail_next("segment", ZeroDivisionError("secret"))
    with pytest.raises(ServerError, match="unexpected") as problem:
        remote.segment_field(tissue.tile, field, 0.5)
    assert "secret" not in str(problem.value)


def test_a_full_server_is_asked_again_and_then_told(server, linked, tissue):
    remote = linked(server, patience_s=0.0)
    server.engine.fail_next("answer", DeviceError("full"))
    with pytest.raises(DeviceError):
        remote.answer(tissue.tile, Prompt((tissue.centres_yx[0],), (True,)))


def test_the_key_is_asked_for_and_never_shown(running, linked):
    with running(FakeAnnotator(), key=KEY) as server:
        for wrong in ("", "another-key-of-them"):
            with pytest.raises(ServerError, match="key"):
                linked(server, key=wrong)
        assert linked(server, key=KEY).card.id == "fake"
        address = ServerAddress(server.url, KEY)
        assert KEY not in f"{address} {address!r}"


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("http://gpu:9000", "http://gpu:9000"),
        (" https://gpu.example/ ", "https://gpu.example:8000"),
        ("gpu", "http://gpu:8000"),
        ("gpu:1234/sam/", "http://gpu:1234"),
        ("http://[::1]:8000/0.25um/sam/", "http://[::1]:8000"),
    ],
)
def test_an_address_as_people_type_it(typed, expected):
    assert str(ServerAddress.of(typed)) == expected


@pytest.mark.parametrize(
    "typed",
    [
        *("", "ftp://gpu", "http://", "http://gpu:x", "http://gpu:99999"),
        *("http//gpu:8000", "http:/gpu:8000", "gpu :8000", "10.0.0.1,8000"),
    ],
)
def test_what_is_no_address(typed):
    with pytest.raises(ServerError, match="address"):
        ServerAddress.of(typed)


def test_a_key_that_cannot_be_one_is_refused_before_it_is_sent():
    with pytest.raises(ServerError, match="key"):
        ServerAddress.of("gpu", "two\r\nlines: 1")


def test_nobody_there_and_somebody_else_there(linked, running):
    with pytest.raises(ServerError, match="does not answer"):
        connect(ServerAddress("http://127.0.0.1:9"))


def test_https_typed_for_http_is_told(server):
    with pytest.raises(ServerError, match="type that"):
        connect(ServerAddress(server.url.replace("http://", "https://")))


def test_a_click_waits_for_a_server_that_is_started_anew(running, linked, tissue):
    heard = []
    prompt = Prompt((tissue.centres_yx[0],), (True,))
    with running(FakeAnnotator()) as first:
        port = first.port
        remote = linked(first, notice=heard.append, patience_s=60)
        expected = remote.answer(tissue.tile, prompt)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(remote.answer(tissue.tile, prompt)))
    asking.start()
    while not heard:
        time.sleep(0.01)
    with running(FakeAnnotator(), port=port):
        asking.join(60)
    same_mask(expected.mask, answers[0].mask)
    assert "does not answer" in heard[0]
    assert "answers again" in heard[1]


def test_a_click_is_told_when_patience_is_over(running, linked, tissue):
    with running(FakeAnnotator()) as server:
        remote = linked(server, patience_s=0.2)
    with pytest.raises(ServerError, match="kept here"):
        remote.answer(tissue.tile, Prompt((tissue.centres_yx[0],), (True,)))


def test_no_click_waits_once_another_model_is_wanted(running, linked, tissue):
    heard, refused = [], []
    prompt = Prompt((tissue.centres_yx[0],), (True,))
    with running(FakeAnnotator()) as server:
        port = server.port
        remote = linked(server, notice=heard.append, patience_s=600)

    def ask():
        try:
            remote.answer(tissue.tile, prompt)
        except ServerError as problem:
            refused.append(problem)

    asking = threading.Thread(target=ask)
    asking.start()
    while not heard:
        time.sleep(0.01)
    remote.hurry()
    asking.join(60)
    assert not asking.is_alive()
    ask()
    assert len(refused) == 2
    with running(FakeAnnotator(), port=port):  # where the other model is not to be had
        assert remote.answer(tissue.tile, prompt).mask.area


def test_a_run_goes_on_by_itself_where_it_was(running, linked, tissue):
    engine = FakeAnnotator(field_size=128, halo=16)
    expected = [len(engine.segment_field(tissue.tile, f, 0.5)) for f in engine.fields(tissue.tile)]
    with running(FakeAnnotator(field_size=128, halo=16)) as first:
        port = first.port
        remote = linked(first, patience_s=60)
        fields = remote.fields(tissue.tile)
        counts = [len(remote.segment_field(tissue.tile, fields[0], 0.5))]
    steps = remote.segment_steps(tissue.tile, fields[1], 0.5)
    for _ in range(3):
        next(steps)  # away: it waits, step by step
    with running(FakeAnnotator(field_size=128, halo=16), port=port) as second:
        while True:
            try:
                next(steps)
            except StopIteration as end:
                counts.append(len(end.value))
                break
        counts += [len(remote.segment_field(tissue.tile, field, 0.5)) for field in fields[2:]]
        assert second.engine.calls.count("segment") == len(fields) - 1
    assert counts == expected


def test_leaving_a_run_cancels_it_on_the_server(running, linked, tissue):
    with running(FakeAnnotator(delays={"encode": 0.2})) as server:
        remote = linked(server)
        (field,) = remote.fields(tissue.tile)
        with server.engine.held("encode"):
            steps = remote.segment_steps(tissue.tile, field, 0.5)
            waiting = threading.Thread(target=lambda: next(steps))
            waiting.start()
            while not server.engine.calls:
                time.sleep(0.01)
        waiting.join(60)
        steps.close()
        until = time.monotonic() + 60
        while server.service.room.waiting and time.monotonic() < until:
            time.sleep(0.05)
        assert server.service.room.waiting == 0
        assert len(remote.segment_field(tissue.tile, field, 0.5)) > 10


def test_closing_ends_what_waits(running, linked, tissue):
    with running(FakeAnnotator()) as server:
        remote = linked(server, patience_s=600)
    problems = []

    def ask():
        try:
            remote.answer(tissue.tile, Prompt((tissue.centres_yx[0],), (True,)))
        except ServerError as problem:
            problems.append(problem)

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.2)
    remote.close()
    asking.join(60)
    assert len(problems) == 1


def test_a_lease_that_ran_out_is_begun_anew(server, remote, tissue):
    prompt = Prompt((tissue.centres_yx[0],), (True,))
    remote.answer(tissue.tile, prompt)
    leases = server.application.own.leases
    leases._leases.clear()
    remote.answer(tissue.tile, prompt)
    (field,) = remote.fields(tissue.tile)
    leases._leases.clear()
    assert len(remote.segment_field(tissue.tile, field, 0.5)) > 10


def test_a_picture_too_large_for_a_server_is_refused_before_it_is_sent(remote):
    vast = Tile.from_array(np.zeros((1, 1, 3), np.uint8))
    object.__setattr__(vast, "rgb", np.broadcast_to(np.uint8(0), (9000, 9000, 3)))
    with pytest.raises(ImageError, match="region"):
        remote.answer(vast, Prompt(((1.0, 1.0),), (True,)))


def test_a_picture_must_have_the_digest_it_is_sent_under(server, png):
    base = f"{server.url}{OWN_ROOT}"
    lease = httpx.post(f"{base}/lease").json()["lease"]
    refused = httpx.put(f"{base}/tiles/{'0' * 32}", content=png, headers={LEASE_HEADER: lease})
    assert refused.status_code == 422
    assert len(server.service.shelf) == 0
    for odd in ("../../etc/passwd", "0" * 31, "Z" * 32):
        assert httpx.get(f"{base}/tiles/{odd}", headers={LEASE_HEADER: lease}).status_code == 404


def test_damaged_messages_are_refused():
    whole = LogitsMessage.of(MaskLogits((0, 0), np.ones((3, 5), np.float32)))
    assert whole.value().logits.shape == (3, 5)
    for damage in (
        {"packed": "!"},
        {"packed": whole.packed[:-4]},
        {"shape": (3, 6)},
        {"shape": (60000, 60000)},
    ):
        with pytest.raises(PromptError):
            whole.model_copy(update=damage).value()
    with pytest.raises(ValueError, match="expected"):
        MaskMessage(origin_yx=(0, 0), shape=(4, 4), runs="zzz", score=1, class_id=0, iou=1).value()
