"""Projected gradient ascent: the client that leaves unlearns its own data, near the others."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import ClassVar

import torch
from pydantic import Field

from fedlab.algorithm.client import ClientAlgorithm
from fedlab.algorithm.setup import Setup
from fedlab.algorithm.vector_strategy import reply_of
from fedlab.data.dataset import Task
from fedlab.engine.inline import InlineEngine
from fedlab.registry import unlearning
from fedlab.run.replay import reached
from fedlab.run.unlearning.lines import Lines
from fedlab.run.unlearning.method import (
    MethodSettings,
    Past,
    Unlearned,
    UnlearningMethod,
    last_rounds,
    not_weights_alone,
)
from fedlab.run.without import Cost, Without
from fedlab.scenario import Scenario
from fedlab.scenario.parts import network_of
from fedlab.training.batches import Batches
from fedlab.training.evaluation import classes_of, predict
from fedlab.training.loop import clip, gradient
from fedlab.training.task import Assignment, LocalTask
from fedlab.training.terms import Objective
from fedlab.wire.protocol import client_of

RANDOM_MODELS = 10
"""Over which the distance to a random model is averaged."""


class ProjectedAscentSettings(MethodSettings):
    """Keys of projected gradient ascent."""

    lr: float = Field(0.01, gt=0, le=100, description="η of the ascent")
    momentum: float = Field(0.9, ge=0, lt=1, description="of the ascent")
    batch_size: int = Field(1024, ge=1, description="examples a step of the ascent")
    steps: int = Field(
        30, ge=1, le=10**6, description="of the ascent, at most: the paper's five epochs of MNIST"
    )
    clip_norm: float = Field(5.0, gt=0, description="largest gradient norm of a step")
    radius: float | None = Field(
        None,
        gt=0,
        description="δ, of the ball around the reference model; default: a third of its mean "
        "distance to ten random ones",
    )
    accuracy: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="τ: the ascent ends once the client's examples are classified no better; "
        "default: 1.2 times chance, the paper's 12 % of ten classes",
    )
    rounds: int = Field(
        2, ge=0, le=10**6, description="of training by the others afterwards, the run's last ones"
    )


@unlearning.register("projected-ascent")
class ProjectedAscent(UnlearningMethod):
    """Projected gradient ascent (Halimi, Kadhe, Rawat and Baracaldo 2022, arXiv 2207.05521).

    The client that leaves maximises its own loss F, no farther than δ from a reference model, which
    is the mean of what the others sent in the last round T (Algorithm 1):

        w_ref = Σ over j ≠ i of nⱼ wⱼ / Σ nⱼ       (from w^T and wᵢ: (w^T − pᵢ wᵢ) / (1 − pᵢ))
        w ← P(w + η ∇F(w)),  P(w) = w_ref + (w − w_ref) · min(1, δ / ‖w − w_ref‖)

    It begins at w_ref and ends early once the accuracy on the client's examples is below τ (the
    paper holds some of them out; these are all that it trained on, which a small client can spare).
    Then the others train for a few rounds more: the run's last ones, with their cohorts, rates and
    draws, by a strategy that begins anew. Running statistics of batch norm are the others'.
    """

    Settings: ClassVar[type[MethodSettings]] = ProjectedAscentSettings

    def objections(self, past: Past, setup: Setup) -> Iterator[str]:
        """Yield objections if more than weights, several clients or no classes are in question."""
        yield from not_weights_alone(past, setup)
        if len(past.gone) > 1:
            yield (
                f"projected-ascent: it is one client's own ascent, and {len(past.gone)} are to be "
                "forgotten; name one --client"
            )
        if setup.task.kind != "classification":
            yield (
                "projected-ascent: it ends at an accuracy, which classification has and "
                f"{setup.task.kind} has not"
            )
        yield from last_rounds("projected-ascent", self.settings.rounds, past)

    def unlearn(self, past: Past) -> Unlearned:
        """Return the weights after the ascent and a few rounds of the others."""
        ascent, again = self._ascent(past)
        lines = Lines()
        with past.again() as simulation:
            rounds = Without(simulation, past.gone, [lines])
            rounds.put_back(ascent.weights)
            before = rounds.evaluation(past.rounds).compute()
            rounds.only(past.last(self.settings.rounds))
            figures = {
                "radius": ascent.radius,
                "distance": ascent.distance,
                **{f"ascended_{name}": value for name, value in before.items()},
            }
            cost = ascent.cost + rounds.cost
            return Unlearned(rounds.weights.clone(), cost, again, lines.kept, figures)

    def _ascent(self, past: Past) -> tuple[Ascent, Cost]:
        """Return the client's ascent, and what it took to reach the last round again."""
        (client,) = past.gone
        start = time.perf_counter()
        with reached(past.folder, past.rounds, past.tell) as (simulation, rounds, asked):
            messages = [m for m in asked if client_of(m.metadata.dst_node_id) not in past.gone]
            reference = rounds.weights
            if messages:
                (reply,) = simulation.engine.exchange(messages, combine=True).replies
                reference = torch.from_numpy(reply_of(reply).weights.copy())
            again = Cost(1, len(messages), seconds=time.perf_counter() - start)
            engine = simulation.engine
            assert isinstance(engine, InlineEngine)
            task = simulation.federation.dataset.task
            radius = self.settings.radius or radius_of(past.scenario, task, reference)
            past.tell(f"client {client} unlearns, within {radius:.3g} of the others' mean")
            with engine.worker.local_task(Assignment(client, past.rounds, reference)) as own:
                return ascend(own, engine.worker.algorithm, self.settings, radius), again


def radius_of(scenario: Scenario, task: Task, reference: torch.Tensor) -> float:
    """Return a third of the mean distance between a reference model and random ones.

    Args:
        scenario: The run's, whose model is drawn anew.
        task: What is learned.
        reference: (wire_size,) the reference model.
    """
    fresh = scenario.model.model_copy(update={"pretrained": False})
    distances = []
    for number in range(1, RANDOM_MODELS + 1):
        drawn = scenario.model_copy(update={"model": fresh, "seed": scenario.seed + number})
        model = network_of(drawn, task).model
        count = model.layout.wire_parameters
        distances.append(float(torch.linalg.vector_norm((model.wire() - reference)[:count])))
    return fmean(distances) / 3


@dataclass(frozen=True)
class Ascent:
    """What a client's ascent has led to.

    Attributes:
        weights: (wire_size,) the weights.
        radius: δ.
        distance: Of their parameters from the reference model.
        cost: What it took.
    """

    weights: torch.Tensor
    radius: float
    distance: float
    cost: Cost


def ascend(
    task: LocalTask, algorithm: ClientAlgorithm, settings: ProjectedAscentSettings, radius: float
) -> Ascent:
    """Maximise the loss on a client's examples within a ball around the weights received.

    Args:
        task: The client's, whose network holds the reference model.
        algorithm: The run's client algorithm, for its loss.
        settings: The method's keys.
        radius: δ.
    """
    start = time.perf_counter()
    model = task.network.model
    center, received = model.parameter.data.clone(), model.wire()
    objective = Objective(algorithm.criterion(task.task), (), ())
    wanted = settings.accuracy or min(1.2 / task.task.classes, 0.9)
    batches = Batches(task, settings.batch_size, limit=settings.steps)
    speed, taken, forgotten = torch.zeros_like(center), 0, False
    while taken < batches.steps and not forgotten:
        for inputs, targets in batches.epoch(taken):
            task.network.train_mode()
            gradient(task, objective, None, inputs, targets)
            clip(model.gradient, settings.clip_norm)
            speed.mul_(settings.momentum).add_(model.gradient)
            project(model.parameter.data.add_(speed, alpha=settings.lr), center, radius)
            taken += 1
            forgotten = _accuracy(task) < wanted
            if forgotten:
                break
    count = model.layout.wire_parameters
    weights = torch.cat([model.wire()[:count], received[count:]])
    distance = float(torch.linalg.vector_norm(model.parameter.data - center))
    # It has the weights of the last round, and sends its own.
    sent = weights.numel() * weights.element_size()
    cost = Cost(0, 1, taken, sent, time.perf_counter() - start)
    return Ascent(weights.cpu(), radius, distance, cost)


def project(weights: torch.Tensor, center: torch.Tensor, radius: float) -> None:
    """Move weights, in place, to the nearest point of a ball."""
    offset = weights - center
    length = float(torch.linalg.vector_norm(offset))
    if length > radius:
        weights.copy_(center + offset * (radius / length))


def _accuracy(task: LocalTask) -> float:
    """Return the share of the client's examples that its network classifies correctly."""
    found = classes_of(predict(task.network, task.examples.inputs, task.prepare))
    return float((found == task.examples.targets.to(found.device)).float().mean())
