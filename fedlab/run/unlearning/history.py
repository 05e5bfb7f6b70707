"""How long clients' updates were, round by round: what a server keeps for FedEraser."""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from flwr.app import MessageType

from fedlab import files
from fedlab.errors import FedlabError
from fedlab.results.parsing import read_lines
from fedlab.results.rows import ClientRow
from fedlab.run.callbacks import Callback, RoundOutcome, RunView
from fedlab.run.chain import WEIGHTS
from fedlab.run.folder import weights_digest
from fedlab.run.replay import StopBefore
from fedlab.run.unlearning.method import Past
from fedlab.run.without import Cost, Without

SQUARED = "squared_change"
Lengths = dict[tuple[int, int], float]
"""‖U‖ of a client's update, by round and client."""


def lengths_of(past: Past, rounds: Collection[int]) -> tuple[Lengths, Cost]:
    """Return how long clients' updates were in some rounds, and what it took to know.

    Where the run has recorded it (``evaluation.update_norms``) that is nothing. Else the run is
    repeated, which leads to the same bits.

    Args:
        past: The run.
        rounds: The rounds that are asked for.

    Raises:
        FedlabError: If the run's weights are others here.
    """
    recorded = _recorded(past, rounds)
    if recorded is not None:
        return recorded, Cost()
    past.tell(
        "the run has not recorded how long its updates were (evaluation.update_norms): it is "
        "repeated to know"
    )
    return _repeated(past, rounds)


def _recorded(past: Past, rounds: Collection[int]) -> Lengths | None:
    """Return the lengths that the run recorded; None where it did not."""
    found: Lengths = {}
    for row in read_lines(past.folder.path / files.CLIENTS, ClientRow):
        if row.phase != MessageType.TRAIN or row.round not in rounds:
            continue
        squared = row.value(SQUARED)
        if squared is None:
            return None
        found[row.round, row.client] = math.sqrt(squared)
    return found


class _Lengths(Callback):
    """Notes how long clients' updates are."""

    def __init__(self) -> None:
        self.found: Lengths = {}

    def round_ended(self, run: RunView, outcome: RoundOutcome) -> None:
        """Note the round's."""
        for report in outcome.reports:
            if report.phase == MessageType.TRAIN:
                squared = report.metrics[SQUARED]
                self.found[outcome.round, report.client] = math.sqrt(squared)


def _repeated(past: Past, rounds: Collection[int]) -> tuple[Lengths, Cost]:
    """Return the lengths of the run's updates, by running it again up to the last of the rounds."""
    evaluation = past.scenario.evaluation.model_copy(update={"update_norms": True})
    scenario = past.scenario.model_copy(update={"evaluation": evaluation})
    lengths = _Lengths()
    with past.again(scenario) as simulation:
        again = Without(simulation, (), [lengths, StopBefore(max(rounds) + 1, past.tell)])
        again.run()
        _check_same(past, again.round, again.weights)
        cost = again.cost
    return {key: value for key, value in lengths.found.items() if key[0] in rounds}, cost


def _check_same(past: Past, number: int, weights: torch.Tensor) -> None:
    """Check that a round has led to the run's weights, where these are recorded.

    Raises:
        FedlabError: If it has not.
    """
    digest = weights_digest(weights.numpy())
    for line in past.folder.lines(files.METRICS):
        if line["round"] == number and line.get(WEIGHTS, digest) != digest:
            raise FedlabError(
                f"round {number} gives other weights here than in {past.folder.path}: packages or "
                "processor differ, or fedlab itself; 'fedlab verify' says more"
            )
