"""Rounds in which clients' places stay empty, against runs in which the clients do not exist."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from fedlab.data.federation import of_clients
from fedlab.run.simulation import Simulation
from fedlab.run.without import Without
from fedlab.scenario.parts import load_federation
from tests.shared import scenario_with

FOUR = {"data": {"partition": {"clients": 4}}}
MODELS = {
    "mlp": {},
    "batch norm": {"model": {"name": "mlp", "hidden": [8], "batch_norm_layers": True}},
    "stacked off": {"client": {"clip_norm": 1.0}, "strategy": {"name": "fedadam", "eta": 0.01}},
}


@pytest.mark.parametrize("changes", MODELS.values(), ids=MODELS)
def test_without_the_last_client_are_the_bits_of_a_run_in_which_it_has_never_been(
    changes: dict[str, object],
) -> None:
    scenario = scenario_with(FOUR, changes)
    with Simulation(scenario) as simulation:
        without = Without(simulation, [3])
        without.run()
    others = of_clients(load_federation(scenario), [0, 1, 2])
    with Simulation(scenario, others) as simulation:
        never = simulation.rounds()
        never.run()
    assert torch.equal(without.weights, never.weights)
    assert without.cost.trainings == 3 * scenario.rounds
    with Simulation(scenario) as simulation:
        all_of_them = simulation.rounds()
        all_of_them.run()
    assert not torch.equal(without.weights, all_of_them.weights)


def test_nobody_left_out_is_the_run_itself() -> None:
    scenario = scenario_with(FOUR)
    ended = []
    for leaves_out in (True, False):
        with Simulation(scenario) as simulation:
            rounds = Without(simulation, ()) if leaves_out else simulation.rounds()
            rounds.run()
            ended.append(rounds.weights)
    assert torch.equal(*ended)


def test_a_round_of_nobody_else_leaves_the_weights_as_they_are() -> None:
    scenario = scenario_with(FOUR, "strategy.fraction_train = 0.25\nrounds = 6")
    with Simulation(scenario) as simulation:
        rounds = Without(simulation, [0, 1])
        before = [rounds.weights.clone()]
        drawn = []
        for number in range(1, 7):
            drawn.append(rounds.asked(number)[0])
            rounds.only([number])
            before.append(rounds.weights.clone())
    still = [torch.equal(*pair) for pair in pairwise(before)]
    assert still == [not messages for messages in drawn]
    assert 0 < sum(still) < 6
    assert rounds.cost.rounds == 6
    assert rounds.cost.trainings == 6 - sum(still)
