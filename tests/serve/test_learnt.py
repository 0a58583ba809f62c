"""Learnt states on a server: offered, chosen by name, answered with, and told in the record."""

import json

import httpx
import numpy as np
import pytest
from qupath import automask_body, box_body, raster, sam3_body

from napari_uninuc.client.address import ServerAddress
from napari_uninuc.client.annotator import connect
from napari_uninuc.core.prompts import Prompt
from napari_uninuc.errors import PromptError, ServerError
from napari_uninuc.testing import FakeAnnotator, FakeCard
from napari_uninuc.wire.constants import LEASE_HEADER, OWN_ROOT

NAMES = ("nucleus", "tumour")


def state(name, sha256="ab" * 32, radius=9.0):
    """A model that knows larger nuclei at a click, and shows more of what it finds."""
    card = FakeCard(learnt=name, learnt_sha256=sha256, score_threshold=0.3, classes=NAMES)
    return FakeAnnotator(card, click_radius_px=radius)


@pytest.fixture
def plain():
    return FakeAnnotator(FakeCard(classes=NAMES))


@pytest.fixture
def states():
    return {"anna": state("anna"), "ben": state("taught-by-ben", "cd" * 32, 12.0)}


@pytest.fixture
def server(running, plain, states):
    with running(plain, learnt=states) as made:
        yield made


@pytest.fixture
def linked():
    made = []

    def link(server, learnt=None, **options):
        made.append(connect(ServerAddress(server.url), learnt=learnt, **options))
        return made[-1]

    yield link
    for each in made:
        each.close()


def click(tissue):
    return Prompt((tissue.centres_yx[0],), (True,))


def area(annotator, tissue):
    return annotator.answer(tissue.tile, click(tissue)).mask.area


@pytest.mark.parametrize(
    ("chosen", "answers", "learnt", "threshold"),
    [
        (None, "anna", "anna", 0.3),
        ("anna", "anna", "anna", 0.3),
        ("ben", "ben", "taught-by-ben", 0.3),
        ("", None, "", 0.4),
    ],
)
def test_a_client_is_answered_by_the_state_it_chose(
    server, linked, plain, states, tissue, chosen, answers, learnt, threshold
):
    remote, there = linked(server, chosen), {**states, None: plain}[answers]
    assert remote.learnt_states == {"anna": "anna is better", "ben": "ben is better"}
    assert remote.state == (answers or "")
    card = remote.card
    assert (card.learnt, card.learnt_sha256) == (learnt, there.card.learnt_sha256)
    assert (card.score_threshold, card.id, card.classes) == (threshold, "fake", NAMES)
    assert area(remote, tissue) == area(FakeAnnotator(click_radius_px=there._radius), tissue)
    (field,) = remote.fields(tissue.tile)
    assert remote.segment_field(tissue.tile, field, 0.5)
    assert there.calls.count("answer") == there.calls.count("segment") == 1
    others = [each for each in (plain, *states.values()) if each is not there]
    assert not any({"answer", "segment"} & set(each.calls) for each in others)


def test_two_clients_in_two_states_do_not_disturb_each_other(server, linked, tissue):
    one, other = linked(server, "ben"), linked(server, "")
    areas = [area(each, tissue) for each in (one, other, one, other)]
    assert areas[:2] == areas[2:]
    assert areas[0] > areas[1]


def test_a_state_that_is_not_offered_is_named_with_those_that_are(server, running, linked):
    with pytest.raises(ServerError, match=r"offers: anna, ben"):
        linked(server, "carl")
    with running(FakeAnnotator()) as bare, pytest.raises(ServerError, match="offers: none"):
        linked(bare, "anna")


def test_names_in_requests_are_names_and_nothing_else(server, tissue):
    with httpx.Client(base_url=f"{server.url}{OWN_ROOT}") as http:
        http.headers[LEASE_HEADER] = http.post("/lease").json()["lease"]
        http.put(f"/tiles/{tissue.tile.digest}", content=png_bytes(tissue))
        prompt = {"points_yx": [[40, 40]], "inside": [True]}
        for name in ("../../etc/passwd", "taught-by-ben", "x" * 201, 7):
            for path, more in (("answer", {"prompt": prompt}), ("segment", {"field": 0})):
                body = {"learnt": name, "score_threshold": 0.5, **more}
                told = http.post(f"/tiles/{tissue.tile.digest}/{path}", json=body)
                assert told.status_code == 422, (name, path)
    assert "passwd" not in "".join(server.said)


def png_bytes(tissue):
    from qupath import png_of

    return png_of(tissue.tile.rgb)


def test_a_client_of_before_gets_what_the_card_says(server, tissue, states):
    """It names no state; so what it is told to be must be what answers it."""
    with httpx.Client(base_url=f"{server.url}{OWN_ROOT}") as http:
        assert http.get("/info").json()["card"]["learnt"] == "anna"
        http.headers[LEASE_HEADER] = http.post("/lease").json()["lease"]
        http.put(f"/tiles/{tissue.tile.digest}", content=png_bytes(tissue))
        prompt = {"points_yx": [[40, 40]], "inside": [True]}
        http.post(f"/tiles/{tissue.tile.digest}/answer", json={"prompt": prompt})
    assert states["anna"].calls.count("answer") == 1


@pytest.mark.parametrize(
    ("learnt", "options"),
    [
        ("anna", {}),
        ("anna", {"learnt": {"ben": state("ben")}}),
        ("anna", {"learnt": {"anna": state("anna", "ef" * 32)}}),
        ("", {"engine": FakeAnnotator(FakeCard(id="other", classes=NAMES))}),
        ("", {"engine": FakeAnnotator(FakeCard(classes=("nucleus", "stroma")))}),
    ],
    ids=["none", "another", "other bytes", "other model", "other classes"],
)
def test_a_server_that_is_started_anew_with_something_else_answers_nothing_until_it_is_chosen(
    running, linked, tissue, learnt, options
):
    """Else the record would say a model that was not asked, and class ids mean other classes."""
    told = []
    engine = FakeAnnotator(FakeCard(classes=NAMES))
    with running(engine, learnt={"anna": state("anna")}) as server:
        remote = linked(server, learnt, notice=told.append)
        area(remote, tissue)
        port = server.port
    new = options.pop("engine", FakeAnnotator(FakeCard(classes=NAMES)))
    with running(new, port=port, **options) as server:
        for _ in range(2):
            with pytest.raises(ServerError, match="choose it again under Model"):
                area(remote, tissue)
        (field,) = FakeAnnotator().fields(tissue.tile)
        with pytest.raises(ServerError, match="choose it again under Model"):
            remote.segment_field(tissue.tile, field, 0.5)
        assert "answer" not in new.calls
        assert sum("started anew" in text for text in told) == 1
        assert len(server.application.own.leases) == 0
    with running(engine, port=port, learnt={"b": state("b"), "anna": state("anna")}):
        assert area(remote, tissue)  # the same again, whatever else it offers now


def test_qupath_chooses_in_its_menu_of_weights(server, png, tissue, box_of, plain, states):
    status, body = server.qupath().send("GET", "/sam/weights/?type=vit_b")
    menu = json.loads(body)
    assert status == 200
    assert [each["name"] for each in menu] == ["fake+anna", "fake+ben", "fake"]
    assert [each["url"] for each in menu] == ["uninuc:fake+anna", "uninuc:fake+ben", "uninuc:fake"]
    qupath, box = server.qupath("/0.25um/sam/"), box_of(3)
    for url, name, engine in (
        *[(each["url"], each["name"], None) for each in menu],
        (None, "fake+anna", None),
        ("https://elsewhere.example/sam.pth", "fake+anna", None),
    ):
        engine = {"fake+anna": states["anna"], "fake+ben": states["ben"], "fake": plain}[name]
        before = len(engine.calls)
        for path, made in (
            ("", box_body(png, box)),
            ("automask", automask_body(png)),
            ("sam3", sam3_body(png, text="nucleus")),
        ):
            told = json.loads(made) | {"checkpoint_url": url}
            found = qupath.post(path, json.dumps(told))
            assert found
            assert {each["properties"]["sam_model"] for each in found} == {name}
            assert {each["properties"]["metadata"]["UniNuc: model"] for each in found} == {name}
            assert raster(found[0], tissue.tile.shape).any()
        assert {"answer", "segment"} <= set(engine.calls[before:])


def test_a_state_that_qupath_remembers_and_is_gone_is_refused(server, png, box_of):
    told = json.loads(box_body(png, box_of(3))) | {"checkpoint_url": "uninuc:fake+carl"}
    status, body = server.qupath().send("POST", "/sam/", json.dumps(told))
    assert status == 422
    assert "anna, ben" in json.loads(body)["detail"]


def test_automask_is_what_the_state_finds(server, png, tissue, states):
    """Its own threshold too."""
    found = server.qupath("/0.25um/sam/").post("automask", automask_body(png))
    (field,) = states["anna"].fields(tissue.tile)
    own = state("anna").segment_field(tissue.tile, field, 0.3)
    assert len(found) == len(own)
    painted = np.zeros(tissue.tile.shape, bool)
    for each in found:
        painted |= raster(each, tissue.tile.shape)
    assert painted.sum() == sum(one.mask.area for one in own)


def test_what_is_wrong_with_a_prompt_is_said_by_the_state_too(server, linked, tissue):
    with pytest.raises(PromptError, match="got none"):
        linked(server, "ben").answer(tissue.tile, Prompt())
