"""SemiFL: which examples clients learn from, what they descend, and who has labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from clients.semifl import MixedExamples
from fedlab import seeding
from fedlab.data.augmentation import draw_seed
from fedlab.data.dataset import Examples
from fedlab.engine.worker.worker import Worker
from fedlab.errors import FedlabError
from fedlab.run.simulation import Simulation
from fedlab.scenario.parts import load_federation
from fedlab.training.task import Assignment
from fedlab.training.terms import Batch
from tests.shared import scenario_with
from tests.strategies.test_adaptation_runs import PRETRAINED

BATCH_NORM = {
    "name": "cnn",
    "layers": [{"channels": 4, "kernel_size": 3, "batch_norm": True, "pooling": "max"}],
}
BASE: dict[str, Any] = {
    "rounds": 3,
    "data": {
        "train_examples": 240,
        "partition": {"name": "iid", "clients": 3},
        "validation": 0.0,
        "unlabelled": [0, 1, 2],
    },
    "model": BATCH_NORM,
    "client": {"name": "semifl", "batch_size": 16, "optimizer": {"lr": 0.1}},
    "strategy": {"name": "semifl", "root_examples": 90},
}


def worker(**changes: Any) -> Worker:
    scenario = scenario_with(BASE, changes)
    return Worker(scenario, load_federation(scenario))


def confident(own: Worker) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weights that are sure of some examples, and client 0's probabilities by them."""
    wire = own.network.model.wire().clone()
    # The root client's number is that after the last one's.
    for number in range(1, 13):
        wire = own.train(Assignment(3, number, wire)).weights
    own.network.model.reset(wire)
    own.network.model.module.eval()
    with torch.no_grad():
        outputs = own.network.model.call(own.prepare(own.federation.examples(0)[0].inputs))
    return wire, outputs.softmax(1)


def test_a_client_learns_from_the_examples_that_the_received_model_is_sure_of() -> None:
    own = worker(client={"confidence": 0.8})
    wire, probabilities = confident(own)
    sure = probabilities.max(1).values >= 0.8
    assert 0 < int(sure.sum()) < len(sure)
    update = own.train(Assignment(0, 13, wire))
    assert update.examples == int(sure.sum())
    assert not torch.equal(update.weights, wire)


@pytest.mark.parametrize("kind", ["batch norm", "pretrained"])
def test_without_mixing_it_is_supervised_descent_on_the_classes_given(
    kind: str, asset: Any
) -> None:
    model: dict[str, Any] = {}
    if kind == "pretrained":
        asset("efficientnet-lite0")
        model = {"model": {**PRETRAINED["model"], "layers": None}}
    own = worker(**model, client={"confidence": 0.0, "mix_strength": 0.0, "batch_size": 400})
    wire, probabilities = confident(own)
    found = own.train(Assignment(0, 13, wire)).weights

    parameters = own.network.model.layout.wire_parameters
    model_, inputs = own.network.model, own.prepare(own.federation.examples(0)[0].inputs)
    model_.reset(wire)
    own.network.train_mode()
    model_.zero_gradient()
    loss = torch.nn.functional.cross_entropy(model_.call(inputs), probabilities.argmax(1))
    loss.backward()  # type: ignore[no-untyped-call]
    wanted = wire[:parameters] - 0.1 * model_.gradient
    torch.testing.assert_close(found[:parameters], wanted, rtol=1e-4, atol=1e-6)


def test_mixed_examples_have_the_loss_of_both_classes() -> None:
    given = Examples(torch.arange(12.0).view(6, 2), torch.tensor([0, 1, 2, 0, 1, 2]))
    seen: list[torch.Tensor] = []

    class Model:
        def call(self, inputs: torch.Tensor) -> torch.Tensor:
            seen.append(inputs)
            return torch.cat([inputs, inputs.sum(1, keepdim=True)], 1) / 10

    class Task:
        generator = torch.Generator().manual_seed(3)
        network = type("Network", (), {"model": Model()})

        @staticmethod
        def prepare(inputs: torch.Tensor) -> torch.Tensor:
            return inputs

    task: Any = Task()
    batch = Batch(task, given.inputs[:4], given.targets[:4], torch.empty(0), torch.empty(0))
    term = MixedExamples(given, torch.tensor([4]), torch.nn.functional.cross_entropy, 0.5, 0.75)
    found = float(term(batch))
    draw = torch.Generator().manual_seed(3)
    share = seeding.numpy_generator(draw_seed(draw), "mix").beta(0.75, 0.75)
    torch.randint(1, (4,), generator=draw)
    others = torch.randint(6, (4,), generator=draw).numpy()
    (mixed,) = (inputs.double().numpy() for inputs in seen)
    stored = given.inputs.double().numpy()
    np.testing.assert_allclose(mixed, share * stored[[4]] + (1 - share) * stored[others], rtol=1e-5)
    scores = np.concatenate([mixed, mixed.sum(1, keepdims=True)], 1) / 10
    logs = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    first = -logs[:, int(given.targets[4])].mean()
    second = -logs[np.arange(4), given.targets.numpy()[others]].mean()
    assert found == pytest.approx(0.5 * (share * first + (1 - share) * second), rel=1e-3)


def test_who_is_sure_of_nothing_returns_what_it_received() -> None:
    own = worker(client={"confidence": 1.0})
    wire = own.network.model.wire().clone()
    update = own.train(Assignment(1, 1, wire))
    assert torch.equal(update.weights, wire)
    assert update.examples == 1


def test_the_server_trains_the_mean_by_its_labels() -> None:
    with Simulation(scenario_with(BASE, {"rounds": 1})) as simulation:
        wire = simulation.initial_weights.clone()
        rounds = simulation.rounds()
        rounds.run()
    # Nobody is sure of anything yet, so that the mean is what was sent.
    own = Worker(simulation.scenario, simulation.federation)
    wanted = own.train(Assignment(3, 1, wire)).weights
    torch.testing.assert_close(torch.as_tensor(rounds.weights), wanted)
    assert not torch.equal(wanted, wire)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"data": {"unlabelled": []}}, "name those without in data.unlabelled"),
        ({"strategy": {"name": "fedavg", "root_examples": None}}, "no client with labels is left"),
        ({"client": {"name": "supervised"}}, "learns by labels, and no client has any"),
        ({"strategy": {"name": "fltrust"}, "client": {"name": "fedprox"}}, "no client has any"),
    ],
)
def test_what_does_not_go_together_is_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(FedlabError, match=sentence):
        Simulation(scenario_with(BASE, change))
