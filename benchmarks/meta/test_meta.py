"""The page of meta-learning has a row for each run, and its scenarios exist."""

import pytest

from benchmarks.meta.__main__ import ROWS, page
from fedlab.scenario import load

ROW = {"rounds": 3, "after": {"0": 0.21, "5": 0.5}, "bytes": 2_000_000, "processor_seconds": 4.6}


def test_a_row_says_what_new_clients_reach_and_at_what_cost() -> None:
    text = page({"omniglot-maml": ROW, "sinusoids-maml": ROW})
    assert "| FedMeta, MAML, 1 shot | 3 | 21.0 % | 50.0 % | 2.0 | 5 |" in text
    assert "| FedMeta, MAML | 3 | 0.21 | 0.50 | 2.0 | 5 |" in text


@pytest.mark.parametrize("row", ROWS)
def test_every_row_is_a_scenario_with_its_overrides(row: str) -> None:
    scenario, _, overrides = ROWS[row]
    assert load(scenario, overrides).evaluation.unseen_clients
