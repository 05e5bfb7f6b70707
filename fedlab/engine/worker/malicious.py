"""What a worker does as a malicious client would: what it trains on, sends and remembers."""

from __future__ import annotations

from dataclasses import replace

import torch

from fedlab import seeding
from fedlab.attacks.adversary import Adversary
from fedlab.data.dataset import Examples
from fedlab.data.transforms import Preparation
from fedlab.metrics.evaluation import Evaluation
from fedlab.models.network import Network
from fedlab.training.evaluation import classes_of, predict
from fedlab.training.task import Assignment, LocalTask, Update

RECEIVED = "received"
"""What a malicious client keeps of what it was sent, where its attack remembers that."""


def poisoned(task: LocalTask, adversary: Adversary, seed: int) -> LocalTask:
    """Return a task with the examples that its client trains on, if it attacks in this round."""
    if not adversary.controls(task.client, task.round):
        return task
    draw = seeding.torch_generator(seed, "poison", task.round, task.client)
    return replace(task, examples=adversary.attack.poisoned(task.examples, task.task, draw))


def corrupt(
    update: Update, assignment: Assignment, parameters: int, adversary: Adversary, seed: int
) -> None:
    """Put in an update what its client sends and remembers, if it is malicious.

    Args:
        update: The update that the client would send.
        assignment: What was asked of it.
        parameters: How many of the weights are parameters; running statistics follow them.
        adversary: Which clients attack, and how.
        seed: The scenario's.
    """
    client, number = assignment.client, assignment.round
    if client not in adversary.clients:
        return
    received = assignment.wire if update.origin is None else update.origin
    if adversary.is_active(number):
        draw = seeding.torch_generator(seed, "corruption", number, client)
        before = assignment.state.get(RECEIVED)
        sent = adversary.attack.corrupted(
            update.weights[:parameters],
            received[:parameters],
            None if before is None else before[:parameters],
            draw,
        )
        statistics = update.weights[parameters:]
        update.weights = torch.cat([sent, statistics]) if len(statistics) else sent
    if adversary.attack.remembers:
        update.state = {**update.state, RECEIVED: received}


def count_success(
    evaluation: Evaluation,
    network: Network,
    examples: Examples,
    prepare: Preparation,
    adversary: Adversary,
) -> None:
    """Count which pictures of other classes a trigger turns into the wanted one."""
    attack = adversary.attack
    others = examples.take(torch.nonzero(examples.targets != attack.wanted_class).flatten())
    if len(others):
        outputs = predict(network, attack.triggered(others.inputs), prepare)
        evaluation.count_success((classes_of(outputs) == attack.wanted_class).cpu())
