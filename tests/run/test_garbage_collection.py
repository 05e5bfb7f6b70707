"""Strategies that force garbage collections do not pay for all that is loaded."""

import gc

from fedlab.run.callbacks import Callback, RoundOutcome
from fedlab.run.rounds import Rounds
from fedlab.run.simulation import Simulation
from tests.shared import scenario_with


class CountFrozen(Callback):
    def __init__(self) -> None:
        self.frozen: list[int] = []

    def round_ended(self, rounds: Rounds, outcome: RoundOutcome) -> None:
        self.frozen.append(gc.get_freeze_count())


def test_what_is_loaded_is_frozen_during_the_rounds_only() -> None:
    gc.unfreeze()
    counts, before = CountFrozen(), gc.get_freeze_count()
    scenario = scenario_with(
        'rounds = 1\ndata.name = "iris"\nmodel.name = "linear"\nstrategy.name = "fedmedian"'
    )
    with Simulation(scenario) as simulation:
        simulation.rounds([counts]).run()
    assert counts.frozen[-1] > before + 10_000
    assert gc.get_freeze_count() <= before
