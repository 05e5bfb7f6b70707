"""FedGKT: the losses of both sides against NumPy, and whose scores each client gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clients.fedgkt import FedGkt as Client
from fedlab.algorithm.soft_targets import soft_divergence
from fedlab.algorithm.strategy import build_strategy
from fedlab.algorithm.vector_strategy import Reply, ServerContext
from fedlab.engine.worker.worker import Worker
from fedlab.errors import FedlabErrors
from fedlab.models.representation import represented
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.simulation import assemble
from fedlab.scenario.parts import load_federation
from fedlab.training.task import Assignment
from fedlab.wire.protocol import node_of
from tests.shared import Changes, scenario_with

BASE: dict[str, Any] = {
    "seed": 2,
    "data": {"train_examples": 90, "validation": 0.2},
    "model": {"personal": "all", "hidden": [7]},
    "client": {"name": "fedgkt", "batch_size": 8, "optimizer": {"lr": 0.1}},
    "strategy": {"name": "fedgkt", "hidden": [9], "batch_size": 16},
    "evaluation": {"federated": True},
}
PRETRAINED: dict[str, Any] = {
    "model": {
        "name": "tf_efficientnet_lite0", "pretrained": "package", "image_size": 32,
        "trainable": "head", "hidden": None,
    }
}  # fmt: skip


def softmax(scores: Any, temperature: float = 1.0) -> Any:
    powers = np.exp((scores - scores.max(1, keepdims=True)) / temperature)
    return powers / powers.sum(1, keepdims=True)


def divergence(teacher: Any, scores: Any, temperature: float) -> float:
    p, q = softmax(teacher, temperature), softmax(scores, temperature)
    return float(temperature**2 * (p * np.log(p / q)).sum(1).mean())


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_both_sides_descend_the_papers_losses() -> None:
    scores, teacher, labels = drawn(6, 4), drawn(6, 4, seed=1), torch.tensor([0, 3, 1, 1, 2, 0])
    s, t = scores.double().numpy(), teacher.double().numpy()
    by_label = -np.log(softmax(s)[np.arange(6), labels]).mean()
    wanted = by_label + 0.5 * divergence(t, s, 3.0)
    assert float(soft_divergence(teacher, scores, 3.0)) == pytest.approx(divergence(t, s, 3.0))
    client = Client(Client.Settings.model_validate({"name": "fedgkt", "server_weight": 0.5}))
    loss = client.taught(torch.nn.functional.cross_entropy)
    found = loss(scores, torch.cat([labels.unsqueeze(1).float(), teacher], 1))
    assert float(found) == pytest.approx(wanted, rel=1e-5)
    server: Any = build_strategy(scenario_with(BASE, "strategy.client_weight = 0.5").strategy)
    assert float(server.loss(scores, labels, teacher)) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model": {"name": "cnn", "layers": [{"channels": 2, "batch_norm": True}]}},
        pytest.param(PRETRAINED, marks=pytest.mark.slow),
    ],
    ids=["MLP", "batch norm", "pretrained"],
)
def test_a_client_sends_what_enters_its_last_layer_with_its_scores_and_labels(
    changes: Changes,
) -> None:
    scenario = scenario_with(BASE, changes)
    worker = Worker(scenario, load_federation(scenario))
    update = worker.train(Assignment(1, 1, worker.network.model.wire()))
    examples, validation = worker.federation.examples(1)
    network = worker.network
    network.evaluation_mode()
    with torch.no_grad():
        scores, features = represented(network, worker.prepare(examples.inputs))
        _, tested = represented(network, worker.prepare(validation.inputs))
    found = update.arrays
    torch.testing.assert_close(found["features"], features.flatten(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["scores"], scores.flatten(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["test-features"], tested.flatten(), rtol=1e-4, atol=1e-5)
    assert torch.equal(found["labels"], examples.targets.float())
    assert torch.equal(found["test-labels"], validation.targets.float())


def test_the_servers_model_learns_and_scores_each_clients_own_examples() -> None:
    scenario = scenario_with(BASE, "strategy.epochs = 60\nstrategy.rate = 0.01")
    task = load_federation(scenario).dataset.task
    server: Any = build_strategy(scenario.strategy)
    server.begin(ServerContext(None, task))  # type: ignore[arg-type]
    centres = drawn(10, 5, seed=3)
    replies = []
    for client, count in ((0, 40), (1, 30), (4, 50)):
        labels = torch.arange(count) % 10
        features = centres[labels] + drawn(count, 5, seed=client) / 20
        arrays = {
            "features": features.flatten(), "scores": torch.zeros(count * 10),
            "labels": labels, "test-features": features[:9].flatten(), "test-labels": labels[:9],
        }  # fmt: skip
        vectors = {name: value.float().numpy() for name, value in arrays.items()}
        replies.append(Reply(node_of(client), 1.0, np.empty(0, np.float32), vectors, {}))
    torch.manual_seed(0)
    server.step(1, np.empty(0, np.float32), replies)
    for reply in replies:
        scores = server.scores[str(reply.client)].reshape(-1, 10)
        assert (scores.argmax(1) == reply.arrays["labels"]).mean() > 0.95
    assert server.record()["server_accuracy"] > 0.95
    again: Any = build_strategy(scenario.strategy)
    again.begin(server.context)
    again.load_state_dict(server.state_dict())
    for strategy in (server, again):
        torch.manual_seed(1)
        strategy.step(2, np.empty(0, np.float32), replies)
    assert np.array_equal(again.weights, server.weights)


def test_clients_of_different_sizes_are_all_heard(tmp_path: Path) -> None:
    changes = {"data": {"partition": {"name": "linear", "clients": 4}}, "rounds": 2}
    run(folder := RunFolder.create(tmp_path, "run", scenario_with(BASE, changes)))
    assert not (folder.path / "failures.jsonl").read_text()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"client": {"name": "supervised"}}, "set client.name = 'fedgkt'"),
        ({"strategy": {"name": "fedmd", "hidden": None, "batch_size": None}}, "fedgkt"),
        ({"model": {"personal": "none"}}, "model.personal"),
        ({"model": {"others": [{"name": "linear"}]}}, "model.others: the server's model takes"),
        ({"data": {"name": "diabetes"}}, "take data with classes"),
    ],
)
def test_what_it_cannot_work_with_is_refused(changes: Changes, said: str) -> None:
    with pytest.raises(FedlabErrors, match=said):
        assemble(scenario_with(BASE, changes))
