"""FedRolex's server: the clients' part of the model moves on from round to round (2022)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import ClassVar

from fedlab.algorithm.setup import Setup
from fedlab.algorithm.vector_strategy import VectorStrategySettings
from fedlab.registry import strategies
from strategies.heterofl import HeteroFL, HeteroFlSettings


class FedRolexSettings(HeteroFlSettings):
    """Keys of ``[strategy]`` for FedRolex."""

    name: str = "fedrolex"


@strategies.register("fedrolex")
class FedRolex(HeteroFL):
    """FedRolex: sub-models of a window that rolls over all units (Alam et al. 2022, NeurIPS).

    "FedRolex: Model-Heterogeneous Federated Learning with Rolling Sub-Model Extraction", equations
    2 and 3. In round j, from 0, a client of width p has of each hidden layer's K units those with
    the numbers

        (j + i) mod K,    0 ≤ i < ⌈p K⌉

    so that after K rounds every unit was trained as often as any other, though no client may be
    wide enough for all of them. The mean is HeteroFL's, over those that have a weight, as are the
    clients (``client.name = "heterofl"``).

    A weight is trained where windows of both its layers hold its units. Of layers of a and b units
    with windows of n and m these meet in (n + m − 1) / gcd(a, b) of the weights between them, and
    in all where that is 1 or more; a note says so where some stay as they were drawn.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = FedRolexSettings
    rolls: ClassVar[bool] = True

    def shift(self, server_round: int) -> int:
        """Return where the windows over units begin in a round."""
        return server_round - 1

    def notes(self, setup: Setup) -> Iterator[str]:
        """Yield a sentence if some weights between hidden layers are in no window."""
        sizes, widths = setup.scenario.model.sizes, getattr(setup.algorithm, "widths", ())
        shares = [met(a, b, max(widths)) for a, b in pairwise(sizes)] if widths else []
        if shares and min(shares) < 1:
            place = shares.index(min(shares))
            yield (
                f"client.widths: windows of {max(widths)} over {sizes[place]} and "
                f"{sizes[place + 1]} units never meet in {1 - min(shares):.0%} of the weights "
                "between them, which stay as they were drawn; take wider clients, or sizes of "
                "layers without a common divisor"
            )


def met(below: int, above: int, width: float) -> float:
    """Return of which part of the weights between two layers windows of a width ever hold.

    Both begin at the round's number: units i and j are met in a round j₀ with i ≡ j₀ + x (mod
    below) and j ≡ j₀ + y (mod above), which exists if i − j ≡ x − y modulo their greatest common
    divisor, and x − y takes n + m − 1 values in a row.

    Args:
        below: Units of the first layer.
        above: Units of the second.
        width: Which part of them a window holds.
    """
    together = math.ceil(width * below) + math.ceil(width * above) - 1
    return min(1.0, together / math.gcd(below, above))
