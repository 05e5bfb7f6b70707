"""Options that several commands have."""

from __future__ import annotations

import pytest

from fedlab.cli.options import with_rounds
from fedlab.errors import FedlabError


def test_rounds_are_an_override_after_all_others() -> None:
    assert with_rounds(None, None) == []
    assert with_rounds(["seed=1"], 5) == ["seed=1", "rounds=5"]


def test_rounds_of_a_scenario_with_phases_are_those_of_its_last_one() -> None:
    assert with_rounds([], 7, [2, 3]) == ["rounds=7", "phases.1.rounds=5"]
    with pytest.raises(FedlabError, match="the phases before the last one have 2 rounds"):
        with_rounds([], 2, [2, 3])
