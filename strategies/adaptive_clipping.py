"""Flower's differential privacy with a clipping norm that follows a quantile, put right."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from flwr.app import ArrayRecord
from flwr.serverapp import strategy as flower

from strategies.flower import WEIGHING, adopt

if TYPE_CHECKING:
    from flwr.serverapp.strategy.dp_adaptive_clipping import DifferentialPrivacyAdaptiveBase as Base
else:
    Base = object

EQUATIONS = f"""
    Algorithm 1. Updates are clipped to the norm C; with b the part of the cohort that was within
    it, noised by N(0, σ_b²) over the count, noise z C / m goes onto the mean (as in
    dp-server-fixed-clipping, with z raised for what b tells), and then

        C ← C exp(−η (b − γ))

    so that C follows the γ-quantile of the updates' norms: γ is target_clipped_quantile, η
    clip_norm_lr, σ_b clipped_count_stddev. Flower (1.41) takes the part that was shortened for b,
    which drives C away from the quantile, and scales a round's noise by the next round's C.
{WEIGHING}
"""


class FollowsQuantile(Base):
    """The paper's update of the clipping norm, after the round's noise, in Flower's place."""

    def _geometric_update(self, clipped_fraction: float) -> None:
        within = 1 - clipped_fraction
        self._next = self.clipping_norm * math.exp(
            -self.clip_norm_lr * (within - self.target_clipped_quantile)
        )

    def _add_noise_to_aggregated_arrays(self, aggregated: ArrayRecord) -> ArrayRecord:
        noisy = super()._add_noise_to_aggregated_arrays(aggregated)
        self.clipping_norm = self._next
        return noisy


class DifferentialPrivacyServerSideAdaptiveClipping(
    FollowsQuantile, flower.DifferentialPrivacyServerSideAdaptiveClipping
):
    """The server clips."""


class DifferentialPrivacyClientSideAdaptiveClipping(
    FollowsQuantile, flower.DifferentialPrivacyClientSideAdaptiveClipping
):
    """Clients clip, and tell whether they had to."""


adopt(
    "dp-server-adaptive-clipping",
    DifferentialPrivacyServerSideAdaptiveClipping,
    "DP, the server clips at a norm that follows a quantile (Andrew et al. 2021)",
    EQUATIONS,
)
adopt(
    "dp-client-adaptive-clipping",
    DifferentialPrivacyClientSideAdaptiveClipping,
    "DP, clients clip at a norm that follows a quantile (Andrew et al. 2021)",
    EQUATIONS,
    required_mod="adaptive-clipping",
)
