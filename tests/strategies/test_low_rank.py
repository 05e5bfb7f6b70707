"""Means of low-rank products: the equations, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fedlab.algorithm.strategy import build_strategy
from fedlab.algorithm.vector_strategy import Reply, ServerContext, VectorStrategy
from fedlab.models.network import Network, usable_state
from fedlab.scenario import Scenario
from fedlab.scenario.parts import load_federation, network_of
from tests.shared import scenario_with

MODELS = {
    "ViT": 'name = "vit"\ndepth = 1\nwidth = 8\nheads = 2',
    "CNN": 'name = "cnn"\nlayers = [{channels = 3, kernel_size = 3}, '
    "{channels = 4, kernel_size = 3}]",
    "MLP": 'name = "mlp"\nhidden = [6]',
    "pretrained CNN": 'name = "tf_efficientnet_lite0"\nimage_size = 32\npretrained = "package"',
}
EACH = pytest.mark.parametrize(
    "model",
    [pytest.param(n, marks=pytest.mark.slow if "pretrained" in n else ()) for n in MODELS],
)
SHARES = (0.5, 0.3, 0.2)


def scenario(model: str, strategy: str, adapter: str = "") -> Scenario:
    return scenario_with(
        model=f'{MODELS[model]}\n[adapter]\nname = "lora"\nrank = 2\nalpha = 3.0\n{adapter}',
        strategy={"name": strategy},
    )


def begun(settings: Scenario) -> tuple[Network, Any, torch.Tensor]:
    """Return a network, its strategy and weights to begin with, no factor of which is zero."""
    task = load_federation(settings).dataset.task
    network = network_of(settings, task)
    strategy = build_strategy(settings.strategy)
    assert isinstance(strategy, VectorStrategy)
    assert network.adapted is not None
    context = ServerContext(network.model.layout, task, products=network.adapted.products)
    strategy.begin(context)
    return network, strategy, moved(network.model.wire(), network, 0)


def moved(wire: torch.Tensor, network: Network, seed: int) -> torch.Tensor:
    """Return weights whose parameters have changed; what is held has not."""
    noise = torch.randn(wire.shape, generator=torch.Generator().manual_seed(seed))
    noise[network.model.layout.wire_parameters :] = 0
    return wire + 0.1 * noise


def replies_of(network: Network, wire: torch.Tensor) -> list[Reply]:
    return [
        Reply(client, share, moved(wire, network, 1 + client).numpy(), {}, {})
        for client, share in enumerate(SHARES)
    ]


def products_in(network: Network, wire: Any) -> dict[str, Any]:
    """Return each α/r · B A of weights, and the weights under them where those travel."""
    assert network.adapted is not None
    views = network.model.layout.wire_views(torch.as_tensor(np.asarray(wire, np.float32)))
    found = {}
    for product in network.adapted.products:
        a, b = (views[name].double().numpy() for name in (product.a, product.b))
        found[product.weight] = 3.0 / 2 * b @ a
        if product.weight in views:
            found[product.weight] += views[product.weight].double().numpy().reshape(len(b), -1)
    return found


def mean_of(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {n: sum(p * f[n] for p, f in zip(SHARES, found, strict=True)) for n in found[0]}


@EACH
def test_fedit_averages_factors_and_measures_what_their_product_misses(model: str) -> None:
    network, strategy, wire = begun(scenario(model, "fedit"))
    replies = replies_of(network, wire)
    new = strategy.step(1, wire.numpy(), replies)
    wanted = sum(p * r.weights.astype(float) for p, r in zip(SHARES, replies, strict=True))
    np.testing.assert_allclose(new, wanted, rtol=1e-12)
    exact = mean_of([products_in(network, reply.weights) for reply in replies])
    reached = products_in(network, new)
    missing = sum(np.sum((exact[name] - reached[name]) ** 2) for name in exact)
    whole = sum(np.sum(exact[name] ** 2) for name in exact)
    assert strategy.record()["product_mismatch"] == pytest.approx(
        (missing / whole) ** 0.5, rel=1e-3
    )
    assert strategy.mismatch > 0.01


@EACH
def test_fedex_reaches_the_mean_of_the_clients_weights_exactly(model: str) -> None:
    network, strategy, wire = begun(scenario(model, "fedex-lora", "base_travels = true"))
    for seed in range(2):
        replies = replies_of(network, moved(wire, network, 100 + seed))
        exact = mean_of([products_in(network, reply.weights) for reply in replies])
        new = strategy.step(1 + seed, wire.numpy(), replies)
        reached = products_in(network, new)
        for name in exact:
            np.testing.assert_allclose(reached[name], exact[name], rtol=1e-4, atol=1e-6)
        assert strategy.mismatch > 0.01
        count = network.model.layout.wire_parameters
        plain = sum(p * r.weights.astype(float) for p, r in zip(SHARES, replies, strict=True))
        np.testing.assert_allclose(new[:count], plain[:count], rtol=1e-12)
        wire = torch.from_numpy(new.astype(np.float32))


def test_what_fedex_adds_is_in_the_merged_weights() -> None:
    network, strategy, wire = begun(scenario("CNN", "fedex-lora", "base_travels = true"))
    replies = replies_of(network, wire)
    new = torch.from_numpy(strategy.step(1, wire.numpy(), replies).astype(np.float32))
    states = [usable_state(network, torch.from_numpy(r.weights)) for r in replies]
    merged = usable_state(network, new)
    for name, tensor in merged.items():
        wanted = sum(p * s[name].double() for p, s in zip(SHARES, states, strict=True))
        torch.testing.assert_close(tensor.double(), wanted, rtol=1e-4, atol=1e-6)


def test_with_a_frozen_the_mean_of_b_is_the_mean_of_products() -> None:
    network, _, wire = begun(scenario("ViT", "fedit", "freeze_a = true"))
    replies = replies_of(network, wire)
    mean = sum(p * r.weights.astype(float) for p, r in zip(SHARES, replies, strict=True))
    states = [usable_state(network, torch.from_numpy(r.weights)) for r in replies]
    merged = usable_state(network, torch.as_tensor(mean, dtype=torch.float32))
    assert any(".lora.B" in e.name for e in network.model.layout.entries)
    assert not any(".lora.A" in e.name for e in network.model.layout.entries)
    for name, tensor in merged.items():
        wanted = sum(p * s[name].double() for p, s in zip(SHARES, states, strict=True))
        torch.testing.assert_close(tensor.double(), wanted, rtol=1e-5, atol=1e-6)
