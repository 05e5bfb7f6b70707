"""What each policy of ``model.trainable`` trains, and what moves of the rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fedlab.data.dataset import Task
from fedlab.engine.worker.worker import Worker
from fedlab.errors import FedlabError
from fedlab.models.backbones import BackboneSettings
from fedlab.models.network import Network, build_network
from fedlab.models.selection import is_bias, is_norm
from fedlab.scenario.parts import load_federation
from fedlab.training.task import Assignment
from tests.shared import scenario_with

TASK = Task("classification", "image", (3, 32, 32), 7)
LAYERS = [{"channels": 4, "kernel_size": 3, "padding": 1, "batch_norm": True}]


def network(name: str, trainable: Any, **keys: Any) -> Network:
    settings = BackboneSettings(name=name, trainable=trainable, **keys)
    return build_network(settings, TASK, 0)


def trained(found: Network) -> set[str]:
    return {n for n, p in found.model.module.named_parameters() if p.requires_grad}


def expected(found: Network, wanted: Callable[[nn.Module, str], bool]) -> set[str]:
    """Return the names of parameters of which a module that owns them says so, and the head's."""
    names = set()
    for path, module in found.model.module.named_modules():
        for own, _ in module.named_parameters(recurse=False):
            name = f"{path}.{own}" if path else own
            if name.startswith(found.head) or wanted(module, own):
                names.add(name)
    return names


NETS = {
    "resnet18": nn.BatchNorm2d,
    "torchvision/mobilenet_v3_small": nn.BatchNorm2d,
    "torchvision/convnext_tiny": nn.LayerNorm,
    "vit_tiny_patch16_224": nn.LayerNorm,
    "resnetv2_50x1_bit": nn.GroupNorm,
}


@pytest.mark.parametrize("name", NETS)
def test_norm_and_head_are_the_scales_and_shifts_of_all_normalisation(name: str) -> None:
    found = network(name, "norm+head")
    names = trained(found)
    assert names == expected(found, lambda module, own: isinstance(module, NETS[name]))
    assert any(not n.startswith(found.head) for n in names)


@pytest.mark.parametrize("name", NETS)
def test_bias_and_head_are_every_bias(name: str) -> None:
    found = network(name, "bias+head")
    names = trained(found)
    assert names == expected(found, lambda module, own: own == "bias")
    below = {n for n in names if not n.startswith(found.head)}
    assert below
    assert all(p.ndim == 1 for n, p in found.model.module.named_parameters() if n in below)


def test_biases_go_by_the_names_that_layers_give_them() -> None:
    attention, recurrent = nn.MultiheadAttention(4, 2), nn.GRU(3, 4)
    own = [n for m in (attention, recurrent) for n, _ in m.named_parameters()]
    assert {n for n in own if is_bias(n)} == {
        "in_proj_bias", "out_proj.bias", "bias_ih_l0", "bias_hh_l0",
    }  # fmt: skip
    assert not is_bias("attn.relative_position_bias_table")


def test_normalisation_of_any_library_counts() -> None:
    class MyRmsNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))

    class NormedLinear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3, 3))

    assert all(map(is_norm, (MyRmsNorm(), nn.RMSNorm(3), nn.InstanceNorm2d(3), nn.GroupNorm(1, 3))))
    assert not is_norm(NormedLinear())


def test_an_unknown_policy_names_all() -> None:
    with pytest.raises(FedlabError, match=r"'norm\+head', 'bias\+head'"):
        network("resnet18", "biases")


def after_training(model: dict[str, Any]) -> tuple[dict[str, torch.Tensor], Worker]:
    """Return by how much each tensor of the module moved in a client's training."""
    scenario = scenario_with(
        {"data": {"train_examples": 30, "partition": {"clients": 2}}},
        {"model": model, "client": {"steps": 2, "batch_size": 6, "optimizer": {"lr": 0.1}}},
    )
    worker = Worker(scenario, load_federation(scenario))
    module = worker.network.model.module
    before = {n: t.detach().clone().float() for n, t in module.state_dict().items()}
    worker.train(Assignment(0, 1, worker.network.model.wire()))
    return {n: (t.float() - before[n]).abs().max() for n, t in module.state_dict().items()}, worker


CNN = {"name": "cnn", "layers": LAYERS, "hidden": [8]}
LITE = {"name": "tf_efficientnet_lite0", "pretrained": "package", "image_size": 32}


def test_only_biases_and_head_move_on_a_batch_norm_network() -> None:
    moved, worker = after_training({**CNN, "trainable": "bias+head"})
    for name, _ in worker.network.model.module.named_parameters():
        assert bool(moved[name] > 0) == (name.startswith("head") or name.endswith("bias")), name
    # The statistics of layers that are trained in part go on moving.
    assert moved["layers.0.norm.running_mean"] > 0


@pytest.mark.parametrize("base", [CNN, LITE], ids=["cnn", "pretrained"])
def test_frozen_batch_norm_keeps_its_statistics_while_the_rest_is_trained(
    asset: Callable[[str], Path], base: dict[str, Any]
) -> None:
    if base is LITE:
        asset("efficientnet-lite0")
    moved, worker = after_training({**base, "batch_norm": "frozen"})
    statistics = {n: m for n, m in moved.items() if "running" in n or "num_batches" in n}
    assert statistics
    assert not any(m > 0 for m in statistics.values())
    # Its scales and shifts are parameters like others.
    norm = "layers.0.norm.weight" if base is CNN else "bn1.weight"
    assert moved[norm] > 0
    layout = worker.network.model.layout
    assert layout.wire_size == layout.wire_parameters


@pytest.mark.parametrize("base", [CNN, LITE], ids=["cnn", "pretrained"])
def test_local_batch_norm_moves_and_never_travels(
    asset: Callable[[str], Path], base: dict[str, Any]
) -> None:
    if base is LITE:
        asset("efficientnet-lite0")
    moved, worker = after_training({**base, "batch_norm": "local"})
    layout = worker.network.model.layout
    module = worker.network.model.module
    norms = [n for n, m in module.named_modules() if isinstance(m, nn.BatchNorm2d)]
    own = {e.name for e in layout.entries if e.start < layout.wire.start}
    assert own == {
        f"{n}.{part}" for n in norms for part in ("weight", "bias", "running_mean", "running_var")
    }
    assert moved[f"{norms[0]}.running_mean"] > 0
    assert moved[f"{norms[0]}.weight"] > 0


@pytest.mark.parametrize(
    "model",
    [
        {"name": "cnn", "layers": LAYERS},
        {"name": "mlp"},
        {"name": "resnet18"},
        {"name": "torchvision/resnet18"},
    ],
    ids=lambda model: str(model["name"]),
)
def test_dropout_takes_effect_in_training_and_only_there(model: dict[str, Any]) -> None:
    scenario = scenario_with({"model": {**model, "dropout": 0.5}})
    federation = load_federation(scenario)
    worker = Worker(scenario, federation)
    inputs = worker.prepare(federation.dataset.train.inputs[:8])
    module = worker.network.model.module

    def differs(train: bool) -> bool:
        worker.network.train_mode() if train else worker.network.evaluation_mode()
        for m in module.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.eval()
        torch.manual_seed(0)
        first = module(inputs)
        return not torch.equal(first, module(inputs))

    assert differs(True)
    assert not differs(False)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ({"name": "mlp", "drop_path": 0.1}, "model.drop_path: 'mlp' has no residual branches"),
        ({"name": "vgg11", "drop_path": 0.1}, "model.drop_path: "),
        ({"name": "torchvision/resnet18", "drop_path": 0.1}, "has no stochastic depth"),
    ],
    ids=lambda value: str(value["name"]) if isinstance(value, dict) else "",
)
def test_what_a_model_cannot_drop_is_refused(model: dict[str, Any], sentence: str) -> None:
    from fedlab.run.simulation import assemble

    with pytest.raises(FedlabError, match=sentence):
        assemble(scenario_with({"model": model}))
