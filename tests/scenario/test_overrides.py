"""``--set``: keys laid on a scenario, taken out of it, and entries of lists."""

from __future__ import annotations

import pytest
import tomli_w

from fedlab.errors import FedlabError
from fedlab.scenario import load
from fedlab.scenario.loading import changed, overridden, read_table
from tests.shared import raw_with

FULL = {
    "rounds": 2,
    "data": {"name": "digits", "augmentation": {"flip": True, "further": [{"name": "crop"}]}},
    "model": {"name": "mlp", "hidden": [4], "personal": "head"},
    "client": {"batch_size": 8},
    "updates": [{"name": "top-k", "fraction": 0.5}, {"name": "float16"}],
    "evaluation": {"baselines": ["local"], "early_stopping": {"patience": 3}},
    "engine": {"name": "ray", "workers": 3},
}


@pytest.fixture
def scenario(tmp_path, monkeypatch):
    path = tmp_path / "full.toml"
    path.write_text(tomli_w.dumps(raw_with(FULL)))
    monkeypatch.chdir(tmp_path)
    return lambda *overrides: load(str(path), overrides)


@pytest.mark.parametrize("word", ["none", "null", "None", " none "])
def test_a_table_that_may_be_left_out_is_taken_out(scenario, word) -> None:
    assert scenario().data.augmentation is not None
    assert scenario(f"data.augmentation={word}").data.augmentation is None
    assert scenario(f"evaluation.early_stopping={word}").evaluation.early_stopping is None


def test_lists_and_their_entries_are_taken_out(scenario) -> None:
    assert scenario("updates=none").updates == ()
    assert scenario("evaluation.baselines=none").evaluation.baselines == ()
    assert [table.name for table in scenario("updates.0=none").updates] == ["float16"]
    assert scenario("updates.0=none", "updates.1=none").updates == ()
    assert scenario("data.augmentation.further=none").data.augmentation.further == ()


def test_entries_of_lists_are_reached_by_number(scenario) -> None:
    assert scenario("updates.0.fraction=0.25").updates[0].fraction == 0.25
    appended = scenario("updates.2.name=bfloat16", "updates.1=none")
    assert [table.name for table in appended.updates] == ["top-k", "bfloat16"]


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("updates.5.norm=1", "updates.5: the list 'updates' has entries 0 to 1; a new one is nu"),
        ("updates.norm=1", "updates: a list belongs here, not {'norm': 1}"),
        ("data.augmentaton=none", "data.augmentaton: there is no such key. Did you mean 'augm"),
        ("client.epochs=none", "client.epochs: a whole number belongs here, not 'none'"),
        ("client.batch_size=none", "client.batch_size: a whole number or 'auto' belongs here, not"),
        ("rounds=null", "rounds: a whole number belongs here, not 'null'"),
        ("data=none", "[data] is missing"),
        ("evaluation.baselines.0=none.", "evaluation.baselines.0: 'none.' is none of"),
    ],
)
def test_what_cannot_be_left_out_is_said(scenario, override, sentence) -> None:
    with pytest.raises(FedlabError) as caught:
        scenario(override)
    assert sentence in str(caught.value)


def test_where_none_is_a_value_of_a_key_it_is_that_value(scenario) -> None:
    assert scenario().model.personal == "head"
    assert scenario("model.personal=none").model.personal == "none"
    assert scenario('title="none"').title == "none"
    assert scenario("title=none").title == "none"


def test_a_number_that_may_be_left_out_goes_back_to_its_default(scenario) -> None:
    assert scenario("engine.workers=none").engine.workers == scenario("engine=none").engine.workers


def test_every_way_to_override_takes_out(scenario, tmp_path) -> None:
    raw = overridden(raw_with(FULL), ["data.augmentation=none"])
    assert "augmentation" not in raw["data"]
    assert changed(scenario(), ["evaluation.early_stopping=none"]).evaluation.early_stopping is None
    path = str(tmp_path / "full.toml")
    assert read_table(path, "engine", ["engine.workers=none"]) == {"name": "ray"}
    assert read_table(path, "engine", ["engine=none"]) is None
