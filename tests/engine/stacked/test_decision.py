"""How many clients are stacked: what the cohort and the model say, or the scenario."""

from typing import Any

import pytest

from clients.supervised import Supervised
from fedlab.algorithm.client import ClientSettings
from fedlab.engine.inline import InlineEngine
from fedlab.engine.reports import Decision
from fedlab.engine.stacked.decision import FEW, MANY, MOST_VALUES, Stacking, stacking_of
from fedlab.models.network import build_network
from fedlab.run.simulation import Simulation
from fedlab.scenario.parts import load_federation
from fedlab.training.task import LocalTask, Update
from tests.shared import scenario_with

COHORT = {"rounds": 1, "data": {"partition": {"clients": 24}}, "model": {"name": "linear"}}


def scenario(changes: str = "") -> Any:
    return scenario_with(COHORT, changes)


def stacking(changes: str = "") -> Stacking:
    asked = scenario(changes)
    task = load_federation(asked).dataset.task
    return stacking_of(asked, build_network(asked.model, task, 0), task)


@pytest.mark.parametrize(
    ("cohort", "length"), [(1, 1), (2, 1), (5, 3), (10, FEW), (99, FEW), (100, MANY), (5000, MANY)]
)
def test_small_cohorts_are_cut_into_at_least_two_stacks(cohort: int, length: int) -> None:
    assert stacking().length(cohort) == length


def test_large_models_are_stacked_less_but_never_below_one() -> None:
    kind = stacking().kind
    assert Stacking(Decision(True), kind, values=MOST_VALUES // 3).length(100) == 3
    assert Stacking(Decision(True), kind, values=MOST_VALUES * 2).length(100) == 1


def test_the_scenario_has_the_last_word() -> None:
    assert stacking("engine.vectorised = 7").length(100) == 7
    assert stacking("engine.vectorised = false").length(100) == 0
    assert stacking("engine.vectorised = false").decision.reason == "engine.vectorised is false"


class OwnUpdate(Supervised):
    """Overrides what a stack still calls for each client."""

    Settings = ClientSettings

    def update(self, task: LocalTask, fitted: Any) -> Update:
        return super().update(task, fitted)


class OwnLoop(Supervised):
    """Overrides what a stack has a way of its own for."""

    Settings = ClientSettings

    def fit(self, task: LocalTask) -> Any:
        return super().fit(task)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ("", ""),
        ("data.augmentation = {flip = false}", ""),
        ("data.augmentation = {flip = true}", "augmented at random"),
        (f'client.name = "{__name__}:OwnUpdate"', ""),
        (f'client.name = "{__name__}:OwnLoop"', "has a training loop of its own"),
        ("client.label_smoothing = 0.1", "not plain cross-entropy"),
        ('client.schedule = {name = "cosine", over = "steps"}', "from step to step"),
        ('client.schedule = {name = "cosine", over = "rounds"}', ""),
        ("client.early_stopping = {patience = 1}", "clients stop early"),
        ('model = {name = "cnn", layers = [{channels = 2, kernel_size = 3}]}', "Conv2d"),
    ],
)
def test_the_reason_for_the_decision_is_given(changes: str, reason: str) -> None:
    found = stacking(changes)
    assert found.decision.used == (not reason), found.decision
    assert reason in found.decision.reason


@pytest.mark.parametrize(
    ("strategy", "lengths"), [("fedavg", [5, 5, 5, 5, 4]), ("fedmedian", [1] * 24)]
)
def test_blocks_are_stacks_where_a_mean_is_taken(
    strategy: str, lengths: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    run_blocks = InlineEngine._run_blocks

    def watched(engine: InlineEngine, blocks: Any, *rest: Any) -> Any:
        seen.append([len(block) for block in blocks])
        return run_blocks(engine, blocks, *rest)

    monkeypatch.setattr(InlineEngine, "_run_blocks", watched)
    with Simulation(scenario(f'strategy.name = "{strategy}"')) as simulation:
        simulation.rounds().run()
    assert seen == [lengths]
