"""Flower's wrappers for central differential privacy: clipped updates, and noise on their mean.

They correct two errors. Flower (1.41) lets an adapted clipping norm diverge from its quantile, and
it divides by the norm of an update, which may be 0.
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
    The noise assumes clients of equal weight. FedAvg weighs by examples, so the guarantee is weaker
    for clients that have many. It is one for the parameters: running statistics of batch norm,
    where they travel, are averaged without clipping and noise.
"""
FIXED = f"""
    yₖ ← x + (yₖ − x) min(1, S / ‖yₖ − x‖), then x ← the inner strategy's aggregate +
    N(0, (z S / m)²), with S clipping_norm, z noise_multiplier and m num_sampled_clients.
{WEIGHING}"""
ADAPTIVE = f"""
    Algorithm 1. Updates are clipped to the norm C, and N(0, (z_Δ C / m)²) is added to their mean,
    as in dp-server-fixed-clipping. With b the fraction of the cohort within C, whose count has the
    noise N(0, σ_b²),

        C ← C exp(−η (b − γ))        z_Δ = (z⁻² − (2 σ_b)⁻²)^(−1/2)

    so that C follows the γ-quantile of the updates' norms: γ is target_clipped_quantile, η
    clip_norm_lr, σ_b clipped_count_stddev. Flower (1.41) takes the fraction beyond C for b,
    which drives C away from the quantile, and scales a round's noise by the next round's C; both
    are the paper's here.
{WEIGHING}"""


class Clips(ServerSide):
    """Clipping on the server, including clients that did not move."""

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the wrapped strategy's aggregate of clipped updates, with noise."""
        answered = list(replies)
        for reply in answered:
            if reply.has_content():
                set_apart(self.current_arrays, reply.content)
        return super().aggregate_train(server_round, answered)


class FollowsQuantile(Adaptive):
    """Adaptation of the clipping norm as in the paper, after the round's noise."""

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
    """Clipping on the server."""


class DifferentialPrivacyServerSideAdaptiveClipping(
    Clips, FollowsQuantile, flower.DifferentialPrivacyServerSideAdaptiveClipping
):
    """Clipping on the server, with an adaptive norm."""


class DifferentialPrivacyClientSideAdaptiveClipping(
    FollowsQuantile, flower.DifferentialPrivacyClientSideAdaptiveClipping
):
    """Clipping on clients, which report whether they clipped; the server adapts the norm."""


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
    As dp-server-fixed-clipping, but the server sees only clipped updates, or their sum: the update
    processor "fixed-clipping" clips them.
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
