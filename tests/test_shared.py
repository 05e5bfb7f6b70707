"""The scenario that tests share."""

from tests.shared import SMALL, raw_with, scenario_with


def test_changes_are_laid_on_the_small_scenario_in_order() -> None:
    found = scenario_with("rounds = 9\nclient.steps = 2", {"rounds": 8}, client="steps = 4", seed=7)
    assert (found.rounds, found.seed, found.client.steps) == (8, 7, 4)  # type: ignore[attr-defined]


def test_a_table_keeps_its_other_keys_and_none_removes_one() -> None:
    raw = raw_with(data={"partition": {"name": "natural", "clients": None}})
    assert raw["data"] == {"name": "digits", "partition": {"name": "natural"}}
    assert SMALL["data"]["partition"] == {"name": "iid", "clients": 3}
