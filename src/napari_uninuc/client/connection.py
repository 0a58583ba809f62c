"""Requests to a server: one lease, tries again where that helps, and errors in words."""

import json
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Event
from typing import Any

import httpx
from pydantic import ValidationError

from napari_uninuc.client.address import ServerAddress
from napari_uninuc.errors import DeviceError, ImageError, PromptError, ServerAwayError, ServerError
from napari_uninuc.wire.constants import (
    ANSWER_S,
    CONNECT_S,
    GOODBYE_S,
    INFO,
    LEASE,
    LEASE_HEADER,
    OWN_ROOT,
    PATIENCE_S,
    PROTOCOL,
    RETRY_S,
    SILENCE_S,
)
from napari_uninuc.wire.messages import InfoMessage, LineMessage

__all__ = ["Connection"]

_BUSY = (409, 429, 503)
_GONE = 410


class Connection:
    """One client at one server; used by one thread at a time, closed from any.

    Parameters
    ----------
    address : of the server
    tell : told once that a server does not answer, and once that it does again
    patience_s : how long a request waits for a server that went away
    recognise : told what the server is whenever a lease begins, for it may have been started anew;
        raises ServerError where it is not what it was
    """

    def __init__(
        self,
        address: ServerAddress,
        tell: Callable[[str], object],
        patience_s: float = PATIENCE_S,
        recognise: Callable[[InfoMessage], object] = lambda told: None,
    ) -> None:
        self.address, self._tell, self._patience_s = address, tell, patience_s
        self._recognise = recognise
        self._closed, self._hurried = Event(), Event()
        self._lease: str | None = None
        self._silent = False
        headers = {"authorization": f"Bearer {address.key}"} if address.key else {}
        self._http = httpx.Client(
            base_url=f"{address.url}{OWN_ROOT}",
            headers=headers,
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
            verify=ssl.create_default_context(),
            trust_env=False,  # no proxy: what is asked for is on the way to nobody else
        )

    def info(self) -> InfoMessage:
        """What the server is; asked once, without patience.

        Raises
        ------
        ServerError
            Not there, no server of ours, another protocol, or the key is wrong.
        """
        response = self._once("GET", INFO, {}, None)
        if response.status_code == 404:
            raise ServerError(
                f"{self.address} speaks no protocol {PROTOCOL} of uninuc; start 'uninuc serve' of "
                "this version there"
            )
        try:
            return InfoMessage.model_validate_json(self._checked(response).content)
        except ValidationError:
            raise ServerError(f"{self.address} is no uninuc server; check the address") from None

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        known: tuple[int, ...] = (),
        patient: bool = True,
    ) -> httpx.Response:
        """Send a request and wait for its answer; tries again while the server is away.

        Parameters
        ----------
        known : statuses that are given back and not raised
        patient : False tries once

        Raises
        ------
        ServerAwayError
            Patience is over, or the connection was closed.
        ServerError, PromptError, ImageError, DeviceError
            The server refuses.
        """
        until = time.monotonic() + (self._patience_s if patient else 0.0)
        while True:
            try:
                response = self._with_lease(method, path, body)
            except ServerAwayError:
                if not patient or self._hurried.is_set():
                    raise
                self.wait(until)
                continue
            if response.status_code in _BUSY and not patient:
                raise ServerAwayError("the server is busy")
            if response.status_code in _BUSY and time.monotonic() < until:
                self._closed.wait(RETRY_S)
                continue
            self._answered()
            return response if response.status_code in known else self._checked(response)

    def lines(self, path: str, body: bytes) -> Iterator[LineMessage]:
        """Send a request that is answered by a stream; leave it to cancel.

        Raises
        ------
        ServerAwayError
            The server is away, or the stream broke.
        ServerError
            As `ask`.
        """
        try:
            headers = self._headers()
            patience = httpx.Timeout(SILENCE_S, connect=CONNECT_S)
            with self._http.stream(
                "POST", path, content=body, headers=headers, timeout=patience
            ) as response:
                if response.status_code != 200:
                    response.read()
                    if response.status_code == _GONE:
                        self._lease = None
                        raise ServerAwayError("the lease has run out")
                    if response.status_code in _BUSY:
                        raise ServerAwayError("the server is busy")
                    self._checked(response)
                self._answered()
                for line in response.iter_lines():
                    yield LineMessage.model_validate_json(line)
        except (httpx.TransportError, ValidationError) as problem:
            raise self._away(problem) from None

    def wait(self, until: float) -> None:
        """Wait a moment before the next try.

        Raises
        ------
        ServerAwayError
            It is later than `until` (`time.monotonic`), or nobody needs an answer any more.
        """
        self._say_silent()
        if time.monotonic() >= until or self._closed.wait(RETRY_S):
            raise ServerAwayError(
                f"the server at {self.address} does not answer; your corrections are kept here. "
                "Click again once it is back, or choose another model"
            )

    def hurry(self) -> None:
        """Wait no more for a server that is away, until it answers again; from any thread."""
        self._hurried.set()

    def close(self) -> None:
        """Let go; requests under way end. May be called at any time, from any thread.

        The server is told, so that another client may have the lease's place at once; one that does
        not answer in `GOODBYE_S` forgets it by itself.
        """
        first, lease = not self._closed.is_set(), self._lease
        self._closed.set()
        if first and lease is not None and not self._silent:
            with suppress(httpx.HTTPError, RuntimeError):
                headers = {LEASE_HEADER: lease}
                self._http.request("DELETE", LEASE, headers=headers, timeout=GOODBYE_S)
        self._http.close()

    def _with_lease(self, method: str, path: str, body: bytes | None) -> httpx.Response:
        response = self._once(method, path, self._headers(), body)
        if response.status_code == _GONE:
            self._lease = None
            response = self._once(method, path, self._headers(), body)
        return response

    def _headers(self) -> dict[str, str]:
        if self._lease is None:
            told = self._once("POST", LEASE, {}, None)
            if told.status_code in _BUSY:
                raise ServerAwayError("the server is busy")
            lease = str(json.loads(self._checked(told).content)["lease"])
            try:
                self._recognise(self.info())
            except ServerError:
                with suppress(ServerAwayError):
                    self._once("DELETE", LEASE, {LEASE_HEADER: lease}, None)
                raise
            self._lease = lease
        return {LEASE_HEADER: self._lease}

    def _once(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None
    ) -> httpx.Response:
        try:
            return self._http.request(method, path, headers=headers, content=body)
        except httpx.TransportError as problem:
            raise self._away(problem) from None
        except RuntimeError:  # the client was closed
            raise ServerAwayError("the connection was closed") from None

    def _away(self, problem: Exception) -> ServerAwayError:
        if "CERTIFICATE_VERIFY_FAILED" in str(problem):
            raise ServerError(
                f"{self.address} has a certificate this computer does not trust; set SSL_CERT_FILE "
                "to your authority's"
            ) from None
        if "[SSL" in str(problem):
            raise ServerError(
                f"{self.address} does not speak TLS as it should ({problem}); if the server prints "
                "an address with http://, type that"
            ) from None
        reason = type(problem).__name__
        return ServerAwayError(
            f"the server at {self.address} does not answer ({reason}); is it on?"
        )

    def _say_silent(self) -> None:
        if not self._silent:
            self._silent = True
            self._tell(
                f"The server at {self.address} does not answer. Corrections are kept here; work "
                "goes on by itself once it is back."
            )

    def _answered(self) -> None:
        self._hurried.clear()
        if self._silent:
            self._silent = False
            self._tell(f"The server at {self.address} answers again.")

    def _checked(self, response: httpx.Response) -> httpx.Response:
        """Raise what the server refuses as the engine itself would have."""
        status = response.status_code
        if status < 400:
            return response
        detail = self._detail(response)
        if status == 401:
            raise ServerError(f"{self.address} asks for its key, got none or another; type it")
        if status == 413:
            raise ImageError(detail)
        if status == 422:
            raise PromptError(detail)
        if status == 503:
            raise DeviceError(detail)
        raise ServerError(f"{self.address} refused ({status}): {detail}")

    @staticmethod
    def _detail(response: httpx.Response) -> str:
        try:
            told: Any = json.loads(response.content)
            return str(told["detail"])[:500]
        except (ValueError, KeyError, TypeError):
            return "no reason given"
