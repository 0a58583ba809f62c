"""Where a server is, and what it is asked with."""

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from napari_uninuc.errors import ServerError
from napari_uninuc.wire.constants import KEY_LENGTH

__all__ = ["ServerAddress"]

_KEY = re.compile(r"[A-Za-z0-9_-]*")
_NO_HOST = re.compile(r"https?|.*[\s,;*].*")
"""What is left of ``http//gpu:8000``, and what stands in no name."""


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """A server's address and key; as text it is the address alone.

    Attributes
    ----------
    url : ``http://host:8000``, without path
    key : empty where the server asks for none; never shown
    """

    url: str
    key: str = field(default="", repr=False)

    @classmethod
    def of(cls, text: str, key: str = "") -> "ServerAddress":
        """Read what a person typed; what follows the port (``/sam/``) is left out.

        Raises
        ------
        ServerError
            No address, or a key of other characters than keys have.
        """
        typed = text.strip()
        whole = typed if "://" in typed else f"http://{typed}"
        try:
            parts = urlsplit(whole)
            scheme, host, port = parts.scheme, parts.hostname, parts.port
        except ValueError:
            scheme, host, port = "", None, None
        if not host or _NO_HOST.fullmatch(host) or scheme not in ("http", "https"):
            raise ServerError(
                f"a server's address is http://NAME:PORT, got {typed[:80]!r}; type what "
                "'uninuc serve' prints"
            )
        if not _KEY.fullmatch(key.strip()) or len(key.strip()) > KEY_LENGTH[1]:
            raise ServerError("a key is letters, digits, - and _, got other; paste it anew")
        name = f"[{host}]" if ":" in host else host
        return cls(f"{scheme}://{name}:{port or 8000}", key.strip())

    def __str__(self) -> str:
        return self.url
