"""Self-supervised clients against the equations of their papers, in NumPy."""

from typing import Any

import numpy as np
import pytest
import torch

from clients.byol import Prediction
from clients.fedema import below_head
from clients.moco import InfoNce
from clients.simclr import NtXent
from fedlab.data.dataset import Projection, Task
from fedlab.engine.worker.worker import Worker
from fedlab.errors import FedlabError
from fedlab.models.projection import ProjectionHead
from fedlab.run.simulation import assemble
from fedlab.scenario.parts import load_federation
from fedlab.training.criteria.agreement import Agreement
from fedlab.training.task import Assignment
from tests.shared import scenario_with

VIEWS = {"data": {"augmentation": {"further": [{"name": "resized-crop"}, {"name": "flip"}]}}}
BASE = {
    "rounds": 2,
    "data": {"train_examples": 60},
    "model": {"hidden": [6]},
    "client": {"steps": 1, "batch_size": 16, "projection": [5, 4], "optimizer": {"lr": 0.1}},
}
BATCH_NORM = {
    "model": {
        "name": "cnn",
        "hidden": [],
        "layers": [{"channels": 3, "batch_norm": True, "pooling": "average"}],
    }
}
NAMES = ["simclr", "simsiam", "byol", "moco", "fedu", "fedema"]


def worker_of(name: str, *changes: Any) -> Worker:
    scenario = scenario_with(BASE, VIEWS, {"client": {"name": name}}, *changes)
    return Worker(scenario, load_federation(scenario))


def drawn(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def unit(vectors: Any) -> Any:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def task(prediction: tuple[int, ...] = ()) -> Task:
    projection = Projection((5, 4), prediction)
    return Task("self-supervised", "image", (1, 8, 8), projection.outputs, projection=projection)


def test_simclr_is_equation_1() -> None:
    outputs = drawn(2, 5, 4)
    z = unit(outputs.double().numpy().reshape(10, 4))
    terms = []
    for i in range(10):
        j = (i + 5) % 10
        scores = np.exp(z @ z[i] / 0.3)
        terms.append(-np.log(scores[j] / (scores.sum() - scores[i])))
    found = NtXent(task(), 0.3)(outputs, torch.arange(5))
    assert float(found) == pytest.approx(np.mean(terms), rel=1e-5)


def test_simsiam_is_equation_2_and_stops_the_gradient_of_projections() -> None:
    outputs = drawn(2, 5, 8).requires_grad_()
    z, p = unit(outputs.detach().numpy()[..., :4]), unit(outputs.detach().numpy()[..., 4:])
    negative = -((p[0] * z[1]).sum(1) / 2 + (p[1] * z[0]).sum(1) / 2).mean()
    loss = Agreement(task((7,)))(outputs, torch.arange(5))
    assert float(loss.detach()) == pytest.approx(2 + 2 * negative, rel=1e-5)
    loss.backward()  # type: ignore[no-untyped-call]
    assert outputs.grad is not None
    assert not outputs.grad[..., :4].any()
    assert outputs.grad[..., 4:].any()


def test_byol_is_equation_2_both_ways() -> None:
    outputs, wanted = drawn(2, 5, 8), drawn(2, 5, 4, seed=2)
    q, z = unit(outputs.numpy()[..., 4:]), unit(wanted.numpy())
    both = np.square(q[0] - z[1]).sum(1) + np.square(q[1] - z[0]).sum(1)
    found = Prediction(wanted)(outputs, torch.arange(5))
    assert float(found) == pytest.approx(both.mean(), rel=1e-5)


def test_moco_is_equation_1_both_ways() -> None:
    outputs, keys, queue = drawn(2, 5, 4), drawn(2, 5, 4, seed=2), drawn(7, 4, seed=3)
    keys, queue = (torch.nn.functional.normalize(t, dim=-1) for t in (keys, queue))
    q, k, negatives = unit(outputs.numpy()), keys.numpy(), queue.numpy()
    terms = []
    for view in (0, 1):
        for n in range(5):
            positive = np.exp(q[view, n] @ k[1 - view, n] / 0.2)
            others = np.exp(negatives @ q[view, n] / 0.2).sum()
            terms.append(-np.log(positive / (positive + others)))
    found = InfoNce(keys, queue, 0.2)(outputs, torch.arange(5))
    assert float(found) == pytest.approx(np.mean(terms), rel=1e-5)


@pytest.mark.parametrize("name", ["byol", "moco", "fedema", "fedu"])
def test_after_a_step_the_target_follows_the_network(name: str) -> None:
    worker = worker_of(name, {"client": {"momentum": 0.9}})
    wire = worker.network.model.wire()
    before = wire + 0.1 * drawn(len(wire))

    update = worker.train(Assignment(0, 1, wire, state={"target": before}))

    # Running statistics of the target's own batch norm are its own before they are mixed.
    layout = worker.network.model.layout
    parameters = slice(0, layout.wire_parameters)
    expected = 0.9 * before.numpy() + 0.1 * update.weights.numpy()
    found = update.state["target"].numpy()
    np.testing.assert_allclose(found[parameters], expected[parameters], atol=1e-6)
    assert not np.allclose(update.weights[parameters], wire[parameters])


def test_mocos_queue_takes_the_newest_keys_and_forgets_the_oldest() -> None:
    worker = worker_of("moco", {"client": {"queue": 40, "batch_size": 10}})
    wire = worker.network.model.wire()
    queue = drawn(40, 4)
    found = worker.train(Assignment(0, 1, wire, state={"queue": queue.flatten()})).state["queue"]
    found = found.view(40, 4)
    torch.testing.assert_close(found[20:], queue[:20])
    torch.testing.assert_close(found[:20].norm(dim=1), torch.ones(20))


def test_fedema_moves_by_how_far_networks_differ() -> None:
    worker = worker_of("fedema", {"client": {"tau": 0.6, "steps": 1, "optimizer": {"lr": 1e-12}}})
    wire = worker.network.model.wire()
    first = wire + 0.1 * drawn(len(wire))
    second = worker.train(Assignment(0, 2, wire, state={"online": first}))
    # μ is τ when the scale is set.
    parameters = slice(0, worker.network.model.layout.wire_parameters)
    expected = 0.6 * first.numpy() + 0.4 * wire.numpy()
    np.testing.assert_allclose(second.weights[parameters], expected[parameters], atol=1e-5)
    encoder = encoder_of(worker, wire)
    distance = np.linalg.norm((wire - first).numpy()[encoder])
    assert float(second.state["scale"]) == pytest.approx(0.6 / distance, rel=1e-5)

    nearer = wire + 0.05 * drawn(len(wire), seed=3)
    state = {"online": nearer, "scale": second.state["scale"]}
    third = worker.train(Assignment(0, 3, wire, state=state))
    share = 0.6 * np.linalg.norm((wire - nearer).numpy()[encoder]) / distance
    expected = share * nearer.numpy() + (1 - share) * wire.numpy()
    np.testing.assert_allclose(third.weights[parameters], expected[parameters], atol=1e-5)


@pytest.mark.parametrize("threshold", [0.0, 1e9])
def test_fedu_takes_the_global_predictor_where_encoders_are_near(threshold: float) -> None:
    keys = {"client": {"threshold": threshold, "optimizer": {"lr": 1e-12}}}
    worker = worker_of("fedu", keys)
    wire = worker.network.model.wire()
    own = wire + drawn(len(wire)).abs()
    update = worker.train(Assignment(0, 2, wire, state={"online": own}))
    for entry in worker.network.model.layout.entries:
        if entry.name.startswith("head.predictor.") and entry.stop <= len(wire):
            place = slice(entry.start, entry.stop)
            taken = own if threshold == 0 and "running" not in entry.name else wire
            if "running" not in entry.name:
                torch.testing.assert_close(update.weights[place], taken[place], rtol=0, atol=1e-5)


def encoder_of(worker: Worker, wire: torch.Tensor) -> Any:
    examples, validation = worker.federation.examples(0)
    local = worker._task(Assignment(0, 1, wire), examples, validation)
    mask = below_head(local)
    assert mask.sum() == 64 * 6 + 6
    return mask.numpy()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("model", [{}, BATCH_NORM], ids=["mlp", "batch norm"])
def test_labels_change_nothing(name: str, model: Any) -> None:
    worker = worker_of(name, model)
    wire = worker.network.model.wire()
    update = worker.train(Assignment(0, 1, wire))
    other = worker_of(name, model)
    for examples in other.federation.examples(0):
        examples.targets.zero_()
    assert torch.equal(other.train(Assignment(0, 1, wire)).weights, update.weights)
    assert not torch.equal(update.weights, wire)
    assert torch.isfinite(update.weights).all()


def test_a_projection_is_what_papers_say() -> None:
    head = ProjectionHead(6, Projection((5, 4), (3,), normalises_outputs=True))
    kinds = [type(layer).__name__ for layer in head.projector]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d"]
    assert head(drawn(7, 6)).shape == (7, 8)
    assert ProjectionHead(6, Projection((4,)))(drawn(7, 6)).shape == (7, 4)


def test_frozen_batch_norm_leaves_that_of_the_projection_moving() -> None:
    worker = worker_of("simclr", BATCH_NORM, {"model": {"batch_norm": "frozen"}})
    names = [entry.name for entry in worker.network.model.layout.entries]
    assert "head.projector.1.running_mean" in names
    assert "layers.0.norm.running_mean" not in names


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"data": {"augmentation": None}}, "data.augmentation: 'simclr' compares two random views"),
        ({"client": {"criterion": "binary"}}, "client.criterion: 'simclr' has a loss of its own"),
        ({"client": {"label_smoothing": 0.1}}, "client.label_smoothing: 'simclr' looks at no lab"),
        (
            {"client": {"name": "byol", "early_stopping": {"metric": "loss", "patience": 2}}},
            "client.early_stopping: 'byol' has a training loop of its own",
        ),
        (
            {"data": {"name": "wine", "augmentation": None}},
            "client.name: 'simclr' compares random views of pictures",
        ),
    ],
)
def test_what_does_not_go_together_is_said(changes: Any, sentence: str) -> None:
    with pytest.raises(FedlabError, match=sentence.replace(".", r"\.")):
        assemble(scenario_with(BASE, VIEWS, {"client": {"name": "simclr"}}, changes))
