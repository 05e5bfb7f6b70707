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


def _holder(holder: Path) -> str:
    """Return who holds a lock, as far as that is written down."""
    try:
        return holder.read_text().strip() or "another process"
    except OSError:
        return "another process"
