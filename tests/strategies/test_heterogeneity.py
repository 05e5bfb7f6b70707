"""Algorithms against heterogeneity: two rounds against their papers' equations in NumPy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from fedlab import seeding
from fedlab.engine.worker.worker import Worker
from fedlab.run.callbacks import Callback, RoundOutcome
from fedlab.run.rounds import Rounds
from fedlab.run.simulation import Simulation
from tests.shared import scenario_with

BASE = {
    "seed": 4,
    "data": {
        "train_examples": 150,
        "partition": {"name": "dirichlet", "clients": 3, "alpha": 0.5},
    },
    "model": {"name": "linear"},
    "client": {"epochs": 2, "batch_size": 8},
    "strategy": {"fraction_train": 0.7},
}
RATE = 0.2
Vector = np.ndarray[Any, np.dtype[np.float64]]


def nothing(weights: Vector) -> Vector:
    return np.zeros_like(weights)


class Cohorts(Callback):
    """Notes who took part in each round."""

    def __init__(self) -> None:
        self.rounds: list[tuple[int, list[int]]] = []

    def round_ended(self, rounds: Rounds, outcome: RoundOutcome) -> None:
        clients = sorted(r.client for r in outcome.reports if r.phase == "train")
        if clients:
            self.rounds.append((outcome.round, clients))


class Outcome:
    """A run of softmax regression, and what is needed to work it out again in NumPy."""

    def __init__(
        self, strategy: str, keys: str = "", client: str = "", client_keys: str = "",
        vectorised: str = '"auto"',
    ) -> None:  # fmt: skip
        names = {"strategy": {"name": strategy}, "client": {"name": client or strategy}}
        rate = {"client": {"optimizer": {"lr": RATE}}}
        engine = f"vectorised = {vectorised}"
        scenario = scenario_with(
            BASE, names, rate, strategy=keys, client=client_keys, engine=engine
        )
        cohorts = Cohorts()
        with Simulation(scenario) as simulation:
            assert simulation.engine.stacking.decision.used == (vectorised != "false")
            self.strategy: Any = simulation.strategy
            self.start = simulation.initial_weights.numpy().astype(np.float64)
            rounds = simulation.rounds([cohorts])
            rounds.run()
            worker = Worker(scenario, simulation.federation)
        self.weights = rounds.weights.numpy()
        self.cohorts = cohorts.rounds
        self.clients = len(worker.federation)
        self.data = []
        for client in range(self.clients):
            examples, _ = worker.federation.examples(client)
            inputs = worker.prepare(examples.inputs).flatten(1).numpy().astype(np.float64)
            self.data.append((inputs, np.eye(10)[examples.targets.numpy()]))
        assert all(len(cohort) == 2 for _, cohort in self.cohorts)
        assert len({len(inputs) for inputs, _ in self.data}) > 1

    def gradient(self, weights: Vector, client: int, rows: Any = slice(None)) -> Vector:
        """Return the mean gradient of the cross-entropy over a client's rows."""
        inputs, wanted = (part[rows] for part in self.data[client])
        matrix, bias = weights[:-10].reshape(10, -1), weights[-10:]
        scores = np.exp(inputs @ matrix.T + bias)
        error = (scores / scores.sum(1, keepdims=True) - wanted) / len(inputs)
        return np.concatenate([(error.T @ inputs).ravel(), error.sum(0)])

    def local(
        self, client: int, server_round: int, start: Vector, rate: float | Vector = RATE,
        momentum: float = 0.0, extra: Callable[[Vector], Vector] = nothing,
    ) -> tuple[Vector, int]:  # fmt: skip
        """Return where two epochs of mini-batch descent lead, and in how many steps."""
        count = len(self.data[client][0])
        generator = seeding.torch_generator(4, "batches", server_round, client)
        weights, velocity, steps = start.copy(), np.zeros_like(start), 0
        for _ in range(2):
            order = torch.randperm(count, generator=generator).numpy()
            for first in range(0, count, 8):
                rows = order[first : first + 8]
                velocity = momentum * velocity + self.gradient(weights, client, rows)
                velocity += extra(weights)
                weights = weights - rate * velocity
                steps += 1
        return weights, steps

    def size(self, client: int) -> int:
        return len(self.data[client][0])

    def agrees_with(self, expected: Vector) -> None:
        assert np.abs(expected - self.start).max() > 0.02
        np.testing.assert_allclose(self.weights, expected, rtol=1e-3, atol=3e-5)


STACKED_OR_NOT = pytest.mark.parametrize("vectorised", ['"auto"', "false"])


@STACKED_OR_NOT
@pytest.mark.parametrize(
    ("name", "client", "mu"), [("fedavg", "supervised", 0.0), ("fedprox", "fedprox", 0.4)]
)
def test_fedavg_and_fedprox(vectorised: str, name: str, client: str, mu: float) -> None:
    run = Outcome(name, f"proximal_mu = {mu}" if mu else "", client, vectorised=vectorised)
    x = run.start
    for number, cohort in run.cohorts:
        y = [run.local(i, number, x, extra=lambda w, x=x: mu * (w - x))[0] for i in cohort]  # type: ignore[misc]
        x = np.average(y, axis=0, weights=[run.size(i) for i in cohort])
    run.agrees_with(x)


@STACKED_OR_NOT
@pytest.mark.parametrize(("option", "momentum"), [("I", 0.0), ("II", 0.0), ("II", 0.5)])
def test_scaffold(vectorised: str, option: str, momentum: float) -> None:
    keys = f'option = "{option}"\noptimizer = {{lr = {RATE}, momentum = {momentum}}}'
    run = Outcome("scaffold", "server_learning_rate = 0.8", "", keys, vectorised)
    x = run.start
    c, own = np.zeros_like(x), [np.zeros_like(x)] * 3
    for number, cohort in run.cohorts:
        moved, changed = np.zeros_like(x), np.zeros_like(x)
        for i in cohort:
            correction = c - own[i]
            y, steps = run.local(
                i, number, x, momentum=momentum, extra=lambda _, d=correction: d  # type: ignore[misc]
            )  # fmt: skip
            # Under momentum m the gradient of the j-th last step counts 1 + m + ... + m^(j-1).
            counts = sum(sum(momentum**p for p in range(j)) for j in range(1, steps + 1))
            new = own[i] - c + (x - y) / (RATE * counts)
            if option == "I":
                new = run.gradient(x, i)
            moved, changed = moved + y - x, changed + new - own[i]
            own[i] = new
        x, c = x + 0.8 * moved / len(cohort), c + changed / 3
    run.agrees_with(x)
    np.testing.assert_allclose(run.strategy.control, c, rtol=1e-3, atol=1e-4)


@STACKED_OR_NOT
@pytest.mark.parametrize(("momentum", "mu"), [(0.0, 0.0), (0.5, 0.0), (0.0, 0.4)])
def test_fednova(vectorised: str, momentum: float, mu: float) -> None:
    keys = f"proximal_mu = {mu}\nserver_momentum = 0.3"
    optimizer = f"optimizer = {{lr = {RATE}, momentum = {momentum}}}"
    run = Outcome("fednova", keys, "", optimizer, vectorised)
    x, u = run.start, np.zeros_like(run.start)
    for number, cohort in run.cohorts:
        total = sum(run.size(i) for i in cohort)
        direction, effective = np.zeros_like(x), 0.0
        for i in cohort:
            y, steps = run.local(
                i, number, x, momentum=momentum, extra=lambda w, x=x: mu * (w - x)  # type: ignore[misc]
            )  # fmt: skip
            norm = sum((1 - momentum**j) / (1 - momentum) for j in range(1, steps + 1))
            if mu:
                norm = (1 - (1 - RATE * mu) ** steps) / (RATE * mu)
            p = run.size(i) / total
            direction, effective = direction + p * (x - y) / norm, effective + p * norm
        u = 0.3 * u + effective * direction
        x = x - u
    run.agrees_with(x)


@STACKED_OR_NOT
def test_feddyn(vectorised: str) -> None:
    run = Outcome("feddyn", "alpha = 0.3", vectorised=vectorised)
    x, h = run.start, np.zeros_like(run.start)
    own = [np.zeros_like(x)] * 3
    for number, cohort in run.cohorts:
        reached = []
        for i in cohort:
            y, _ = run.local(
                i, number, x, extra=lambda w, g=own[i], x=x: -g + 0.3 * (w - x)  # type: ignore[misc]
            )  # fmt: skip
            own[i] = own[i] - 0.3 * (y - x)
            reached.append(y)
        h = h - 0.3 / 3 * sum(y - x for y in reached)
        x = sum(reached) / len(reached) - h / 0.3
    run.agrees_with(x)


@STACKED_OR_NOT
@pytest.mark.parametrize("base", ["momentum", "adam", "adagrad"])
def test_mime_lite(vectorised: str, base: str) -> None:
    keys = f'base_algorithm = "{base}"\nmomentum = 0.6'
    if base != "momentum":
        keys += "\nbeta_2 = 0.7\nepsilon = 0.1"
    run = Outcome("mimelite", keys, vectorised=vectorised)
    x, beta = run.start, 0.0 if base == "adagrad" else 0.6
    m, v = np.zeros_like(x), np.zeros_like(x)
    for number, cohort in run.cohorts:
        # η ((1 − β) g + β m) / (ε + √v), with the first factor and the divisor in the rate.
        has_v = base != "momentum" and number > 1
        rate = RATE * (1 - beta) / (0.1 + np.sqrt(v) if has_v else 1)
        y = [
            run.local(i, number, x, rate, extra=lambda _, m=m: m * beta / (1 - beta))[0]  # type: ignore[misc]
            for i in cohort
        ]
        gradient = sum(run.gradient(x, i) for i in cohort) / len(cohort)
        m = (1 - beta) * gradient + beta * m
        v = 0.3 * gradient**2 + 0.7 * v if base == "adam" else gradient**2 + v
        x = sum(y) / len(y)
    run.agrees_with(x)
    if base != "adagrad":
        np.testing.assert_allclose(run.strategy.momentum, m, rtol=1e-3, atol=1e-5)
    if base != "momentum":
        np.testing.assert_allclose(run.strategy.second_moment, v, rtol=1e-3, atol=1e-6)


@STACKED_OR_NOT
@pytest.mark.parametrize("weighting", ["clients", "examples"])
def test_fedexp(vectorised: str, weighting: str) -> None:
    keys = f'weighting = "{weighting}"\nepsilon = 0.001'
    run = Outcome("fedexp", keys, "supervised", vectorised=vectorised)
    x, rates = run.start, []
    for number, cohort in run.cohorts:
        sizes = [run.size(i) if weighting == "examples" else 1 for i in cohort]
        p = [size / sum(sizes) for size in sizes]
        change = [x - run.local(i, number, x)[0] for i in cohort]
        mean = sum(a * d for a, d in zip(p, change, strict=True))
        squares = sum(a * np.sum(d**2) for a, d in zip(p, change, strict=True))
        rates.append(max(1.0, squares / (2 * (np.sum(mean**2) + 0.001))))
        x = x - rates[-1] * mean
    run.agrees_with(x)
    assert run.strategy.server_rate == pytest.approx(rates[-1], rel=1e-4)


def test_fedexp_counts_what_was_sent_not_what_was_trained() -> None:
    run = Outcome("fedexp", client="worker-momentum", client_keys="beta = 0.8")
    x, rates, momenta = run.start, [], {}
    for number, cohort in run.cohorts:
        for i in cohort:
            change = x - run.local(i, number, x)[0]
            momenta[i] = 0.2 * change + 0.8 * momenta[i] if i in momenta else change
        mean = sum(momenta[i] for i in cohort) / 2
        squares = sum(np.sum(momenta[i] ** 2) for i in cohort) / 2
        rates.append(max(1.0, squares / (2 * (np.sum(mean**2) + 0.001))))
        x = x - rates[-1] * mean
    run.agrees_with(x)
    assert run.strategy.server_rate == pytest.approx(rates[-1], rel=1e-4)
    assert rates[-1] > 1


def test_fedexp_extrapolates_only_where_changes_disagree() -> None:
    from fedlab.algorithm.vector_strategy import Reply
    from fedlab.models.layout import Layout
    from strategies.fedexp import FedExP, FedExPSettings

    strategy = FedExP(FedExPSettings(name="fedexp", epsilon=0.0))
    strategy.layout = Layout.of(torch.nn.Linear(1, 1))
    x = np.zeros(2, np.float32)

    def step(*replies: list[float]) -> Any:
        return strategy.step(
            1,
            x,
            [Reply(i, 1.0, np.array(y), {}, {"squared_change": float(np.dot(y, y))})
             for i, y in enumerate(replies)],
        )  # fmt: skip

    # Opposite in the first coordinate: mean (0, 1), squares 10, so 10 / (2 · 1) = 5.
    np.testing.assert_allclose(step([3.0, 1.0], [-3.0, 1.0]), [0.0, 5.0])
    np.testing.assert_allclose(step([1.0, 1.0], [1.0, 1.0]), [1.0, 1.0])


def test_fedopt_with_adam() -> None:
    keys = 'optimizer = {name = "Adam", lr = 0.05, betas = [0.8, 0.95], eps = 0.001}'
    run = Outcome("fedopt", keys, "supervised")
    x, m, v = run.start, np.zeros_like(run.start), np.zeros_like(run.start)
    for t, cohort in run.cohorts:
        total = sum(run.size(i) for i in cohort)
        g = sum(run.size(i) / total * (x - run.local(i, t, x)[0]) for i in cohort)
        m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g**2
        x = x - 0.05 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.95**t)) + 0.001)
    run.agrees_with(x)


@pytest.mark.parametrize("name", ["SGD", "AdamW", "NAdam", "RAdam", "Adagrad", "Rprop", "ASGD"])
def test_fedopt_takes_other_optimisers(name: str) -> None:
    run = Outcome("fedopt", f'optimizer = {{name = "{name}", lr = 0.05}}', "supervised")
    assert np.isfinite(run.weights).all()
    assert np.abs(run.weights - run.start).max() > 1e-3


def test_fedopt_with_sgd_at_rate_1_is_fedavg() -> None:
    ours = Outcome("fedopt", 'optimizer = {name = "SGD", lr = 1.0}', "supervised")
    ours.agrees_with(Outcome("fedavg", client="supervised").weights.astype(np.float64))
