"""The client's side of Flower's differential-privacy strategies: clipping before anything is sent.

Source: McMahan et al. 2018, ICLR, "Learning Differentially Private Recurrent Language Models",
FlatClip; Andrew et al. 2021, NeurIPS, "Differentially Private Learning with Adaptive Clipping".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
import torch

from fedlab import registry
from fedlab.algorithm.processing import Payload, Received, UpdateProcessor
from fedlab.algorithm.setup import Setup
from fedlab.algorithm.strategy import own_traits
from fedlab.registry import updates

NORM = "clipping_norm"
"""Config key of the norm that Flower's strategies send."""
WITHIN = "norm_bit"
"""Metric by which Flower's adaptive strategy learns whether an update was shortened."""


@updates.register("fixed-clipping")
class FixedClipping(UpdateProcessor):
    """Clips updates to the norm S that the server sends: Δ ← Δ min(1, S / ‖Δ‖)."""

    gives: ClassVar[Literal["update", "values", "codes"]] = "update"
    works_on_downlink: ClassVar[bool] = False

    def encode(
        self, update: torch.Tensor, received: Received, generator: torch.Generator
    ) -> Payload:
        """Return the update, shortened where it is longer than the norm."""
        clipped, _ = clip(update, _norm(received))
        return Payload(clipped)

    def decode(self, payload: Payload, received: Received) -> torch.Tensor:
        """Return the update as it came: what was cut off is gone."""
        return payload.values

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield whether the strategy sends no clipping norm."""
        mine, strategy = self.settings.name, setup.scenario.strategy.name
        known = registry.strategies
        users = [n for n in known.names() if mine in own_traits(known.get(n)).processors]
        if users and strategy not in users:
            yield (
                f"updates: '{mine}' waits for a clipping norm, which strategy '{strategy}' does "
                f"not send; take {' or '.join(users)}, or leave it out"
            )


@updates.register("adaptive-clipping")
class AdaptiveClipping(FixedClipping):
    """Clips updates to the norm that the server sends, and reports whether that shortened them."""

    def encode(
        self, update: torch.Tensor, received: Received, generator: torch.Generator
    ) -> Payload:
        """Return the update, clipped if it is longer, and a bit that records whether it was."""
        clipped, is_shortened = clip(update, _norm(received))
        return Payload(clipped, metrics={WITHIN: int(is_shortened)})


def clip(update: torch.Tensor, norm: float) -> tuple[torch.Tensor, bool]:
    """Return an update of at most this Euclidean norm, and whether it was longer."""
    length = np.linalg.norm(update.numpy())
    # The norm of one array by the formula that Flower has for many: the same last bits.
    factor = min(1.0, norm / float(np.sqrt(length**2))) if length else 1.0
    return update * factor, factor < 1


def _norm(received: Received) -> float:
    return float(received.config[NORM])
