"""Every algorithm of the catalogue on the test device: the bits of the CPU, and nothing mixed.

The scenarios are those by which other tests stop, resume and run the algorithms on ray, of which
tests/test_every_algorithm.py checks that none is missing.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from typing import Any

import pytest
import torch

from fedlab.run.simulation import Simulation
from fedlab.scenario import Scenario, load
from tests.clients import test_personalised_runs as personalised
from tests.clients import test_self_supervised_runs as self_supervised
from tests.clients.attacks import test_attacked_runs as attacked
from tests.clients.processing import test_processed_runs as processed
from tests.devices.strict import counted
from tests.shared import scenario_with
from tests.strategies import test_adaptation_runs as adaptation
from tests.strategies import test_distillation_runs as distillation
from tests.strategies import test_fairness_runs as fairness
from tests.strategies import test_flower_runs as flower
from tests.strategies import test_heterogeneity_runs as heterogeneity
from tests.strategies import test_robust_runs as robust

pytestmark = pytest.mark.usefixtures("strict")
Build = Callable[[], Scenario]


def of_heterogeneity(algorithm: str, model: str) -> Scenario:
    strategy, strategy_keys, client, client_keys = heterogeneity.ALGORITHMS[algorithm]
    names = {"strategy": {"name": strategy}, "client": {"name": client}}
    return scenario_with(
        heterogeneity.BASE, names, model=model, client=client_keys, strategy=strategy_keys
    )


def of_fairness(name: str) -> Scenario:
    client, strategy = fairness.STRATEGIES[name]
    return scenario_with(fairness.BASE, client={"name": client}, strategy=strategy)


def of_robust(name: str) -> Scenario:
    return scenario_with(robust.BASE, strategy=robust.AGGREGATORS[name])


def of_personalised(client: str) -> Scenario:
    server = personalised.SERVERS.get(client, "fedavg")
    names = {"client": {"name": client}, "strategy": {"name": server}}
    own = {"model": tomllib.loads(personalised.ALGORITHMS[client])}
    return scenario_with(personalised.BASE, names, own)


def scenarios() -> dict[str, Build]:
    """Return what makes each algorithm's scenario, by a name for the test."""
    found: dict[str, Build] = {}
    for name in heterogeneity.ALGORITHMS:
        found[name] = lambda name=name: of_heterogeneity(name, heterogeneity.MLP)
        found[f"{name}, one by one"] = lambda name=name: of_heterogeneity(
            name, heterogeneity.BATCH_NORM
        )
    for name in fairness.STRATEGIES:
        found[name] = lambda name=name: of_fairness(name)
    for name in robust.AGGREGATORS:
        found[name] = lambda name=name: of_robust(name)
    for name in distillation.ALGORITHMS:
        found[name] = lambda name=name: distillation.scenario_of(*distillation.ALGORITHMS[name])
    for name in personalised.ALGORITHMS:
        found[name] = lambda name=name: of_personalised(name)
    for name in self_supervised.ALGORITHMS:
        found[name] = lambda name=name: self_supervised.scenario_of(name)
    for name in adaptation.ALGORITHMS:
        found[name] = lambda name=name: adaptation.scenario(name, adaptation.BATCH_NORM)
    for name in flower.ADOPTED:
        found[name] = lambda name=name: load(name, (*flower.SHORTENED, *flower.INLINE))
    for name in attacked.ATTACKS:
        found[f"attack {name}"] = lambda name=name: attacked.scenario(name)
    for name in processed.PROCESSORS:
        found[f"processor {name}"] = lambda name=name: processed.scenario(name)
    return found


def outcome(scenario: Scenario, device: str) -> dict[str, Any]:
    """Return all that two rounds lead to: the weights, the clients' states and their metrics."""
    engine = scenario.engine.model_copy(update={"device": device})
    with Simulation(scenario.model_copy(update={"rounds": 2, "engine": engine})) as simulation:
        rounds = simulation.rounds()
        rounds.run()
        found: dict[str, Any] = {"weights": torch.as_tensor(rounds.weights)}
        for client in range(len(simulation.federation)):
            for record in rounds.engine.states.get(client).array_records.values():
                for name, array in record.items():
                    found[f"{client} {name}"] = torch.from_numpy(array.numpy().copy())
    return found


SCENARIOS = scenarios()


IN_ANOTHER_ORDER = ("fedtrimmedavg", "rfa", "simmim")
"""Whose server adds up in double precision on a device, or whose attention is another kernel's."""


@pytest.mark.parametrize(("name", "build"), SCENARIOS.items(), ids=SCENARIOS)
def test_an_algorithm_reaches_the_bits_of_the_cpu_on_a_device(name: str, build: Build) -> None:
    expected = outcome(build(), "cpu")
    with counted() as copies:
        found = outcome(build(), "strict")
    assert copies[0].to_device > 0
    assert found.keys() == expected.keys()
    same = _nearly if name in IN_ANOTHER_ORDER else torch.equal
    assert [part for part in expected if not same(found[part], expected[part])] == []


def _nearly(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return torch.allclose(found, expected, rtol=1e-5, atol=1e-7)
