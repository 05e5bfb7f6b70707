"""Phases in a scenario: their keys, their rounds, and the scenario that each stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedlab.errors import FedlabError
from fedlab.scenario import dumps, load, loads
from fedlab.scenario.loading import changed
from fedlab.scenario.phases import evaluated_rounds, phase_at, phases_of
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


def test_a_phase_whose_rounds_are_laid_over_with_those_of_the_run_keeps_them() -> None:
    longer = changed(two(), ["rounds=9", "phases.1.rounds=7"])
    assert [phase.rounds for phase in longer.phases] == [2, 7]
    with pytest.raises(
        FedlabError, match=r"rounds: 9 is not the rounds of all phases, 2 \+ 4 = 6;"
    ):
        changed(two(), ["rounds=9", "phases.1.rounds=4"])


def test_rounds_go_to_the_last_phase_that_is_left_or_added() -> None:
    shorter = changed(two(), ["rounds=9", "phases.1=none"])
    assert [phase.rounds for phase in shorter.phases] == [9]
    longer = changed(two(), ["rounds=9", "phases.2.dropout=0.2"])
    assert [phase.rounds for phase in longer.phases] == [2, 3, 4]


def test_a_run_whose_phases_are_taken_out_keeps_its_rounds() -> None:
    scenario = changed(two(), ["phases=none"])
    assert (scenario.rounds, scenario.phases) == (5, ())


def test_other_keys_of_a_phase_leave_a_mistake_in_the_rounds_to_be_found(tmp_path: Path) -> None:
    path = tmp_path / "two.toml"
    path.write_text(dumps(two()).replace("rounds = 5", "rounds = 7"))
    with pytest.raises(FedlabError, match="rounds: 7 is not the rounds of all phases"):
        load(str(path), ["phases.0.client.epochs=2"])


def test_a_scenario_that_extends_one_of_phases_changes_its_rounds(tmp_path: Path) -> None:
    (tmp_path / "two.toml").write_text(dumps(two()))
    path = tmp_path / "more.toml"
    path.write_text('extends = "two.toml"\nrounds = 9\n[phases.0]\nrounds = 4\n')
    assert [phase.rounds for phase in load(str(path)).phases] == [4, 5]


def test_a_phase_can_be_without_a_key_of_the_client_table() -> None:
    stopping = {"client": {"early_stopping": {"patience": 2}}}
    first, second = changed(two(stopping), ["phases.1.client.early_stopping=none"]).phases
    assert first.client.early_stopping.patience == 2
    assert second.client.early_stopping is None


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


def test_the_last_round_of_each_phase_is_evaluated() -> None:
    assert evaluated_rounds(two("evaluation.every = 3")) == {2, 3, 5}
    assert evaluated_rounds(scenario_with("rounds = 7\nevaluation.every = 3")) == {3, 6, 7}
