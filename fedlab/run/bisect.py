"""Where a run leaves its course: the first round, the client in it, and its step.

The round is read from the run's figures; its clients are replayed, and the one whose update is the
least like the others' is replayed once more, step by step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import median

import torch
from flwr.app import Message, MessageType

from fedlab import files
from fedlab.engine.inline import InlineEngine
from fedlab.errors import FedlabError
from fedlab.metrics.names import MetricName, metric_name
from fedlab.results.parsing import read_lines
from fedlab.results.rows import ClientRow, FailureRow, RoundRow
from fedlab.run.folder import RunFolder
from fedlab.run.replay import one_step, reached
from fedlab.run.simulation import Simulation

Progress = Callable[[str], None]
LOSS = "loss"


@dataclass(frozen=True)
class Departure:
    """Where a run leaves its course.

    Attributes:
        round: The first round.
        reason: What is odd about it.
        client: Whose update is the least like the others' in it.
        norm: The Euclidean norm of that client's update; NaN where it is not finite.
        usual: The median norm of the others'.
        losses: The client's loss before each of its steps; empty where its steps are not observed.
        step: The first step, from 1, whose loss leaves its course; None where none does.
    """

    round: int
    reason: str
    client: int
    norm: float
    usual: float
    losses: Sequence[float]
    step: int | None


def bisect(
    folder: RunFolder,
    metric: str = LOSS,
    factor: float = 2.0,
    tell: Progress = lambda sentence: None,
) -> Departure | None:
    """Return where a run leaves its course; None where it does not.

    Args:
        folder: The run folder.
        metric: The test metric that is followed.
        factor: How many times worse than its best value so far it may become.
        tell: Takes sentences on what is under way.

    Raises:
        FedlabError: If the run has no such metric, or cannot be replayed.
    """
    rows = sorted(read_lines(folder.path / files.METRICS, RoundRow), key=lambda row: row.round)
    if not any(metric in row.test for row in rows):
        known = sorted({name for row in rows for name in row.test})
        raise FedlabError(f"--metric: no round has a test {metric}; there are {', '.join(known)}")
    failed = [
        f
        for f in read_lines(folder.path / files.FAILURES, FailureRow)
        if f.phase == MessageType.TRAIN
    ]
    found = first_departure(rows, metric_name(metric), factor, failed)
    if found is None:
        return None
    number, reason = found
    tell(f"round {number}: {reason}; its clients are replayed")
    return _within(folder, number, reason, factor, [f for f in failed if f.round == number])


def first_departure(
    rows: Sequence[RoundRow],
    metric: MetricName,
    factor: float,
    failed: Sequence[FailureRow] = (),
) -> tuple[int, str] | None:
    """Return the first round that leaves the course, and why.

    Args:
        rows: The rounds in order.
        metric: What is followed.
        factor: How many times worse than its best it may become; of shares the error is meant.
        failed: Clients that failed in training.
    """
    odd = {f.round: f for f in reversed(failed) if "not finite" in f.reason}
    best = math.inf
    for row in rows:
        if row.round in odd:
            return row.round, f"client {odd[row.round].client} sent what is not finite"
        if metric.name not in row.test:
            continue
        value = row.value(metric.name)
        cost = _cost(metric, value)
        if not math.isfinite(cost):
            return row.round, f"the test {metric.label} is not finite"
        if row.round and cost > factor * best:
            return row.round, f"the test {metric.label} is {metric.text(value)}"
        best = min(best, cost)
    return None


def _cost(metric: MetricName, value: float) -> float:
    """Return what grows as a metric worsens: itself, or what a share lacks of 1."""
    if not metric.higher_is_better:
        return value
    return 1.0 - value if metric.is_fraction else -value


def _within(
    folder: RunFolder, number: int, reason: str, factor: float, failed: Sequence[FailureRow]
) -> Departure:
    """Find the client and the step in a round."""
    trained = [
        row.client
        for row in read_lines(folder.path / files.CLIENTS, ClientRow)
        if row.round == number and row.phase == MessageType.TRAIN
    ]
    with reached(folder, number) as (simulation, rounds, messages):
        sent = rounds.weights.double().cpu()
        norms = {client: _norm(simulation, messages, client, sent) for client in trained}
        norms |= {row.client: math.nan for row in failed}
        client = max(norms, key=lambda c: math.inf if math.isnan(norms[c]) else norms[c])
        losses = _losses(simulation, messages, client)
    others = [n for c, n in norms.items() if c != client and math.isfinite(n)]
    return Departure(
        number,
        reason,
        client,
        norms[client],
        median(others) if others else math.nan,
        losses,
        first_odd_step(losses, factor),
    )


def _norm(
    simulation: Simulation, messages: Sequence[Message], client: int, sent: torch.Tensor
) -> float:
    """Return the norm of a client's update, NaN where it sends none that is finite."""
    with suppress(Exception):  # of the client's own code, or what it sends is refused
        return float((one_step(simulation, messages, client).weights.double().cpu() - sent).norm())
    return math.nan


def _losses(simulation: Simulation, messages: Sequence[Message], client: int) -> list[float]:
    """Return the loss before each of a client's steps, up to where it fails."""
    losses: list[float] = []
    assert isinstance(simulation.engine, InlineEngine)
    simulation.engine.worker.watch = losses.append
    with suppress(Exception):
        one_step(simulation, messages, client)
    return losses


def first_odd_step(losses: Sequence[float], factor: float) -> int | None:
    """Return the first step, from 1, whose loss is not finite or many times the least before it."""
    least = math.inf
    for place, loss in enumerate(losses, 1):
        if not math.isfinite(loss) or loss > factor * least:
            return place
        least = min(least, loss)
    return None
