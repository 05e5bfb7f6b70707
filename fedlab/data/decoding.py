"""Many picture files decoded at once, by threads: Pillow's decoders and filters let others run.

A picture of up to 500 pixels takes 2.7 ms of processor time. A thousand of them took two threads
as long as two processes (8.6 and 8.6 s on average, on two busy cores); threads start at once, and
share a limit on the memory that large photographs take.
"""

from __future__ import annotations

import io
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from xxhash import xxh3_128_digest

from fedlab.data.formats.picture import decoded, has_frames
from fedlab.data.names import shown
from fedlab.errors import FedlabError

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")
MOST_THREADS = 16
FILES_AT_ONCE = 16
MOST_PIXELS = 64_000_000
"""Decoded at once by all threads, a picture at least: about 10 bytes of memory each."""
SECONDS_BEFORE_PROGRESS = 1.0


class Target:
    """Where decoded rows go: a file, at the place of each."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def put(self, number: int, pixels: torch.Tensor) -> None:
        """Write a row."""
        content = pixels.numpy().reshape(-1).data
        offset, done = number * len(content), 0
        while done < len(content):
            done += os.pwrite(self._descriptor, content[done:], offset + done)


class InMemory(Target):
    """Rows in memory.

    Attributes:
        rows: (N, C, H, W) uint8.
    """

    def __init__(self, count: int, shape: tuple[int, int, int]) -> None:
        self.rows = torch.zeros((count, *shape), dtype=torch.uint8)

    def put(self, number: int, pixels: torch.Tensor) -> None:
        """Keep a row."""
        self.rows[number] = pixels


@dataclass
class Decoded:
    """What became of each file.

    Attributes:
        digests: Of each file's content, in order.
        faults: By number, why a file cannot be read, beginning with its name.
        frames: The numbers of files with several frames or pages.
    """

    digests: list[bytes] = field(default_factory=list)
    faults: dict[int, str] = field(default_factory=dict)
    frames: tuple[int, ...] = ()


def decode_all(files: Sequence[Path], shape: tuple[int, int, int], target: Target) -> Decoded:
    """Decode all files into a target, in parallel.

    Raises:
        OSError: If the target cannot be written.
    """
    room = _Room(MOST_PIXELS)

    def one(number: int) -> tuple[bytes, str, bool]:
        file = files[number]
        try:
            content = file.read_bytes()
        except OSError as error:
            reason = f"{shown(file)} cannot be read: {error.strerror or error}"
            return _unreadable(file), reason, False
        digest = xxh3_128_digest(content)
        try:
            pixels = decoded(io.BytesIO(content), file, shape, room.held)
        except FedlabError as error:
            return digest, str(error), False
        target.put(number, pixels)
        return digest, "", has_frames(file, io.BytesIO(content))

    found = Decoded()
    frames = []
    for number, (digest, reason, is_moving) in enumerate(in_parallel(one, len(files))):
        found.digests.append(digest)
        if reason:
            found.faults[number] = reason
        if is_moving:
            frames.append(number)
    found.frames = tuple(frames)
    return found


def digests_of(files: Sequence[Path], known: Mapping[int, bytes]) -> list[bytes]:
    """Return the digest of each file's content; those that are known are not read."""

    def one(number: int) -> bytes:
        if number in known:
            return known[number]
        try:
            return xxh3_128_digest(files[number].read_bytes())
        except OSError:
            return _unreadable(files[number])

    return list(in_parallel(one, len(files), "Looking for changed pictures"))


def _unreadable(file: Path) -> bytes:
    """Return what stands for the content of a file that cannot be read."""
    return xxh3_128_digest(b"unreadable|" + os.fsencode(file))


def threads() -> int:
    """Return how many threads decode."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(MOST_THREADS, cores or 1))


def in_parallel(
    one: Callable[[int], T], count: int, title: str = "Decoding pictures"
) -> Iterator[T]:
    """Yield ``one(number)`` for each number, in order, computed by several threads.

    Meanwhile no warning is shown; a bar is, on a terminal.
    """
    progress = _ProgressLine(title, count)

    def some(start: int) -> list[T]:
        return [one(number) for number in range(start, min(start + FILES_AT_ONCE, count))]

    executor = ThreadPoolExecutor(threads())
    try:
        # Filters on warnings are the process's: threads must not set them one by one.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for results in executor.map(some, range(0, count, FILES_AT_ONCE)):
                yield from results
                progress.advance(len(results))
    finally:
        executor.shutdown(cancel_futures=True)
        progress.end()


class _Room:
    """A number of pixels that threads share; one picture may be larger than all of it."""

    def __init__(self, pixels: int) -> None:
        self._all = self._free = pixels
        self._changed = threading.Condition()

    @contextmanager
    def held(self, pixels: int) -> Iterator[None]:
        """Wait until so many are free, and hold them."""
        wanted = min(pixels, self._all)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= wanted)
            self._free -= wanted
        try:
            yield
        finally:
            with self._changed:
                self._free += wanted
                self._changed.notify_all()


class _ProgressLine:
    """A bar on standard error, where that is a terminal and no program reads standard output.

    It appears after a second: most folders take less.
    """

    def __init__(self, title: str, total: int) -> None:
        # With --json standard output is led to standard error.
        self._is_wanted = sys.stderr.isatty() and sys.stdout is not sys.stderr
        self._title, self._total, self._done = title, total, 0
        self._began = time.monotonic()
        self._bar: Progress | None = None

    def advance(self, count: int) -> None:
        """Count what is done."""
        self._done += count
        if not self._is_wanted:
            return
        if self._bar is None and time.monotonic() - self._began > SECONDS_BEFORE_PROGRESS:
            self._bar = self._started()
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._done)

    def _started(self) -> Progress:
        from rich.console import Console
        from rich.progress import Progress

        bar = Progress(console=Console(stderr=True), transient=True)
        bar.add_task(self._title, total=self._total)
        bar.start()
        return bar

    def end(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
