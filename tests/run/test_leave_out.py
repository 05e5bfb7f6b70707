"""Leaving each domain out in turn: whose data are trained on, and what is tested."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fedlab.data.federation import domains_of, of_clients
from fedlab.errors import FedlabError
from fedlab.run.crossval import leave_one_domain_out
from fedlab.run.simulation import Simulation
from fedlab.scenario.parts import load_federation
from tests.shared import scenario_with

TURNED: dict[str, Any] = {
    "rounds": 2,
    "data": {
        "train_examples": 120,
        "partition": {"clients": 4},
        "shift": [{"name": "rotation", "strengths": [0, 45]}],
    },
    "evaluation": {"test_examples": None},
}


def test_clients_of_one_shift_are_one_domain() -> None:
    found = domains_of(load_federation(scenario_with(TURNED)))
    assert found == {"rotation 0°": [0, 2], "rotation 45°": [1, 3]}


def test_without_groups_each_client_is_a_domain() -> None:
    plain = {"data": {"partition": {"clients": 3}}}
    assert domains_of(load_federation(scenario_with(plain))) == {"0": [0], "1": [1], "2": [2]}


def test_a_domain_is_tested_whole_by_the_last_round_of_the_others_run() -> None:
    scenario = scenario_with(TURNED)
    result = leave_one_domain_out(scenario)
    assert [fold.left_out for fold in result.folds] == ["rotation 0°", "rotation 45°"]
    assert [fold.test_examples for fold in result.folds] == [60, 60]
    assert result.rounds == 2
    whole = load_federation(scenario)
    others = of_clients(whole, [1, 3])
    rows = torch.from_numpy(whole.partition.rows(0)), torch.from_numpy(whole.partition.rows(2))
    held = whole.dataset.train.take(torch.cat(rows).sort().values)
    from dataclasses import replace

    with Simulation(scenario, replace(others, dataset=replace(others.dataset, test=held))) as s:
        rounds = s.rounds()
        rounds.run()
        assert result.folds[0].test == rounds.evaluation().compute()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"data": {"partition": {"clients": 1}}}, "all clients are of one domain"),
        ({"data": {"unlabelled": [1]}}, "so all need their labels"),
    ],
)
def test_what_cannot_be_left_out_is_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(FedlabError, match=sentence):
        leave_one_domain_out(scenario_with(TURNED, change))
