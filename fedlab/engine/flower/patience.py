"""A grid of Flower's, none of whose calls waits for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from flwr.app import Message
from flwr.serverapp import Grid

from fedlab.errors import EngineFault, described

Answer = TypeVar("Answer")


class PatientGrid:
    """Calls a grid, and gives up where the SuperLink behind it is gone.

    Flower's grid tries a lost SuperLink again without end. A call may take long all the same, since
    a large model travels in it: so it is another, short call that has to come back in time.

    Args:
        grid: The grid.
        silence: Seconds after which a SuperLink that answers nothing is gone.
    """

    def __init__(self, grid: Grid, silence: float) -> None:
        self._grid = grid
        self._silence = silence

    def nodes(self) -> list[int]:
        """Return the nodes that are connected.

        Raises:
            EngineFault: If the SuperLink is gone.
        """
        return self._answered(lambda: list(self._grid.get_node_ids()))

    def push(self, messages: Sequence[Message]) -> list[str | None]:
        """Send messages; return their ids, None for one that the SuperLink did not take.

        Raises:
            EngineFault: If the SuperLink is gone.
        """
        found: list[Any] = self._answered(lambda: list(self._grid.push_messages(messages)))
        return [*found, *[None] * (len(messages) - len(found))]

    def pull(self, identifiers: Iterable[str]) -> list[Message]:
        """Return the replies that are there.

        Raises:
            EngineFault: If the SuperLink is gone.
        """
        wanted = list(identifiers)
        return self._answered(lambda: list(self._grid.pull_messages(wanted)))

    def _answered(self, call: Callable[[], Answer]) -> Answer:
        asked = _Call(call)
        while not asked.done.wait(self._silence):
            probe = _Call(lambda: list(self._grid.get_node_ids()))
            if not probe.done.wait(self._silence) or probe.error is not None:
                raise EngineFault(
                    f"the SuperLink has not answered for {2 * self._silence:.0f} s; its process "
                    "has ended, or cannot be reached"
                )
        if asked.error is not None:
            raise EngineFault(
                f"the SuperLink does not answer: {described(asked.error)}"
            ) from asked.error
        return asked.answer  # type: ignore[no-any-return]


class _Call:
    """A call in a thread of its own, which ends with this process at the latest.

    Attributes:
        done: Set when it has returned or raised.
        answer: What it returned.
        error: What it raised.
    """

    def __init__(self, call: Callable[[], Any]) -> None:
        self.done = threading.Event()
        self.answer: Any = None
        self.error: Exception | None = None
        self._call = call
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self.answer = self._call()
        except Exception as error:
            self.error = error
        finally:
            self.done.set()


class Deadline:
    """A point in time.

    Args:
        seconds: How far away it is.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def is_over(self) -> bool:
        """Return whether it has passed."""
        return time.monotonic() >= self._end
