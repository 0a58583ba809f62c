"""Who is at work: a lease for each client of our own protocol, forgotten when it falls silent."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from napari_uninuc.serve.refusals import Refusal
from napari_uninuc.wire.constants import LEASE_S

__all__ = ["Leases"]

_LEASES_A_PEER = 32
_ALL_LEASES = 256


@dataclass(slots=True)
class _Lease:
    peer: str
    until: float


class Leases:
    """Tokens that name clients.

    Parameters
    ----------
    seconds : a lease lives so long after its last request
    clock : seconds, ever rising
    """

    def __init__(
        self, seconds: float = LEASE_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds, self._clock = seconds, clock
        self._leases: dict[str, _Lease] = {}
        self._lock = Lock()

    def begin(self, peer: str) -> str:
        """Give a new client its token.

        Raises
        ------
        Refusal
            429 or 503: that computer, or all together, have too many.
        """
        with self._lock:
            self._forget_silent()
            if sum(lease.peer == peer for lease in self._leases.values()) >= _LEASES_A_PEER:
                raise Refusal(429, f"{_LEASES_A_PEER} clients of this computer are at work; wait")
            if len(self._leases) >= _ALL_LEASES:
                raise Refusal(503, f"{_ALL_LEASES} clients are at work; ask again later")
            token = secrets.token_urlsafe(18)
            self._leases[token] = _Lease(peer, self._clock() + self._seconds)
            return token

    def renew(self, token: str) -> str:
        """Note that a client spoke; the name under which its work waits.

        Raises
        ------
        Refusal
            410: no such lease (any more); ask for another.
        """
        with self._lock:
            self._forget_silent()
            lease = self._leases.get(token)
            if lease is None:
                raise Refusal(410, "the lease has run out; begin another", usual=True)
            lease.until = self._clock() + self._seconds
            return f"lease {token}"

    def end(self, token: str) -> None:
        """Forget a client; one that is not known is forgotten already."""
        with self._lock:
            self._leases.pop(token, None)

    def _forget_silent(self) -> None:
        now = self._clock()
        for token in [token for token, lease in self._leases.items() if lease.until < now]:
            del self._leases[token]

    def __len__(self) -> int:
        with self._lock:
            self._forget_silent()
            return len(self._leases)
