"""What a run asks of a strategy beyond Flower's interface: settings, traits, objections, state.

A strategy is a ``flwr.serverapp.strategy.Strategy``. One of ours has a nested ``Settings`` class,
is made by ``from_settings``, and says in ``traits`` what it needs and takes. Its state is explicit
(``state_dict``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from flwr.app import ArrayRecord
from flwr.serverapp.strategy import Strategy
from pydantic import Field, field_validator

from fedlab import registry
from fedlab.algorithm.setup import Setup
from fedlab.errors import FedlabError, described
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
        reason = described(error).removeprefix(f"{type(error).__name__}: ")
        raise FedlabError(f"strategy.name: '{name}' refuses these settings: {reason}") from error
    except FedlabError:
        raise
    except (Exception, SystemExit) as error:
        # Anybody's strategy may raise anything when it is made.
        raise FedlabError(f"strategy.name: '{name}' cannot be made: {described(error)}") from error
    return strategy


def cohort_size(settings: Any, population: int) -> int:
    """Return how many clients a round's cohort has, by the rule of Flower's FedAvg.

    Args:
        settings: Keys of ``[strategy]``; a wrapper's inner strategy is the one that samples.
        population: The number of all clients.
    """
    sampling = getattr(settings, "inner", settings)
    return max(int(population * sampling.fraction_train), int(sampling.min_train_nodes))


@dataclass(frozen=True)
class Traits:
    """What a strategy says of itself; the defaults are those of a strategy that says nothing.

    Attributes:
        takes_mean: Whether it needs no more than the weighted mean of the updates: then replies
            arrive as one, and no individual update reaches the server.
        client: Name of the client algorithm whose replies it counts on; None where any will do.
        processors: Names of the update processors that its clients must have.
        several_models: Whether clients of one round may train different global models.
        sub_models: Whether a client is sent part of the weights alone, as many as its own, narrower
            model has (``ClientAlgorithm.widths``).
        needs_public: Whether it works on public examples.
        needs_root: Whether it trains on the server's own examples, the root data.
        malicious_bound: (a, b) where f malicious clients can be withstood by cohorts of a·f + b and
            more; None where nothing is known.
        statistics: What becomes of the running statistics of batch norm, which clients send after
            their parameters: their "mean", weighed as in any mean, or the "median" of each, which
            no minority moves far, beside a strategy that sees parameters alone; or "own", to see
            and return whole vectors.
    """

    takes_mean: bool = False
    client: str | None = None
    processors: tuple[str, ...] = ()
    several_models: bool = False
    sub_models: bool = False
    needs_public: bool = False
    needs_root: bool = False
    malicious_bound: tuple[int, int] | None = None
    statistics: Literal["mean", "median", "own"] = "mean"


def own_traits(strategy: Any) -> Traits:
    """Return what a strategy, or its class, says of itself, without those that it wraps."""
    found = getattr(strategy, "traits", None)
    return found if isinstance(found, Traits) else Traits()


def traits_of(strategy: Any) -> Traits:
    """Return a strategy's traits, with what those that it wraps need of the server.

    Statistics are combined as those want it that it wraps, unless it says otherwise itself.
    """
    own = [own_traits(part) for part in parts_of(strategy)]
    statistics = [traits.statistics for traits in own if traits.statistics != "mean"]
    return replace(
        own[0],
        statistics=statistics[0] if statistics else "mean",
        needs_public=any(traits.needs_public for traits in own),
        needs_root=any(traits.needs_root for traits in own),
    )


def parts_of(strategy: Any) -> Iterator[Any]:
    """Yield a strategy, then the one that it wraps, and so on."""
    while strategy is not None:
        yield strategy
        strategy = getattr(strategy, "strategy", None)


def begin(strategy: Any, context: Any) -> None:
    """Hand a :class:`ServerContext` to a strategy and to those that it wraps, once, before a run.

    A strategy of somebody else's, which has no method ``begin``, is passed over.
    """
    for part in parts_of(strategy):
        if hasattr(part, "begin"):
            part.begin(context)


def objections_of(setup: Setup) -> Iterator[str]:
    """Yield what speaks against a setup's strategy: every strategy's objections, then its own."""
    settings, strategy = setup.scenario.strategy, setup.strategy
    yield from _cohort(settings, setup.population)
    cohort = cohort_size(settings, setup.population)
    yield from too_many_malicious(settings, strategy, cohort)
    yield from _partners(setup)
    for part in parts_of(strategy):
        if hasattr(part, "objections"):
            yield from part.objections(setup)


def _cohort(settings: Any, population: int) -> Iterator[str]:
    inner = getattr(settings, "inner", settings)
    for key in ("min_train_nodes", "min_evaluate_nodes", "min_available_nodes"):
        wanted = getattr(inner, key, 1)
        if wanted > population:
            yield (
                f"strategy.{key}: {wanted} clients are asked for and the partition has {population}"
            )


def too_many_malicious(
    settings: Any, strategy: Any, cohort: int, key: str = "strategy", what: str = "cohort"
) -> Iterator[str]:
    """Yield whether a cohort is too small for the malicious nodes that it shall withstand.

    Args:
        settings: The strategy's own.
        strategy: The strategy.
        cohort: How many updates it gets.
        key: Its table in the scenario.
        what: What its updates come from.
    """
    bound = own_traits(strategy).malicious_bound
    if bound is None:
        return
    least = bound[0] * settings.num_malicious_nodes + bound[1]
    if cohort < least:
        yield (
            f"{key}.num_malicious_nodes: '{settings.name}' withstands "
            f"{settings.num_malicious_nodes} malicious clients in a {what} of {least} or more, and "
            f"the {what} has {cohort}"
        )


def _partners(setup: Setup) -> Iterator[str]:
    """Yield whether a strategy needs another client, or more than its wrapper passes on."""
    settings, needed = setup.scenario, own_traits(setup.strategy).client
    if needed and not isinstance(setup.algorithm, registry.clients.get(needed)):
        yield (
            f"strategy.name: '{settings.strategy.name}' counts on what clients of its own send: "
            f"set client.name = '{needed}'"
        )
    inner = own_traits(getattr(setup.strategy, "strategy", None))
    if inner.client:
        yield (
            f"strategy.inner.name: '{settings.strategy.inner.name}' counts on more than weights, "
            f"and '{settings.strategy.name}' hands on no more: take another inner strategy"
        )
    elif inner.several_models:
        yield (
            f"strategy.inner.name: '{settings.strategy.inner.name}' has several global models, and "
            f"'{settings.strategy.name}' knows of one: take another inner strategy"
        )
    elif inner.statistics == "own" and own_traits(setup.strategy).statistics != "own":
        layout = setup.network.model.layout
        if layout.wire_size > layout.wire_parameters:
            yield (
                f"strategy.inner.name: '{settings.strategy.inner.name}' works on the running "
                f"statistics of batch norm, and '{settings.strategy.name}' on parameters alone: "
                "take another inner strategy, or set model.batch_norm = 'frozen'"
            )


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
