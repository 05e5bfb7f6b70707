"""Pictures decoded once, in parallel, into a file in fedlab's cache.

A set of pictures is keyed by the content of its files in order, the size and channels that are
wanted, and what decodes (fedlab's version of it, Pillow's). Contents are told apart by a digest
(XXH3, 128 bits). So that files need not be read for that each time, an index remembers the digest
of each path with its size, inode and times of change (``mtime`` and ``ctime``, in nanoseconds); a
program can set the first of the times back, but not the second. A file that changed within two
seconds before the index was written is read again: a change in the same tick would not be seen.

Files are written under a name of their own and renamed when they are whole. Processes that want the
same pictures wait for the one that decodes them. The sets unused for longest are removed; one that
a process has open is locked, and stays.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
from xxhash import xxh3_128_hexdigest

from fedlab.assets.places import cache_folder
from fedlab.data.decoding import Decoded, Target, decode_all, digests_of
from fedlab.data.file_index import FileIndex
from fedlab.data.mapped import RowFile
from fedlab.data.names import shown
from fedlab.errors import FedlabError

DECODER = 1
"""Grows whenever :mod:`fedlab.data.formats.picture` makes other pixels of a file."""
MOST_BYTES_KEPT = 60 << 30
"""Of all sets; the ones unused for longest go first."""
SECONDS_OF_A_DRAFT = 86_400
"""Drafts that nobody has written to for so long were left by a process that was killed."""


@dataclass(frozen=True)
class PictureSet:
    """Decoded pictures in a file, one row for each file that was asked for.

    Attributes:
        file: The rows; those of files that cannot be read are black.
        faults: By the number of a file that cannot be read, why, beginning with its name.
        frames: The numbers of the files with several frames or pages.
    """

    file: RowFile
    faults: dict[int, str]
    frames: tuple[int, ...]


class NoRoom(FedlabError):
    """The cache has no room for these pictures, or cannot be written."""


def cached_pictures(files: Sequence[Path], shape: tuple[int, int, int]) -> PictureSet:
    """Return the pictures of these files, decoded now or before.

    Raises:
        NoRoom: If the cache's folder cannot be written, or its disk is full.
    """
    folder = cache_folder() / "pictures"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _found_or_made(folder, files, shape)
    except OSError as error:
        raise NoRoom(
            f"{folder} cannot be written: {error.strerror or error}; FEDLAB_CACHE names another "
            "folder for what fedlab keeps"
        ) from error


def _found_or_made(folder: Path, files: Sequence[Path], shape: tuple[int, int, int]) -> PictureSet:
    settings = _settings_key(shape)
    index = FileIndex.read(folder, files)
    known = index.digests()
    prefix = f"{settings}-{len(files)}-"
    if known is None and any(folder.glob(f"{prefix}*.rows")):
        # The same pictures may be elsewhere or have been touched: reading is quicker than decoding.
        known = digests_of(files, index.missing())
        index.write(known)
    if known is not None and (found := _find(folder, prefix, known, files, shape)):
        return found
    with _alone(folder / f"{settings}-{index.name}.lock"):
        known = FileIndex.read(folder, files).digests()
        if known is not None and (found := _find(folder, prefix, known, files, shape)):
            return found
        return _make(folder, prefix, files, shape, index)


def _settings_key(shape: tuple[int, int, int]) -> str:
    channels, height, width = shape
    words = f"{DECODER}|{PIL.__version__}|{channels}|{height}|{width}"
    return xxh3_128_hexdigest(words.encode())[:12]


def _find(
    folder: Path,
    prefix: str,
    digests: Sequence[bytes],
    files: Sequence[Path],
    shape: tuple[int, int, int],
) -> PictureSet | None:
    """Return the set with this content, if it is there and whole."""
    key = xxh3_128_hexdigest(b"".join(digests))
    rows, about = folder / f"{prefix}{key}.rows", folder / f"{prefix}{key}.json"
    file = RowFile(str(rows), (len(files), *shape), f"{prefix}{key}")
    try:
        content = json.loads(about.read_text(encoding="utf-8"))
        if rows.stat().st_size != len(files) * file.row_bytes:
            return None
        os.utime(rows)
    except (OSError, ValueError):
        return None
    faults = {int(n): shown(files[int(n)]) + rest for n, rest in content["faults"].items()}
    _hold(rows)
    return PictureSet(file, faults, tuple(content["frames"]))


def _make(
    folder: Path,
    prefix: str,
    files: Sequence[Path],
    shape: tuple[int, int, int],
    index: FileIndex,
) -> PictureSet:
    """Decode the pictures, and let the set be found."""
    wanted = len(files) * int(np.prod(shape))
    _make_room(folder, wanted)
    draft = folder / f"{prefix}{index.name}.{os.getpid()}.part"
    try:
        with draft.open("xb") as opened:
            os.truncate(opened.fileno(), wanted)
            decoded = decode_all(files, shape, Target(opened.fileno()))
            os.fsync(opened.fileno())
        key = xxh3_128_hexdigest(b"".join(decoded.digests))
        about = {
            "files": len(files),
            "shape": shape,
            "faults": {
                n: reason.removeprefix(shown(files[n])) for n, reason in decoded.faults.items()
            },
            "frames": list(decoded.frames),
        }
        _write(folder / f"{prefix}{key}.json", json.dumps(about))
        os.replace(draft, folder / f"{prefix}{key}.rows")
    finally:
        draft.unlink(missing_ok=True)
    index.write(decoded.digests)
    return _of_decoded(folder / f"{prefix}{key}.rows", f"{prefix}{key}", decoded, shape)


def _of_decoded(
    path: Path, digest: str, decoded: Decoded, shape: tuple[int, int, int]
) -> PictureSet:
    _hold(path)
    file = RowFile(str(path), (len(decoded.digests), *shape), digest)
    return PictureSet(file, decoded.faults, decoded.frames)


def _write(path: Path, text: str) -> None:
    draft = path.with_suffix(f".{os.getpid()}.part")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)


_held: dict[str, int] = {}
"""Descriptors of the sets that this process uses, each locked against removal."""


def _hold(path: Path) -> None:
    """Keep a set from being removed while this process lives."""
    if str(path) in _held:
        return
    with suppress(OSError):  # a disk without locks: then it may go when there is no room
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        _held[str(path)] = descriptor


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one process at a time decode the same pictures."""
    with path.open("ab") as lock:
        with suppress(OSError):  # a disk without locks: then each decodes for itself
            fcntl.flock(lock.fileno(), fcntl.LOCK_EX)
        yield


def _make_room(folder: Path, wanted: int) -> None:
    """Remove drafts that were left, and the sets unused for longest, until there is room.

    Raises:
        NoRoom: If there is none.
    """
    now = time.time()
    for draft in folder.glob("*.part"):
        with suppress(OSError):
            if now - draft.stat().st_mtime > SECONDS_OF_A_DRAFT:
                draft.unlink()
    kept = wanted
    for path, status in sorted(_sets(folder), key=lambda found: -found[1].st_mtime):
        kept += status.st_size
        short = wanted - shutil.disk_usage(folder).free
        if kept > MOST_BYTES_KEPT or short > 0:
            _remove(path)
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise NoRoom(
            f"the decoded pictures take {wanted / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free in "
            f"{folder}; FEDLAB_CACHE names another folder, and a smaller data.image_size takes less"
        )


def _sets(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for path in folder.glob("*.rows"):
        with suppress(OSError):
            yield path, path.stat()


def _remove(path: Path) -> None:
    """Remove a set that no process uses."""
    with suppress(OSError), path.open("rb") as opened:
        fcntl.flock(opened.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
        path.with_suffix(".json").unlink(missing_ok=True)
