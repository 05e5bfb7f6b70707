"""(IA)³ and bottleneck adapters: they begin as the bare network, and are what the papers say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from fedlab.data.dataset import Task
from fedlab.errors import FedlabError
from fedlab.models.adapters.bottleneck import BottleneckSettings
from fedlab.models.adapters.settings import AdapterSettings
from fedlab.models.network import Network, build_network, usable_state, without_merged
from fedlab.models.settings import ModelSettings
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.use.evaluate import evaluate_trained
from fedlab.use.export import export
from fedlab.use.loading import load_trained
from tests.models.adapters.test_lora import NETWORKS, SMALL, SMALL_ONES, inputs_for, outputs, zoo
from tests.shared import scenario_with

SMALL_OF_TEN = Task("classification", "image", (1, 8, 8), 10)
RECURRENT = {"RNN", "LSTM of words", "GRU"}
HAVE_BLOCKS = [
    n for n in SMALL_ONES if n.endswith(("ViT", "Transformer", "words")) and n not in RECURRENT
]


def adapted(settings: ModelSettings, adapter: AdapterSettings) -> ModelSettings:
    content = settings.model_dump(exclude={"trainable", "adapter"})
    return type(settings).model_validate(content | {"adapter": adapter})


def pair(name: str, adapter: AdapterSettings) -> tuple[Network, Network, torch.Tensor]:
    settings, task = NETWORKS[name]
    network = build_network(adapted(settings, adapter), task, 4)
    return build_network(settings, task, 4), network, inputs_for(network, settings, task)


def moved(network: Network) -> torch.Tensor:
    wire = network.model.wire()
    return wire + 0.1 * torch.randn(wire.shape, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("name", [n for n in SMALL_ONES if n not in RECURRENT])
def test_ia3_begins_as_the_bare_network_and_merges_into_its_weights(name: str) -> None:
    bare, network, inputs = pair(name, AdapterSettings(name="ia3"))
    begun = outputs(network, inputs)
    torch.testing.assert_close(begun, outputs(bare, inputs), rtol=1e-5, atol=1e-6)
    wire = moved(network)
    network.model.reset(wire)
    found = outputs(network, inputs)
    assert (found - begun).abs().max() > 1e-3
    bare.model.module.load_state_dict(usable_state(network, wire))
    torch.testing.assert_close(outputs(bare, inputs), found, rtol=1e-4, atol=1e-4)


def test_ia3_rescales_keys_and_values_and_what_enters_the_second_layer() -> None:
    settings = adapted(zoo("vit", depth=1, width=8, heads=2), AdapterSettings(name="ia3"))
    network = build_network(settings, SMALL, 0)
    network.model.reset(moved(network))
    block = network.model.module.get_submodule("blocks.0")
    x = torch.randn(2, 5, 8)
    for name, is_input in (("attn.qkv", False), ("mlp.fc2", True)):
        layer = block.get_submodule(name)
        assert isinstance(layer, nn.Linear)
        scale = layer.get_parameter("ia3.scale")
        if is_input:
            x = torch.randn(2, 5, layer.in_features)
            wanted = nn.functional.linear(x * scale, layer.weight, layer.bias)
        else:
            wanted = nn.functional.linear(x, layer.weight, layer.bias)
            wanted[..., 8:] *= scale
        torch.testing.assert_close(layer(x), wanted)


@pytest.mark.parametrize("placement", ["serial", "parallel"])
@pytest.mark.parametrize("name", HAVE_BLOCKS)
def test_a_bottleneck_begins_as_the_bare_network_and_learns(name: str, placement: Any) -> None:
    adapter = BottleneckSettings(name="bottleneck", width=3, placement=placement)
    if placement == "parallel" and "ViT" not in name:
        with pytest.raises(FedlabError, match="has no layer that 'bottleneck' is made for"):
            pair(name, adapter)
        return
    bare, network, inputs = pair(name, adapter)
    torch.testing.assert_close(outputs(network, inputs), outputs(bare, inputs))
    network.model.reset(moved(network))
    network.train_mode()
    network.model.call(inputs).square().sum().backward()
    for entry, parameter in network.model.trained:
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0, entry.name


def test_a_bottleneck_is_that_of_the_paper() -> None:
    adapter = BottleneckSettings(name="bottleneck", width=3, scale=0.5)
    network = build_network(adapted(zoo("vit", depth=1, width=8, heads=2), adapter), SMALL, 0)
    network.model.reset(moved(network))
    layer = network.model.module.get_submodule("blocks.0.mlp")
    down, up = (layer.get_submodule(f"bottleneck.{name}") for name in ("down", "up"))
    x = torch.randn(2, 5, 8)
    inner = layer.get_submodule("fc2")(layer.get_submodule("act")(layer.get_submodule("fc1")(x)))
    wanted = inner + 0.5 * up(nn.functional.gelu(down(inner)))
    torch.testing.assert_close(layer(x), wanted)


def test_a_run_with_bottlenecks_is_evaluated_and_exported_with_them(tmp_path: Path) -> None:
    model = (
        'name = "vit"\ndepth = 1\nwidth = 8\nheads = 2\nadapter = {name = "bottleneck", width = 2}'
    )
    folder = RunFolder.create(tmp_path, "bottleneck", scenario_with({"rounds": 1}, model=model))
    run(folder)
    trained = load_trained(folder.path)
    assert trained.network.adapted is not None
    last = list(folder.lines("metrics.jsonl"))[-1]["test"]
    assert evaluate_trained(trained).compute()["loss"] == pytest.approx(last["loss"], rel=1e-5)
    graph = torch.jit.load(export(trained, "torchscript"))
    inputs = torch.rand(3, 1, 8, 8)
    torch.testing.assert_close(graph(inputs), outputs(trained.network, inputs))
    assert without_merged(folder.scenario.model).adapter is not None


BOTTLENECK = {"name": "bottleneck", "width": 2}
LORA = {"name": "lora", "rank": 2}


@pytest.mark.parametrize("adapter", [BOTTLENECK, LORA], ids=["bottleneck", "lora"])
def test_a_run_with_an_adapter_is_the_next_run_s_pretrained_also_for_other_classes(
    tmp_path: Path, adapter: dict[str, Any]
) -> None:
    vit = {"name": "vit", "depth": 1, "width": 8, "heads": 2, "adapter": adapter}
    first = RunFolder.create(tmp_path, "first", scenario_with({"rounds": 1}, {"model": vit}))
    run(first)
    left = load_file(first.path / "model.safetensors")
    again = scenario_with({"rounds": 1}, {"model": {**vit, "pretrained": str(first.path)}}).model
    same = build_network(again, SMALL_OF_TEN, 7)
    found = same.model.module.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in left.items())
    others = build_network(again, SMALL, 7)
    found = others.model.module.state_dict()
    below = {name: tensor for name, tensor in left.items() if not name.startswith(others.head)}
    assert all(torch.equal(found[name], tensor) for name, tensor in below.items())
    assert found["head.weight"].shape[0] == 7


def test_an_adapter_that_is_no_part_of_the_weights_asks_for_its_table(tmp_path: Path) -> None:
    vit = {"name": "vit", "depth": 1, "width": 8, "heads": 2}
    begun = scenario_with({"rounds": 1}, {"model": {**vit, "adapter": BOTTLENECK}})
    first = RunFolder.create(tmp_path, "first", begun)
    run(first)
    for other in (None, LORA, {"name": "bottleneck", "width": 3}):
        keys = {**vit, "pretrained": str(first.path), "adapter": other}
        model = {key: value for key, value in keys.items() if value is not None}
        settings = scenario_with({"rounds": 1}, {"model": model}).model
        with pytest.raises(FedlabError, match=r"give it the table .model.adapter. of the run"):
            build_network(settings, SMALL_OF_TEN, 7)
