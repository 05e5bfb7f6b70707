"""The digests of files that were read before, as long as nothing says that they have changed."""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from xxhash import xxh3_128_digest, xxh3_128_hexdigest

DIGEST = 16
"""Bytes of a digest."""
SECONDS_OF_DOUBT = 2.0
"""A file that was changed so shortly before the index was written may change unseen."""
_STATE = 4
Bytes16 = np.dtype(("V", DIGEST))


@dataclass(frozen=True)
class FileIndex:
    """What is known of some files.

    Attributes:
        name: Of the folder that they have in common.
        path: Where the index lies.
        paths: (N,) digests of their paths.
        states: (N, 4) size, inode, mtime and ctime of each file now; -1 where it has none.
        known: (N,) digests; what was read before and has not changed.
        is_known: (N,) which of these stand for something.
    """

    name: str
    path: Path
    paths: np.ndarray[Any, Any]
    states: np.ndarray[Any, Any]
    known: np.ndarray[Any, Any]
    is_known: np.ndarray[Any, Any]

    @classmethod
    def read(cls, folder: Path, files: Sequence[Path]) -> FileIndex:
        """Return what the index in a folder knows of these files."""
        absolute = [os.path.abspath(file).encode("utf-8", "surrogateescape") for file in files]
        hashed = np.frombuffer(b"".join(map(xxh3_128_digest, absolute)), Bytes16)
        root = os.path.commonpath(absolute) if absolute else b""
        name = xxh3_128_hexdigest(root)[:12]
        path = folder / f"index-{name}.npz"
        states = np.array([_state(file) for file in files], np.int64).reshape(-1, _STATE)
        known, is_known = np.zeros(len(files), Bytes16), np.zeros(len(files), bool)
        damages = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
        with suppress(*damages), np.load(path, allow_pickle=False) as saved:
            before = {key: n for n, key in enumerate(map(bytes, saved["paths"]))}
            places = np.array([before.get(bytes(key), -1) for key in hashed], np.int64)
            same = places >= 0
            same[same] = (saved["states"][places[same]] == states[same]).all(1)
            known[same] = saved["digests"][places[same]]
            is_known = same & (states[:, 0] >= 0)
        return cls(name, path, hashed, states, known, is_known)

    def digests(self) -> list[bytes] | None:
        """Return the digest of each file, or None where one is not known."""
        return [bytes(d) for d in self.known] if self.is_known.all() else None

    def missing(self) -> dict[int, bytes]:
        """Return the digests that are known, by number."""
        return {int(n): bytes(self.known[n]) for n in np.flatnonzero(self.is_known)}

    def write(self, digests: Sequence[bytes]) -> None:
        """Remember the digests of files that were like this when they were read."""
        doubtful = (time.time() - SECONDS_OF_DOUBT) * 1e9
        sure = (self.states[:, 0] >= 0) & (self.states[:, 2:].max(1, initial=0) < doubtful)
        draft = self.path.with_suffix(f".{os.getpid()}.part")
        with suppress(OSError):  # it only saves time
            with draft.open("wb") as opened:
                np.savez(
                    opened,
                    paths=self.paths[sure],
                    states=self.states[sure],
                    digests=np.frombuffer(b"".join(digests), Bytes16)[sure],
                )
            os.replace(draft, self.path)


def _state(file: Path) -> tuple[int, int, int, int]:
    try:
        status = file.stat()
    except OSError:
        return (-1, -1, -1, -1)
    return status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns
