"""Blocks: the clients that one worker runs in a row, and adds up where a mean is taken.

The make-up of blocks depends on the cohort alone, never on the number of workers: so any number of
workers gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from flwr.app import ArrayRecord, Message, MessageType, MetricRecord, RecordDict

from fedlab.engine.reports import Failure, Report
from fedlab.wire.digest import digest_of
from fedlab.wire.mailbox import LeftSum
from fedlab.wire.protocol import EXAMPLES, WEIGHT, node_of
from fedlab.wire.records import array_bytes, records_of, without_copying
from fedlab.wire.sums import WeightedSum

BLOCKS_PER_COHORT = 20
MOST_PER_BLOCK = 16
"""Clients of a block at most, where nothing else says: of a large cohort many workers find work."""


@dataclass
class ClientJob:
    """One message to one client, with the state that the client kept."""

    client: int
    message: Message
    state: RecordDict = field(default_factory=RecordDict)


@dataclass
class BlockResult:
    """The outcome of a block: its clients' replies or their sum, reports, failures, states.

    A worker that shares memory with the engine has left the sum's arrays there.
    """

    replies: list[Message] = field(default_factory=list)
    sum: WeightedSum | None = None
    left: LeftSum | None = None
    reports: list[Report] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    states: dict[int, RecordDict] = field(default_factory=dict)

    def drop(self, failure: Failure) -> None:
        """Count a client that answered as failed: its reply cannot be used."""
        self.reports = [r for r in self.reports if r.client != failure.client]
        node = node_of(failure.client)
        self.replies = [r for r in self.replies if r.metadata.src_node_id != node]
        self.states.pop(failure.client, None)
        self.failures.append(failure)


def usual_length(cohort: int) -> int:
    """Return how many clients a block of a cohort has, where nothing else says."""
    return min(max(1, cohort // BLOCKS_PER_COHORT), MOST_PER_BLOCK)


def plan(clients: Sequence[int], size_of: Callable[[int], int], length: int = 0) -> list[list[int]]:
    """Return positions in ``clients``, grouped into blocks, the largest clients first.

    Args:
        clients: The cohort.
        size_of: Returns the number of a client's examples.
        length: How many clients a block has; 0 for a number that fits the cohort.
    """
    order = sorted(range(len(clients)), key=lambda i: (-size_of(clients[i]), clients[i]))
    length = length or usual_length(len(clients))
    return [order[start : start + length] for start in range(0, len(order), length)]


def counts(reply: Message, report: Report) -> bool:
    """Return whether a strategy should see a reply: one on no examples has no weight in a mean."""
    return report.examples > 0 or not records_of(reply.content, MetricRecord)


def report_of(client: int, phase: str, reply: Message, seconds: float | None = None) -> Report:
    """Return the report of a reply: its metrics and its size."""
    metrics: dict[str, Any] = {}
    for record in records_of(reply.content, MetricRecord).values():
        metrics.update(record)
    if seconds is not None:
        metrics.setdefault("seconds", seconds)
    examples = int(metrics.pop(EXAMPLES, 0))
    metrics.pop(WEIGHT, None)
    if phase == "evaluate":
        # What a client's examples do not define, as AUROC of one class, is NaN; a loss may be, too.
        metrics = {n: v for n, v in metrics.items() if "loss" in n or v == v}
    digest = _digest(reply) if phase == MessageType.TRAIN else None
    return Report(client, phase, examples, metrics, array_bytes(reply.content), digest=digest)


def _digest(reply: Message) -> int | None:
    """Return the digest of what a client sent, or None where that cannot be read as arrays."""
    try:
        return digest_of(
            {
                key if len(record) == 1 else f"{key}.{name}": without_copying(array)
                for key, record in records_of(reply.content, ArrayRecord).items()
                for name, array in record.items()
            }
        )
    except Exception:  # the reply is somebody else's; whoever uses it says what is wrong with it
        return None
