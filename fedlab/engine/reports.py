"""What an engine reports of clients, for the record rather than for the strategy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from flwr.app import Message


@dataclass(frozen=True)
class Decision:
    """Whether an engine uses one of its faster ways, and why not.

    Attributes:
        used: Whether it does.
        reason: Why not; nothing where it does.
    """

    used: bool
    reason: str = ""

    def __str__(self) -> str:
        return "used" if self.used else self.reason

    @classmethod
    def against(cls, reason: str) -> Decision:
        """Return the decision not to use it, for this reason."""
        return cls(False, reason)

    @property
    def as_json(self) -> bool | str:
        """Return what ``summary.json`` says: true, or why not."""
        return self.used or self.reason


@dataclass(frozen=True)
class Report:
    """What one client did: for the record, not for the strategy.

    Attributes:
        client: Its number.
        phase: "train" or "evaluate".
        examples: How many examples it trained or was evaluated on.
        metrics: What it reported.
        bytes_up: Bytes of the arrays that it sent.
        bytes_saved: How many bytes update processors spared it.
        digest: Of what it sent after training (:mod:`fedlab.wire.digest`); None where that stayed
            on an accelerator.
    """

    client: int
    phase: str
    examples: int
    metrics: dict[str, float]
    bytes_up: int
    bytes_saved: int = 0
    digest: int | None = None


@dataclass(frozen=True)
class Failure:
    """A client that failed, and why."""

    client: int
    phase: str
    reason: str
    traceback: str = ""


@dataclass
class Exchange:
    """The outcome of sending messages and waiting for replies.

    Attributes:
        replies: In the order of clients; one that stands for all where the strategy takes a mean.
        reports: One per client that answered, in the order of clients.
        failures: One per client that did not, in the order of clients.
        bytes_down, bytes_up: Bytes of the arrays sent and received, each client counted.
        bytes_saved: How many bytes update processors spared clients.
        bytes_down_saved: How many the downlink's processors spared the server.
    """

    replies: list[Message] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    bytes_down: int = 0
    bytes_up: int = 0
    bytes_saved: int = 0
    bytes_down_saved: int = 0


Progress = Callable[[Sequence[Report]], None]
