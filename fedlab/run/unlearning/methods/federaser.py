"""FedEraser: the past again in long strides, with directions that the others give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MessageType
from pydantic import Field

from fedlab.algorithm.setup import Setup
from fedlab.engine.reports import Exchange
from fedlab.registry import unlearning
from fedlab.run.checkpoint import Checkpoint
from fedlab.run.simulation import Simulation
from fedlab.run.unlearning.history import Lengths, lengths_of
from fedlab.run.unlearning.lines import Lines
from fedlab.run.unlearning.method import (
    MethodSettings,
    Past,
    Unlearned,
    UnlearningMethod,
    not_weights_alone,
)
from fedlab.run.without import Cost, Without
from fedlab.scenario import Scenario
from fedlab.wire.protocol import client_of
from fedlab.wire.records import records_of, without_copying

Vector = np.ndarray[Any, np.dtype[Any]]


class FedEraserSettings(MethodSettings):
    """Keys of FedEraser."""

    interval: int = Field(
        2, ge=1, le=10**6, description="Δt: of so many rounds one's updates are calibrated"
    )
    calibration: float = Field(
        0.5, gt=0, le=1, description="r: local epochs, or steps, as a share of the run's; one least"
    )


def retained_rounds(rounds: int, interval: int) -> list[int]:
    """Return t₁ = 1, tⱼ₊₁ = tⱼ + Δt, of which there are ⌊E / Δt⌋.

    Args:
        rounds: E, of the run.
        interval: Δt.
    """
    return [1 + place * interval for place in range(rounds // interval)]


def calibrated(update: Vector, length: float) -> Vector:
    """Return Ũ = ‖U‖ · Û / ‖Û‖; of no change, none.

    Args:
        update: (parameters,) Û, of the calibration.
        length: ‖U‖, of the update that was retained.
    """
    own = np.asarray(update, np.float64)
    norm = float(np.linalg.norm(own))
    return own * (length / norm) if norm else own


@unlearning.register("federaser")
class FedEraser(UnlearningMethod):
    """FedEraser: calibrated updates of the past (Liu, Ma, Yang, Wang and Liu 2021, IWQoS).

    Of every Δt-th round tⱼ the server has retained the clients' updates U. It begins anew from the
    first weights: the first retained updates of the clients that stay are taken as they are, since
    those weights have not seen who is forgotten. From then on these clients train for r times the
    local epochs from the unlearned weights M̃ (calibration training, giving Û), and

        Ũₖ = ‖Uₖ‖ · Ûₖ / ‖Ûₖ‖        (update calibrating)
        M̃ ← M̃ + Σ Nₖ Ũₖ / Σ Nₖ       (calibrated update aggregating, unlearned model updating)

    so that the past says how far, and the clients that stay say where to. The mean is the run's
    strategy's (the paper's 1/(K − 1) before a mean whose weights add up to 1 is a slip). ‖U‖ is of
    all parameters; running statistics of batch norm are those that calibration sends. Of the
    retained updates, those of the first round apart, only ‖U‖ is ever used.
    """

    Settings: ClassVar[type[MethodSettings]] = FedEraserSettings

    def objections(self, past: Past, setup: Setup) -> Iterator[str]:
        """Yield objections if more than weights would have to be corrected, or rounds are few."""
        yield from not_weights_alone(past, setup)
        interval = self.settings.interval
        if past.rounds < interval:
            yield (
                f"federaser.interval: of {past.rounds} rounds none is the first of {interval}; "
                f"set it to {past.rounds} or less"
            )

    def unlearn(self, past: Past) -> Unlearned:
        """Return the weights that calibrated updates lead to."""
        retained = retained_rounds(past.rounds, self.settings.interval)
        lengths, repeated = lengths_of(past, retained[1:]) if retained[1:] else ({}, Cost())
        lines = Lines()
        with past.again() as simulation:
            first = Without(simulation, past.gone, [lines])
            first.only(retained[:1])
            begun = first.checkpoint({})
        if not retained[1:]:
            return Unlearned(first.weights.clone(), Cost(), first.cost, lines.kept)
        with past.again(self._calibration(past.scenario)) as simulation:
            rounds = _Calibrated(simulation, past, lengths, lines)
            _go_on(rounds, begun)
            for number in retained[1:]:
                past.tell(f"the updates of round {number} are calibrated")
                rounds.only([number])
            # The updates of the first round are retained ones, too.
            cost = repeated + first.cost
            return Unlearned(rounds.weights.clone(), rounds.cost, cost, lines.kept)

    def _calibration(self, scenario: Scenario) -> Scenario:
        """Return the scenario with less local training."""
        client, share = scenario.client, self.settings.calibration
        changes: dict[str, Any] = {"epochs": max(1, round(share * client.epochs))}
        if client.steps is not None:
            changes = {"steps": max(1, round(share * client.steps))}
        return scenario.model_copy(update={"client": client.model_copy(update=changes)})


def _go_on(rounds: Without, begun: Checkpoint) -> None:
    """Let rounds go on where others have ended, with the same strategy's state."""
    begun.weights = np.array(begun.weights)
    rounds.restore(begun)


class _Calibrated(Without):
    """Rounds whose updates are as long as those that were retained."""

    def __init__(self, simulation: Simulation, past: Past, lengths: Lengths, lines: Lines) -> None:
        super().__init__(simulation, past.gone, [lines])
        self._lengths = lengths
        self._parameters = simulation.network.model.layout.wire_parameters

    def _exchange(
        self, messages: Sequence[Message], server_round: int, phase: str, combine: bool
    ) -> Exchange:
        exchange = super()._exchange(
            messages, server_round, phase, combine and phase != MessageType.TRAIN
        )
        if phase == MessageType.TRAIN:
            # Who sent nothing in that round has no update to be calibrated.
            exchange.replies = [
                self._calibrate(reply, self._lengths[key])
                for reply in exchange.replies
                if (key := (server_round, client_of(reply.metadata.src_node_id))) in self._lengths
            ]
        return exchange

    def _calibrate(self, reply: Message, length: float) -> Message:
        """Return a reply with the calibrated weights in place of those that it carries."""
        key, record = next(iter(records_of(reply.content, ArrayRecord).items()))
        name, array = next(iter(record.items()))
        begun = self.weights.numpy()
        sent, count = without_copying(array), self._parameters
        moved = begun[:count] + calibrated(sent[:count] - begun[:count], length)
        whole = np.concatenate([moved, sent[count:]]).astype(np.float32)
        reply.content[key] = ArrayRecord({name: Array(whole)})
        return reply
