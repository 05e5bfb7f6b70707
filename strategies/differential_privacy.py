"""Flower's wrappers for central differential privacy: clipped updates, and noise on their mean.

In two things they are put right here. Flower (1.41) lets an adapted clipping norm run away from its
quantile, and it divides by the length of an update, which may be 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flwr.app import ArrayRecord, Message, MetricRecord
from flwr.serverapp import strategy as flower

from fedlab.wire.zero_updates import set_apart
from strategies.flower import adopt

if TYPE_CHECKING:
    from flwr.serverapp.strategy import DifferentialPrivacyServerSideFixedClipping as ServerSide
    from flwr.serverapp.strategy.dp_adaptive_clipping import (
        DifferentialPrivacyAdaptiveBase as Adaptive,
    )
else:
    ServerSide = Adaptive = object

WEIGHING = """
    The noise is meant for clients that weigh alike. FedAvg weighs by examples, so the guarantee is
    weaker for those that have many.
"""
FIXED = f"""
    yₖ ← x + (yₖ − x) min(1, S / ‖yₖ − x‖), then x ← what the inner strategy makes of them +
    N(0, (z S / m)²), with S clipping_norm, z noise_multiplier and m num_sampled_clients.
{WEIGHING}"""
ADAPTIVE = f"""
    Algorithm 1. Updates are clipped to the norm C, and N(0, (z_Δ C / m)²) goes onto their mean, as
    in dp-server-fixed-clipping. With b the part of the cohort that was within C, its count noised
    by N(0, σ_b²),

        C ← C exp(−η (b − γ))        z_Δ = (z⁻² − (2 σ_b)⁻²)^(−1/2)

    so that C follows the γ-quantile of the updates' norms: γ is target_clipped_quantile, η
    clip_norm_lr, σ_b clipped_count_stddev. Flower (1.41) takes the part that was shortened for b,
    which drives C away from the quantile, and scales a round's noise by the next round's C; here
    both are the paper's.
{WEIGHING}"""


class Clips(ServerSide):
    """Clips on the server, clients that did not move included."""

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return what the wrapped strategy makes of clipped updates, with noise."""
        answered = list(replies)
        for reply in answered:
            if reply.has_content():
                set_apart(self.current_arrays, reply.content)
        return super().aggregate_train(server_round, answered)


class FollowsQuantile(Adaptive):
    """Moves the clipping norm as the paper does, and after the round's noise."""

    def _geometric_update(self, clipped_fraction: float) -> None:
        within = 1 - clipped_fraction
        self._next = self.clipping_norm * math.exp(
            -self.clip_norm_lr * (within - self.target_clipped_quantile)
        )

    def _add_noise_to_aggregated_arrays(self, aggregated: ArrayRecord) -> ArrayRecord:
        noisy = super()._add_noise_to_aggregated_arrays(aggregated)
        self.clipping_norm = self._next
        return noisy


class DifferentialPrivacyServerSideFixedClipping(
    Clips, flower.DifferentialPrivacyServerSideFixedClipping
):
    """The server clips."""


class DifferentialPrivacyServerSideAdaptiveClipping(
    Clips, FollowsQuantile, flower.DifferentialPrivacyServerSideAdaptiveClipping
):
    """The server clips, and moves the norm."""


class DifferentialPrivacyClientSideAdaptiveClipping(
    FollowsQuantile, flower.DifferentialPrivacyClientSideAdaptiveClipping
):
    """Clients clip and tell whether they had to; the server moves the norm."""


adopt(
    "dp-server-fixed-clipping",
    DifferentialPrivacyServerSideFixedClipping,
    "DP, the server clips at a fixed norm and adds noise (McMahan et al. 2018, DP-FedAvg)",
    FIXED,
)
adopt(
    "dp-client-fixed-clipping",
    flower.DifferentialPrivacyClientSideFixedClipping,
    "DP, clients clip at a fixed norm, the server adds noise (McMahan et al. 2018, DP-FedAvg)",
    f"""
    As dp-server-fixed-clipping, but that the server sees clipped updates only, or their sum: the
    mod "fixed-clipping" shortens them.
{WEIGHING}""",
    takes_mean=True,
    processors=("fixed-clipping",),
)
adopt(
    "dp-server-adaptive-clipping",
    DifferentialPrivacyServerSideAdaptiveClipping,
    "DP, the server clips at a norm that follows a quantile (Andrew et al. 2021)",
    ADAPTIVE,
)
adopt(
    "dp-client-adaptive-clipping",
    DifferentialPrivacyClientSideAdaptiveClipping,
    "DP, clients clip at a norm that follows a quantile (Andrew et al. 2021)",
    ADAPTIVE,
    processors=("adaptive-clipping",),
)
