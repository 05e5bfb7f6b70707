"""Meta-learning clients against their papers' equations, worked in NumPy and in torch.func."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from fedlab.engine.worker.worker import Worker
from fedlab.errors import FedlabError
from fedlab.run.simulation import Simulation
from fedlab.scenario.parts import load_federation
from fedlab.training.episodes import episodes, sample
from fedlab.training.inner_loop import adapted
from fedlab.training.task import Assignment, LocalTask
from tests.shared import scenario_with

ALPHA, BETA = 0.3, 0.2
# The network has two layers, z = W₂ tanh(W₁ x + b₁) + b₂ under cross-entropy.
BASE = {
    "data": {"name": "iris", "client_test": 0.25, "validation": 0, "partition": {"clients": 4}},
    "model": {"hidden": [3], "activation": "tanh"},
    "client": {"batch_size": 16, "steps": 1, "shots": 2, "inner_rate": ALPHA},
}
PRETRAINED = {
    "data": {"name": "digits", "train_examples": 60},
    "model": {
        "name": "tf_efficientnet_lite0",
        "pretrained": "package",
        "trainable": "last:1",
        "image_size": 32,
        "batch_norm": "frozen",
        "hidden": None,
        "activation": None,
    },
    "client": {"shots": None},
}
Array = np.ndarray[Any, Any]
Batch = tuple[Array, Array]


class Client:
    """Client 2 of a scenario, with its weights, and its network in NumPy."""

    def __init__(
        self, name: str, client: str = "", *changes: Any, strategy: str = "fedavg"
    ) -> None:
        names = {
            "client": {"name": name, "optimizer": {"lr": BETA}},
            "strategy": {"name": strategy},
        }
        scenario = scenario_with(BASE, names, *changes, client=client)
        self.worker = Worker(scenario, load_federation(scenario))
        self.network = self.worker.network
        self.layout = self.network.model.layout
        if changes:
            self.whole = self.network.model.weights.clone()
        else:
            seeded = torch.Generator().manual_seed(7)
            self.whole = torch.randn(self.layout.size, generator=seeded) * 0.7
        self.start = self.whole[self.layout.trained].double().numpy().copy()

    def asked(self, arrays: dict[str, torch.Tensor] | None = None) -> Assignment:
        return Assignment(2, 1, self.whole[self.layout.wire].clone(), arrays or {})

    def task(self) -> LocalTask:
        """Return the task with the draws that training begins with."""
        return self.worker._training_task(self.asked())

    def trained(self, **given: Any) -> Any:
        return self.worker.train(self.asked(**given))

    def reached(self) -> Array:
        """Return the trained slice that one round leads to."""
        return self.trained().weights[: self.layout.wire_parameters].double().numpy()

    def episode(self) -> tuple[Batch, Batch]:
        """Return support and query of the first episode."""
        shots = self.worker.algorithm.settings.shots
        found = next(iter(episodes(self.task(), 16, shots, 1)))
        return numpy(found.support), numpy(found.query)

    def outputs(self, weights: Array, inputs: Array) -> tuple[Array, Array]:
        """Return z, and what enters the head."""
        parts = self.parts(weights)
        hidden = np.tanh(inputs @ parts["hidden.0.0.weight"].T + parts["hidden.0.0.bias"])
        return hidden @ parts["head.weight"].T + parts["head.bias"], hidden

    def parts(self, weights: Array) -> dict[str, Array]:
        offset = self.layout.trained.start
        return {
            entry.name: weights[entry.start - offset : entry.stop - offset].reshape(entry.shape)
            for entry, _ in self.network.model.trained
        }

    def loss(self, weights: Array, batch: Batch) -> float:
        scores, _ = self.outputs(weights, batch[0])
        return cross_entropy(scores, batch[1])

    def gradient(self, weights: Array, batch: Batch) -> Array:
        inputs, targets = batch
        scores, hidden = self.outputs(weights, inputs)
        slope = (softmax(scores) - np.eye(3)[targets]) / len(targets)
        below = slope @ self.parts(weights)["head.weight"] * (1 - hidden**2)
        found = {
            "hidden.0.0.weight": below.T @ inputs,
            "hidden.0.0.bias": below.sum(0),
            "head.weight": slope.T @ hidden,
            "head.bias": slope.sum(0),
        }
        return np.concatenate([found[e.name].ravel() for e, _ in self.network.model.trained])

    def head(self) -> Array:
        return np.concatenate(
            [
                np.full(p.numel(), float(entry.name.startswith("head")))
                for entry, p in self.network.model.trained
            ]
        )

    def adapted(self, weights: Array, support: Batch, rates: Any, steps: int = 1) -> Array:
        for _ in range(steps):
            weights = weights - rates * self.gradient(weights, support)
        return weights


def numpy(pair: tuple[torch.Tensor, torch.Tensor]) -> Batch:
    return pair[0].double().numpy(), pair[1].numpy()


def softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def cross_entropy(scores: Array, targets: Array) -> float:
    return float(-np.log(softmax(scores)[np.arange(len(targets)), targets]).mean())


def differences(function: Callable[[Array], float], at: Array, far: float = 1e-5) -> Array:
    """Return the gradient of a function by central differences."""
    found = np.empty_like(at)
    for place in range(len(at)):
        step = np.zeros_like(at)
        step[place] = far
        found[place] = (function(at + step) - function(at - step)) / (2 * far)
    return found


def assert_near(found: Array, wanted: Array) -> None:
    np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("steps", [1, 3])
def test_maml_descends_the_loss_after_its_steps_by_second_order_gradients(steps: int) -> None:
    client = Client("fedmeta", f"inner_steps = {steps}")
    support, query = client.episode()

    def meta(weights: Array) -> float:
        return client.loss(client.adapted(weights, support, ALPHA, steps), query)

    wanted = client.start - BETA * differences(meta, client.start)
    assert_near(client.reached(), wanted)
    first = client.gradient(client.adapted(client.start, support, ALPHA, steps), query)
    assert np.abs(client.start - BETA * first - wanted).max() > 1e-3


def test_fomaml_takes_the_gradient_at_the_adapted_weights() -> None:
    client = Client("fedmeta", "first_order = true\ninner_steps = 2")
    support, query = client.episode()
    near = client.adapted(client.start, support, ALPHA, 2)
    assert_near(client.reached(), client.start - BETA * client.gradient(near, query))


def test_anil_adapts_the_head_alone_and_learns_all() -> None:
    client = Client("anil", "inner_steps = 2")
    support, query = client.episode()

    def meta(weights: Array) -> float:
        return client.loss(client.adapted(weights, support, ALPHA * client.head(), 2), query)

    assert_near(client.reached(), client.start - BETA * differences(meta, client.start))


def test_meta_sgd_descends_in_weights_and_rates() -> None:
    client = Client("meta-sgd", strategy="meta-sgd")
    support, query = client.episode()
    rates = np.full_like(client.start, ALPHA)

    def meta(both: Array) -> float:
        weights, alpha = np.split(both, 2)
        return client.loss(client.adapted(weights, support, alpha), query)

    both = np.concatenate([client.start, rates])
    weights, alpha = np.split(both - BETA * differences(meta, both), 2)
    update = client.trained()
    assert_near(update.weights.double().numpy(), weights)
    assert_near(update.arrays["rates"].double().numpy() + ALPHA, alpha)
    assert "rates" not in update.state


def test_meta_sgd_takes_the_rates_that_it_receives() -> None:
    client = Client("meta-sgd", "first_order = true", strategy="meta-sgd")
    support, query = client.episode()
    changed = torch.linspace(-0.1, 0.1, client.layout.wire_parameters)
    rates = ALPHA + changed.double().numpy()
    near = client.adapted(client.start, support, rates)
    update = client.trained(arrays={"rates": changed})
    wanted = client.start - BETA * client.gradient(near, query)
    assert_near(update.weights.double().numpy(), wanted)


@pytest.mark.parametrize("hessian", ["ignored", "differences"])
def test_per_fedavg_multiplies_by_one_minus_the_hessian(hessian: str) -> None:
    client = Client("per-fedavg", f'hessian = "{hessian}"')
    task = client.task()
    found = next(iter(episodes(task, 16, 2, 1)))
    third = numpy(sample(task, 6, 2))
    support, query = numpy(found.support), numpy(found.query)
    near = client.start - ALPHA * client.gradient(client.start, support)
    outer = client.gradient(near, query)
    if hessian == "differences":
        delta = 0.001 / np.linalg.norm(outer)
        ahead, behind = (client.start + sign * delta * outer for sign in (1, -1))
        product = (client.gradient(ahead, third) - client.gradient(behind, third)) / (2 * delta)
        outer = outer - ALPHA * product
    assert_near(client.reached(), client.start - BETA * outer)


def test_reptile_goes_a_part_of_the_way_of_plain_descent() -> None:
    plain = {"client": {"batch_size": 1000, "shots": None, "inner_rate": None, "steps": 3}}
    client = Client("reptile", "outer_rate = 0.25", plain)
    examples = client.task().examples
    everything = (examples.inputs.double().numpy(), examples.targets.numpy())
    far = client.adapted(client.start, everything, BETA, 3)
    assert_near(client.reached(), client.start + 0.25 * (far - client.start))


def test_protonet_descends_the_distances_to_prototypes_of_the_support() -> None:
    client = Client("protonet")
    support, query = client.episode()

    def meta(weights: Array) -> float:
        _, known = client.outputs(weights, support[0])
        _, asked = client.outputs(weights, query[0])
        prototypes = np.stack([known[support[1] == k].mean(0) for k in range(3)])
        distances = np.square(asked[:, None] - prototypes[None]).sum(-1)
        return cross_entropy(-distances, query[1])

    assert_near(client.reached(), client.start - BETA * differences(meta, client.start))


def test_protonet_is_judged_by_the_nearest_prototype_of_its_training_part() -> None:
    client = Client("protonet")
    federation = client.worker.federation
    own, test = federation.examples(2)[0], federation.evaluation_examples(2)
    _, known = client.outputs(client.start, own.inputs.double().numpy())
    _, asked = client.outputs(client.start, test.inputs.double().numpy())
    prototypes = np.stack([known[own.targets.numpy() == k].mean(0) for k in range(3)])
    nearest = np.square(asked[:, None] - prototypes[None]).sum(-1).argmin(1)
    _, metrics = client.worker.evaluate(client.asked())
    assert metrics["accuracy"] == pytest.approx((nearest == test.targets.numpy()).mean())


Weights = dict[str, torch.Tensor]
Pair = tuple[torch.Tensor, torch.Tensor]
OTHERS = {
    "fedmeta, first order": ("fedmeta", "first_order = true"),
    "fedmeta": ("fedmeta", "first_order = false"),
    "anil": ("anil", ""),
    "meta-sgd": ("meta-sgd", ""),
    "per-fedavg": ("per-fedavg", ""),
    "reptile": ("reptile", "outer_rate = 0.25"),
    "protonet": ("protonet", ""),
}
BATCH_NORM = {"model": {"hidden": [6], "batch_norm_layers": True}}


class Functional:
    """A client's network as functions of its trained weights, in double precision."""

    def __init__(self, client: Client) -> None:
        network = client.network
        network.train_mode()
        self.module = copy.deepcopy(network.model.module).double()
        # In training batch norm looks at the batch alone, so that a copy may forget its statistics.
        if client.worker.scenario.model.batch_norm == "train":
            torch.func.replace_all_batch_norm_modules_(self.module)
        self.head = network.head
        self.names = [entry.name for entry, _ in network.model.trained]
        found = dict(self.module.named_parameters())
        self.start = {name: found[name].detach().clone() for name in self.names}

    def outputs(self, weights: Weights, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the outputs, and what enters the head."""
        entered: list[torch.Tensor] = []
        hook = self.module.get_submodule(self.head).register_forward_pre_hook(
            lambda _, given: entered.append(given[0])
        )
        outputs = torch.func.functional_call(self.module, weights, (inputs.double(),))
        hook.remove()
        return outputs, entered[0].flatten(1)

    def loss(self, weights: Weights, pair: Pair) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(self.outputs(weights, pair[0])[0], pair[1])

    def near(self, weights: Weights, support: Pair, part: str = "", rate: float = ALPHA) -> Weights:
        """Return where a step leads those whose names begin with ``part``."""
        slope = torch.func.grad(self.loss)(weights, support)
        return {n: w - rate * slope[n] * n.startswith(part) for n, w in weights.items()}

    def by_prototypes(self, weights: Weights, support: Pair, query: Pair) -> torch.Tensor:
        """Return the query's loss by the nearest mean of the support, all as one batch."""
        _, found = self.outputs(weights, torch.cat([support[0], query[0]]))
        known, asked = found[: len(support[1])], found[len(support[1]) :]
        classes = support[1].unique()
        means = torch.stack([known[support[1] == k].mean(0) for k in classes])
        scores = -(asked[:, None] - means).square().sum(-1)
        return torch.nn.functional.cross_entropy(scores, torch.searchsorted(classes, query[1]))


@pytest.mark.parametrize("kind", ["batch norm", pytest.param("pretrained", marks=pytest.mark.slow)])
@pytest.mark.parametrize("algorithm", OTHERS)
def test_a_step_on_other_networks_is_that_of_torch_func(kind: str, algorithm: str) -> None:
    name, keys = OTHERS[algorithm]
    changes: list[Any] = [BATCH_NORM if kind == "batch norm" else PRETRAINED]
    if name == "reptile":
        changes.append({"client": {"batch_size": 1000, "shots": None, "inner_rate": None}})
    client = Client(name, keys, *changes, strategy="meta-sgd" if name == "meta-sgd" else "fedavg")
    network, task = Functional(client), client.task()
    start, gradient = network.start, torch.func.grad
    if name == "reptile":
        examples = task.examples
        everything = task.prepare(examples.inputs), examples.targets
        far = network.near(start, everything, rate=BETA)
        ends = {n: start[n] + 0.25 * (far[n] - start[n]) for n in start}
    else:
        episode = next(iter(episodes(task, 16, client.worker.algorithm.settings.shots, 1)))
        support, query = episode.support, episode.query
        if name == "protonet":
            slope = gradient(network.by_prototypes)(start, support, query)
        elif name == "per-fedavg" or algorithm == "fedmeta, first order":
            slope = gradient(network.loss)(network.near(start, support), query)
        else:
            part = network.head if name == "anil" else ""
            slope = gradient(lambda w: network.loss(network.near(w, support, part), query))(start)
        ends = {n: start[n] - BETA * slope[n] for n in start}
    wanted = torch.cat([ends[n].flatten() for n in network.names])
    reached = client.trained().weights[: client.layout.wire_parameters].double()
    assert not torch.allclose(reached, torch.cat([w.flatten() for w in start.values()]), atol=1e-3)
    np.testing.assert_allclose(reached, wanted, rtol=1e-3, atol=1e-4)


def test_running_statistics_are_those_of_the_batches_that_passed() -> None:
    client = Client("fedmeta", "", {"model": {"hidden": [6], "batch_norm_layers": True}})
    update = client.trained()
    statistics = update.weights[client.layout.wire_parameters :]
    assert len(statistics)
    assert not torch.equal(statistics, client.whole[client.layout.trained.stop :])


def test_a_new_client_adapts_by_full_batch_steps_at_the_inner_rate() -> None:
    client = Client("fedmeta")
    task = client.task()
    examples = (task.examples.inputs.double().numpy(), task.examples.targets.numpy())
    client.worker.algorithm.adapt(task, 3, None)
    found = task.network.model.parameter.detach().double().numpy()
    assert_near(found, client.adapted(client.start, examples, ALPHA, 3))


def test_steps_that_are_differentiated_lead_where_plain_ones_lead() -> None:
    client = Client("fedmeta")
    task = client.task()
    episode = next(iter(episodes(task, 16, 2, 1)))
    criterion = client.worker.algorithm.criterion(task.task)
    begun = task.network.model.parameter.detach().clone().requires_grad_()
    exact, plain = (
        adapted(task, criterion, begun, episode.support, ALPHA, 4, order) for order in (True, False)
    )
    assert torch.allclose(exact, plain, atol=1e-6)


def test_support_and_query_are_disjoint_and_stratified() -> None:
    client = Client("fedmeta")
    for episode in episodes(client.task(), 16, 2, 5):
        assert torch.bincount(episode.support[1]).tolist() == [2, 2, 2]
        assert len(episode.query[1]) == 10
        rows = [tuple(row.tolist()) for part in (episode.support, episode.query) for row in part[0]]
        assert len(rows) == 16
    for episode in episodes(client.task(), 16, None, 5):
        known = set(episode.support[1].tolist())
        assert set(episode.query[1].tolist()) <= known


@pytest.mark.parametrize(
    ("client", "sentence"),
    [
        ("shots = 6", "set client.batch_size to more than 18"),
        ("early_stopping = { patience = 1 }", "descends the loss of adapted models"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(client: str, sentence: str) -> None:
    with pytest.raises(FedlabError) as raised:
        Simulation(scenario_with(BASE, {"client": {"name": "fedmeta"}}, client=client))
    assert sentence in str(raised.value)
