"""Runs are grouped by what is learnt, and named by what differs."""

import tomllib
from pathlib import Path

import pytest

from fedlab.results.reading import RunRecord
from fedlab.results.rows import ScenarioOutline
from fedlab.results.run_groups import distinguishing, groups_of

BASE = """seed = {seed}
title = "{title}"
[strategy]
name = "{strategy}"
{strategy_keys}
[client.optimizer]
name = "sgd"
lr = {lr}
[engine]
name = "{engine}"
"""


def record(place: int, **keys: object) -> RunRecord:
    filled = {
        **{"seed": 1, "title": f"run {place}", "strategy": "fedavg", "strategy_keys": ""},
        **{"lr": 0.1, "engine": "ray", **keys},
    }
    text = BASE.format(**filled)
    outline = ScenarioOutline.model_validate(tomllib.loads(text))
    return RunRecord(path=Path(f"run-{place}"), scenario_text=text, scenario=outline)


def test_runs_that_differ_by_seed_title_and_engine_are_one_setting() -> None:
    runs = [record(0, seed=4), record(1, seed=2, engine="inline"), record(2, seed=3, lr=0.5)]
    first, second = groups_of(runs)
    assert [r.path.name for r in first.records] == ["run-1", "run-0"]
    assert first.by_seed([0.2, 0.4]) == {2: 0.2, 4: 0.4}
    assert (first.name, second.name) == ("lr=0.1", "lr=0.5")
    assert second.keys == {"client.optimizer.lr": 0.5}


def test_an_algorithm_goes_by_its_name_and_not_by_each_default_of_its_own() -> None:
    adam = {"strategy": "fedadam", "strategy_keys": "eta = 0.01\nbeta_1 = 0.9"}
    runs = [record(0), record(1, **adam), record(2, **adam | {"strategy_keys": "eta = 0.1"})]
    names = [group.name for group in groups_of(runs)]
    assert names == ["fedavg", "fedadam, eta=0.01, beta_1=0.9", "fedadam, eta=0.1"]


def test_the_same_run_twice_is_no_repetition() -> None:
    groups = groups_of([record(0), record(1)])
    assert [group.name for group in groups] == ["run-0", "run-1"]


@pytest.mark.parametrize(
    ("contents", "keys"),
    [
        ([{"a.x": 1}, {"a.x": 1}], []),
        ([{"a.x": 1}, {"a.x": 2}], ["a.x"]),
        ([{"a.name": "p", "a.x": 1}, {"a.name": "q", "a.y": 1}], ["a.name"]),
        ([{"a.name": "p", "a.x": 1}, {"a.name": "p"}], ["a.x"]),
    ],
)
def test_keys_that_tell_settings_apart(contents: list[dict[str, object]], keys: list[str]) -> None:
    assert distinguishing(contents) == keys
