"""Every built-in scenario on the test device: together they name every part that there is."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fedlab.errors import AssetMissing
from fedlab.run.simulation import Simulation
from fedlab.scenario import load
from tests.scenarios.test_built_in import names, shortened

pytestmark = pytest.mark.usefixtures("strict")


SLOW = pytest.mark.slow
FAST = ("model-", "criterion-", "million-", "autoencoder")
"""How the names of those begin that the algorithms' own tests leave out."""

APART = {"lora-cnn": 0.15}
"""Where a change of a learning rate in its eighth digit moves the CPU's weights by two percent:
top-k chooses among changes that are nearly alike, after Adam's steps along tiny gradients."""


def each() -> list[Any]:
    """Return every built-in scenario; those of algorithms, which have a test, are marked slow."""
    found: list[Any] = [pytest.param(n) if isinstance(n, str) else n for n in names()]
    return [
        pytest.param(*p.values, marks=p.marks or (() if p.values[0].startswith(FAST) else SLOW))
        for p in found
    ]


@pytest.mark.parametrize("name", each())
def test_a_scenario_trains_on_a_device_as_on_the_cpu(name: str) -> None:
    ends = []
    for device in ("cpu", "strict"):
        scenario = load(name, (*shortened(name), f"engine.device={device}"))
        try:
            with Simulation(scenario) as simulation:
                # A probe leaves its weights in the server's network, which these are.
                begun = torch.as_tensor(simulation.initial_weights)
                rounds = simulation.rounds()
                rounds.run()
                ends.append(torch.as_tensor(rounds.weights))
        except AssetMissing as missing:
            pytest.skip(str(missing))
    # Attention is summed up in another order, which Adam's first steps make much of.
    apart, moved = (torch.linalg.vector_norm(ends[0] - other) for other in (ends[1], begun))
    assert apart <= APART.get(name, 0.01) * moved
