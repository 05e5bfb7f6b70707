"""The rounds loop, over a strategy's public methods and an engine.

It takes the place of ``Strategy.start`` and adds checkpoints, resume, early stopping, progress,
per-client metrics and the cost of communication; the algorithm stays the strategy's.
"""

from __future__ import annotations

import gc
import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, Message
from flwr.serverapp.strategy import Strategy

from fedlab.algorithm.strategy import traits_of
from fedlab.arrays import in_shared_memory
from fedlab.engine.reports import Exchange
from fedlab.errors import FedlabError, one_line
from fedlab.metrics.evaluation import Evaluation
from fedlab.metrics.sites import measured_sites
from fedlab.process import frozen_heap
from fedlab.run.callbacks import Callback, RoundOutcome
from fedlab.run.checkpoint import Checkpoint
from fedlab.run.downlink import Downlink
from fedlab.run.parts import Parts
from fedlab.run.round_record import cost, spread_over_clients
from fedlab.run.strategy_calls import StrategyCalls
from fedlab.run.unseen import of_unseen, unseen_record
from fedlab.run.validation import validation_means
from fedlab.scenario import Scenario
from fedlab.scenario.parts import downlink_chain
from fedlab.scenario.phases import phase_at
from fedlab.systems.stragglers import slow_down
from fedlab.wire.protocol import WEIGHTS, client_of
from fedlab.wire.records import array_bytes, without_copying

logger = logging.getLogger(__name__)

LARGE = 1 << 25
"""Bytes of weights whose copies are not left to the garbage collector's own time."""


class TooFewReplies(FedlabError):
    """Fewer clients answered than asked for; the checkpoint of the last round is whole."""


class Rounds:
    """One federated run, from its first round to its last.

    Attributes:
        round: The last round that is done.
        weights: (wire_size,) the global weights after it.
        status: "running", then "finished" or "stopped".
        reason: Why it stopped.
        signal: The signal that stopped it, if one did.
    """

    def __init__(self, parts: Parts, callbacks: Iterable[Callback] = ()) -> None:
        self.scenario = parts.scenario
        self.engine = parts.engine
        self.weights = parts.initial_weights
        self.round = 0
        self.status = "running"
        self.reason: str | None = None
        self.signal: int | None = None
        self._parts = parts
        self._calls = StrategyCalls(parts)
        self._callbacks = list(callbacks)
        self._is_restored = False
        self._told_phase: Scenario | None = None
        self._seconds: dict[str, float] = {}
        self._evaluation: Evaluation | None = None
        self._sent: tuple[torch.Tensor, Array] | None = None
        self._warned: set[str] = set()
        self._downlink = self._new_downlink()

    def run(self) -> None:
        """Run to the last round of the last phase, or until a callback asks to stop."""
        self._notify(lambda callback: callback.started(self))
        try:
            if not self._is_restored:
                self._end_round(RoundOutcome(0, {"round": 0, **self._tested(0)}))
            with frozen_heap():
                while self.round < self.scenario.rounds and not self._should_stop():
                    self._one_round(self.round + 1)
            if self.status == "running":
                self.status = "finished"
        finally:
            self._notify(lambda callback: callback.ended(self))

    def put_back(self, weights: torch.Tensor) -> None:
        """Let the run end with the weights of an earlier round, (wire_size,)."""
        self.weights, self._evaluation, self._sent = weights, None, None

    def checkpoint(self, record: dict[str, Any]) -> Checkpoint:
        """Return all that the run needs to continue from here."""
        state = self._calls.state(self.round)
        extra = {c.name: c.state() for c in self._callbacks if c.name}
        kept = self.engine.states.save()
        updates = self.engine.updates.state_dict() if self.engine.updates else []
        down = self._downlink.state()
        return Checkpoint(
            self.round, self.weights.numpy(), state, kept, record, extra, updates, downlink=down
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint.

        Raises:
            FedlabError: If its weights are not this model's.
        """
        self._enter(checkpoint.round, None)
        if checkpoint.weights.shape != tuple(self.weights.shape):
            raise FedlabError(
                f"the checkpoint of round {checkpoint.round} holds {checkpoint.weights.size} "
                f"weights, and the scenario's model has {self.weights.numel()}; resume with the "
                "scenario.toml that the run was started with"
            )
        self.round, self._is_restored = checkpoint.round, True
        self.weights = torch.from_numpy(np.array(checkpoint.weights))
        self._calls.restore(checkpoint.round, checkpoint.strategy)
        self.engine.states.restore(checkpoint.clients)
        if self.engine.updates and checkpoint.updates:
            self.engine.updates.load_state_dict(checkpoint.updates)
        self._downlink.restore(checkpoint.downlink)
        for callback in self._callbacks:
            if callback.name in checkpoint.extra:
                callback.restore(checkpoint.extra[callback.name])

    @property
    def strategy(self) -> Strategy:
        """Return the server's algorithm."""
        return self._parts.strategy

    @property
    def phase(self) -> Scenario:
        """Return the phase that the run is in; without phases, the scenario."""
        return self._parts.phase

    def _enter(self, server_round: int, weights: torch.Tensor | None) -> None:
        """Go on with the phase of a round, where it is another than the present one.

        Args:
            server_round: The round.
            weights: (wire_size,) what the present phase reached, or None.
        """
        number = phase_at(self._parts.phases, server_round)
        if self._parts.phases[number] is self.phase:
            return
        before = self._parts.network.model.layout
        self.weights = self._parts.enter(number, weights)
        self._sent, self._evaluation = None, None
        if self._parts.network.model.layout != before:
            self._downlink = self._new_downlink()

    def _new_downlink(self) -> Downlink:
        return Downlink(downlink_chain(self.phase, self._parts.network.model.layout))

    def _one_round(self, server_round: int) -> None:
        self._enter(server_round, self.weights)
        self._notify_phase()
        self._seconds = {}
        start = time.perf_counter()
        trained, cohort, dropped = self._train(server_round)
        if self.weights.nbytes > LARGE:
            # Flower's records refer to themselves: what was sent and received is still there.
            gc.collect()
        due = self._is_evaluated(server_round)
        record: dict[str, Any] = {"round": server_round}
        if self.phase.phase is not None:
            record["phase"] = self.phase.phase.name
        record |= self._tested(server_round) if due else {}
        recorded = self._calls.record(server_round)
        record |= {"strategy": recorded} if recorded else {}
        record |= spread_over_clients("train", trained.reports)
        evaluated = self._evaluate_on_clients(server_round) if due else Exchange()
        record |= spread_over_clients("clients", evaluated.reports)
        means = validation_means(evaluated.reports, self.engine.federation)
        record |= {"validation": means} if means else {}
        unseen = self._evaluate_on_unseen(server_round) if due else Exchange()
        spread = unseen_record(unseen.reports)
        record |= {"unseen": spread} if spread else {}
        record |= cost(cohort, dropped, trained, evaluated)
        self.round = server_round
        record["seconds"] = {**self._seconds, "total": time.perf_counter() - start}
        record["failures"] += len(unseen.failures)
        reports = [*trained.reports, *evaluated.reports, *of_unseen(unseen.reports)]
        failures = [*trained.failures, *evaluated.failures, *unseen.failures]
        self._end_round(RoundOutcome(server_round, record, reports, failures))

    def asked(self, server_round: int) -> tuple[list[Message], list[Message], list[Message]]:
        """Return the messages of the round that comes next, to the clients that are to train.

        Returns:
            All of them, those whose clients answer in time, and those whose clients are dropped.
        """
        self._enter(server_round, self.weights)
        arrays = ArrayRecord({WEIGHTS: self._carried(server_round - 1)})
        with self._timed("configure"):
            asked = self._calls.configure("train", server_round, arrays)
        return asked, *slow_down(asked, self.phase.client, self.scenario.seed, server_round)

    def _train(self, server_round: int) -> tuple[Exchange, int, int]:
        """Train a cohort, and aggregate; return the exchange, how many were asked, and dropped."""
        asked, messages, dropped = self.asked(server_round)
        with self._timed("train"):
            trained = self._exchange(
                messages, server_round, "train", traits_of(self.strategy).takes_mean
            )
        self._check_replies(server_round, trained, len(messages))
        self._aggregate(server_round, trained.replies)
        trained.replies = []
        # Dropped clients were sent the weights like any other: they are only too late with theirs.
        trained.bytes_down += sum(array_bytes(message.content) for message in dropped)
        self._count_downlink(trained, asked)
        return trained, len(asked), len(dropped)

    def _count_downlink(self, exchange: Exchange, messages: Sequence[Message]) -> None:
        """Count the bytes that clients are sent where the change of the weights is compressed."""
        if self._downlink:
            nodes = [message.metadata.dst_node_id for message in messages]
            exchange.bytes_down_saved = self._downlink.saved([client_of(node) for node in nodes])
            exchange.bytes_down -= exchange.bytes_down_saved

    def _carried(self, after: int) -> Array:
        """Return the weights as messages carry them; they lie in its bytes, and nowhere else.

        Args:
            after: The round that they are the result of.
        """
        if self._downlink:
            return Array(self._downlink.sent(self.weights, after).numpy())
        if self._sent is None or self._sent[0] is not self.weights:
            array = Array(self.weights.numpy())
            self.weights = _values(array)
            self._sent = self.weights, array
        return self._sent[1]

    def _notify_phase(self) -> None:
        """Tell callbacks that a phase begins, or that the run continues in one."""
        if self.phase.phase is not None and self._told_phase is not self.phase:
            self._told_phase = self.phase
            self._notify(lambda callback: callback.phase_started(self, self.phase))

    def _exchange(
        self, messages: Sequence[Message], server_round: int, phase: str, combine: bool
    ) -> Exchange:
        self._notify(lambda callback: callback.round_started(server_round, phase, len(messages)))
        return self.engine.exchange(
            messages,
            combine=combine,
            progress=lambda reports: self._notify(lambda callback: callback.progressed(reports)),
        )

    def _aggregate(self, server_round: int, replies: Sequence[Message]) -> None:
        with self._timed("aggregate"):
            new = self._calls.aggregate(server_round, replies)
        if new is None:
            self._warn(
                "no weights",
                f"strategy.name: '{self.scenario.strategy.name}' returned no weights in round "
                f"{server_round}; where it does, the global model stays as it was",
            )
            return
        array, values = new
        self.weights, self._evaluation = in_shared_memory(values), None
        if self._downlink:
            self.weights = self._downlink.reached(self.weights)
            return
        # What is as clients take it is sent as it is (FedAdam returns float64 under NumPy 2).
        self._sent = (self.weights, array) if array.dtype == "float32" else None

    def _evaluate_on_clients(self, server_round: int) -> Exchange:
        if not self.scenario.evaluation.federated:
            return Exchange()
        arrays = ArrayRecord({WEIGHTS: self._carried(server_round)})
        with self._timed("configure"):
            messages = self._calls.configure("evaluate", server_round, arrays)
        with self._timed("evaluate"):
            exchange = self._exchange(messages, server_round, "evaluate", False)
        self._count_downlink(exchange, messages)
        self._calls.aggregate_evaluated(server_round, exchange.replies)
        return exchange

    def _evaluate_on_unseen(self, server_round: int) -> Exchange:
        if not self.engine.federation.unseen_clients:
            return Exchange()
        arrays = ArrayRecord({WEIGHTS: self._carried(server_round)})
        with self._timed("evaluate"):
            messages = self._calls.to_unseen(server_round, arrays)
            return self._exchange(messages, server_round, "evaluate", False)

    def _check_replies(self, server_round: int, trained: Exchange, sent: int) -> None:
        wanted = min(self.scenario.evaluation.minimum_replies, sent)
        if len(trained.reports) < max(wanted, 1):
            failed = RoundOutcome(server_round, {}, trained.reports, trained.failures)
            self._notify(lambda callback: callback.round_failed(failed))
            cause = (
                f"; the first said: {one_line(trained.failures[0].reason, 300)}"
                if trained.failures
                else ""
            )
            raise TooFewReplies(
                f"round {server_round}: {len(trained.reports)} of {sent} clients answered, and "
                f"evaluation.minimum_replies is {wanted}{cause}"
            )

    def _is_evaluated(self, server_round: int) -> bool:
        last = server_round == self.phase.rounds
        return last or server_round % self.scenario.evaluation.every == 0

    def _tested(self, server_round: int) -> dict[str, Any]:
        """Return the global model's test metrics; nothing where there is no such model."""
        test = self.engine.federation.dataset.test
        if len(test) == 0 or self.weights.numel() == 0:
            return {}
        with self._timed("evaluate"):
            measured = self.evaluation(server_round).compute()
        if not math.isfinite(measured.get("loss", 0.0)):
            self._warn(
                "loss",
                f"after round {server_round} the global model's test loss is "
                f"{measured['loss']}: its outputs are not finite, or too large; smaller learning "
                "rates of clients and server may help",
            )
        return {"test": measured, **measured_sites(self.evaluation(server_round), test)}

    def evaluation(self, server_round: int | None = None) -> Evaluation:
        """Return the evaluation of the global weights on the test set, made once for each.

        Args:
            server_round: The round that they are of; None: the last that has ended.
        """
        if self._evaluation is None:
            asked = self.round if server_round is None else server_round
            self._evaluation = self.engine.evaluate(self.weights, asked)
        return self._evaluation

    def _end_round(self, outcome: RoundOutcome) -> None:
        self._notify(lambda callback: callback.round_ended(self, outcome))

    def _should_stop(self) -> bool:
        reasons = [callback.reason_to_stop() for callback in self._callbacks]
        self.reason = next((reason for reason in reasons if reason), None)
        if self.reason:
            self.status = "stopped"
        return self.reason is not None

    def _notify(self, call: Callable[[Callback], None]) -> None:
        for callback in self._callbacks:
            call(callback)

    def _warn(self, of: str, sentence: str) -> None:
        """Say what does not end the run, in the first round in which it is so."""
        if of not in self._warned:
            self._warned.add(of)
            logger.warning(sentence)

    @contextmanager
    def _timed(self, phase: str) -> Any:
        start = time.perf_counter()
        yield
        self._seconds[phase] = self._seconds.get(phase, 0.0) + time.perf_counter() - start


def _values(array: Array) -> torch.Tensor:
    """Return an array's values as float32, where they lie if that is what they are."""
    return in_shared_memory(np.ascontiguousarray(without_copying(array), np.float32))
