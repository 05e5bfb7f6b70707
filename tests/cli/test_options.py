"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
import typer

from fedlab.cli import _add_commands, app
from fedlab.cli.options import with_rounds
from fedlab.errors import FedlabError
from fedlab.scenario.loading import changed
from tests.shared import scenario_with

PHASES = {"rounds": None, "phases": [{"rounds": 2}, {"rounds": 3}]}


def test_rounds_are_an_override_after_all_others() -> None:
    assert with_rounds(None, None) == []
    assert with_rounds(["seed=1"], 5) == ["seed=1", "rounds=5"]


@pytest.mark.parametrize(("overrides", "rounds"), [([], [2, 5]), (["phases.0.rounds=4"], [4, 3])])
def test_rounds_of_a_scenario_with_phases_are_those_of_its_last_one(
    overrides: list[str], rounds: list[int]
) -> None:
    longer = changed(scenario_with(PHASES), with_rounds(overrides, 7))
    assert longer.rounds == 7
    assert [phase.rounds for phase in longer.phases] == rounds


def test_rounds_that_the_phases_before_the_last_one_take_up_are_too_few() -> None:
    sentence = r"rounds: 2 is not .*, 2 \+ 3 = 5 \(the phases before the last one have 2 rounds\)"
    with pytest.raises(FedlabError, match=sentence):
        changed(scenario_with(PHASES), with_rounds([], 2))


def commands(command: click.Command, name: str = "fedlab") -> Iterator[tuple[str, click.Command]]:
    """Yield a command and those below it, with their names."""
    yield name, command
    for key, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{name} {key}")


def test_what_is_written_is_named_by_the_same_letter_in_every_command() -> None:
    _add_commands()
    found = {
        name: parameter.opts
        for name, command in commands(typer.main.get_command(app))
        for parameter in command.params
        if "--output" in parameter.opts
    }
    assert len(found) > 10
    assert {name: opts for name, opts in found.items() if "-o" not in opts} == {}
