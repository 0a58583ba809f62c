"""Downloading one large file with the standard library: resumable, whole or not there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from napari_uninuc.errors import CheckpointError, OutputError

TIMEOUT_S = 60.0
"""Seconds without a byte after which a connection counts as dead."""

_CHUNK = 1 << 20

Progress = Callable[[int, int | None], None]


def download(url: str, target: Path, progress: Progress | None = None) -> Path:
    """Download ``url`` to ``target``, going on with what an earlier attempt left.

    Parameters
    ----------
    url : http or https; proxies are those of the environment
    target : replaced when the download is whole; its folder is made
    progress : called with bytes done and bytes in all (None where the server does not say)

    Returns
    -------
    target

    Raises
    ------
    CheckpointError
        Not reachable, refused, or the connection ended early. What came stays for the next try.
    OutputError
        The file cannot be written.
    """
    # Parts of files at different addresses must never be joined.
    mark = hashlib.sha256(url.encode()).hexdigest()[:12]
    partial = target.with_name(f"{target.name}.{mark}.partial")
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        done = partial.stat().st_size if partial.exists() else 0
        if not _append(url, partial, done, progress):
            partial.unlink(missing_ok=True)
            _append(url, partial, 0, progress)
        os.replace(partial, target)
    except (CheckpointError, OutputError):
        raise
    except OSError as error:
        raise OutputError(
            f"{target}: cannot write the download: {error.strerror}; "
            "choose a folder with room you can write to (UNINUC_MODELS)"
        ) from error
    return target


def _append(url: str, partial: Path, done: int, progress: Progress | None) -> bool:
    """Fetch what is missing; False where the server has no such range."""
    response = _open(url, done)
    if response is None:
        return False
    with response:
        resumed = response.status == 206
        if resumed and not (response.headers["Content-Range"] or "").startswith(f"bytes {done}-"):
            return False
        start = done if resumed else 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length is not None else None
        with partial.open("ab" if resumed else "wb") as stream:
            done = _copy(url, response, stream, start, total, progress)
    if total is not None and done != total:
        raise CheckpointError(
            f"{url}: the download ended after {done} of {total} bytes; "
            "run the same command again to go on"
        )
    return True


def _open(url: str, done: int) -> HTTPResponse | None:
    request = Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        response: HTTPResponse = urlopen(request, timeout=TIMEOUT_S)
    except HTTPError as error:
        error.close()
        if error.code == 416 and done:
            return None
        raise CheckpointError(
            f"{url}: the server answered {error.code} {error.reason}; "
            "check the address, or set UNINUC_MIRROR"
        ) from error
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise CheckpointError(
            f"{url}: not reachable ({' '.join(str(reason).split())}); "
            "check the network and proxy, or set UNINUC_MIRROR to a mirror or folder"
        ) from error
    return response


def _copy(
    url: str,
    response: HTTPResponse,
    stream: BinaryIO,
    done: int,
    total: int | None,
    progress: Progress | None,
) -> int:
    """Copy the body; returns the bytes of the file so far."""
    while True:
        try:
            chunk = response.read(_CHUNK)
        except (OSError, HTTPException) as error:
            raise CheckpointError(
                f"{url}: the connection was lost after {done} bytes; "
                "run the same command again to go on"
            ) from error
        if not chunk:
            return done
        stream.write(chunk)
        done += len(chunk)
        if progress is not None:
            progress(done, total)
