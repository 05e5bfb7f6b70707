"""One process at a time writes to a run folder.

The lock is the operating system's: it ends with the process that holds it, however that ends, so
that none is ever left behind. A file beside it says who holds it.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from fedlab.errors import FedlabError
from fedlab.files import LOCK, LOCK_HOLDER

LOCKS = Path("/proc/locks")
"""Where Linux lists the locks of all processes."""


class FolderLock:
    """The lock of one run folder; whoever holds it may take it again.

    Use it as a context manager.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = FileLock(folder / LOCK)
        self._depth = 0

    def __enter__(self) -> Self:
        """Take the lock.

        Raises:
            FedlabError: If another process holds it.
            OSError: If the folder may not be written.
        """
        holder = self._folder / LOCK_HOLDER
        if self._depth == 0:
            try:
                self._lock.acquire(blocking=False)
            except Timeout as error:
                raise FedlabError(
                    f"{self._folder} is in use by {_holder(holder)}; wait until it has ended, or "
                    "end it"
                ) from error
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()}\n")
        self._depth += 1
        return self

    def __exit__(self, *exception: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            with suppress(OSError):  # the folder may be gone
                (self._folder / LOCK_HOLDER).unlink(missing_ok=True)
            self._lock.release()


def is_written(folder: Path) -> str:
    """Return which process writes to a folder, or an empty string where none does.

    The lock is not touched: to try it would, for a moment, keep a run from taking it. A process of
    another machine is believed to be there as long as it has not said that it has ended.
    """
    try:
        text = (folder / LOCK_HOLDER).read_text(errors="replace").strip()
        inode = (folder / LOCK).stat().st_ino
    except OSError:
        return ""
    process, _, host = text.removeprefix("process ").partition(" on ")
    if host != socket.gethostname() or not process.isdecimal():
        return text
    return text if _is_alive(int(process)) and _is_locked(inode) else ""


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True  # of another user
    return True


def _is_locked(inode: int) -> bool:
    """Return whether any process has locked a file, or True where the system does not say.

    A process that was killed leaves its name behind, and another may have got its number since.
    """
    try:
        locks = LOCKS.read_text()
    except OSError:
        return True
    return any(line.rpartition(":")[2].split()[:1] == [str(inode)] for line in locks.splitlines())


def _holder(holder: Path) -> str:
    """Return who holds a lock, as far as that is written down."""
    try:
        return holder.read_text().strip() or "another process"
    except OSError:
        return "another process"
