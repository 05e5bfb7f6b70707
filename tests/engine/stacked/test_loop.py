"""Stacked clients against the plain loop: the same weights to float tolerance."""

from collections.abc import Sequence

import pytest
import torch

from fedlab.engine.stacked.chain import DelayedLinear, NotStackable, StackedLinear, dense_chain
from fedlab.engine.worker.worker import Worker
from fedlab.models.network import build_network
from fedlab.scenario import Scenario
from fedlab.scenario.parts import load_federation
from fedlab.training.task import Assignment, Update
from fedlab.wire.checks import BadReply
from tests.shared import scenario_with

BASE = {
    "seed": 1,
    "data": {"partition": {"name": "dirichlet", "clients": 7, "alpha": 0.5}},
    "client": {"batch_size": 10, "epochs": 2},
}
MLP = 'name = "mlp"\nhidden = [24, 16]'
CLIENTS = {
    "plain": "",
    "momentum and clipping": "clip_norm = 0.5\noptimizer = {lr = 0.05, momentum = 0.9}",
    "decoupled decay": "optimizer = {lr = 0.05, weight_decay = 0.01}",
    "adam": 'optimizer = {name = "adam", lr = 0.002}',
    "l1 and l2": "l1 = 0.001\nl2 = 0.01",
    "a number of steps": "steps = 17",
    "a schedule over rounds": 'schedule = {name = "step", every = 1, gamma = 0.5}',
    "proximal": 'name = "fedprox"',
}


def scenario_of(client: str, vectorised: str, model: str = MLP) -> Scenario:
    strategy = 'name = "fedprox"\nproximal_mu = 0.1' if "fedprox" in client else ""
    engine = f"vectorised = {vectorised}"
    return scenario_with(BASE, model=model, client=client, strategy=strategy, engine=engine)


def assignments(worker: Worker, server_round: int = 2) -> list[Assignment]:
    wire = worker.network.model.wire() * 1.5
    return [
        Assignment(client, server_round, wire, config={"proximal-mu": 0.1})
        for client in range(len(worker.federation))
    ]


def updates(scenario: Scenario) -> list[Update]:
    worker = Worker(scenario, load_federation(scenario))
    outcomes = dict(worker.train_block(assignments(worker)))
    assert list(outcomes) == list(range(7))
    found: list[Update] = []
    for outcome in outcomes.values():
        assert isinstance(outcome, Update), outcome
        found.append(outcome)
    return found


def assert_close(stacked: Sequence[Update], plain: Sequence[Update]) -> None:
    for one, other in zip(stacked, plain, strict=True):
        torch.testing.assert_close(one.weights, other.weights, rtol=1e-4, atol=2e-5)
        assert one.examples == other.examples
        assert one.metrics["steps"] == other.metrics["steps"]
        assert one.metrics["train_loss"] == pytest.approx(other.metrics["train_loss"], rel=1e-4)


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS.keys())
def test_stacked_clients_reach_the_plain_loops_weights(client: str) -> None:
    stacked = scenario_of(client, '"auto"')
    worker = Worker(stacked, load_federation(stacked))
    assert worker.stacking.decision.used, worker.stacking.decision
    assert_close(updates(stacked), updates(scenario_of(client, "false")))


@pytest.mark.parametrize(
    "model",
    [
        'name = "linear"',
        'name = "linear"\nbias = false',
        'name = "mlp"\nhidden = [9]\nactivation = "tanh"',
        'name = "mlp"\nhidden = [9, 8]\nactivation = "sigmoid"',
    ],
)
def test_every_dense_model_can_be_stacked(model: str) -> None:
    stacked = scenario_of("", '"auto"', model)
    assert_close(updates(stacked), updates(scenario_of("", "false", model)))


def test_a_wide_first_layer_delays_its_steps_to_the_same_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs: list[int] = []
    look_ahead = DelayedLinear.look_ahead

    def noted(layer: DelayedLinear, inputs: torch.Tensor, rate: float) -> None:
        runs.append(inputs.shape[1])
        look_ahead(layer, inputs, rate)

    monkeypatch.setattr(DelayedLinear, "look_ahead", noted)
    wide = 'name = "mlp"\nhidden = [64, 16]'
    found = updates(scenario_of("", '"auto"', wide))
    assert max(runs) == 30, "three steps of ten fit into half of the first layer's 64 outputs"
    assert_close(found, updates(scenario_of("", "false", wide)))


@pytest.mark.parametrize("bias", [True, False])
def test_delayed_steps_are_those_of_gradient_descent(bias: bool) -> None:
    draw = torch.Generator().manual_seed(0)
    tensors = [torch.randn(2, 5, 4, generator=draw), torch.randn(2, 5, generator=draw)]
    inputs, gradients = torch.randn(2, 6, 4, generator=draw), torch.randn(2, 6, 5, generator=draw)
    expected, delayed = (
        kind([t.clone() for t in tensors[: 1 + bias]], [slice(0, 20), slice(20, 25)])
        for kind in (StackedLinear, DelayedLinear)
    )
    assert isinstance(delayed, DelayedLinear)
    delayed.look_ahead(inputs, 0.1)
    for start in (0, 3):
        batch, gradient = inputs[:, start : start + 3], gradients[:, start : start + 3]
        torch.testing.assert_close(delayed.forward(batch), expected.forward(batch))
        delayed.descend(gradient, 0.1)
        expected.descend(gradient, 0.1)
    for own, other in zip(delayed.parameters, expected.parameters, strict=True):
        torch.testing.assert_close(own, other)


@pytest.mark.parametrize(
    ("model", "client", "reason"),
    [
        ('name = "cnn"', "", "Conv2d"),
        ('name = "mlp"\nhidden = [9]\ndropout = 0.1', "", "dropout"),
        ('name = "mlp"\nhidden = [9]\nactivation = "gelu"', "", "GELU"),
        ('name = "mlp"\nhidden = [9]\nbatch_norm_layers = true', "", "BatchNorm1d"),
        ('name = "mlp"\nhidden = [9]\ntrainable = "head"', "", "only some"),
        (MLP, 'early_stopping = {metric = "loss", patience = 1}', "early"),
        (MLP, 'schedule = {name = "cosine", over = "steps"}', "step to step"),
        (MLP, "label_smoothing = 0.1", "cross-entropy"),
        ('name = "vit"', "", "chain"),
    ],
)
def test_what_cannot_be_stacked_runs_one_client_after_the_other(
    model: str, client: str, reason: str
) -> None:
    scenario = scenario_of(client, '"auto"', model)
    worker = Worker(scenario, load_federation(scenario))
    assert not worker.stacking.decision.used
    assert reason in worker.stacking.decision.reason


def test_a_client_whose_weights_are_not_finite_fails_alone() -> None:
    scenario = scenario_of("", '"auto"')
    worker = Worker(scenario, load_federation(scenario))
    asked = assignments(worker)
    asked[3] = Assignment(3, 2, torch.full_like(asked[3].wire, float("nan")))
    outcomes = dict(worker.train_block(asked))
    assert [c for c, o in outcomes.items() if isinstance(o, BadReply)] == [3]
    assert sum(isinstance(o, Update) for o in outcomes.values()) == 6


def test_a_client_that_raises_in_a_stack_fails_alone() -> None:
    scenario = scenario_of('name = "fedprox"', '"auto"')
    worker = Worker(scenario, load_federation(scenario))
    asked = assignments(worker)
    asked[2] = Assignment(2, 2, asked[2].wire)
    outcomes = dict(worker.train_block(asked))
    assert [c for c, o in outcomes.items() if isinstance(o, Exception)] == [2]


def test_a_chain_is_found_by_tracing_and_all_else_is_refused() -> None:
    network = build_network(
        scenario_of("", "false").model,  # type: ignore[arg-type]
        load_federation(scenario_of("", "false")).dataset.task,
        0,
    )
    names = [name for name, _ in dense_chain(network.model.module)]
    assert names == ["hidden.0.0", "hidden.0.1", "hidden.1.0", "hidden.1.1", "head"]

    class Residual(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3, 3)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return inputs + torch.relu(self.layer(inputs))

    with pytest.raises(NotStackable):
        dense_chain(Residual())
