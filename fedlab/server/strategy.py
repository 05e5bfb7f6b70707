"""What the rounds loop asks of a strategy beyond Flower's interface: settings, mean, state.

A strategy is a ``flwr.serverapp.strategy.Strategy``. One of ours has a nested ``Settings`` class,
is made by ``from_settings``, and may say ``takes_mean = True``: then replies arrive as weighted
means over blocks of clients, never as individual updates. Its state is explicit (``state_dict``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from flwr.app import ArrayRecord
from flwr.serverapp.strategy import Strategy
from pydantic import Field, field_validator

from fedlab import registry
from fedlab.errors import FedlabError
from fedlab.models.layout import Layout
from fedlab.settings import Settings


class StrategySettings(Settings):
    """Keys of ``[strategy]`` that every strategy has; sampling as in Flower's FedAvg."""

    name: str = Field("fedavg", description="which strategy")
    fraction_train: float = Field(1.0, gt=0, le=1, description="fraction of clients in a cohort")
    min_train_nodes: int = Field(1, ge=1, description="least clients in a cohort")
    fraction_evaluate: float = Field(
        1.0, ge=0, le=1, description="fraction of clients in federated evaluation"
    )
    min_evaluate_nodes: int = Field(1, ge=0, description="least clients in federated evaluation")
    min_available_nodes: int = Field(1, ge=1, description="clients to wait for before a round")


class InnerStrategySettings(StrategySettings):
    """Keys of ``[strategy.inner]``: the strategy that a wrapper wraps.

    The schema puts in its place the settings of the strategy that the scenario names.
    """

    @field_validator("name")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            registry.strategies.get(name)
        except FedlabError as error:
            raise ValueError(str(error)) from error
        return name


def build_strategy(settings: Settings) -> Strategy:
    """Return the strategy that the settings name.

    Raises:
        FedlabError: If there is no such strategy, or it refuses these settings.
    """
    name: str = settings.name  # type: ignore[attr-defined]
    try:
        strategy: Strategy = registry.strategies.get(name).from_settings(settings)
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise FedlabError(f"strategy.name: '{name}' refuses these settings: {reason}") from error
    return strategy


def cohort_size(settings: Any, population: int) -> int:
    """Return how many clients a round's cohort has, by the rule of Flower's FedAvg.

    Args:
        settings: Keys of ``[strategy]``; a wrapper's inner strategy is the one that samples.
        population: The number of all clients.
    """
    sampling = getattr(settings, "inner", settings)
    return max(int(population * sampling.fraction_train), int(sampling.min_train_nodes))


def takes_mean(strategy: Strategy) -> bool:
    """Return whether the strategy needs no more than the weighted mean of the updates."""
    return bool(getattr(strategy, "takes_mean", False))


def give_layout(strategy: Any, layout: Layout) -> None:
    """Tell a strategy, and those that it wraps, where each tensor stands in the vectors."""
    strategy.layout = layout
    inner = getattr(strategy, "strategy", None)
    if inner is not None:
        give_layout(inner, layout)


def trusting_part(strategy: Any) -> Any:
    """Return the strategy that trains on the server's own data: this one, one it wraps, or None."""
    return _part_that("trains_on_root", strategy)


def public_part(strategy: Any) -> Any:
    """Return the strategy that works on public examples: this one, one it wraps, or None."""
    return _part_that("needs_public", strategy)


def _part_that(does: str, strategy: Any) -> Any:
    if strategy is None or getattr(strategy, does, False):
        return strategy
    return _part_that(does, getattr(strategy, "strategy", None))


def attributes_state(strategy: Strategy, fixed: frozenset[str]) -> dict[str, Any]:
    """Return the numbers and arrays among a strategy's attributes, but for the ``fixed`` ones.

    This is the state of a strategy that does not name it: Flower's own keep momenta, clipping norms
    and the last weights as plain attributes.
    """
    return {
        name: value
        for name, value in vars(strategy).items()
        if name not in fixed and _is_state(value)
    }


def _is_state(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_state(part) for key, part in value.items())
    if isinstance(value, list | tuple):
        return all(_is_state(part) for part in value)
    plain = int | float | str | np.ndarray | np.generic | ArrayRecord
    return value is None or isinstance(value, plain)
