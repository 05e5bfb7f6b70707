"""A network without some units computes what the whole one does with those units silenced."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fedlab.data.dataset import Task
from fedlab.errors import FedlabError
from fedlab.models.channel_pruning import without_units
from fedlab.models.network import bare_module
from fedlab.models.settings import ModelSettings
from fedlab.registry import models

SMALL = Task("classification", "image", (1, 8, 8), 5)


def zoo(name: str, **keys: Any) -> ModelSettings:
    found: ModelSettings = models.get(name).Settings(name=name, **keys)
    return found


CONVOLUTION = {"channels": 8, "padding": "same", "pooling": "max"}
NETWORKS = {
    "MLP": zoo("mlp", hidden=(9, 6)),
    "CNN": zoo(
        "cnn", layers=(CONVOLUTION, {"channels": 6, "residual": True, "padding": 1}), hidden=(7,)
    ),
    "batch norm": zoo("cnn", layers=({**CONVOLUTION, "batch_norm": True},) * 2, hidden=()),
    "fixed sizes": zoo("mcmahan-cnn"),
}


def trained(settings: ModelSettings) -> torch.nn.Module:
    """Return a module with random weights and statistics."""
    torch.manual_seed(0)
    module = bare_module(settings, SMALL).eval()
    for name, tensor in module.state_dict().items():
        if tensor.ndim == 1 and tensor.is_floating_point():
            tensor.copy_(torch.rand(len(tensor)) + 0.5 * name.endswith("running_var"))
    return module


@pytest.mark.parametrize("name", NETWORKS)
def test_it_computes_what_the_whole_does_with_those_units_silenced(name: str) -> None:
    settings = NETWORKS[name]
    whole = trained(settings)
    state = whole.state_dict()
    smaller, left = without_units(state, settings, "head", 0.5)
    assert smaller.sizes == tuple((size + 1) // 2 for size in settings.sizes)
    module = bare_module(smaller, SMALL).eval()
    module.load_state_dict(left)
    silenced = {n: t.clone() for n, t in state.items()}
    for own, tensor in silenced.items():
        if own.startswith("head") or not tensor.ndim or own.endswith("running_var"):
            continue
        # Of equal weights a row that stays is found again.
        rows = [r for r in range(len(tensor)) if not _stays(state, own, r, left)]
        tensor[rows] = 0
    whole.load_state_dict(silenced)
    inputs = torch.randn(3, 1, 8, 8)
    torch.testing.assert_close(module(inputs), whole(inputs), rtol=1e-4, atol=1e-5)


def _stays(state: Any, name: str, row: int, left: Any) -> bool:
    """Return whether a unit stays, by the layer's bias or norm, whose numbers are all different."""
    layer = name.rpartition(".")[0].removesuffix(".convolution").removesuffix(".norm")
    layer = layer.removesuffix(".shortcut")
    known = next(
        n for n in state
        if n.startswith(f"{layer}.") and n.endswith("bias") and len(left[n]) < len(state[n])
    )  # fmt: skip
    return bool((left[known] == state[known][row]).any())


def test_the_units_of_the_smallest_l1_norms_go() -> None:
    settings = NETWORKS["MLP"]
    state = trained(settings).state_dict()
    _, left = without_units(state, settings, "head", 0.4)
    weight = state["hidden.0.0.weight"].numpy()
    norms = np.abs(weight).sum(1)
    kept = np.sort(np.argsort(-norms)[:6])
    np.testing.assert_array_equal(left["hidden.0.0.weight"].numpy(), weight[kept])


def test_batch_norm_says_how_large_a_unit_is() -> None:
    settings = NETWORKS["batch norm"]
    state = trained(settings).state_dict()
    _, left = without_units(state, settings, "head", 0.5)
    scale = state["layers.0.norm.weight"] / (state["layers.0.norm.running_var"] + 1e-5).sqrt()
    norms = (state["layers.0.convolution.weight"] * scale.view(-1, 1, 1, 1)).abs().sum((1, 2, 3))
    kept = norms.topk(4).indices.sort().values
    assert torch.equal(left["layers.0.norm.bias"], state["layers.0.norm.bias"][kept])


def test_models_whose_sizes_are_fixed_are_refused() -> None:
    with pytest.raises(FedlabError, match="the sizes of the layers of 'vit' cannot be chosen"):
        without_units({}, zoo("vit"), "head", 0.5)
