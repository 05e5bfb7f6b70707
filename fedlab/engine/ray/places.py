"""Where workers may run: on this machine, or on the nodes of a cluster that come and go."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from fedlab.errors import EngineFault

Node = str | None
"""A node's id; None: this machine, for workers of a Ray of our own."""


class RayLost(EngineFault):
    """A process of Ray's, or a cluster, has ended: nothing runs any more."""


class Places(Protocol):
    """Where workers may run."""

    def check(self) -> None:
        """Take note of what has changed.

        Raises:
            RayLost: If there is no place for any worker, now or in the time to come.
        """

    def vacancies(self, taken: Counter[Node]) -> list[Node]:
        """Return a node for each worker that may be started.

        Args:
            taken: How many workers each node has.
        """

    def is_gone(self, node: Node) -> bool:
        """Return whether a node, and all that ran there, has gone or is not to be used."""

    def name(self, node: Node) -> str:
        """Return what to call a node in messages."""

    def leave_out(self, node: Node, reason: str) -> None:
        """Use a node no more, on which workers do not start.

        Raises:
            RayLost: If it is this machine.
        """


class OneMachine:
    """Places for a number of workers on this machine.

    Attributes:
        count: How many.
    """

    def __init__(self, count: int) -> None:
        self.count = count

    def check(self) -> None:
        """Do nothing: this machine is there."""

    def vacancies(self, taken: Counter[Node]) -> list[Node]:
        """Return a place for each worker that is missing."""
        return [None] * (self.count - taken.total())

    def is_gone(self, node: Node) -> bool:
        """Return False."""
        return False

    def name(self, node: Node) -> str:
        """Return what to call this machine."""
        return "this machine"

    def leave_out(self, node: Node, reason: str) -> None:
        """Refuse: there is no other place.

        Raises:
            RayLost: Always.
        """
        raise RayLost(f"workers do not start on this machine: {reason}")
