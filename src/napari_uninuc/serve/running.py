"""A server that runs until it is stopped: port, TLS, and connections that may not pile up."""

import asyncio
import os
import socket
import ssl
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from napari_uninuc.errors import OutputError
from napari_uninuc.serve.app import Application
from napari_uninuc.serve.asking import Service
from napari_uninuc.serve.guard import Guard
from napari_uninuc.wire.constants import HEADERS_S

__all__ = ["check_tls", "listen", "make_server"]

_CONNECTIONS = 512
_CONNECTIONS_A_PEER = 256
_KEEP_ALIVE_S = 30
_HEAD_BYTES = 32 * 2**10
_CLOSING_S = 5
_TOO_MANY_BODY = b'{"detail": "too many connections of yours; close some"}'
_TOO_MANY = (
    b"HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%s" % (len(_TOO_MANY_BODY), _TOO_MANY_BODY)
)


class _BoundedProtocol(H11Protocol):
    """Connections of one computer are counted, and one that asks nothing is closed."""

    _open: ClassVar[Counter[str]] = Counter()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, unless its computer has too many."""
        super().connection_made(transport)
        self._peer = self.client[0] if self.client else ""
        self._open[self._peer] += 1
        self._impatience = self.loop.call_later(HEADERS_S, self._give_up)
        if self._open[self._peer] > _CONNECTIONS_A_PEER:
            transport.write(_TOO_MANY)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it no more."""
        self._impatience.cancel()
        self._open[self._peer] -= 1
        if self._open[self._peer] <= 0:
            del self._open[self._peer]
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP; close where an answer to what came before is under way.

        uvicorn 0.54 fails there: h11 lets it send nothing more.
        """
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:
            self.transport.close()

    def _give_up(self) -> None:
        if self.cycle is None:
            self.transport.close()


def listen(host: str, port: int) -> socket.socket:
    """Take an address before anything slow is done.

    Nobody is let in before `open_to_clients`: who asks meanwhile is told at once that no server
    is there, and does not wait for an answer.

    Raises
    ------
    OutputError
        It is not this computer's, or somebody else listens there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sends at once (TCP_NODELAY); without, it waits for 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":  # elsewhere it would let two listen at one port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host.strip("[]"), port))
    except OSError as problem:
        listener.close()
        raise _taken(host, port, problem) from None
    return listener


def open_to_clients(listener: socket.socket) -> None:
    """Let clients in, at the address that `listen` took.

    Raises
    ------
    OutputError
        Somebody else began to listen there meanwhile.
    """
    try:
        listener.listen(_CONNECTIONS)
    except OSError as problem:
        host, port = listener.getsockname()[:2]
        raise _taken(host, port, problem) from None


def _taken(host: str, port: int, problem: OSError) -> OutputError:
    reason = problem.strerror or str(problem)
    return OutputError(
        f"cannot listen at {host}, port {port} ({reason}); choose another with --host, --port"
    )


def check_tls(certificate: Path, key: Path) -> None:
    """Read the files before anything slow is done.

    Raises
    ------
    OutputError
        They cannot be read or do not belong together.
    """
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as problem:
        raise OutputError(
            f"{certificate}, {key}: expected a certificate and its key as PEM "
            f"({problem.strerror or problem}); check the files"
        ) from None


def make_server(
    service: Service,
    *,
    host: str,
    key: str | None,
    names: tuple[str, ...] = (),
    tls: tuple[Path, Path] | None = None,
) -> uvicorn.Server:
    """Make a server; ``run(sockets=[listen(...)])`` runs it until it is interrupted.

    Parameters
    ----------
    host : it listens at
    key : clients must send; None asks for none
    names : further names it is asked for by
    tls : certificate and key, PEM
    """
    application: Any = Application(service, Guard(key, host, names))
    config = uvicorn.Config(
        application,
        http=_BoundedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_CLOSING_S,
        h11_max_incomplete_event_size=_HEAD_BYTES,
        ssl_certfile=None if tls is None else str(tls[0]),
        ssl_keyfile=None if tls is None else str(tls[1]),
    )
    return uvicorn.Server(config)
