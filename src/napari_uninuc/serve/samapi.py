"""samapi: what QuPath's SAM extension asks, answered by our engine."""

import re
from collections.abc import Callable, Coroutine, Generator, Sequence
from functools import partial
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from napari_uninuc import __version__
from napari_uninuc.core.classifier import Taught
from napari_uninuc.core.prompts import Prompt
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.protocol import Annotator
from napari_uninuc.serve.answers import Progress, alike, outline_meant, outline_steps
from napari_uninuc.serve.asking import Service, answered, peer_of
from napari_uninuc.serve.bodies import checked
from napari_uninuc.serve.refusals import Refusal
from napari_uninuc.serve.samapi_bodies import AutomaskBody, PromptBody, SamBody, WordsBody
from napari_uninuc.serve.scale import Scale
from napari_uninuc.serve.shapes import feature_of_prompt, features_of_nuclei

__all__ = ["Samapi"]

_ALL_TYPES = (
    *("vit_h", "vit_l", "vit_b", "vit_t"),
    *("sam2_l", "sam2_bp", "sam2_s", "sam2_t", "sam3"),
)
"""The extension's menu; it asks for the weights of one of them."""
_SCHEME, _IN_STATE = "uninuc:", "+"
"""Of what stands in the place of weights' address: ``uninuc:uninuc-n``, ``uninuc:uninuc-n+mine``"""
_TYPE = re.compile(r"[\w.+:-]{1,64}")

Handler = Callable[[Request, float | None], Coroutine[Any, Any, Response]]


class Samapi:
    """Handlers by what follows ``/sam/`` and the method.

    Parameters
    ----------
    service : engine, queue and pictures
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._progress: dict[str, int] = {}
        self.handlers: dict[str, dict[str, Handler]] = {
            "": {"POST": self._prompt},
            "automask": {"POST": self._automask},
            "sam3": {"POST": self._words},
            "weights": {"GET": self._weights, "POST": self._register},
            "weights/cancel": {"GET": self._cancel},
            "progress": {"GET": self._show_progress},
            "version": {"GET": self._version},
        }

    @property
    def _model(self) -> str:
        return self._service.engine.card.id

    def _chosen(self, body: SamBody) -> tuple[Annotator, str]:
        """Give the model in the state that was chosen in QuPath's menu of weights, and its name.

        Addresses that are none of ours, such as those of another server, mean the first entry.

        Raises
        ------
        Refusal
            422: a state that is not offered (any more).
        """
        chosen, offers = (body.checkpoint_url or "").removeprefix(_SCHEME), self._service.offers
        state: str | None = None
        if chosen == self._model:
            state = ""
        elif chosen.startswith(f"{self._model}{_IN_STATE}"):
            state = chosen.removeprefix(f"{self._model}{_IN_STATE}")
        engine = self._service.engine_in(state)
        return engine, self._named(offers.usual_state if state is None else state)

    def _named(self, state: str) -> str:
        return f"{self._model}{_IN_STATE}{state}" if state else self._model

    async def _prompt(self, request: Request, mpp: float | None) -> Response:
        """Outline what a box and points mean: one feature, or none."""
        with await self._service.bodies.read(request) as content:
            body = checked(content, PromptBody)
            tile = await self._tile_of(body)
        prompt = body.prompt(tile.shape)
        if prompt is None:
            self._service.say(
                "a prompt without a box or a point inside the picture: nothing to show"
            )
            return JSONResponse([])
        work = partial(self._outline_one, tile, prompt, mpp, *self._chosen(body))
        return JSONResponse(await answered(request, self._service.room.ask(peer_of(request), work)))

    def _outline_one(
        self, tile: Tile, prompt: Prompt, mpp: float | None, engine: Annotator, name: str
    ) -> list[dict[str, Any]]:
        seen, scale = self._seen(tile, mpp)
        mask = outline_meant(engine, seen, prompt)
        if not mask.area:
            self._service.say(f"no nucleus where the prompt is, at {scale} a pixel")
        return feature_of_prompt(mask, name, scale)

    async def _automask(self, request: Request, mpp: float | None) -> Response:
        """Outline all nuclei."""
        with await self._service.bodies.read(request) as content:
            body = checked(content, AutomaskBody)
            tile = await self._tile_of(body)
        engine, model = self._chosen(body)

        def steps() -> Generator[Progress, None, list[dict[str, Any]]]:
            yield 0, 1
            seen, scale = self._seen(tile, mpp)
            usual = self._service.offers.usual
            nuclei = yield from outline_steps(engine, seen, taught=usual)
            kept = nuclei.table["predicted_iou"] >= body.least_iou
            if body.min_mask_region_area:
                pixels = np.bincount(nuclei.labels.ravel())[nuclei.table["id"]]
                kept &= pixels >= body.min_mask_region_area
            self._service.say(f"{int(kept.sum())} nuclei outlined, at {scale} a pixel")
            return features_of_nuclei(_only(nuclei, kept.to_numpy()), model, scale)

        return JSONResponse(await self._run(request, steps()))

    async def _words(self, request: Request, mpp: float | None) -> Response:
        """Outline the nuclei of a class by its name, or those like examples, or both."""
        with await self._service.bodies.read(request) as content:
            body = checked(content, WordsBody)
            tile = await self._tile_of(body)
        positive, negative = body.boxes(tile.shape)
        engine, model = self._chosen(body)
        meant = self._class_of(body.text_prompt or "")
        if meant is None or not (meant[1] or positive):
            return JSONResponse([])
        taught, name = meant

        def steps() -> Generator[Progress, None, list[dict[str, Any]]]:
            yield 0, 1
            seen, scale = self._seen(tile, mpp)
            nuclei = yield from outline_steps(engine, seen, taught=taught)
            kept = np.ones(len(nuclei.table), np.bool_)
            if name not in ("", _EVERY):
                kept &= (nuclei.table["class"] == name).to_numpy()
            likeness = None
            if positive:
                likeness = yield from alike(engine, seen, nuclei, positive, negative)
                kept &= likeness >= body.confidence_threshold
                likeness = likeness[kept]
            self._service.say(f"{int(kept.sum())} of {len(kept)} nuclei are meant")
            return features_of_nuclei(_only(nuclei, kept), model, scale, likeness)

        return JSONResponse(await self._run(request, steps()))

    def _class_of(self, words: str) -> tuple[Taught | None, str] | None:
        """Find the class that is meant, and the classifier that knows it (None is the model).

        The name is empty where none was named; None of both where nobody knows it.
        """
        wanted, offers = " ".join(words.lower().split()), self._service.offers
        if not wanted or wanted in ("nucleus", "nuclei", "cell", "cells"):
            return offers.usual, _EVERY if wanted else ""
        knowing: list[tuple[Taught | None, Sequence[str]]] = [
            *((offer.taught, offer.taught.palette.names) for offer in offers.named.values()),
            (None, self._service.engine.card.classes),
        ]
        for taught, names in knowing:
            for name in names:
                if wanted in (name.lower(), f"{name.lower()}s"):
                    return taught, name
        known = ", ".join(dict.fromkeys(name for _, names in knowing for name in names))
        self._service.say(f"nuclei were asked for by a name nobody knows here; known are {known}")
        return None

    async def _weights(self, request: Request, _mpp: float | None) -> Response:
        """List the one model there is and its learnt states, under whichever type is asked for.

        What answers where nobody chooses is first, for QuPath's menu selects it.
        """
        asked = request.query_params.get("type", "")
        if asked and not _TYPE.fullmatch(asked):
            raise Refusal(422, "type: expected the name of a model such as vit_b")
        types = (asked,) if asked else _ALL_TYPES
        names = [self._named(state) for state in (*self._service.offers.learnt, "")]
        return JSONResponse(
            [
                {"type": each, "name": name, "url": f"{_SCHEME}{name}"}
                for each in types
                for name in names
            ]
        )

    async def _register(self, request: Request, _mpp: float | None) -> Response:
        """Say that nothing is registered; nothing is fetched because a client names it."""
        with await self._service.bodies.read(request, 2**16):
            return PlainTextResponse(
                f"Not registered: this server runs its own model, {self._model}. Another is "
                "chosen where it is started: uninuc serve --model PATH."
            )

    async def _cancel(self, _request: Request, _mpp: float | None) -> Response:
        return PlainTextResponse("Nothing is being registered.")

    async def _show_progress(self, request: Request, _mpp: float | None) -> Response:
        """Tell how far the run of this client is."""
        percent = self._progress.get(peer_of(request))
        message = None if percent is None else "Outlining nuclei"
        return JSONResponse({"message": message, "percent": -1 if percent is None else percent})

    async def _version(self, _request: Request, _mpp: float | None) -> Response:
        return PlainTextResponse(__version__)

    async def _run(
        self, request: Request, steps: Generator[Progress, None, list[dict[str, Any]]]
    ) -> list[dict[str, Any]]:
        """Do a run, and let `progress/` tell of it."""
        peer = peer_of(request)

        def on_step(progress: Progress) -> None:
            self._progress[peer] = 100 * progress[0] // progress[1]

        try:
            return await answered(request, self._service.room.run(peer, steps, on_step).future)
        finally:
            self._progress.pop(peer, None)

    async def _tile_of(self, body: SamBody) -> Tile:
        return await self._service.decoded(lambda: self._service.shelf.of_base64(body.b64img))

    def _seen(self, tile: Tile, mpp: float | None) -> tuple[Tile, Scale]:
        """The picture at the scale that was stated or, once a picture, guessed and said."""
        if mpp is not None:
            return self._service.shelf.view(tile, mpp), Scale(mpp, guessed=False)
        known = self._service.scales.known(tile)
        scale = known or self._service.scales.guess(tile)
        if known is None and scale.mpp is not None:
            self._service.say(
                f"nobody said how large a pixel is: {scale} by the look of the nuclei. To state "
                f"it, write it before /sam/ in the address: /{scale.mpp:g}um/sam/"
            )
        return self._service.shelf.view(tile, scale.mpp), scale


_EVERY = "*"
"""Nuclei of every class."""


def _only(nuclei: Segmentation, kept: np.ndarray) -> Segmentation:
    """The nuclei of some rows of the table; labels of the others stay, and are not looked at."""
    return Segmentation(
        nuclei.labels, nuclei.table[kept].reset_index(drop=True), nuclei.timings, nuclei.classes
    )
