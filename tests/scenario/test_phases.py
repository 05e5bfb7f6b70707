"""Phases in a scenario: their keys, their rounds, and the scenario that each stands for."""

from __future__ import annotations

from typing import Any

import pytest

from fedlab.errors import FedlabError
from fedlab.scenario import dumps, loads
from fedlab.scenario.loading import changed
from fedlab.scenario.phases import phase_at, phases_of
from tests.shared import scenario_with

TWO = """
[client]
batch_size = 8
optimizer = { name = "sgd", momentum = 0.9, lr = 0.2 }
[data.augmentation]
crop_padding = 1
[[phases]]
name = "head"
rounds = 2
trainable = "head"
augmentation = false
client = { epochs = 3, optimizer = { name = "adamw" } }
[[phases]]
rounds = 3
dropout = 0.5
client = { optimizer = { lr = 0.1 } }
"""


def two(*more: Any) -> Any:
    return scenario_with({"rounds": None}, TWO, *more)


def test_the_rounds_of_all_phases_are_the_runs() -> None:
    assert two().rounds == 5
    assert two("rounds = 5").rounds == 5
    with pytest.raises(FedlabError, match=r"rounds: 7 is not the rounds of all phases, 2 \+ 3 = 5"):
        two("rounds = 7")


def test_a_phase_is_a_scenario_of_its_own_rounds() -> None:
    head, rest = phases_of(two())
    assert (head.first_round, head.rounds, head.own_rounds) == (1, 2, 2)
    assert (rest.first_round, rest.rounds, rest.own_rounds) == (3, 5, 3)
    assert (head.model.trainable, rest.model.trainable) == ("head", "all")
    assert (head.model.dropout, rest.model.dropout) == (0.0, 0.5)
    assert head.data.augmentation is None
    assert rest.data.augmentation is not None
    assert [phase_at((head, rest), r) for r in (0, 1, 2, 3, 5)] == [0, 0, 0, 1, 1]


def test_what_a_phase_does_not_say_is_as_in_the_client_table() -> None:
    head, rest = phases_of(two())
    assert (head.client.batch_size, head.client.epochs) == (8, 3)
    assert (rest.client.batch_size, rest.client.epochs) == (8, 1)
    assert (rest.client.optimizer.momentum, rest.client.optimizer.lr) == (0.9, 0.1)


def test_another_optimiser_takes_nothing_from_the_client_tables() -> None:
    optimizer = phases_of(two())[0].client.optimizer
    assert (optimizer.name, optimizer.lr, optimizer.momentum) == ("adamw", 0.001, 0.0)


def test_a_phase_and_the_whole_are_the_same_after_they_travelled_as_text() -> None:
    whole = two()
    for scenario in (whole, *phases_of(whole), *phases_of(loads(dumps(whole)))):
        assert dumps(loads(dumps(scenario))) == dumps(scenario)


def test_a_scenario_without_phases_is_its_only_one() -> None:
    scenario = scenario_with()
    assert phases_of(scenario) == (scenario,)
    assert (scenario.first_round, scenario.own_rounds) == (1, 3)


def test_rounds_laid_over_phases_are_the_last_ones_rest() -> None:
    assert [phase.rounds for phase in changed(two(), ["rounds=9"]).phases] == [2, 7]
    assert changed(two(), ["phases.0.rounds=4"]).rounds == 7
    with pytest.raises(FedlabError, match="rounds: 2 is not the rounds of all phases"):
        changed(two(), ["rounds=2"])


def test_set_reaches_into_a_list_by_number() -> None:
    scenario = changed(two(), ["phases.1.client.optimizer.lr=0.5"])
    assert scenario.phases[1].client.optimizer.lr == 0.5
    assert scenario.phases[0].rounds == 2


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"phases": 3}, "phases: a list belongs here, not 3"),
        ({"phases": [3]}, "phases.0: a table belongs here, not 3"),
        ({"phases": [{}]}, "phases.0.rounds is missing"),
        ({"phases": [{"rounds": 0}]}, "phases.0.rounds: it must be at least 1, not 0"),
        ({"phases": [{"rounds": "two"}]}, "phases.0.rounds: a whole number belongs here"),
        ({"phases": [{"rounds": 1, "trainble": "head"}]}, "Did you mean 'trainable'?"),
        (
            {"phases": [{"rounds": 1, "client": {"lr": 1}}]},
            "phases.0.client.lr: there is no such key",
        ),
        ({"phases": [{"rounds": 1, "client": {"name": "x"}}]}, "phases.0.client.name: unknown"),
        (
            {"phases": [{"rounds": 1, "client": {"optimizer": {"name": "sgdd"}}}]},
            "phases.0.client.optimizer.name: 'sgdd' is none of",
        ),
    ],
)
def test_what_is_wrong_is_said_once(more: Any, sentence: str) -> None:
    with pytest.raises(FedlabError) as raised:
        scenario_with({"rounds": None}, more)
    assert sentence in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_what_is_wrong_in_the_client_table_is_not_said_for_every_phase() -> None:
    with pytest.raises(FedlabError) as raised:
        two("client.batch_size = 0")
    assert str(raised.value) == "scenario: client.batch_size: it must be at least 1, not 0"
