"""``client.batch_size = "auto"``: what fits is found before the first round, and recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedlab.engine import batch_size
from fedlab.errors import FedlabError
from fedlab.run.crossval import cross_validate
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.rehearsal import rehearse
from fedlab.run.simulation import Simulation
from fedlab.scenario import Scenario
from fedlab.scenario.parts import load_federation
from tests.devices.strict import limited, used
from tests.shared import Changes, scenario_with

AUTO: Changes = {"rounds": 2, "model": {"name": "cnn"}, "client": {"batch_size": "auto"}}
ON_DEVICE: Changes = {"engine": {"device": "strict"}}


def found(scenario: Scenario, room: int | None = None) -> Any:
    federation = load_federation(scenario)
    if room is None:
        return batch_size.found(scenario, federation).client.batch_size
    with limited(used() + room):
        return batch_size.found(scenario, federation).client.batch_size


def test_on_the_cpu_it_is_32() -> None:
    with Simulation(scenario_with(AUTO)) as simulation:
        assert simulation.scenario.client.batch_size == 32
        assert simulation.engine.scenario.client.batch_size == 32


@pytest.mark.usefixtures("strict")
def test_with_room_enough_it_is_that_of_the_largest_client() -> None:
    scenario = scenario_with(AUTO, ON_DEVICE)
    federation = load_federation(scenario)
    largest = max(federation.part_sizes(client)[0] for client in range(len(federation)))
    size = found(scenario)
    assert size <= largest < 2 * size


@pytest.mark.usefixtures("strict")
def test_with_less_room_it_is_less_and_a_run_of_it_fits() -> None:
    scenario = scenario_with(AUTO, ON_DEVICE)
    sizes = [found(scenario, room) for room in (2 << 20, 3 << 20, 8 << 20)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]
    chosen = batch_size.with_batch_size(scenario, sizes[0])
    with limited(used() + (3 << 20)), Simulation(chosen) as simulation:
        simulation.rounds().run()


@pytest.mark.usefixtures("strict")
def test_workers_that_share_a_device_get_less(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = scenario_with(AUTO, ON_DEVICE)
    alone = found(scenario, 3 << 20)
    monkeypatch.setattr(batch_size, "_sharing", lambda engine: 4)
    assert found(scenario, 3 << 20) < alone


@pytest.mark.usefixtures("strict")
def test_where_nothing_fits_that_is_said() -> None:
    with pytest.raises(FedlabError, match=r"client\.batch_size: not even a batch of 2 fits"):
        found(scenario_with(AUTO, ON_DEVICE), 520_000)


@pytest.mark.usefixtures("strict")
def test_the_run_folder_holds_the_size_and_a_resumed_run_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder.create(tmp_path, "run", scenario_with(AUTO, ON_DEVICE, {"rounds": 1}))
    run(folder)
    size = folder.scenario.client.batch_size
    assert isinstance(size, int)
    again = RunFolder.open(folder.path)
    assert again.scenario.client.batch_size == size
    monkeypatch.setattr(batch_size, "found", lambda *_: pytest.fail("it was looked for again"))
    assert run(again).round == 1


PHASES: Changes = {
    "rounds": None,
    "phases": [{"rounds": 1, "trainable": "head"}, {"rounds": 1, "client": {"batch_size": 8}}],
}


@pytest.mark.usefixtures("strict")
def test_phases_share_it_but_for_those_with_a_size_of_their_own() -> None:
    with Simulation(scenario_with(AUTO, ON_DEVICE, PHASES)) as simulation:
        first, second = (phase.client.batch_size for phase in simulation.phases)
        assert isinstance(first, int)
        assert (first > 8, second) == (True, 8)


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"engine": {"micro_batch": 4}}, "with engine.micro_batch any does"),
        ({"engine": {"name": "flower"}}, "the nodes of engine 'flower' read the scenario"),
        (
            {"engine": {"name": "ray", "address": "127.0.0.1:9", "device": "auto"}},
            "workers are on a cluster",
        ),
    ],
)
@pytest.mark.parametrize("begin", [Simulation, rehearse], ids=["run", "check"])
def test_what_leaves_nothing_to_find_is_refused(
    begin: Callable[[Scenario], object], keys: dict[str, Any], reason: str
) -> None:
    with pytest.raises(FedlabError, match=reason):
        begin(scenario_with(AUTO, keys))


def test_folds_shall_have_one_size() -> None:
    with pytest.raises(FedlabError, match="all folds shall have the same one"):
        cross_validate(scenario_with(AUTO), 2)


def test_a_check_says_that_it_is_not_found_yet() -> None:
    assert rehearse(scenario_with(AUTO))[0] == (
        "client.batch_size: 'auto' is found when the run begins; checked with 32"
    )
