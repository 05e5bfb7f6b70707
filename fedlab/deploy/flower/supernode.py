"""Flower's SuperNode, which asks its server sooner for what it has to do.

By itself a SuperNode sleeps for three seconds when the server has nothing for it, and for half a
second while the message is worked on: most of a short round. Here it sleeps for a share of the time
since it last had something, so that it asks often within a round and seldom between runs.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from fedlab.deploy.flower.objects import ask_sooner

COMMAND = "flwr.supernode.cli.flower_supernode"
CLIENT = "flwr.supernode.start_client_internal"
SHORTEST, LONGEST = 0.1, 2.0
"""Seconds between two questions to the server, each of which costs it about 10 ms."""
WITHIN = 0.02
"""Seconds between two looks for what this machine's own process has answered."""
ASKS_SERVER = 1.0
"""A sleep of so many seconds and more is one between two questions to the server."""
SHARE = 0.05
"""Of the time since there was something to do: what comes next is seen at most so much later."""


class Waits:
    """How long to sleep until the next question, given when something was last there.

    Args:
        shortest: The shortest sleep, in seconds.
        longest: The longest.
        clock: Returns the time.
    """

    def __init__(
        self, shortest: float, longest: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._shortest, self._longest = shortest, longest
        self._clock = clock
        self._latest = clock()

    def reset(self) -> None:
        """Note that there was something just now."""
        self._latest = self._clock()

    @property
    def seconds(self) -> float:
        """Return how long to sleep."""
        return min(max(SHARE * (self._clock() - self._latest), self._shortest), self._longest)


class ShorterSleeps(ModuleType):
    """Python's ``time`` for a module whose sleeps are polls.

    Args:
        waits: Says how long to sleep where the server had nothing.
    """

    def __init__(self, waits: Waits) -> None:
        super().__init__("time")
        self._waits = waits

    def sleep(self, seconds: float) -> None:
        """Sleep, never longer than was asked for."""
        if seconds >= ASKS_SERVER:
            time.sleep(min(seconds, self._waits.seconds))
        else:
            time.sleep(min(seconds, WITHIN))

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


def serve_supernode(arguments: Sequence[str]) -> None:
    """Run a SuperNode until a signal ends it.

    Args:
        arguments: Those of ``flower-supernode``.
    """
    ask_sooner()
    shorten_sleeps(importlib.import_module(CLIENT))
    command: Any = importlib.import_module(COMMAND)
    sys.argv = ["flower-supernode", *arguments]
    command.flower_supernode()


def shorten_sleeps(client: Any) -> None:
    """Let the SuperNode's loop ask sooner."""
    waits = Waits(SHORTEST, LONGEST)
    pull, push = client._pull_and_store_message, client._push_messages

    def pulled(*positional: Any, **named: Any) -> Any:
        run = pull(*positional, **named)
        if run is not None:
            waits.reset()
        return run

    def pushed(*positional: Any, **named: Any) -> Any:
        push(*positional, **named)
        waits.reset()

    client._pull_and_store_message = pulled
    client._push_messages = pushed
    client.time = ShorterSleeps(waits)
