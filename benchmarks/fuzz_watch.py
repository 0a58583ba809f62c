"""Hears what a reader does to files, processes and connections."""

import os
import sys
from pathlib import Path
from typing import Any

__all__ = ["Watch"]

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_ACTS = {
    *("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate"),
    *("shutil.rmtree", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"),
    *("socket.connect", "os.chmod", "os.fork"),
}


class Watch:
    """Hears what Python does to files while a case is read."""

    def __init__(self, case: Path) -> None:
        self.case, self.armed = str(case), False
        self.seen: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.armed or (event != "open" and event not in _ACTS):
            return
        path = arguments[0] if arguments else None
        where = os.path.realpath(os.fsdecode(path)) if isinstance(path, str | bytes) else ""
        own = where.startswith(f"{self.case}/")
        if event == "os.mkdir" and own and os.path.isdir(where):
            return  # filelock makes sure of the folder, which is there
        if event != "open":
            self.seen.append(f"{event} {str(arguments)[:200]}")
        elif arguments[2] & _WRITES and not (own and where.endswith("/lock")):
            self.seen.append(f"write {where}")
        elif "/outside/" in where:
            self.seen.append(f"read outside {where}")
