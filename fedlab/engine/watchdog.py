"""Warns of clients that take much longer than the others, while they are still running."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

from flwr.app import ConfigRecord, Message

from fedlab.wire.protocol import ROUND
from fedlab.wire.records import records_of

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 1.0
TIMES_THE_MEDIAN = 3.0
LEAST_SECONDS = 5.0
FEWEST_BLOCKS = 3
BLOCKS_KEPT = 200
"""How many of the latest blocks others are compared with."""
MOST_NAMED = 8


@dataclass(frozen=True)
class _Work:
    clients: Sequence[int]
    examples: int
    since: float


class Watchdog:
    """Watches blocks of clients while they run.

    A block is slow that takes three times as long as blocks took in the median, and three times as
    long as they would have taken for as many examples.
    """

    def __init__(
        self,
        warn: Callable[[str], None] = logger.warning,
        clock: Callable[[], float] = time.monotonic,
        client_timeout: float | None = None,
    ) -> None:
        limit = f"engine.client_timeout ends a client that takes longer than {client_timeout} s"
        advice = "engine.client_timeout would stop a client that hangs"
        self._advice = advice if client_timeout is None else limit
        self._warn = warn
        self._clock = clock
        self._under_way: dict[int, _Work] = {}
        self._reported: set[int] = set()
        self._done: dict[str, deque[tuple[float, int]]] = {}
        self._what = ("", 0)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def watching(self, messages: Sequence[Message]) -> Iterator[None]:
        """Look every second at the blocks that answer messages, from a thread of its own."""
        with self._lock:
            self._what = _occasion(messages)
            self._under_way, self._reported = {}, set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, daemon=True, name="watchdog")
            self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._under_way = {}

    def _watch(self) -> None:
        while not self._over.wait(SECONDS_BETWEEN_LOOKS):
            if self._under_way:
                self.look()

    def begin_phase(self) -> None:
        """Compare with nothing of before: another phase of a run trains more, or less."""
        with self._lock:
            self._done = {}

    def close(self) -> None:
        """End the thread."""
        self._over.set()

    def began(self, block: int, clients: Sequence[int], examples: int) -> None:
        """Note that a block's clients are running from now on."""
        with self._lock:
            self._under_way[block] = _Work(clients, examples, self._clock())

    def ended(self, block: int) -> None:
        """Note that a block has finished."""
        with self._lock:
            work = self._under_way.pop(block, None)
            if work is not None:
                done = self._done.setdefault(self._what[0], deque(maxlen=BLOCKS_KEPT))
                done.append((self._clock() - work.since, work.examples))

    def look(self) -> None:
        """Warn, once for each block, of those that take much longer than the others."""
        with self._lock:
            slow = [number for number in self._under_way if self._is_slow(number)]
            sentences = [self._sentence(self._under_way[number]) for number in slow]
            self._reported.update(slow)
        for sentence in sentences:
            self._warn(sentence)

    def _is_slow(self, block: int) -> bool:
        work = self._under_way[block]
        if block in self._reported or len(self._finished) < FEWEST_BLOCKS:
            return False
        limit = max(LEAST_SECONDS, TIMES_THE_MEDIAN * self._usual(work))
        return self._clock() - work.since > limit

    @property
    def _finished(self) -> Sequence[tuple[float, int]]:
        return self._done.get(self._what[0], ())

    def _usual(self, work: _Work) -> float:
        """Return how long a block with these examples may be expected to take."""
        seconds = median(seconds for seconds, _ in self._finished)
        rate = median(seconds / max(examples, 1) for seconds, examples in self._finished)
        return max(seconds, rate * work.examples)

    def _sentence(self, work: _Work) -> str:
        phase, server_round = self._what
        named = ", ".join(map(str, work.clients[:MOST_NAMED]))
        if len(work.clients) > MOST_NAMED:
            named += f" and {len(work.clients) - MOST_NAMED} more"
        who = "client" if len(work.clients) == 1 else "clients"
        return (
            f"round {server_round}, {phase}: {who} {named} at work for "
            f"{self._clock() - work.since:.0f} s, where {self._usual(work):.1f} s are usual; "
            f"{self._advice}"
        )


def _occasion(messages: Sequence[Message]) -> tuple[str, int]:
    """Return the phase and the round that messages are sent in."""
    if not messages:
        return "", 0
    numbers: list[Any] = [
        config[ROUND]
        for config in records_of(messages[0].content, ConfigRecord).values()
        if ROUND in config
    ]
    return messages[0].metadata.message_type, int(numbers[0] if numbers else 0)
