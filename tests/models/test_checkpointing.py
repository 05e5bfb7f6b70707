"""Blocks that are computed again give the gradient's bits, for less memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fedlab.data.dataset import Task
from fedlab.errors import FedlabError
from fedlab.models.backbones import BackboneSettings
from fedlab.models.checkpointing import blocks_of, checkpoint_blocks
from fedlab.models.network import Network, build_network
from fedlab.run.simulation import Simulation
from tests.models.test_transformers_backbone import network_of, tokens_of
from tests.shared import Changes, scenario_with
from tests.tiny_bert import tiny_bert

PICTURES = Task("classification", "image", (3, 32, 32), 4)
BACKBONES: dict[str, dict[str, Any]] = {
    "ResNet of timm": {"name": "resnet10t"},
    "EfficientNet of timm": {"name": "tf_efficientnet_lite0", "trainable": "last:2"},
    "ConvNeXt of timm": {"name": "convnext_atto", "drop_path": 0.3},
    "Vision Transformer of timm": {"name": "vit_tiny_patch16_224", "blocks": 2, "image_size": 32},
    "ResNet of torchvision": {"name": "torchvision/resnet18"},
    "ShuffleNet of torchvision": {"name": "shufflenet_v2_x0_5", "batch_norm": "frozen"},
}


def passed(network: Network, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the gradient of a training step, and all values that it may have changed."""
    network.train_mode()
    torch.manual_seed(5)
    network.model.zero_gradient()
    torch.logsumexp(network.model.call(inputs), -1).sum().backward()
    counters = [b for b in network.model.module.buffers() if not b.is_floating_point()]
    kept = torch.cat([network.model.weights, *(b.flatten().float() for b in counters)])
    return network.model.gradient.clone(), kept.clone()


def check_same(networks: list[Network], inputs: torch.Tensor) -> None:
    plain, again = networks
    calls: list[nn.Module] = []
    for _, block in blocks_of(again):
        block.register_forward_pre_hook(lambda module, given: calls.append(module))
    checkpoint_blocks(again)
    expected, found = passed(plain, inputs), passed(again, inputs)
    assert expected[0].norm() > 0
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)
    assert len(set(calls)) == len(blocks_of(again)) > 1


@pytest.mark.parametrize("keys", BACKBONES.values(), ids=BACKBONES)
def test_a_backbone_of_pictures_has_the_same_gradient(keys: dict[str, Any]) -> None:
    inputs = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    networks = [build_network(BackboneSettings(**keys), PICTURES, 0) for _ in range(2)]
    check_same(networks, inputs)


def test_a_backbone_of_texts_has_the_same_gradient_with_its_dropout(tmp_path: Path) -> None:
    bert = tiny_bert(tmp_path / "bert")
    networks = [network_of(bert, layer_dropout=0.3) for _ in range(2)]
    check_same(networks, tokens_of(bert))


ZOO: dict[str, str] = {
    "vit": 'model = {name = "vit", drop_path = 0.5, dropout = 0.1}',
    "cnn with batch norm": 'model = {name = "cnn", layers = [{channels = 3, batch_norm = true}, '
    "{channels = 4, batch_norm = true}]}",
    "transformer": 'data = {name = "strokes"}\nmodel = {name = "transformer"}',
    "mlp": 'model = {name = "mlp", dropout = 0.2}',
}


def after_two_rounds(*changes: Changes) -> torch.Tensor:
    with Simulation(scenario_with({"rounds": 2}, *changes)) as simulation:
        rounds = simulation.rounds()
        rounds.run()
        return torch.as_tensor(rounds.weights).clone()


@pytest.mark.parametrize("client", ["supervised", "moon"])
@pytest.mark.parametrize("model", ["vit", "cnn with batch norm", "mlp"])
def test_a_run_has_the_same_bits(model: str, client: str) -> None:
    keys: Changes = {"client": {"name": client}, "engine": {"vectorised": False}}
    expected = after_two_rounds(ZOO[model], keys)
    found = after_two_rounds(ZOO[model], keys, {"engine": {"checkpointing": True}})
    assert torch.equal(found, expected)


def test_in_16_bits_they_are_the_same_too() -> None:
    keys: Changes = {"engine": {"precision": "bf16"}}
    expected = after_two_rounds(ZOO["vit"], keys)
    found = after_two_rounds(ZOO["vit"], keys, {"engine": {"checkpointing": True}})
    assert torch.equal(found, expected)


def test_a_frozen_prefix_is_cached_all_the_same(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDLAB_CACHE", str(tmp_path_factory.mktemp("cache")))
    frozen: Changes = {"model": {"name": "vit", "depth": 3, "trainable": "last:1"}}
    found = {}
    for again in (False, True):
        keys: Changes = {"rounds": 2, "engine": {"checkpointing": again}}
        with Simulation(scenario_with(keys, frozen)) as simulation:
            assert simulation.engine.features.used
            rounds = simulation.rounds()
            rounds.run()
            found[again] = torch.as_tensor(rounds.weights).clone()
    assert torch.equal(found[True], found[False])


def test_without_gradients_nothing_is_noted_for_a_second_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = build_network(BackboneSettings(name="resnet10t"), PICTURES, 0)
    checkpoint_blocks(network)
    monkeypatch.setattr("fedlab.models.checkpointing._contexts", lambda *_: pytest.fail("noted"))
    with torch.no_grad():
        network.model.call(torch.zeros(2, 3, 32, 32))


def test_a_network_without_blocks_is_refused() -> None:
    with pytest.raises(FedlabError, match=r"^engine\.checkpointing: 'linear' has no blocks"):
        Simulation(scenario_with({"model": {"name": "linear"}, "engine": {"checkpointing": True}}))


def test_a_block_that_changes_its_input_is_refused() -> None:
    network = build_network(BackboneSettings(name="torchvision/resnet18"), PICTURES, 0)
    _, block = blocks_of(network)[2]
    plain = block.forward
    block.forward = lambda inputs: plain(inputs.add_(1))  # type: ignore[method-assign]
    checkpoint_blocks(network)
    network.train_mode()
    with pytest.raises(FedlabError, match=r"^engine\.checkpointing: block .* changes its inputs"):
        network.model.call(torch.rand(2, 3, 32, 32))


def test_dense_networks_are_not_stacked() -> None:
    with Simulation(scenario_with({"engine": {"checkpointing": True}})) as simulation:
        assert not simulation.engine.stacking.decision.used
