"""Stacks of networks that are no dense chains against the plain loop: the same weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fedlab.data.dataset import Examples
from fedlab.data.federation import Federation
from fedlab.engine.stacked import decision
from fedlab.engine.stacked.cells import Lookup, Recurrent
from fedlab.engine.stacked.decision import Stacking, stacking_of
from fedlab.engine.stacked.mapped import Mapped
from fedlab.engine.worker.worker import Worker
from fedlab.models.network import build_network
from fedlab.scenario import Scenario
from fedlab.scenario.parts import load_federation
from fedlab.training.task import Assignment, Update
from fedlab.wire.checks import BadReply
from tests.data.sources.test_text import write_names
from tests.engine.stacked.test_loop import CLIENTS as OF_DENSE_NETWORKS
from tests.shared import scenario_with

NUMBER = 5
BASE: dict[str, Any] = {
    "seed": 1,
    "data": {"partition": {"name": "dirichlet", "clients": 7, "alpha": 0.5}},
    "client": {"batch_size": 10, "epochs": 2, "optimizer": {"lr": 0.02}},
}
CNN = 'name = "cnn"\nhidden = [16]\nlayers = [{channels = 4, pooling = "max"}]'
GRU = 'name = "gru"\nembedding = 6\nhidden = 7'
NAMES = 'name = "text"\ntest_fraction = 0.2\npartition = {clients = 3, name = "iid"}'


def scenario_of(vectorised: str, **tables: str) -> Scenario:
    base = {**BASE, "data": {}} if "data" in tables else BASE
    return scenario_with(base, engine=f"vectorised = {vectorised}", **tables)


def updates(
    scenario: Scenario, device: str | None = None, federation: Federation | None = None
) -> list[Update]:
    """Return the updates of all clients, trained in stacks of NUMBER or one by one."""
    worker = Worker(scenario, federation or load_federation(scenario), device)
    wire = worker.network.model.wire().cpu() * 1.5
    given = {"proximal-mu": 0.1, "alpha": 0.1}
    count = len(worker.federation)
    asked = [
        Assignment(client, 2, wire, further(worker, wire), dict(given)) for client in range(count)
    ]
    is_stacked = scenario.engine.vectorised is not False  # type: ignore[attr-defined]
    assert worker.stacking.decision.used == is_stacked, worker.stacking.decision
    if is_stacked:
        assert isinstance(worker.stacking.kind, Mapped)
    found: list[Update] = []
    for start in range(0, count, NUMBER):
        for _, outcome in trained(worker, asked[start : start + NUMBER], is_stacked):
            assert isinstance(outcome, Update), outcome
            found.append(outcome)
    return found


def further(worker: Worker, wire: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return a vector for those algorithms that are sent one."""
    size = worker.network.model.layout.wire_parameters
    wanted = {"scaffold": "control"}.get(worker.scenario.client.name)
    generator = torch.Generator().manual_seed(3)
    return {wanted: 0.01 * torch.randn(size, generator=generator)} if wanted else {}


def trained(worker: Worker, asked: list[Assignment], is_stacked: bool) -> Any:
    """Return outcomes; where a stack is wanted, it must not fall back to one by one."""
    return worker._train_stacked(asked) if is_stacked else worker.train_block(asked)


def check_same(stacked: list[Update], plain: list[Update]) -> None:
    for one, other in zip(stacked, plain, strict=True):
        torch.testing.assert_close(one.weights.cpu(), other.weights, rtol=1e-4, atol=3e-5)
        assert one.examples == other.examples
        assert one.metrics["steps"] == other.metrics["steps"]
        assert one.metrics["train_loss"] == pytest.approx(other.metrics["train_loss"], rel=1e-4)
        for name, vector in other.state.items():
            torch.testing.assert_close(one.state[name].cpu(), vector, rtol=1e-3, atol=1e-4)


CLIENTS = {
    **OF_DENSE_NETWORKS,
    "control variates": 'name = "scaffold"',
    "dynamic regularisation": 'name = "feddyn"',
}
SERVERS = {"fedprox": "proximal_mu = 0.1", "scaffold": "", "feddyn": ""}


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_stacked_convolutions_reach_the_plain_loops_weights(client: str) -> None:
    server = next((f'name = "{s}"\n{k}' for s, k in SERVERS.items() if f'"{s}"' in client), "")
    stacked, plain = (
        updates(scenario_of(number, model=CNN, client=client, strategy=server))
        for number in (str(NUMBER), "false")
    )
    check_same(stacked, plain)


MODELS = {
    "residual": 'name = "cnn"\nlayers = [{channels = 3, padding = "same", residual = true, '
    'pooling = "average"}]\nhidden = [8]',
    "part of it trained": 'name = "cnn"\ntrainable = ["layers.0*", "head*"]\nhidden = [8]',
    "frozen batch norm": 'name = "cnn"\nlayers = [{channels = 3, batch_norm = true}]\n'
    'batch_norm = "frozen"',
    "group norm": 'name = "cnn"\nlayers = [{channels = 4, group_norm = 2}]\nhidden = [8]',
    "group norm, pooled": 'name = "cnn"\nlayers = [{channels = 4, group_norm = 2, '
    'pooling = "max"}]\nhidden = [8]',
    "part of it personal": 'name = "cnn"\nhidden = [8]\npersonal = "head"',
    "gelu": 'name = "mlp"\nhidden = [9]\nactivation = "gelu"',
    "vision transformer": 'name = "vit"\npatch_size = 4\nwidth = 16\nheads = 2\ndepth = 1',
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_networks_of_other_layers_can_be_stacked(model: str) -> None:
    stacked, plain = (updates(scenario_of(n, model=model)) for n in (str(NUMBER), "false"))
    check_same(stacked, plain)


RECURRENT = {
    "gru": GRU,
    "lstm, averaged": 'name = "lstm"\nembedding = 6\nhidden = 7\npooling = "mean"',
    "rnn, two layers": 'name = "rnn"\nembedding = 6\nhidden = 7\nlayers = 2\npooling = "max"',
}


@pytest.mark.parametrize("model", RECURRENT.values(), ids=RECURRENT)
def test_recurrent_networks_over_padded_texts_can_be_stacked(model: str, tmp_path: Path) -> None:
    data = f'{NAMES}\npath = "{write_names(tmp_path, copies=8)}"'
    stacked, plain = (
        updates(scenario_of(n, model=model, data=data)) for n in (str(NUMBER), "false")
    )
    check_same(stacked, plain)


def tagged(scenario: Scenario) -> Federation:
    """Return the texts with a tag for each character, and none for padding."""
    federation = load_federation(scenario)
    dataset = federation.dataset
    train = dataset.train
    tags = torch.where(train.inputs == 0, -100, train.inputs.long() % 3)
    task = replace(dataset.task, kind="tagging", outputs=3, labels=())
    return replace(
        federation, dataset=replace(dataset, task=task, train=Examples(train.inputs, tags))
    )


def test_of_every_position_what_is_no_padding_is_averaged(tmp_path: Path) -> None:
    data = f'{NAMES}\npath = "{write_names(tmp_path, copies=8)}"'
    stacked, plain = (
        updates(scenario, federation=tagged(scenario))
        for scenario in (scenario_of(n, model=GRU, data=data) for n in (str(NUMBER), "false"))
    )
    check_same(stacked, plain)


LAYERS: dict[str, Callable[[], nn.RNNBase]] = {
    "gru": lambda: nn.GRU(3, 4, batch_first=True),
    "lstm": lambda: nn.LSTM(3, 4, batch_first=True, bidirectional=True),
    "rnn": lambda: nn.RNN(3, 4, batch_first=True, bias=False),
    "relu": lambda: nn.RNN(3, 4, batch_first=True, nonlinearity="relu", bidirectional=True),
}


@pytest.mark.parametrize("build", LAYERS.values(), ids=LAYERS)
def test_a_recurrent_layer_step_by_step_is_torchs(build: Callable[[], nn.RNNBase]) -> None:
    torch.manual_seed(0)
    layer, sequence = build(), torch.randn(2, 5, 3)
    (states, final), (wanted, last) = Recurrent(layer)(sequence), layer(sequence)
    torch.testing.assert_close(states, wanted)
    torch.testing.assert_close(final, last)
    assert dict(Recurrent(layer).named_parameters()).keys() == dict(layer.named_parameters()).keys()


def test_padding_has_no_gradient_in_an_embedding() -> None:
    layer = nn.Embedding(5, 3, padding_idx=2)
    tokens, found = torch.tensor([[0, 2, 2, 4]]), []
    for lookup in (layer, Lookup(layer)):
        (gradient,) = torch.autograd.grad(lookup(tokens).square().sum(), [layer.weight])
        found.append(gradient)
    assert torch.equal(*found)


REFUSED = {
    'name = "cnn"\ndropout = 0.1': "dropout",
    'name = "cnn"\nlayers = [{channels = 3, batch_norm = true}]': "batch norm",
    'name = "vit"\npatch_size = 4': "too many",
    'name = "table-resnet"': "not known",
}


@pytest.mark.parametrize(("model", "reason"), REFUSED.items(), ids=list(REFUSED.values()))
def test_what_is_not_stacked_says_why(model: str, reason: str) -> None:
    data = 'name = "wine"\npartition = {name = "iid", clients = 3}'
    tables = {"data": data} if "table" in model else {}
    scenario = scenario_of("4", model=model, **tables)
    found = stacking(scenario)
    assert not found.decision.used
    assert reason in found.decision.reason


def stacking(scenario: Scenario, device: str = "cpu") -> Stacking:
    task = load_federation(scenario).dataset.task
    return stacking_of(scenario, build_network(scenario.model, task, 0), task, device)  # type: ignore[arg-type]


def test_on_the_cpu_a_network_that_is_not_dense_is_stacked_where_a_number_asks_for_it() -> None:
    assert not stacking(scenario_of('"auto"', model=CNN)).decision.used
    assert stacking(scenario_of("4", model=CNN)).length(10) == 4


def test_on_a_cuda_card_small_networks_are_stacked_in_stacks_of_one_length() -> None:
    for model in (CNN, 'name = "mlp"'):
        found = stacking(scenario_of('"auto"', model=model), "cuda")
        lengths = [found.length(cohort) for cohort in (1, 10, 32, 33, 100)]
        assert lengths == [1, 10, 32, 17, 25], found.decision


def test_on_a_cuda_card_a_stack_takes_no_more_than_its_share_of_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scenario = scenario_of('"auto"', model=CNN)
    # A picture's layers put out 4·6·6 + 4·3·3 · 2 + 16 · 2 + 10 values; a batch has ten.
    monkeypatch.setattr(decision, "MOST_LAYER_VALUES", 10 * 300 * 3)
    assert 2 <= stacking(scenario, "cuda").length(32) < 6
    monkeypatch.setattr(decision, "MOST_LAYER_VALUES", 3000)
    assert "busy" in stacking(scenario, "cuda").decision.reason


def test_a_client_of_a_stack_that_fails_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = scenario_of("4", model=CNN)
    worker = Worker(scenario, load_federation(scenario))
    wire = worker.network.model.wire()
    asked = [Assignment(client, 2, wire) for client in range(4)]
    asked[3] = Assignment(3, 2, torch.full_like(wire, float("nan")))
    outcomes = dict(worker.train_block(asked))
    assert [c for c, outcome in outcomes.items() if isinstance(outcome, BadReply)] == [3]
