"""Blocks: the clients that one worker runs in a row, and adds up where a mean is taken.

The make-up of blocks depends on the cohort alone, never on the number of workers, and sums are
taken in double precision in the order of clients: so any number of workers gives the same bits.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedlab.engine import flower_internals
from fedlab.errors import FedlabError

BLOCKS_PER_COHORT = 20


@dataclass
class Errand:
    """One message to one client, with the state that the client kept."""

    client: int
    message: Message
    state: RecordDict


@dataclass(frozen=True)
class Report:
    """What one client did: for the record, not for the strategy."""

    client: int
    phase: str
    examples: int
    metrics: dict[str, float]
    bytes_up: int


@dataclass(frozen=True)
class Failure:
    """A client that failed, and why."""

    client: int
    phase: str
    reason: str
    traceback: str = ""


@dataclass
class BlockResult:
    """What came of a block: replies (one combined, or one a client), reports, failures, states."""

    replies: list[Message] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    states: dict[int, RecordDict] = field(default_factory=dict)


def plan(clients: Sequence[int], size_of: Callable[[int], int]) -> list[list[int]]:
    """Return positions in ``clients``, grouped into blocks, the largest clients first."""
    order = sorted(range(len(clients)), key=lambda i: (-size_of(clients[i]), clients[i]))
    length = max(1, len(clients) // BLOCKS_PER_COHORT)
    return [order[start : start + length] for start in range(0, len(order), length)]


def run_block(
    app: ClientApp,
    errands: Sequence[Errand],
    make_context: Callable[[Errand], Context],
    combine: bool,
) -> BlockResult:
    """Run a block's clients one after the other.

    Args:
        app: The ClientApp.
        errands: The messages.
        make_context: Makes the Flower context of a client around its state.
        combine: Whether to reply with one weighted mean instead of one reply a client.
    """
    result = BlockResult()
    for errand in errands:
        _run_client(app, errand, make_context(errand), result)
    if combine and result.replies:
        result.replies = [weighted_mean(result.replies)]
    return result


def _run_client(app: ClientApp, errand: Errand, context: Context, result: BlockResult) -> None:
    phase = errand.message.metadata.message_type
    start = time.perf_counter()
    try:
        reply = app(errand.message, context)
        if reply.has_error():
            raise RuntimeError(reply.error.reason)
    except Exception as error:
        reason = (
            str(error) if isinstance(error, FedlabError) else f"{type(error).__name__}: {error}"
        )
        result.failures.append(Failure(errand.client, phase, reason, traceback.format_exc()))
        return
    result.reports.append(report_of(errand.client, phase, reply, time.perf_counter() - start))
    result.states[errand.client] = context.state
    if counts(reply, result.reports[-1]):
        result.replies.append(reply)


def counts(reply: Message, report: Report) -> bool:
    """Return whether a strategy should see a reply: one on no examples has no weight in a mean."""
    return report.examples > 0 or not reply.content.metric_records


def report_of(client: int, phase: str, reply: Message, seconds: float | None = None) -> Report:
    """Return the report of a reply: its metrics and its size."""
    metrics: dict[str, Any] = {}
    for record in reply.content.metric_records.values():
        metrics.update(record)
    if seconds is not None:
        metrics.setdefault("seconds", seconds)
    examples = int(metrics.pop("num-examples", 0))
    return Report(client, phase, examples, metrics, array_bytes(reply.content))


def array_bytes(content: RecordDict) -> int:
    """Return the bytes of all arrays in a message's content."""
    return sum(len(a.data) for r in content.array_records.values() for a in r.values())


def weighted_mean(replies: Sequence[Message]) -> Message:
    """Return one reply that stands for all: means weighted by examples, and the sum of examples.

    A strategy that takes a weighted mean of such replies gets the mean over all clients.
    """
    weights = [_examples(reply) for reply in replies]
    total = sum(weights)
    first = replies[0].content
    content = RecordDict()
    for name, record in first.array_records.items():
        content[name] = ArrayRecord(
            {key: _mean_array(replies, weights, total, name, key) for key in record}
        )
    for name, metrics in first.metric_records.items():
        content[name] = MetricRecord(
            {key: _mean_metric(replies, weights, total, name, key) for key in metrics}
        )
    return flower_internals.replace_content(replies[0], content)


def _examples(reply: Message) -> float:
    record = next(iter(reply.content.metric_records.values()))
    return float(record["num-examples"])  # type: ignore[arg-type]


def _mean_array(
    replies: Sequence[Message], weights: list[float], total: float, name: str, key: str
) -> Array:
    first: np.ndarray[Any, Any] = replies[0].content.array_records[name][key].numpy()
    sums = np.zeros(first.shape, np.float64)
    for reply, weight in zip(replies, weights, strict=True):
        sums += weight * reply.content.array_records[name][key].numpy().astype(np.float64)
    return Array((sums / total).astype(first.dtype))


def _mean_metric(
    replies: Sequence[Message], weights: list[float], total: float, name: str, key: str
) -> float:
    if key == "num-examples":
        return total
    values = [float(r.content.metric_records[name][key]) for r in replies]  # type: ignore[arg-type]
    return sum(w * v for w, v in zip(weights, values, strict=True)) / total
