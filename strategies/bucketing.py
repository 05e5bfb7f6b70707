"""Bucketing: robust aggregation of means over small random buckets (Karimireddy et al. 2022)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Literal, Self

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from pydantic import Field, SerializeAsAny

from fedlab.algorithm.setup import Setup
from fedlab.algorithm.strategy import (
    InnerStrategySettings,
    build_strategy,
    cohort_size,
    too_many_malicious,
    traits_of,
)
from fedlab.algorithm.wrapper import StrategyWrapper, mean_reply
from fedlab.registry import strategies
from fedlab.settings import Settings
from fedlab.wire.protocol import WEIGHTING


class BucketingSettings(Settings):
    """Keys of ``[strategy]`` with name = "bucketing"."""

    name: str
    bucket_size: int = Field(2, ge=1, description="s: updates that are averaged in a bucket")
    weighting: Literal["examples", "clients"] = Field(
        "clients", description="what a client weighs in its bucket; the paper counts clients"
    )
    inner: SerializeAsAny[Settings] = Field(
        InnerStrategySettings(name="rfa"),
        description="the aggregator of the buckets' means, a table with its name and keys",
    )


@strategies.register("bucketing")
class Bucketing(StrategyWrapper):
    """Bucketing: any aggregator, given means of s random updates (Karimireddy et al. 2022, ICLR).

    Algorithm 1: permute the n updates at random, average consecutive groups of s, and apply the
    aggregator of ``[strategy.inner]`` to the ⌈n/s⌉ means. These differ less from each other than
    the updates of clients with different data; f malicious clients affect at most f buckets.
    """

    Settings: ClassVar[type[Settings]] = BucketingSettings

    def __init__(self, settings: Any) -> None:
        inner = build_strategy(settings.inner)
        if traits_of(inner).takes_mean:
            raise ValueError(
                f"strategy.inner.name = '{settings.inner.name}' takes a mean, which buckets do not "
                "change; wrap a robust aggregator such as 'rfa' or 'krum'"
            )
        super().__init__(inner)
        self.settings = settings

    @classmethod
    def from_settings(cls, settings: Any) -> Self:
        """Return the strategy with these settings.

        Raises:
            ValueError: If the inner strategy takes a mean.
        """
        return cls(settings)

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield objections if the buckets are too few for the inner strategy's bound."""
        settings = setup.scenario.strategy
        buckets = self.inputs(cohort_size(settings, setup.population))
        yield from too_many_malicious(
            settings.inner, self.strategy, buckets, "strategy.inner", "set of buckets"
        )

    def inputs(self, cohort: int) -> int:
        """Return the number of updates that the inner strategy sees of a cohort."""
        return -(-cohort // int(self.settings.bucket_size))

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the inner strategy's messages, with this strategy's weighting."""
        messages = list(super().configure_train(server_round, arrays, config, grid))
        # All messages share their content with the inner strategy's configuration.
        config[WEIGHTING] = self.settings.weighting
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the inner strategy's aggregate of the buckets' means."""
        answered = [reply for reply in replies if reply.has_content()]
        # The rounds loop has seeded the global generator for this round.
        order = np.random.permutation(len(answered))
        size = self.settings.bucket_size
        buckets = [
            mean_reply([answered[i] for i in order[start : start + size]])
            for start in range(0, len(order), size)
        ]
        return super().aggregate_train(server_round, buckets)
