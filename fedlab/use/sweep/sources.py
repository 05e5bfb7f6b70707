"""What a sweep runs next: the rest of a list, or what a search draws from what others reached."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from fedlab.results.rows import INTERRUPTED
from fedlab.use.sweep.jobs import Outcome
from fedlab.use.sweep.members import Member


class Listed:
    """Members that are known from the start; those that are finished are not run again.

    Args:
        members: All of them.

    Attributes:
        left: How many are to be run.
    """

    def __init__(self, members: Iterable[Member]) -> None:
        self._waiting = deque(member for member in members if not member.is_finished)
        self.left = len(self._waiting)

    def next(self) -> Member | None:
        """Return the next one."""
        return self._waiting.popleft() if self._waiting else None

    def watch(self, member: Member, report: dict[str, Any]) -> bool:
        """Return True: none is ended early."""
        return True

    def take(self, outcome: Outcome) -> None:
        """Count down; after Ctrl-C nothing more is begun."""
        self.left -= 1
        if outcome.reason == INTERRUPTED:
            self._waiting.clear()
