"""Products of low-rank factors in the vectors that travel (LoRA's B A), and their means.

The mean of products is not the product of means: clients that have trained both factors say
something with B̄ Ā that none of them meant.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from fedlab.algorithm.setup import Setup
from fedlab.algorithm.vector_strategy import Reply, ServerContext, Vector, shares
from fedlab.models.adapters.contract import Product
from fedlab.models.layout import Entry, Layout

Views = Mapping[str, torch.Tensor]


def travelling(layout: Layout, products: Sequence[Product]) -> tuple[Product, ...]:
    """Return the products both of whose factors are trained and travel."""
    names = names_that_travel(layout)
    return tuple(p for p in products if {p.a, p.b} <= names)


def names_that_travel(layout: Layout) -> set[str]:
    """Return the names of the parameters that are trained and travel."""
    return {entry.name for entry in layout.shared_entries}


def is_trained(setup: Setup) -> bool:
    """Return whether the adapter is trained: in a phase of a run it may not be.

    That it is in none of a run's phases is found out where they are put together.

    Args:
        setup: All parts of the run, or of one of its phases.
    """
    adapted = setup.network.adapted
    if setup.scenario.phase is None or adapted is None:
        return True
    return not adapted.parameters.isdisjoint(setup.network.model.layout.trained_names)


@dataclass(frozen=True)
class MeanProduct:
    """The mean of clients' products at one weight.

    Attributes:
        product: Which product.
        of_clients: (d, k) Σ pᵢ Bᵢ Aᵢ.
        of_means: (d, k) B̄ Ā.
    """

    product: Product
    of_clients: torch.Tensor
    of_means: torch.Tensor

    @property
    def residual(self) -> torch.Tensor:
        """Return (d, k) what is missing from the product of the means."""
        return self.of_clients - self.of_means


def mean_products(context: ServerContext, replies: Sequence[Reply]) -> Iterator[MeanProduct]:
    """Yield the mean of clients' products at each weight, in double precision.

    The sum over clients is one product of matrices, [p₁ B₁ … p_K B_K] [A₁; …; A_K].

    Args:
        context: What the server has.
        replies: One per client.
    """
    layout, parts = context.layout, shares(replies)
    entries = {entry.name: entry for entry in layout.entries}
    for product in travelling(layout, context.products):
        a, b = entries[product.a], entries[product.b]
        each_a = [_tensor(reply.weights, a, layout) for reply in replies]
        each_b = [p * _tensor(r.weights, b, layout) for p, r in zip(parts, replies, strict=True)]
        mean_a = torch.stack([p * own for p, own in zip(parts, each_a, strict=True)]).sum(0)
        mean_b = torch.stack(each_b).sum(0)
        yield MeanProduct(product, torch.cat(each_b, 1) @ torch.cat(each_a, 0), mean_b @ mean_a)


def norms_of_products(context: ServerContext, replies: Sequence[Reply]) -> Vector:
    """Return (clients,) ‖B_k A_k‖, the Frobenius norm of each client's products together.

    ‖B A‖² is Σ (Bᵀ B) ⊙ (A Aᵀ), so that no product of whole size is computed.

    Args:
        context: What the server has.
        replies: One per client.
    """
    layout, squares = context.layout, np.zeros(len(replies))
    entries = {entry.name: entry for entry in layout.entries}
    for product in travelling(layout, context.products):
        for place, reply in enumerate(replies):
            a = _tensor(reply.weights, entries[product.a], layout)
            b = _tensor(reply.weights, entries[product.b], layout)
            squares[place] += product.scale**2 * float(((b.t() @ b) * (a @ a.t())).sum())
    return np.asarray(np.sqrt(squares.clip(0)))


def _tensor(vector: Vector, entry: Entry, layout: Layout) -> torch.Tensor:
    """Return a tensor of a vector that begins where the wire does, in double precision."""
    start = entry.start - layout.wire.start
    part = np.asarray(vector[start : start + math.prod(entry.shape)], np.float64)
    return torch.from_numpy(part).view(entry.shape)


def mismatch(found: Sequence[MeanProduct]) -> float:
    """Return ‖mean of Bᵢ Aᵢ − B̄ Ā‖ / ‖mean of Bᵢ Aᵢ‖, over all weights; 0 where both are zero."""
    missing = sum(float(own.residual.square().sum()) for own in found)
    whole = sum(float(own.of_clients.square().sum()) for own in found)
    return math.sqrt(missing / whole) if whole else 0.0
