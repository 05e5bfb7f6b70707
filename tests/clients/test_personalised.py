"""Personalised client algorithms against their papers' equations, worked in NumPy."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch

from clients.fedproto import KNOWN, PROTOTYPES
from fedlab.engine.worker.worker import Worker
from fedlab.errors import FedlabError
from fedlab.run.simulation import Simulation
from fedlab.scenario.parts import load_federation
from fedlab.training.task import Assignment
from tests.shared import scenario_with

RATE = 0.2
BODY, HEAD = ("hidden.0.0.weight", "hidden.0.0.bias"), ("head.weight", "head.bias")
# The network has two layers, z = W₂ tanh(W₁ x + b₁) + b₂ under cross-entropy, and every batch is
# all of a client's examples, so that each step is one of plain gradient descent.
BASE = {
    "data": {
        "name": "iris",
        "validation": 0.0,
        "client_test": 0.25,
        "partition": {"clients": 4},
    },
    "model": {"hidden": [3], "activation": "tanh"},
    "client": {"batch_size": 1000, "optimizer": {"lr": RATE}},
    "evaluation": {"federated": True},
}
Parameters = dict[str, np.ndarray[Any, Any]]


def scenario(
    name: str, client: str = "epochs = 1", model: str = "", strategy: str = "fedavg"
) -> Any:
    names = {"client": {"name": name}, "strategy": {"name": strategy}}
    return scenario_with(BASE, names, client=client, model=model)


class Client:
    """Client 2 of a scenario, and what is known of it in NumPy."""

    def __init__(self, *words: str, **tables: str) -> None:
        made = scenario(*words, **tables)
        self.worker = Worker(made, load_federation(made))
        self.layout = self.worker.network.model.layout
        examples, _ = self.worker.federation.examples(2)
        self.inputs = examples.inputs.double().numpy()
        self.targets = examples.targets.numpy()
        test = self.worker.federation.evaluation_examples(2)
        self.test_inputs, self.test_targets = test.inputs.double().numpy(), test.targets.numpy()

    def weights(self, seed: int) -> torch.Tensor:
        """Return (size,) weights that are as good as any."""
        return torch.randn(self.layout.size, generator=torch.Generator().manual_seed(seed)) * 0.7

    def train(self, whole: torch.Tensor, state: dict[str, torch.Tensor], **given: Any) -> Any:
        """Return the update of the client that receives what travels of some whole weights."""
        return self.worker.train(self._asked(whole, state, **given))

    def evaluate(self, whole: torch.Tensor, state: dict[str, torch.Tensor]) -> dict[str, float]:
        return self.worker.evaluate(self._asked(whole, state))[1]

    def _asked(self, whole: torch.Tensor, state: dict[str, torch.Tensor], **given: Any) -> Any:
        return Assignment(2, 1, whole[self.layout.wire].clone(), state=state, **given)

    def named(self, whole: torch.Tensor) -> Parameters:
        return {n: t.double().numpy().copy() for n, t in self.layout.views(whole).items()}

    def descended(self, parameters: Parameters, steps: int, names: Iterable[str]) -> Parameters:
        """Return parameters after steps of gradient descent in some of them."""
        for _ in range(steps):
            slope = self.gradient(parameters)
            parameters = {
                n: p - RATE * slope[n] if n in names else p for n, p in parameters.items()
            }
        return parameters

    def gradient(self, parameters: Parameters, far: np.ndarray[Any, Any] | None = None) -> Any:
        """Return the loss's gradient; ``far`` is added to its slope in what enters the head."""
        weight, bias, weight_out, _ = (parameters[n] for n in (*BODY, *HEAD))
        hidden = np.tanh(self.inputs @ weight.T + bias)
        slope = (softmax(logits(parameters, self.inputs)) - np.eye(3)[self.targets]) / len(hidden)
        into_hidden = slope @ weight_out + (0.0 if far is None else far)
        below = into_hidden * (1 - hidden**2)
        values = (below.T @ self.inputs, below.sum(0), slope.T @ hidden, slope.sum(0))
        return dict(zip((*BODY, *HEAD), values, strict=True))

    def accuracy(self, parameters: Parameters) -> float:
        right = logits(parameters, self.test_inputs).argmax(1) == self.test_targets
        return float(right.mean())

    def loss(self, parameters: Parameters) -> float:
        likelihoods = softmax(logits(parameters, self.test_inputs))
        return float(
            -np.log(likelihoods[np.arange(len(self.test_targets)), self.test_targets]).mean()
        )


def logits(parameters: Parameters, inputs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return entering(parameters, inputs) @ parameters[HEAD[0]].T + parameters[HEAD[1]]


def entering(parameters: Parameters, inputs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.tanh(inputs @ parameters[BODY[0]].T + parameters[BODY[1]])


def softmax(scores: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def joined(
    client: Client, shared: torch.Tensor, personal: torch.Tensor | None = None
) -> Parameters:
    """Return what travelled with the client's own part, or with the initial one."""
    own = client.worker.network.model.initial[: client.layout.wire.start]
    return client.named(torch.cat([own if personal is None else personal, shared]))


def assert_same(found: Parameters, wanted: Parameters) -> None:
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, rtol=2e-4, atol=2e-5, err_msg=name)


PARTS = [
    ("fedper", 'personal = "head"', HEAD, "epochs = 3"),
    ("lg-fedavg", 'personal = "body"', BODY, "epochs = 3"),
    ("fedper", 'personal = ["*.bias"]', (BODY[1], HEAD[1]), "epochs = 3"),
]


@pytest.mark.parametrize(("name", "model", "kept", "work"), PARTS)
def test_one_part_travels_and_the_other_stays(
    name: str, model: str, kept: tuple[str, ...], work: str
) -> None:
    client = Client(name, work, model=model)
    received = client.weights(1)
    first = client.train(received, {})
    wanted = client.descended(joined(client, received[client.layout.wire]), 3, (*BODY, *HEAD))
    assert_same(joined(client, first.weights, first.state["personal"]), wanted)
    travelling = set(client.layout.wire_views(first.weights))
    assert travelling == {*BODY, *HEAD} - set(kept)
    again = client.weights(2)
    second = client.train(again, first.state)
    start = joined(client, again[client.layout.wire], first.state["personal"])
    wanted = client.descended(start, 3, (*BODY, *HEAD))
    assert_same(joined(client, second.weights, second.state["personal"]), wanted)
    found = client.evaluate(again, first.state)
    assert found["loss"] == pytest.approx(client.loss(start), rel=1e-4)
    initial = joined(client, again[client.layout.wire])
    assert found["global_loss"] == pytest.approx(client.loss(initial), rel=1e-4)
    assert found["global_accuracy"] == pytest.approx(client.accuracy(initial))


def test_fedrep_trains_the_head_before_the_body() -> None:
    client = Client("fedrep", "epochs = 2\nhead_epochs = 3", model='personal = "head"')
    received = client.weights(1)
    update = client.train(received, {})
    wanted = client.descended(joined(client, received[client.layout.wire]), 3, HEAD)
    wanted = client.descended(wanted, 2, BODY)
    assert_same(joined(client, update.weights, update.state["personal"]), wanted)


@pytest.mark.parametrize("tuned", ["all", "head", "body"])
def test_fedbabu_trains_the_body_and_tunes_what_it_is_told(tuned: str) -> None:
    keys = f'epochs = 2\ntuning_epochs = 3\ntuned = "{tuned}"'
    client = Client("fedbabu", keys, model='personal = "head"')
    received = client.weights(1)
    update = client.train(received, {})
    start = joined(client, received[client.layout.wire])
    assert_same(
        joined(client, update.weights, update.state["personal"]), client.descended(start, 2, BODY)
    )
    found = client.evaluate(received, update.state)
    names = {"all": (*BODY, *HEAD), "head": HEAD, "body": BODY}[tuned]
    assert found["loss"] == pytest.approx(client.loss(client.descended(start, 3, names)), rel=1e-4)
    assert found["global_loss"] == pytest.approx(client.loss(start), rel=1e-4)


def test_fine_tuning_starts_at_the_global_model_without_a_trace() -> None:
    client = Client("fine-tuning", "epochs = 2\ntuning_epochs = 3")
    received = client.weights(1)
    found = client.evaluate(received, {})
    start = client.named(received)
    tuned = client.descended(start, 3, (*BODY, *HEAD))
    assert found["loss"] == pytest.approx(client.loss(tuned), rel=1e-4)
    assert found["global_loss"] == pytest.approx(client.loss(start), rel=1e-4)
    update = client.train(received, {})
    assert_same(client.named(update.weights), client.descended(start, 2, (*BODY, *HEAD)))
    assert update.state == {}


def test_ditto_holds_its_own_model_near_the_global_one() -> None:
    client = Client("ditto", "epochs = 2\nattraction = 0.5\nown_epochs = 3")
    received, own = client.weights(1), client.weights(2)
    update = client.train(received, {"own-model": own})
    start, mine = client.named(received), client.named(own)
    assert_same(client.named(update.weights), client.descended(start, 2, (*BODY, *HEAD)))
    for _ in range(3):
        slope = client.gradient(mine)
        mine = {n: v - RATE * (slope[n] + 0.5 * (v - start[n])) for n, v in mine.items()}
    assert_same(client.named(update.state["own-model"]), mine)
    found = client.evaluate(received, update.state)
    assert found["loss"] == pytest.approx(client.loss(mine), rel=1e-4)
    assert found["global_loss"] == pytest.approx(client.loss(start), rel=1e-4)
    fresh = client.train(received, {}).state["own-model"]
    mine = start
    for _ in range(3):
        slope = client.gradient(mine)
        mine = {n: v - RATE * (slope[n] + 0.5 * (v - start[n])) for n, v in mine.items()}
    assert_same(client.named(fresh), mine)


@pytest.mark.parametrize("adaptive", [True, False])
def test_apfl_descends_both_models_and_learns_how_to_mix_them(adaptive: bool) -> None:
    keys = f"epochs = 3\nshare = 0.3\nadaptive = {str(adaptive).lower()}"
    client = Client("apfl", keys)
    received, own = client.weights(1), client.weights(2)
    update = client.train(received, {"own-model": own})
    w, v, share = client.named(received), client.named(own), 0.3
    start = dict(w)
    for taken in range(3):
        mixture = {n: share * v[n] + (1 - share) * w[n] for n in w}
        slope, slope_mixed = client.gradient(w), client.gradient(mixture)
        learned = share
        if adaptive and taken == 0:
            along = sum(float((slope_mixed[n] * (v[n] - w[n])).sum()) for n in w)
            learned = min(1.0, max(0.0, share - RATE * along))
        v = {n: v[n] - RATE * share * slope_mixed[n] for n in v}
        w = {n: w[n] - RATE * slope[n] for n in w}
        share = learned
    assert_same(client.named(update.weights), w)
    assert_same(client.named(update.state["own-model"]), v)
    assert update.metrics["own_share"] == pytest.approx(share, rel=1e-4)
    assert (share != 0.3) == adaptive
    mixture = {n: share * v[n] + (1 - share) * start[n] for n in v}
    found = client.evaluate(received, update.state)
    assert found["loss"] == pytest.approx(client.loss(mixture), rel=1e-4)


def test_pfedme_steps_towards_the_minimum_of_the_envelope() -> None:
    keys = "epochs = 2\nattraction = 2.0\nown_steps = 3\nouter_rate = 0.1"
    client = Client("pfedme", keys, strategy="pfedme")
    received = client.weights(1)
    update = client.train(received, {})
    w = client.named(received)
    theta = dict(w)
    for _ in range(2):
        for _ in range(3):
            slope = client.gradient(theta)
            theta = {n: t - RATE * (slope[n] + 2.0 * (t - w[n])) for n, t in theta.items()}
        w = {n: w[n] - 0.1 * 2.0 * (w[n] - theta[n]) for n in w}
    assert_same(client.named(update.weights), w)
    assert_same(client.named(update.state["own-model"]), theta)


def test_fedproto_nears_the_global_prototypes_and_sends_its_own() -> None:
    client = Client("fedproto", "epochs = 2", model='personal = "all"', strategy="fedproto")
    own = client.weights(1)
    prototypes = np.array([[0.5, -0.5, 0.2], [9.0, 9.0, 9.0], [-0.3, 0.1, 0.8]])
    arrays = {
        PROTOTYPES: torch.from_numpy(prototypes).float().flatten(),
        KNOWN: torch.tensor([1.0, 0.0, 1.0]),
    }
    update = client.train(
        own, {"personal": own}, arrays=arrays, config={"prototype-attraction": 0.4}
    )
    mine = client.named(own)
    for _ in range(2):
        hidden = entering(mine, client.inputs)
        far = np.zeros_like(hidden)
        for j in (0, 2):
            rows = client.targets == j
            far[rows] = 0.4 * 2 * (hidden[rows].mean(0) - prototypes[j]) / rows.sum()
        slope = client.gradient(mine, far)
        mine = {n: p - RATE * slope[n] for n, p in mine.items()}
    assert_same(client.named(update.state["personal"]), mine)
    assert update.weights.numel() == 0
    hidden, of_class = entering(mine, client.inputs), np.eye(3)[client.targets]
    sums = update.arrays["prototype-sums"].view(3, 3).numpy()
    np.testing.assert_allclose(sums, of_class.T @ hidden, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(update.arrays["prototype-counts"].numpy(), of_class.sum(0))
    found = client.evaluate(own, update.state)
    distances = ((entering(mine, client.test_inputs)[:, None] - prototypes) ** 2).sum(2)
    distances[:, 1] = np.inf
    right = distances.argmin(1) == client.test_targets
    assert found["global_accuracy"] == pytest.approx(right.mean())
    assert found["loss"] == pytest.approx(client.loss(mine), rel=1e-4)


REFUSED = [
    ("fedper", "", "fedavg", "model.personal: 'none' is not what client 'fedper' keeps"),
    ("fedrep", 'personal = "body"', "fedavg", "set 'head' or a list"),
    ("lg-fedavg", "", "fedavg", "set 'body' or a list"),
    ("fedbabu", "", "fedavg", "set 'head'"),
    ("fedbn", "", "fedavg", "model.batch_norm: 'train' lets batch norm travel"),
    ("fedbn", 'batch_norm = "local"', "fedavg", "the model has none"),
    ("ditto", 'personal = "head"', "fedavg", "works on whole models"),
    ("fedproto", 'personal = "all"', "fedavg", "set strategy.name"),
    ("supervised", 'personal = ["nothing.*"]', "fedavg", "no parameter is called 'nothing.*'"),
    ("supervised", 'personal = "all"\ntrainable = "head"', "fedproto", "client.name = 'fedproto'"),
]


@pytest.mark.parametrize(("name", "model", "strategy", "sentence"), REFUSED)
def test_what_does_not_go_together_is_refused_before_a_round(
    name: str, model: str, strategy: str, sentence: str
) -> None:
    with pytest.raises(FedlabError) as told:
        Simulation(scenario(name, model=model, strategy=strategy))
    assert sentence in str(told.value)


@pytest.mark.parametrize("name", ["apfl", "pfedme"])
def test_own_loops_do_not_stop_early(name: str) -> None:
    with pytest.raises(FedlabError, match="early_stopping"):
        scenario(name, "epochs = 1\nearly_stopping = { patience = 1 }")
