"""The line that says what runs names the device, where it is none that every machine has."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedlab.run.display import introduction
from fedlab.run.folder import RunFolder
from fedlab.run.simulation import Simulation
from tests.shared import scenario_with


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize(
    ("device", "expected"),
    [("strict", "engine inline × 1 on strict"), ("cpu", "engine inline × 1; starting")],
)
def test_the_device_is_named(tmp_path: Path, device: str, expected: str) -> None:
    scenario = scenario_with(engine={"device": device})
    folder = RunFolder.create(tmp_path, "run", scenario)
    with Simulation(scenario) as simulation:
        assert expected in introduction(folder, simulation.rounds())
