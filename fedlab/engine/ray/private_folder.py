"""A folder for the sockets and files of one run's processes, which no other user may enter.

Ray gives its own folders the mode 0777, whatever the umask; so they lie inside this one. A lock
that ends with the processes that hold it shows that a folder is in use: those of runs that were
killed are removed by the next.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fedlab.errors import FedlabError

PREFIX = "fedlab-ray-"
LOCK = "lock"
LONGEST_SOCKET = 107
"""Bytes of the path of a Unix socket, on Linux."""
SESSION = "r/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store"
"""The longest path that Ray needs below the folder."""


@dataclass(frozen=True)
class PrivateFolder:
    """A new folder, of mode 0700.

    Attributes:
        path: The folder.
        lock: An open file; the folder is in use while a process holds it.
    """

    path: Path
    lock: int

    @classmethod
    def create(cls) -> PrivateFolder:
        """Make a folder, and remove those that killed runs have left.

        Raises:
            FedlabError: If it cannot be made, or its path is too long for sockets.
        """
        parent = _parent()
        _sweep(parent)
        path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        lock = os.open(path / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        return cls(path, lock)

    @property
    def fork_socket(self) -> Path:
        """Return where the fork server listens."""
        return self.path / "fork"

    @property
    def ray(self) -> Path:
        """Return the folder for Ray's sessions."""
        return self.path / "r"

    def remove(self) -> None:
        """Remove the folder and all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)


def _parent() -> Path:
    """Return the folder for temporary files, or /tmp where its path leaves sockets no room."""
    for parent in (Path(tempfile.gettempdir()), Path("/tmp")):
        longest = parent / f"{PREFIX}12345678" / SESSION
        if len(os.fsencode(longest)) <= LONGEST_SOCKET and os.access(parent, os.W_OK):
            return parent
    raise FedlabError(
        f"TMPDIR: {tempfile.gettempdir()} is too long a path for the sockets of Ray, and /tmp may "
        "not be written; set TMPDIR to a folder with a shorter path"
    )


def _sweep(parent: Path) -> None:
    """Remove this user's folders that no process uses any more."""
    for path in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if path.stat().st_uid != os.getuid():
                continue
            lock = os.open(path / LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)
