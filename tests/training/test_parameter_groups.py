"""Layer-wise rates, spared parameters and L2-SP against plain PyTorch with its own groups."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fedlab.engine.worker.worker import Worker
from fedlab.errors import FedlabError
from fedlab.run.simulation import assemble
from fedlab.scenario.parts import load_federation
from fedlab.training.batches import Batches
from fedlab.training.parameter_groups import groups_of
from fedlab.training.task import Assignment, LocalTask
from tests.shared import Changes, scenario_with

Asset = Callable[[str], Path]

BATCH_NORM: dict[str, Any] = {
    "seed": 4,
    "data": {"train_examples": 60, "partition": {"clients": 2}},
    "model": {
        "name": "cnn",
        "hidden": [16],
        "layers": [
            {"channels": 4, "kernel_size": 3, "padding": 1, "batch_norm": True},
            {"channels": 6, "kernel_size": 3, "padding": 1, "batch_norm": True},
        ],
    },
    "client": {"batch_size": 9, "steps": 4},
}
LITE: dict[str, Any] = {
    "data": {"train_examples": 24},
    "model": {"name": "tf_efficientnet_lite0", "pretrained": "package", "image_size": 32,
              "layers": None, "hidden": None, "batch_norm": "frozen"},
    "client": {"batch_size": 6, "steps": 2},
}  # fmt: skip
DINO: dict[str, Any] = {
    "data": {"train_examples": 24},
    "model": {"name": "vit_small_patch14_dinov2", "pretrained": "package", "image_size": 28,
              "layers": None, "hidden": None, "blocks": 2},
    "client": {"batch_size": 6, "steps": 2},
}  # fmt: skip
OPTIMIZERS = {
    "sgd": 'name = "sgd"\nlr = 0.05',
    "momentum": 'name = "sgd"\nlr = 0.05\nmomentum = 0.9',
    "adam": 'name = "adam"\nlr = 0.002',
    "adamw": 'name = "adamw"\nlr = 0.002',
    "rmsprop": 'name = "rmsprop"\nlr = 0.001',
}
MADE: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda groups: torch.optim.SGD(groups),
    "momentum": lambda groups: torch.optim.SGD(groups, momentum=0.9),
    "adam": lambda groups: torch.optim.Adam(groups),
    "adamw": lambda groups: torch.optim.Adam(groups),
    "rmsprop": lambda groups: torch.optim.RMSprop(groups),
}


def worker_of(*changes: Changes) -> Worker:
    scenario = scenario_with(BATCH_NORM, *changes)
    return Worker(scenario, load_federation(scenario))


def task_of(worker: Worker) -> LocalTask:
    wire = worker.network.model.wire()
    return worker._task(Assignment(0, 1, wire), *worker.federation.examples(0))


def plainly(
    worker: Worker,
    rates: Callable[[str], float],
    make: Callable[[Any], torch.optim.Optimizer],
    decays: Callable[[str, nn.Parameter], float] = lambda name, parameter: 0.0,
    penalty: Callable[[dict[str, nn.Parameter]], Any] = lambda named: 0.0,
    clip: float | None = None,
    schedule: Callable[[int, int], float] = lambda taken, total: 1.0,
) -> dict[str, torch.Tensor]:
    """Return what a client's weights become by autograd and a group for each parameter."""
    task = task_of(worker)
    module = worker.network.model.module
    named = {n: p for n, p in module.named_parameters() if p.requires_grad}
    optimizer = make([{"params": [p], "lr": rates(n)} for n, p in named.items()])
    for parameter in module.parameters():
        parameter.grad = None
    settings = worker.scenario.client
    batches = Batches(task, settings.batch_size, settings.epochs, settings.steps)
    worker.network.train_mode()
    taken = 0
    while taken < batches.steps:
        for inputs, targets in batches.epoch(taken):
            factor = schedule(taken, batches.steps)
            loss = nn.functional.cross_entropy(module(inputs), targets) + penalty(named)
            optimizer.zero_grad()
            loss.backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(named.values(), clip)
            for group, (name, parameter) in zip(optimizer.param_groups, named.items(), strict=True):
                group["lr"] = rates(name) * factor
                with torch.no_grad():
                    parameter.mul_(1 - group["lr"] * decays(name, parameter))
            optimizer.step()
            taken += 1
    state = {name: parameter.detach().clone() for name, parameter in named.items()}
    worker.network.model.bind_gradient()
    return state


def trained(worker: Worker) -> dict[str, torch.Tensor]:
    """Return what a client's weights become in fedlab."""
    worker.train(Assignment(0, 1, worker.network.model.wire()))
    model = worker.network.model
    return {entry.name: parameter.detach().clone() for entry, parameter in model.trained}


def assert_alike(ours: dict[str, torch.Tensor], plain: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == plain.keys()
    for name in ours:
        torch.testing.assert_close(ours[name], plain[name], rtol=2e-4, atol=2e-6, msg=name)


def cnn_rate(lr: float, decay: float) -> Callable[[str], float]:
    """Return the rates that the definition gives: the head's 1, of three stages d, d² and d³."""
    powers = {"head": 0, "hidden": 1, "layers.1": 2, "layers.0": 3}

    def rate(name: str) -> float:
        return lr * decay ** next(p for stage, p in powers.items() if name.startswith(stage))

    return rate


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_stage_learns_at_the_rate_of_its_depth(name: str) -> None:
    keys = f"[client.optimizer]\n{OPTIMIZERS[name]}\nlayer_decay = 0.5"
    lr = scenario_with(BATCH_NORM, keys).client.optimizer.lr
    plain = plainly(worker_of(keys), cnn_rate(lr, 0.5), MADE[name])
    assert_alike(trained(worker_of(keys)), plain)


def test_clipping_schedule_and_decay_go_with_layer_wise_rates() -> None:
    keys = (
        "client.clip_norm = 0.3\n[client.schedule]\nname = 'cosine'\nover = 'steps'\n"
        "[client.optimizer]\nname = 'adamw'\nlr = 0.002\nlayer_decay = 0.7\nweight_decay = 5.0"
    )
    schedule = scenario_with(BATCH_NORM, keys).client.schedule.factor
    rates = cnn_rate(0.002, 0.7)
    plain = plainly(
        worker_of(keys), rates, MADE["adamw"], lambda n, p: 5.0, clip=0.3, schedule=schedule
    )
    assert_alike(trained(worker_of(keys)), plain)


def test_biases_and_normalisation_are_left_undecayed() -> None:
    keys = (
        "[client.optimizer]\nname = 'adamw'\nlr = 0.002\nweight_decay = 20.0\n"
        "decay_norms_and_biases = false"
    )

    def decays(name: str, parameter: nn.Parameter) -> float:
        return 20.0 if parameter.ndim > 1 else 0.0

    plain = plainly(worker_of(keys), lambda n: 0.002, MADE["adamw"], decays)
    assert_alike(trained(worker_of(keys)), plain)


def test_l2_sp_pulls_to_the_weights_before_the_first_round_and_the_head_to_zero() -> None:
    keys = "[client]\nl2_sp = 0.8\nl2_sp_head = 0.3\n[client.optimizer]\nlr = 0.1"
    start = {
        n: p.detach().clone() for n, p in worker_of(keys).network.model.module.named_parameters()
    }
    worker, plain_worker = worker_of(keys), worker_of(keys)
    # What is received is not where the pull goes.
    received = worker.network.model.wire() + 0.05

    def penalty(named: dict[str, nn.Parameter]) -> Any:
        head = sum(p.square().sum() for n, p in named.items() if n.startswith("head"))
        rest = sum(
            (p - start[n]).square().sum() for n, p in named.items() if not n.startswith("head")
        )
        return 0.4 * rest + 0.15 * head

    plain_worker.network.model.wire = lambda: received  # type: ignore[method-assign]
    plain = plainly(plain_worker, lambda n: 0.1, MADE["sgd"], penalty=penalty)
    worker.train(Assignment(0, 1, received))
    ours = {e.name: p.detach().clone() for e, p in worker.network.model.trained}
    assert_alike(ours, plain)


@pytest.mark.parametrize("vectorised", [True, False])
def test_l2_sp_of_stacked_clients_is_that_of_the_plain_loop(vectorised: bool) -> None:
    keys = {
        "model": {"name": "mlp", "layers": None, "hidden": [12]},
        "client": {"l2_sp": 0.5, "l2_sp_head": 0.2},
    }
    stacked = worker_of(keys, {"engine": {"vectorised": "auto" if vectorised else False}})
    assert stacked.stacking.decision.used == vectorised
    wire = stacked.network.model.wire() * 1.5
    found = dict(stacked.train_block([Assignment(c, 1, wire) for c in range(2)]))
    alone = worker_of(keys, {"engine": {"vectorised": False}})
    for client in range(2):
        update = alone.train(Assignment(client, 1, wire))
        torch.testing.assert_close(found[client].weights, update.weights, rtol=1e-4, atol=2e-6)  # type: ignore[union-attr]


@pytest.mark.parametrize(("base", "last"), [(LITE, "conv_head."), (DINO, "blocks.1.")])
def test_pretrained_networks_learn_layer_by_layer(
    asset: Asset, base: dict[str, Any], last: str
) -> None:
    asset("efficientnet-lite0" if base is LITE else "dinov2-small")
    keys = (
        "[client.optimizer]\nname = 'adamw'\nlr = 0.001\nlayer_decay = 0.6\nweight_decay = 1.0\n"
        "decay_norms_and_biases = false\n[client]\nl2_sp = 0.1\nl2_sp_head = 0.1"
    )
    worker, other = worker_of(base, keys), worker_of(base, keys)
    network = worker.network
    depths = network.depths
    assert {depths[n] for n in depths if n.startswith(network.head)} == {0}
    assert {depths[n] for n in depths if n.startswith(last)} == {1}
    assert set(depths.values()) == {0, *range(1, len(network.stages) + 1)}
    module = network.model.module
    kept = getattr(module, "no_weight_decay", set)()
    start = {n: p.detach().clone() for n, p in module.named_parameters()}

    def decays(name: str, parameter: nn.Parameter) -> float:
        return 0.0 if parameter.ndim <= 1 or name in kept else 1.0

    def penalty(named: dict[str, nn.Parameter]) -> Any:
        return 0.05 * sum(
            (p - (0 if n.startswith(network.head) else start[n])).square().sum()
            for n, p in named.items()
        )

    torch.manual_seed(0)
    plain = plainly(other, lambda n: 0.001 * 0.6 ** depths[n], MADE["adamw"], decays, penalty)
    ours = trained(worker)
    # Adam's first steps are signs, so that a last bit of a tiny gradient shows: compare moves.
    assert ours.keys() == plain.keys()
    for name in ours:
        scale = 0.001 * 0.6 ** depths[name]
        apart = (ours[name] - plain[name]).abs()
        assert apart.mean() < 0.1 * scale, name


def test_without_these_keys_the_optimiser_has_the_models_own_parameter() -> None:
    worker = worker_of("")
    (group,) = groups_of(worker.network, worker.scenario.client.optimizer)
    assert group.parameter is worker.network.model.parameter
    steps = worker.algorithm.steps(task_of(worker))
    assert len(steps.optimizer.param_groups) == 1
    assert steps.decayed is None


def test_a_part_that_trains_alone_has_its_own_groups() -> None:
    keys = "[client.optimizer]\nlayer_decay = 0.5\nlr = 1.0\n[model]\npersonal = 'head'"
    worker = worker_of(keys)
    model = worker.network.model
    with model.training(model.layout.personal_parameters):
        groups = groups_of(worker.network, worker.scenario.client.optimizer)
        assert [group.factor for group in groups] == [1.0]
        assert sum(g.parameter.numel() for g in groups) == model.parameter.numel()
    with model.training(model.layout.shared_parameters):
        groups = groups_of(worker.network, worker.scenario.client.optimizer)
        assert [group.factor for group in groups] == [0.125, 0.25, 0.5]
        model.gradient.fill_(1.0)
        before = model.parameter.detach().clone()
        worker.algorithm.steps(task_of(worker)).optimizer.step()
        moved = before - model.parameter.detach()
        named = {e.name: moved[e.start - model.layout.trained.start] for e, _ in model.trained}
        assert named["layers.0.convolution.weight"] == pytest.approx(0.125, abs=1e-6)
        assert named["layers.1.norm.bias"] == pytest.approx(0.25, abs=1e-6)
        assert named["hidden.0.0.weight"] == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("name", ["fedrep", "fedper", "ditto", "moon", "fine-tuning", "fedbabu"])
def test_other_algorithms_keep_to_the_rates(name: str) -> None:
    personal = "model.personal = 'head'\n" if name in ("fedrep", "fedper") else ""
    wide, narrow = (
        worker_of(
            personal + f"client.name = '{name}'\nclient.optimizer.layer_decay = {d}",
        )
        for d in (1.0, 0.01)
    )

    def moved(worker: Worker) -> float:
        wire = worker.network.model.wire()
        layout = worker.network.model.layout
        update = worker.train(Assignment(0, 1, wire))
        first = next(e for e in layout.entries if e.name == "layers.0.convolution.weight")
        part = slice(first.start - layout.wire.start, first.stop - layout.wire.start)
        return float((update.weights - wire)[part].abs().mean())

    assert moved(narrow) < 0.01 * moved(wide)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("client.name = 'apfl'", "client.optimizer.layer_decay: client 'apfl' takes steps"),
        (
            "client.name = 'mimelite'\nstrategy.name = 'mimelite'",
            "client.optimizer.layer_decay: client 'mimelite' takes steps",
        ),
        (
            "client.name = 'scaffold'\nstrategy.name = 'scaffold'",
            "optimizer.layer_decay, a rate for each stage",
        ),
        ("model = {name = 'linear'}", "'linear' has no stages below its head"),
    ],
)
def test_what_cannot_keep_to_the_rates_says_so(change: str, sentence: str) -> None:
    base = {"data": BATCH_NORM["data"]} if "linear" in change else BATCH_NORM
    with pytest.raises(FedlabError, match=sentence):
        assemble(scenario_with(base, change, "client.optimizer.layer_decay = 0.5"))


def test_stacked_clients_fall_back_with_a_reason() -> None:
    keys = {"model": {"name": "mlp", "layers": None, "hidden": [12]}}
    worker = worker_of(keys, "client.optimizer.layer_decay = 0.5")
    assert worker.stacking.decision.reason.startswith("parameters have learning rates of their own")


def test_one_course_over_the_run_counts_the_steps_of_all_rounds() -> None:
    keys = "[client.schedule]\nname = 'cosine'\nwarmup = 0.25\nover = 'run'"
    worker = worker_of({"rounds": 5}, keys)
    rates: list[float] = []
    for number in range(1, 6):
        task = worker._task(
            Assignment(0, number, worker.network.model.wire()), *worker.federation.examples(0)
        )
        steps = worker.algorithm.steps(task)
        first = steps.rates()
        for taken in range(4):
            steps.set_rates(first, taken, 4)
            rates += steps.rates()
    lr, schedule = worker.scenario.client.optimizer.lr, worker.scenario.client.schedule
    assert rates == [pytest.approx(lr * schedule.factor(step, 20)) for step in range(20)]
    assert rates[4] == max(rates)
    assert rates[-1] < 0.02 * lr
    assert worker.stacking.decision.reason != ""
