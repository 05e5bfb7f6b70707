"""Clients of different ranks: HetLoRA's mean and FLoRA's sum, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from clients.hetlora import truncate
from fedlab.algorithm.vector_strategy import Reply
from fedlab.models.network import Network
from tests.strategies.test_low_rank import (
    EACH,
    SHARES,
    begun,
    mean_of,
    moved,
    products_in,
    scenario,
)

RANKS = (1, 2, 1)


def replies_of(network: Network, wire: torch.Tensor) -> list[Reply]:
    """Return replies of clients whose factors are zero beyond their ranks."""
    found = []
    for client, (share, rank) in enumerate(zip(SHARES, RANKS, strict=True)):
        network.model.reset(moved(wire, network, 1 + client))
        truncate(network, rank)
        found.append(Reply(client, share, network.model.wire().numpy(), {}, {}))
    return found


def factors(network: Network, wire: Any, product: Any) -> tuple[Any, Any]:
    views = network.model.layout.wire_views(torch.as_tensor(np.asarray(wire, np.float32)))
    return views[product.a].double().numpy(), views[product.b].double().numpy()


@EACH
def test_hetlora_weighs_factors_by_the_norms_of_their_products(model: str) -> None:
    network, strategy, wire = begun(scenario(model, "hetlora"))
    replies = replies_of(network, wire)
    new = strategy.step(1, wire.numpy(), replies)
    assert network.adapted is not None
    products = network.adapted.products
    each = [[factors(network, reply.weights, own) for own in products] for reply in replies]
    norms = np.sqrt([sum(np.sum((1.5 * b @ a) ** 2) for a, b in client) for client in each])
    parts = norms / norms.sum()
    for place, own in enumerate(products):
        for factor, reached in enumerate(factors(network, new, own)):
            wanted = sum(p * c[place][factor] for p, c in zip(parts, each, strict=True))
            np.testing.assert_allclose(reached, wanted, rtol=1e-4, atol=1e-6)
    head = np.concatenate([_head(network, reply.weights)[None] for reply in replies])
    np.testing.assert_allclose(_head(network, new), np.array(SHARES) @ head, rtol=1e-5, atol=1e-6)


def _head(network: Network, wire: Any) -> Any:
    views = network.model.layout.wire_views(torch.as_tensor(np.asarray(wire, np.float32)))
    own = [v.flatten() for name, v in views.items() if name.startswith(network.head)]
    return torch.cat(own).double().numpy()


def test_hetlora_of_products_of_zero_takes_the_usual_mean() -> None:
    network, strategy, _ = begun(scenario("MLP", "hetlora"))
    wire = network.model.wire()
    replies = [Reply(0, 1.0, wire.numpy(), {}, {}), Reply(1, 3.0, wire.numpy(), {}, {})]
    np.testing.assert_allclose(strategy.step(1, wire.numpy(), replies), wire.numpy(), rtol=1e-6)


@EACH
def test_flora_adds_up_products_of_any_ranks_exactly(model: str) -> None:
    network, strategy, wire = begun(scenario(model, "flora", "base_travels = true"))
    for seed in range(2):
        replies = replies_of(network, moved(wire, network, 100 + seed))
        exact = mean_of([products_in(network, reply.weights) for reply in replies])
        new = strategy.step(1 + seed, wire.numpy(), replies)
        reached = products_in(network, new)
        assert network.adapted is not None
        for name in exact:
            np.testing.assert_allclose(reached[name], exact[name], rtol=1e-4, atol=1e-6)
        for own in network.adapted.products:
            a, b = factors(network, new, own)
            assert not b.any()
            np.testing.assert_allclose(a, factors(network, wire, own)[0], rtol=1e-6)
        assert strategy.mismatch > 0.01
        wire = torch.from_numpy(new.astype(np.float32))


@pytest.mark.parametrize("strategy", ["hetlora", "flora"])
def test_nothing_but_lora_has_factors_for_them(strategy: str) -> None:
    from fedlab.errors import FedlabErrors
    from fedlab.run.simulation import assemble
    from tests.shared import scenario_with

    with pytest.raises(FedlabErrors, match="this model has none"):
        assemble(scenario_with({"strategy": {"name": strategy}}))
