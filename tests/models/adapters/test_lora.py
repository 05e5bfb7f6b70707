"""LoRA in networks of every kind: it begins as the bare network, and merges into its weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fedlab.data.dataset import Task
from fedlab.engine.features.split import split
from fedlab.errors import FedlabError, FedlabErrors
from fedlab.models.adapters.adapt import is_adapted
from fedlab.models.adapters.lora import LoraSettings
from fedlab.models.backbones import BackboneSettings
from fedlab.models.network import Network, build_network, usable_state, without_merged
from fedlab.models.settings import ModelSettings
from fedlab.models.transformers_settings import TransformersSettings
from fedlab.registry import models
from tests.models.test_transformers_backbone import task_for, tokens_of
from tests.shared import scenario_with
from tests.tiny_bert import tiny_bert

PICTURES = Task("classification", "image", (3, 32, 32), 7)
SMALL = Task("classification", "image", (1, 8, 8), 7)
SERIES = Task("classification", "series", (6, 3), 4)
TABLE = Task("classification", "tabular", (5,), 3)
TOKENS = Task("classification", "text", (6,), 3, vocabulary=11)


def zoo(name: str, **keys: Any) -> ModelSettings:
    found: ModelSettings = models.get(name).Settings(name=name, **keys)
    return found


CNN = {"layers": ({"channels": 4, "kernel_size": 3, "batch_norm": True},)}
NETWORKS: dict[str, tuple[ModelSettings, Task]] = {
    "timm ViT": (BackboneSettings(name="vit_tiny_patch16_224", image_size=32, blocks=2), PICTURES),
    "timm Swin": (BackboneSettings(name="swin_tiny_patch4_window7_224", image_size=32), PICTURES),
    "timm CNN, padded": (BackboneSettings(name="tf_efficientnet_lite0"), PICTURES),
    "timm ResNet": (BackboneSettings(name="resnet10t"), PICTURES),
    "torchvision ViT": (BackboneSettings(name="torchvision/vit_b_32", image_size=32), PICTURES),
    "ViT": (zoo("vit", depth=2), SMALL),
    "CNN": (zoo("cnn", **CNN), SMALL),
    "MLP": (zoo("mlp", hidden=(6,)), SMALL),
    "Transformer": (zoo("transformer", width=8, heads=2, feedforward=8), SERIES),
    "Transformer of words": (zoo("transformer", width=8, heads=2, feedforward=8), TOKENS),
    "RNN": (zoo("rnn", hidden=7), SERIES),
    "LSTM of words": (zoo("lstm", hidden=8, layers=2, bidirectional=True), TOKENS),
    "GRU": (zoo("gru", hidden=6, layers=2), SERIES),
    "textgenrnn": (zoo("textgenrnn", embedding=9, hidden=8), TOKENS),
    "FT-Transformer": (zoo("ft-transformer", width=8, heads=2), TABLE),
}
SMALL_ONES = [name for name in NETWORKS if "torchvision" not in name and "Swin" not in name]
ALL = pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in SMALL_ONES else pytest.mark.slow) for n in NETWORKS],
)


def adapted(settings: ModelSettings, **keys: Any) -> ModelSettings:
    """Return settings with an adapter, checked as a scenario's are."""
    kind = type(settings)
    content = settings.model_dump(exclude={"trainable", "adapter"})
    return kind.model_validate(content | {"adapter": LoraSettings(name="lora", **keys)})


def inputs_for(network: Network, settings: ModelSettings, task: Task) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    side = getattr(settings, "image_size", None)
    shape = task.input_shape if side is None else (network.channels, side, side)
    if task.modality == "text":
        return torch.randint(1, task.vocabulary, (3, *shape), generator=generator)
    return torch.randn(3, *shape, generator=generator)


def outputs(network: Network, inputs: torch.Tensor) -> torch.Tensor:
    network.evaluation_mode()
    with torch.no_grad():
        found: torch.Tensor = network.model.module(inputs)
    return found


def moved(network: Network) -> torch.Tensor:
    """Return weights away from the beginning, so that no factor is zero."""
    wire = network.model.wire()
    noise = torch.randn(wire.shape, generator=torch.Generator().manual_seed(2))
    return wire + 0.05 * noise


@ALL
def test_it_begins_as_the_bare_network_and_merges_into_its_weights(name: str) -> None:
    bare_settings, task = NETWORKS[name]
    settings = adapted(bare_settings, rank=3)
    bare, network = build_network(bare_settings, task, 4), build_network(settings, task, 4)
    inputs = inputs_for(network, settings, task)
    begun = outputs(network, inputs)
    torch.testing.assert_close(begun, outputs(bare, inputs), rtol=1e-5, atol=1e-6)
    wire = moved(network)
    network.model.reset(wire)
    found = outputs(network, inputs)
    assert (found - begun).abs().max() > 1e-3
    bare.model.module.load_state_dict(usable_state(network, wire))
    torch.testing.assert_close(outputs(bare, inputs), found, rtol=1e-4, atol=1e-4)
    assert without_merged(settings).adapter is None


@ALL
def test_every_part_learns_and_nothing_but_parts_and_head(name: str) -> None:
    settings, task = NETWORKS[name]
    network = build_network(adapted(settings, rank=3), task, 4)
    network.model.reset(moved(network))
    for parameter in network.model.module.parameters():
        # New residual branches of timm's ResNets are scaled by zero.
        parameter.data.add_(0.1 * (parameter.ndim == 1))
    network.train_mode()
    inputs = inputs_for(network, settings, task)
    network.model.zero_gradient()
    network.model.call(inputs).square().sum().backward()
    for entry, parameter in network.model.trained:
        assert parameter.grad is not None
        assert entry.name.startswith(network.head) or ".lora." in entry.name
        assert parameter.grad.abs().sum() > 0, entry.name


def test_the_added_product_is_that_of_the_paper() -> None:
    network = build_network(adapted(zoo("mlp", hidden=(6,)), rank=2, alpha=3.0), SMALL, 0)
    network.model.reset(moved(network))
    layer = network.model.module.get_submodule("hidden.0.0")
    assert isinstance(layer, nn.Linear)
    x = torch.randn(5, 64)
    a, b = (layer.get_parameter(f"lora.{factor}") for factor in "AB")
    wanted = x @ layer.weight.T + layer.bias + 3.0 / 2 * (x @ a.T @ b.T)
    torch.testing.assert_close(layer(x), wanted)
    assert (a.shape, b.shape) == ((2, 64), (6, 2))


def test_a_recurrent_layer_steps_as_one_whose_matrices_have_the_products_added() -> None:
    network = build_network(adapted(zoo("lstm", hidden=4), rank=2, alpha=3.0), SERIES, 0)
    network.model.reset(moved(network))
    layer = network.model.module.get_submodule("layers.0")
    tensors = {n: t.detach() for n, t in layer.named_parameters()}

    def matrix(name: str) -> torch.Tensor:
        a, b = (tensors[f"lora.factors.{name}.{factor}"] for factor in "AB")
        return tensors[name] + 3.0 / 2 * (b @ a)

    x = torch.randn(5, 6, 3)
    h = c = torch.zeros(5, 4)
    for step in range(6):
        gates = x[:, step] @ matrix("weight_ih_l0").T + tensors["bias_ih_l0"]
        gates = gates + h @ matrix("weight_hh_l0").T + tensors["bias_hh_l0"]
        i, f, g, o = gates.chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
    states, _ = layer(x)
    torch.testing.assert_close(states[:, -1], h)


def test_of_a_recurrent_layer_ffa_lora_trains_each_b_alone() -> None:
    settings = adapted(zoo("gru", hidden=6), rank=2, freeze_a=True)
    network = build_network(settings, SERIES, 0)
    names = {name for name in network.model.layout.trained_names if ".lora." in name}
    assert names == {f"layers.0.lora.factors.weight_{kind}_l0.B" for kind in ("ih", "hh")}


def test_only_the_last_stages_get_it_where_the_scenario_says_so() -> None:
    settings, task = NETWORKS["timm ViT"]
    network = build_network(adapted(settings, last=1), task, 0)
    assert network.adapted is not None
    assert network.adapted.layers == ("blocks.1.attn.qkv", "blocks.1.attn.proj")
    with pytest.raises(FedlabError, match=r"model.adapter.last: 9 is more stages .*\(3\)"):
        build_network(adapted(settings, last=9), task, 0)
    with pytest.raises(FedlabError, match="no layer that 'lora' would be added to stands in"):
        build_network(adapted(settings, last=1, targets=("blocks.0.attn.*",)), task, 0)


def test_all_machines_draw_the_same_a_and_another_seed_another() -> None:
    settings = adapted(zoo("vit", depth=1))
    one, two, other = (build_network(settings, SMALL, seed).model for seed in (1, 1, 2))
    assert torch.equal(one.weights, two.weights)
    name = "blocks.0.attn.qkv.lora.A"
    tensors = [model.layout.views(model.weights)[name] for model in (one, other)]
    assert not torch.equal(*tensors)


def test_a_drawn_backbone_is_the_one_without_an_adapter() -> None:
    settings = zoo("vit", depth=1)
    bare, network = (build_network(s, SMALL, 3) for s in (settings, adapted(settings)))
    state = network.model.module.state_dict()
    for name, tensor in bare.model.module.state_dict().items():
        assert torch.equal(tensor, state[name])


def test_a_fused_weight_of_attention_is_adapted_as_one() -> None:
    network = build_network(adapted(zoo("vit", depth=1, width=8, heads=2)), SMALL, 0)
    shapes = {e.name: e.shape for e in network.model.layout.entries}
    assert shapes["blocks.0.attn.qkv.lora.B"] == (24, 4)
    assert shapes["blocks.0.attn.qkv.lora.A"] == (4, 8)
    fused = build_network(adapted(zoo("transformer", width=8, heads=2)), SERIES, 0)
    shapes = {e.name: e.shape for e in fused.model.layout.entries}
    assert shapes["encoder.0.self_attn.lora.B"] == (24, 4)
    assert shapes["encoder.0.self_attn.out_proj.lora.B"] == (8, 4)


def test_a_depthwise_convolution_has_a_rank_below_its_nine_values() -> None:
    settings = BackboneSettings(name="tf_efficientnet_lite0")
    network = build_network(adapted(settings, rank=16), PICTURES, 0)
    shapes = {e.name: e.shape for e in network.model.layout.entries}
    assert shapes["blocks.0.0.conv_dw.lora.A"] == (4, 9)
    assert shapes["blocks.2.0.conv_pw.lora.A"] == (12, 24)


def test_targets_name_the_layers_that_get_one() -> None:
    targets = ("blocks.1.attn.qkv", "blocks.*.mlp.fc1")
    network = build_network(adapted(zoo("vit", depth=2), targets=targets), SMALL, 0)
    assert network.adapted is not None
    assert network.adapted.layers == ("blocks.0.mlp.fc1", "blocks.1.attn.qkv", "blocks.1.mlp.fc1")
    module = network.model.module
    assert [n for n, m in module.named_modules() if is_adapted(m)] == list(network.adapted.layers)


@pytest.mark.parametrize(
    ("settings", "task", "keys", "said"),
    [
        (zoo("vit"), SMALL, {"targets": ("attn",)}, "targets: no layer below the head is called"),
        (zoo("vit"), SMALL, {"targets": ("blocks.0.norm1",)}, "not made for what these patterns"),
        (zoo("linear"), SMALL, {}, "has no layer that 'lora' is made for"),
        (zoo("cnn"), SMALL, {"dropout": 0.1}, "model.adapter.dropout"),
    ],
)
def test_what_it_cannot_adapt_is_said(
    settings: ModelSettings, task: Task, keys: dict[str, Any], said: str
) -> None:
    with pytest.raises(FedlabError, match=said):
        build_network(adapted(settings, **keys), task, 0)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ('trainable = "all"\nadapter = {name = "lora"}', "weights that an adapter leaves frozen"),
        ('trainable = "adapter+head"', "trains an adapter, and there is none"),
        ('adapter = {name = "lorra"}', "Did you mean 'lora'"),
        ('adapter = {name = "lora", rnk = 2}', "rnk"),
        ('adapter = {name = "lora", rank = 0}', "model.adapter.rank"),
        ("adapter = {rank = 2}", "model.adapter.name is missing"),
    ],
)
def test_keys_that_do_not_go_together_are_refused(model: str, said: str) -> None:
    with pytest.raises(FedlabErrors, match=said):
        scenario_with(model=model)


def test_what_is_trained_beside_it_can_be_said() -> None:
    def names(trainable: Any) -> set[str]:
        settings = adapted(zoo("cnn", **CNN)).model_copy(update={"trainable": trainable})
        return {e.name for e, _ in build_network(settings, SMALL, 0).model.trained}

    head = {"head.weight", "head.bias"}
    lora = {"layers.0.convolution.lora.A", "layers.0.convolution.lora.B"}
    norm = {n for n in names("adapter+norm+head") if "normal" in n or "norm" in n}
    assert names("adapter+head") == head | lora
    assert names("head") == head
    assert norm
    assert names("adapter+norm+head") == head | lora | norm
    assert names(("*.lora.B", "head.*")) == head | {"layers.0.convolution.lora.B"}


def test_dropout_is_of_what_enters_a_in_training_alone() -> None:
    network = build_network(adapted(zoo("mlp", hidden=(6,)), dropout=0.5), SMALL, 0)
    network.model.reset(moved(network))
    x = torch.randn(4, 1, 8, 8)
    assert torch.equal(outputs(network, x), outputs(network, x))
    network.train_mode()
    one, two = (network.model.module(x).detach() for _ in range(2))
    assert not torch.equal(one, two)


def test_weights_are_put_back_when_a_layer_fails() -> None:
    network = build_network(adapted(zoo("cnn", **CNN)), SMALL, 0)
    layer = network.model.module.get_submodule("layers.0.convolution")
    with pytest.raises(RuntimeError):
        layer(torch.zeros(2, 5, 8, 8))
    assert "weight" not in vars(layer)


def test_features_below_the_first_adapted_block_can_be_kept() -> None:
    settings = adapted(zoo("vit", depth=3), targets=("blocks.2.*",))
    network = build_network(settings, SMALL, 0)
    network.model.reset(moved(network))
    inputs = inputs_for(network, settings, SMALL)
    parts = split(network, inputs)
    network.evaluation_mode()
    with torch.no_grad():
        torch.testing.assert_close(parts.rest(parts.prefix(inputs)), network.model.module(inputs))
    assert not any(".lora." in name for name, _ in parts.prefix.named_parameters())
    assert any(".lora." in name for name, _ in parts.rest.named_parameters())


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("models") / "bert")


def test_a_model_of_transformers_is_adapted_in_its_attention(bert: Path) -> None:
    task = task_for(bert)
    bare_settings = TransformersSettings(name=f"transformers:{bert}", pretrained=True)
    settings = adapted(bare_settings, rank=2)
    bare, network = build_network(bare_settings, task, 4), build_network(settings, task, 4)
    assert network.adapted is not None
    assert {name.partition("attention.")[2] for name in network.adapted.layers} == {
        "self.query", "self.key", "self.value", "output.dense",
    }  # fmt: skip
    tokens = tokens_of(bert)
    assert torch.equal(outputs(network, tokens), outputs(bare, tokens))
    wire = moved(network)
    network.model.reset(wire)
    found = outputs(network, tokens)
    bare.model.module.load_state_dict(usable_state(network, wire))
    torch.testing.assert_close(outputs(bare, tokens), found)


def test_gpt2s_turned_weights_are_adapted_and_merged(bert: Path) -> None:
    sizes = {"n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 20}
    bare_settings = TransformersSettings(
        name="transformers:gpt2", architecture=sizes, pooling="last"
    )
    task = replace(task_for(bert), encoding=None)
    settings = adapted(bare_settings, rank=2)
    bare, network = build_network(bare_settings, task, 4), build_network(settings, task, 4)
    wire, tokens = moved(network), tokens_of(bert)
    network.model.reset(wire)
    found = outputs(network, tokens)
    assert not torch.allclose(found, outputs(bare, tokens), atol=1e-3)
    bare.model.module.load_state_dict(usable_state(network, wire))
    torch.testing.assert_close(outputs(bare, tokens), found)
