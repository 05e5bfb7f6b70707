"""Clients of narrower models (HeteroFL, FedRolex, FjORD): the equations, against NumPy."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from clients.fjord import ordered_dropout
from clients.heterofl import masked, scaled
from fedlab.algorithm.strategy import build_strategy
from fedlab.algorithm.vector_strategy import Reply, ServerContext
from fedlab.errors import FedlabErrors
from fedlab.models.narrow import narrowed, places
from fedlab.models.network import Network, build_network
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.simulation import assemble
from fedlab.scenario.parts import load_federation, network_of
from fedlab.wire.protocol import node_of
from strategies.fedrolex import met
from tests.shared import Changes, scenario_with

MODELS = {
    "MLP": 'name = "mlp"\nhidden = [6, 5]',
    "CNN": 'name = "cnn"\nhidden = [7]\nlayers = ['
    '{channels = 4, padding = "same", pooling = "max"}, {channels = 8, residual = true, '
    'padding = "same", pooling = "max"}]',
    "batch norm": 'name = "cnn"\nhidden = []\nlayers = [{channels = 5, batch_norm = true, '
    'pooling = "max"}, {channels = 4, padding = "same", batch_norm = true}]',
    "2NN": 'name = "mcmahan-2nn"',
}
EACH = pytest.mark.parametrize("model", MODELS)
WIDTHS = (1.0, 0.5, 0.3)


def networks(model: str, *changes: Changes) -> tuple[Network, list[Network], Any]:
    """Return a whole network, its narrower ones and the task."""
    scenario = scenario_with({"model": None}, *changes, model=MODELS[model])
    task = load_federation(scenario).dataset.task
    whole = network_of(scenario, task)
    narrow = [build_network(narrowed(scenario.model, width), task, 0) for width in WIDTHS]
    return whole, narrow, task


def random_wire(network: Network, seed: int) -> torch.Tensor:
    """Return weights with all running variances above 0."""
    wire = torch.randn(
        network.model.layout.wire_size, generator=torch.Generator().manual_seed(seed)
    )
    for part in network.model.layout.wire_variances:
        wire[part] = wire[part].abs() + 0.5
    return wire


def window(units: int, width: float, shift: int) -> Any:
    """Return the units of a window; a window of all has them in their order."""
    own = (shift + np.arange(math.ceil(width * units))) % units
    return np.sort(own) if len(own) == units else own


@pytest.mark.parametrize("shift", [0, 3, 5])
def test_a_window_of_units_is_cut_out_of_every_matrix(shift: int) -> None:
    whole, narrow, _ = networks("MLP")
    wire = random_wire(whole, 0)
    full = {n: t.numpy() for n, t in whole.model.layout.wire_views(wire).items()}
    for width, own in zip(WIDTHS, narrow, strict=True):
        taken = wire[places(whole.model.layout, own.model.layout, shift)]
        views = own.model.layout.wire_views(taken)
        first, second = window(6, width, shift), window(5, width, shift)
        np.testing.assert_array_equal(views["hidden.0.0.weight"], full["hidden.0.0.weight"][first])
        wanted = full["hidden.1.0.weight"][np.ix_(second, first)]
        np.testing.assert_array_equal(views["hidden.1.0.weight"], wanted)
        np.testing.assert_array_equal(views["head.weight"], full["head.weight"][:, second])
        np.testing.assert_array_equal(views["head.bias"], full["head.bias"])


@EACH
@pytest.mark.parametrize("shift", [0, 2, 9])
def test_a_narrower_model_computes_what_the_whole_does_without_the_other_weights(
    model: str, shift: int
) -> None:
    whole, narrow, task = networks(model)
    wire = random_wire(whole, 1)
    pictures = torch.randn(3, *task.input_shape, generator=torch.Generator().manual_seed(2))
    for own in narrow:
        held = places(whole.model.layout, own.model.layout, shift)
        assert len(set(held.tolist())) == len(held)
        own.model.reset(wire[held])
        cut = torch.zeros_like(wire)
        for part in whole.model.layout.wire_variances:
            cut[part] = 1
        cut[held] = wire[held]
        whole.model.reset(cut)
        for network in (own, whole):
            network.evaluation_mode()
        torch.testing.assert_close(
            own.model.call(pictures), whole.model.call(pictures), rtol=1e-4, atol=1e-4
        )


def begun(name: str, whole: Network, narrow: list[Network], task: Any) -> Any:
    strategy = build_strategy(scenario_with(strategy={"name": name}).strategy)
    layouts = tuple(own.model.layout for own in narrow)
    strategy.begin(ServerContext(whole.model.layout, task, narrow=layouts))  # type: ignore[attr-defined]
    return strategy


@EACH
@pytest.mark.parametrize("name", ["heterofl", "fedrolex", "fjord"])
def test_each_weight_becomes_the_mean_over_those_that_have_it(model: str, name: str) -> None:
    whole, narrow, task = networks(model)
    strategy = begun(name, whole, narrow, task)
    layout, wire = whole.model.layout, random_wire(whole, 3).numpy()
    count = layout.wire_parameters
    for server_round, clients in ((1, (1, 2, 4)), (2, (0, 1, 3)), (3, (2, 5))):
        shift = server_round - 1 if name == "fedrolex" else 0
        total, shares = np.zeros(len(wire)), np.zeros(len(wire))
        replies = []
        for client in clients:
            own = narrow[client % 3]
            sent = random_wire(own, 10 * server_round + client).numpy()
            held = places(layout, own.model.layout, shift).numpy()
            weight = 1.0 + client
            total[held] += weight * sent
            shares[held] += weight
            replies.append(Reply(node_of(client), weight, sent, {}, {}))
        new = strategy.step(server_round, wire, replies)
        wanted = np.where(shares > 0, total / np.maximum(shares, 1e-9), wire)
        np.testing.assert_allclose(new[:count], wanted[:count], rtol=1e-5, atol=1e-6)
        wire = np.asarray(new, np.float32)


@pytest.mark.parametrize("sizes", [(6, 6), (4, 8), (6, 9), (7, 8)])
@pytest.mark.parametrize("width", [0.25, 0.5, 0.75])
def test_rolling_windows_ever_hold_the_said_part_of_the_weights(
    sizes: tuple[int, int], width: float
) -> None:
    below, above = sizes
    held = np.zeros((above, below), bool)
    for shift in range(math.lcm(below, above)):
        held[np.ix_(window(above, width, shift), window(below, width, shift))] = True
    assert met(below, above, width) == pytest.approx(held.mean())


@pytest.mark.parametrize(("hidden", "said"), [("[8, 8]", True), ("[7, 8]", False)])
def test_weights_that_no_window_holds_are_told(hidden: str, said: bool) -> None:
    scenario = scenario_with(
        {"model": None},
        model=f'name = "mlp"\nhidden = {hidden}',
        strategy={"name": "fedrolex"},
        client={"name": "heterofl", "widths": [0.25]},
    )
    told = assemble(scenario).notes
    assert any("never meet in 62%" in note for note in told) == said


def test_statistics_are_those_of_a_width_and_the_servers_of_the_widest() -> None:
    whole, narrow, task = networks("batch norm")
    strategy = begun("heterofl", whole, narrow, task)
    layout, wire = whole.model.layout, random_wire(whole, 3).numpy()
    count = layout.wire_parameters

    def reply(client: int) -> Reply:
        return Reply(node_of(client), 1.0, random_wire(narrow[client % 3], client).numpy(), {}, {})

    half, wide = reply(1), reply(3)
    held = places(layout, narrow[1].model.layout).numpy()
    own = narrow[1].model.layout.wire_parameters
    new = strategy.step(1, wire, [half])
    np.testing.assert_allclose(new[held[own:]], half.weights[own:], rtol=1e-6)
    new = strategy.step(2, new, [wide, half])
    np.testing.assert_allclose(new[count:], wide.weights[count:], rtol=1e-6)
    sent = strategy._held(1, new, held)
    np.testing.assert_allclose(sent[own:], half.weights[own:], rtol=1e-6)
    np.testing.assert_allclose(sent[:own], new[held[:own]], rtol=1e-6)


def test_rows_of_absent_classes_are_in_no_mean() -> None:
    whole, narrow, task = networks("MLP")
    strategy = begun("heterofl", whole, narrow, task)
    wire = random_wire(whole, 0).numpy()
    present = np.zeros(10, np.float32)
    present[[2, 7]] = 1
    sent = [random_wire(narrow[0], seed).numpy() for seed in (1, 2)]
    replies = [
        Reply(node_of(0), 1.0, sent[0], {"classes": present}, {}),
        Reply(node_of(3), 1.0, sent[1], {"classes": np.eye(10, dtype=np.float32)[7]}, {}),
    ]
    new = strategy.step(1, wire, replies)
    before, after, *each = (
        whole.model.layout.wire_views(torch.as_tensor(np.asarray(v, np.float32)))["head.weight"]
        for v in (wire, new, *sent)
    )
    torch.testing.assert_close(after[7], (each[0][7] + each[1][7]) / 2)
    torch.testing.assert_close(after[2], each[0][2])
    torch.testing.assert_close(after[0], before[0])


def test_scores_of_absent_classes_are_0_in_the_loss() -> None:
    scores, targets = torch.randn(4, 3), torch.tensor([0, 2, 2, 0])
    loss = masked(functional.cross_entropy, torch.tensor([True, False, True]))
    with_zeros = scores.clone()
    with_zeros[:, 1] = 0
    assert loss(scores, targets) == functional.cross_entropy(with_zeros, targets)


def test_hidden_layers_are_divided_by_the_width_inside_the_block_alone() -> None:
    _, narrow, task = networks("MLP")
    own, pictures = narrow[1], torch.randn(2, *task.input_shape)
    tensors = own.model.layout.views(own.model.weights)
    first = pictures.flatten(1) @ tensors["hidden.0.0.weight"].t() + tensors["hidden.0.0.bias"]
    second = (2 * first).relu() @ tensors["hidden.1.0.weight"].t() + tensors["hidden.1.0.bias"]
    wanted = (2 * second).relu() @ tensors["head.weight"].t() + tensors["head.bias"]
    plain = own.model.call(pictures)
    with scaled(own, 0.5):
        torch.testing.assert_close(own.model.call(pictures), wanted)
    torch.testing.assert_close(own.model.call(pictures), plain)
    assert not torch.allclose(plain, wanted)


@pytest.mark.parametrize("model", ["MLP", "CNN"])
def test_ordered_dropout_trains_the_narrower_model_within(model: str) -> None:
    whole, narrow, task = networks(model)
    inside = narrow[1]
    held = places(whole.model.layout, inside.model.layout)
    inside.model.reset(whole.model.wire()[held])
    pictures = torch.randn(2, *task.input_shape)
    whole.train_mode()
    with ordered_dropout(whole, [0.5], torch.Generator()):
        outputs = whole.model.call(pictures)
        outputs.square().sum().backward()  # type: ignore[no-untyped-call]
    wanted = inside.model.call(pictures)
    wanted.square().sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(outputs, wanted)
    gradient = whole.model.gradient.clone()
    torch.testing.assert_close(gradient[held], inside.model.gradient)
    gradient[held] = 0
    views = whole.model.layout.wire_views(gradient)
    # What is outside and has a gradient all the same comes from units that nothing looks at.
    assert not any(views[name].any() for name in views if name.startswith("head"))
    assert not gradient.any()


RESIDUAL = {"channels": 3, "residual": True, "padding": 1}
BASE: dict[str, Any] = {
    "model": {"name": "cnn", "layers": [{"channels": 4, "batch_norm": True}], "hidden": [8]},
    "data": {"train_examples": 60, "partition": {"clients": 4}},
    "client": {"name": "heterofl", "widths": [1.0, 0.25], "batch_size": 8},
    "strategy": {"name": "heterofl"},
    "evaluation": {"federated": True},
}


def test_only_the_clients_own_weights_travel_and_are_counted(tmp_path: Path) -> None:
    scenario = scenario_with(BASE, {"evaluation": {"federated": False}})
    run(folder := RunFolder.create(tmp_path, "run", scenario))
    line = json.loads((folder.path / "metrics.jsonl").read_text().splitlines()[-1])
    task = load_federation(scenario).dataset.task
    sizes = [
        build_network(narrowed(scenario.model, width), task, 0).model.layout.wire_size
        for width in (1.0, 0.25)
    ]
    assert sizes[1] < sizes[0] / 4
    headers = 4 * 128
    assert line["bytes_down"] == 2 * 4 * sum(sizes) + headers
    assert line["bytes_up"] == 2 * 4 * (sum(sizes) + 2 * 10) + 2 * headers


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"strategy": {"name": "fedavg"}}, "set strategy.name to .*heterofl"),
        ({"client": {"name": "supervised", "widths": None}}, "set client.name = 'heterofl'"),
        ({"client": {"widths": [0.5]}}, "client.widths: the largest is 0.5"),
        ({"model": {"trainable": "head"}}, "does not travel; set model.trainable = 'all'"),
        ({"model": {"batch_norm": "frozen"}}, "does not travel"),
        ({"model": {"name": "vit", "layers": None, "hidden": None}}, "take cnn or mlp"),
        ({"updates": [{"name": "float16"}]}, "updates: it is for clients with one model"),
        ({"attack": {"name": "alie", "clients": [0]}}, "several"),
        ({"evaluation": {"baselines": ["local"]}}, "evaluation.baselines: it is for clients"),
        (
            {"model": {"layers": [{"channels": 4}, RESIDUAL]}},
            "'layers.1.shortcut.weight' is in one alone",
        ),
        ({"downlink": [{"name": "float16"}]}, "downlink"),
    ],
)
def test_what_cannot_follow_narrower_models_is_refused(changes: Changes, said: str) -> None:
    with pytest.raises(FedlabErrors, match=said):
        assemble(scenario_with(BASE, changes))


def test_a_pretrained_model_is_what_narrower_clients_begin_with(tmp_path: Path) -> None:
    run(first := RunFolder.create(tmp_path, "first", scenario_with(BASE, {"rounds": 1})))
    changes = {"model": {"pretrained": str(first.path)}, "rounds": 1}
    run(second := RunFolder.create(tmp_path, "second", scenario_with(BASE, changes)))
    lines = [
        [json.loads(line) for line in (f.path / "metrics.jsonl").read_text().splitlines()]
        for f in (first, second)
    ]
    assert lines[1][0]["test"]["loss"] == pytest.approx(lines[0][1]["test"]["loss"], rel=1e-5)
    assert lines[1][1]["test"]["loss"] < lines[1][0]["test"]["loss"]


@pytest.mark.slow
def test_flowers_engine_reaches_what_inline_does(tmp_path: Path) -> None:
    losses = []
    for engine in ("inline", "flower"):
        scenario = scenario_with(BASE, {"engine": {"name": engine}, "rounds": 2})
        run(folder := RunFolder.create(tmp_path, engine, scenario))
        assert not (folder.path / "failures.jsonl").read_text()
        line = (folder.path / "metrics.jsonl").read_text().splitlines()[-1]
        losses.append(json.loads(line)["test"]["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
