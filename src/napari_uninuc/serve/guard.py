"""Who may ask: the key, the address asked for, and no web page."""

import hmac
import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from napari_uninuc.serve.address import Address
from napari_uninuc.serve.refusals import Refusal

__all__ = ["Guard", "is_loopback"]

_LOCAL_NAMES = ("localhost", "ip6-localhost")


def is_loopback(host: str) -> bool:
    """Whether only this computer can reach an address to bind to."""
    if host.lower() in _LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    """Refuses those who may not ask.

    Parameters
    ----------
    key : that requests must carry; None asks for none
    host : what the server is bound to
    names : more names it may be asked for by
    """

    def __init__(self, key: str | None, host: str, names: Iterable[str] = ()) -> None:
        self._key = None if key is None else key.encode()
        self._loopback = is_loopback(host)
        known = {host.lower(), *(name.lower() for name in names)}
        if not self._loopback:
            known.add(socket.gethostname().lower())
        self._names = known | set(_LOCAL_NAMES)

    def check(self, headers: Headers, address: Address) -> None:
        """Let a request pass.

        A web page that a browser shows may send requests anywhere, and a name of its own may lead
        here (DNS rebinding). QuPath and our client send no `Origin`, and name this server.

        Raises
        ------
        Refusal
            403 for a foreign `Host`, or anything a web page sends; 401 without the right key.
        """
        host = headers.get("host", "")
        if not self._is_ours(host):
            raise Refusal(
                403,
                "this server is not asked for by that name; use its IP address, or start it "
                "with --name NAME",
            )
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            raise Refusal(403, "web pages may not ask this server")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise Refusal(403, "web pages may not ask this server")
        if self._key is not None and not self._has_key(headers, address):
            raise Refusal(
                401,
                "this server asks for its key, got none or another; send it as "
                "'Authorization: Bearer KEY', or in the address: /key/KEY/sam/",
            )

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._names:
            return True
        try:
            number = ipaddress.ip_address(name)
        except ValueError:
            return False
        # A number cannot be made to lead elsewhere.
        return number.is_loopback or not self._loopback

    def _has_key(self, headers: Headers, address: Address) -> bool:
        scheme, _, sent = headers.get("authorization", "").partition(" ")
        given = sent.strip() if scheme.lower() == "bearer" else address.key
        return self._key is not None and hmac.compare_digest(given.encode(), self._key)
