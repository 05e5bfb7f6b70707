"""What each client of a run is worth, by running it again.

By Shapley values: in each round the new global weights of every coalition of the clients that
trained are put together from their updates, and tested; a client's value is the sum over rounds of
what it adds, averaged over coalitions (GTG-Shapley, Liu et al. 2022). No client trains twice.

By leaving one out: the run is repeated without the client, whose place in a cohort stays empty; its
value is what the last round's test metric loses by that. That is one run for each client, and also
what approximate unlearning is compared with: a model that has never seen the client.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from flwr.app import Message

from fedlab import seeding
from fedlab.engine.reports import Exchange
from fedlab.errors import FedlabError
from fedlab.metrics.names import MetricName, headline
from fedlab.results.shapley import shapley_values
from fedlab.run.folder import RunFolder
from fedlab.run.replay import check_from_its_beginning, repeated
from fedlab.run.rounds import Rounds
from fedlab.run.simulation import Simulation
from fedlab.run.strategy_faults import new_weights
from fedlab.run.without import Without
from fedlab.wire.protocol import client_of

Progress = Callable[[str], None]
SHAPLEY, LEAVE_ONE_OUT = "shapley", "leave-one-out"


@dataclass(frozen=True)
class Values:
    """What clients are worth.

    Attributes:
        method: "shapley" or "leave-one-out".
        metric: What they are measured by, on the server's test set; greater values are better.
        values: By client; where lower metrics are better, the negative of what they change.
        rounds: In how many rounds each has trained.
        looks: How many models were tested, or runs made.
    """

    method: str
    metric: MetricName
    values: dict[int, float]
    rounds: dict[int, int] = field(default_factory=dict)
    looks: int = 0


class _Valued(Rounds):
    """Rounds that share out what each gains among its clients."""

    def __init__(self, simulation: Simulation, tell: Progress) -> None:
        super().__init__(simulation)
        self.values: dict[int, float] = {}
        self.trained: dict[int, int] = {}
        self.looks = 0
        self.metric: MetricName | None = None
        self._tell = tell

    def _exchange(
        self, messages: Sequence[Message], server_round: int, phase: str, combine: bool
    ) -> Exchange:
        exchange = super()._exchange(messages, server_round, phase, combine and phase != "train")
        if phase == "train":
            self._share_out(server_round, exchange.replies)
        return exchange

    def _share_out(self, server_round: int, replies: Sequence[Message]) -> None:
        by_client = {client_of(r.metadata.src_node_id): r for r in replies}
        clients = sorted(by_client)

        def worth(coalition: frozenset[int]) -> float:
            return self._worth(server_round, [by_client[c] for c in sorted(coalition)])

        draw = seeding.numpy_generator(self.scenario.seed, "worth of clients", server_round)
        values, looks = shapley_values(worth, clients, draw)
        for client, value in values.items():
            self.values[client] = self.values.get(client, 0.0) + value
            self.trained[client] = self.trained.get(client, 0) + 1
        self.looks += looks
        self._tell(f"round {server_round}: {looks} coalitions of {len(clients)} clients")

    def _worth(self, server_round: int, replies: Sequence[Message]) -> float:
        """Return the test metric of the weights that some replies lead to; greater is better."""
        weights = self.weights
        if replies:
            # The strategy itself has one aggregate a round, of all replies.
            strategy = copy.deepcopy(self.strategy)
            result = strategy.aggregate_train(server_round, copy.deepcopy(list(replies)))
            found = new_weights(result, weights.numel())
            if found is not None:
                weights = torch.from_numpy(found[1].copy())
        return self._tested_worth(self.engine.evaluate(weights, server_round).compute())

    def _tested_worth(self, metrics: dict[str, float]) -> float:
        self.metric = self.metric or headline(metrics)
        assert self.metric is not None
        value = metrics[self.metric.name]
        return value if self.metric.higher_is_better else -value


def value(
    folder: RunFolder,
    method: str = SHAPLEY,
    clients: Sequence[int] = (),
    tell: Progress = lambda sentence: None,
) -> Values:
    """Return what the clients of a run are worth.

    Args:
        folder: The run folder.
        method: "shapley" or "leave-one-out".
        clients: Whose value is asked for, by leaving one out; none: all clients'.
        tell: Takes sentences on what is under way.

    Raises:
        FedlabError: If the run cannot be repeated here, has no test set to measure by, or there is
            no such client.
    """
    if method == SHAPLEY and clients:
        raise FedlabError(f"--client goes with --method {LEAVE_ONE_OUT}: Shapley values are of all")
    check_from_its_beginning(folder)
    if method == SHAPLEY:
        with _again(folder) as simulation:
            rounds = _Valued(simulation, tell)
            rounds.run()
        assert rounds.metric is not None
        return Values(method, rounds.metric, rounds.values, rounds.trained, rounds.looks)
    return _leave_one_out(folder, clients, tell)


def _leave_one_out(folder: RunFolder, clients: Sequence[int], tell: Progress) -> Values:
    with _again(folder) as simulation:
        population = len(simulation.federation)
    unknown = [client for client in clients if not 0 <= client < population]
    if unknown:
        raise FedlabError(f"--client {unknown[0]}: the clients are 0 to {population - 1}")
    metric, whole = _last(folder, None)
    values = {}
    for client in clients or range(population):
        _, without = _last(folder, client)
        values[client] = (whole - without) * (1 if metric.higher_is_better else -1)
        tell(f"without client {client}: {metric.text(without)} in place of {metric.text(whole)}")
    return Values(LEAVE_ONE_OUT, metric, values, looks=len(values) + 1)


def _last(folder: RunFolder, client: int | None) -> tuple[MetricName, float]:
    """Return the test metric after the last round of the run without a client."""
    with _again(folder) as simulation:
        rounds = Without(simulation, () if client is None else (client,))
        rounds.run()
        metrics = rounds.evaluation().compute()
    metric = headline(metrics)
    assert metric is not None
    return metric, metrics[metric.name]


@contextmanager
def _again(folder: RunFolder) -> Iterator[Simulation]:
    """Yield a run's simulation, from its beginning; nothing is written to its folder."""
    with repeated(folder, folder.scenario) as simulation:
        if not len(simulation.federation.dataset.test):
            raise FedlabError("the server has no test set that clients could be measured by")
        yield simulation


def ranked(values: Values) -> Iterator[tuple[int, float]]:
    """Yield clients and their values, the most valuable first."""
    yield from sorted(values.values.items(), key=lambda item: (-item[1], item[0]))
