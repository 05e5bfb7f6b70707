"""Every algorithm is among those that are stopped and resumed, and run on ray."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from fedlab import registry

HERE = Path(__file__).parent
NAME = re.compile(r'^name = "([^"]+)"', re.MULTILINE)


def module(path: str) -> Any:
    spec = importlib.util.spec_from_file_location(Path(path).stem, HERE / path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def run_algorithms() -> set[tuple[str, str]]:
    """Return every kind and name in the lists by which the tests that run them are parametrised.

    One test for all would take too long; that each has a scenario is checked in tests/scenarios.
    """
    found: set[tuple[str, str]] = set()

    def strategies(*names: str) -> None:
        found.update(("strategy", name) for name in names)

    def clients(*names: str) -> None:
        found.update(("client", name) for name in names)

    for strategy, _, client, _ in module(
        "strategies/test_heterogeneity_runs.py"
    ).ALGORITHMS.values():
        strategies(strategy)
        clients(client)
    for client, text in module("strategies/test_fairness_runs.py").STRATEGIES.values():
        strategies(*NAME.findall(text))
        clients(client)
    clients("hetlora")
    strategies(*module("clients/test_hetlora.py").SERVERS)
    for text, _ in module("strategies/test_low_rank_runs.py").STRATEGIES.values():
        strategies(*NAME.findall(text))
    for text in module("strategies/test_robust_runs.py").AGGREGATORS.values():
        strategies(*NAME.findall(text))
    for _, strategy, client in module("strategies/test_distillation_runs.py").ALGORITHMS.values():
        strategies(*NAME.findall(strategy))
        clients(*NAME.findall(client))
    for strategy, client in module("strategies/test_adaptation_runs.py").ALGORITHMS.values():
        strategies(strategy)
        clients(client)
    personalised = module("clients/test_personalised_runs.py")
    clients(*personalised.ALGORITHMS)
    clients(*module("clients/test_self_supervised_runs.py").ALGORITHMS)
    strategies(*personalised.SERVERS.values())
    meta = module("clients/test_meta_runs.py")
    clients(*meta.ALGORITHMS)
    strategies(*meta.ALGORITHMS.values())
    strategies(*module("strategies/test_flower_runs.py").ADOPTED)
    found.update(("attack", n) for n in module("clients/attacks/test_attacked_runs.py").ATTACKS)
    processing = module("clients/processing/test_processed_runs.py")
    found.update(("update processor", n) for n in processing.PROCESSORS)
    for _, text in processing.PROCESSORS.values():
        strategies(*NAME.findall(text))
    strategies(*re.findall('"(gradual-.+)"', module("strategies/test_gradual_pruning.py").SCENARIO))
    return found


@pytest.mark.parametrize("kind", ["strategy", "client", "attack", "update processor"])
def test_every_algorithm_is_resumed_and_run_on_ray(kind: str) -> None:
    known = {
        "strategy": registry.strategies, "client": registry.clients, "attack": registry.attacks,
        "update processor": registry.updates,
    }[kind]  # fmt: skip
    assert {name for of, name in run_algorithms() if of == kind} == set(known.names())


@pytest.mark.parametrize("kind", ["strategies", "clients", "attacks", "adapters"])
def test_every_algorithm_names_its_paper_and_year_in_one_line(kind: str) -> None:
    known = getattr(registry, kind)
    for name in known.names():
        summary = known.summary(name)
        assert re.search(r"\(.+ (19|20)\d\d\b.*\)", summary), f"{name}: {summary}"
