"""A check refuses what a run would refuse, by the same code, and fetches nothing."""

from __future__ import annotations

import os

import pytest

from fedlab.cli import check as check_command
from fedlab.errors import AssetMissing, FedlabError
from fedlab.models import building
from fedlab.run import rehearsal
from fedlab.run.rehearsal import rehearse
from fedlab.run.simulation import Simulation
from tests.shared import Changes, scenario_with

REFUSED: dict[str, Changes] = {
    "more clients than examples": "data.partition.clients = 5000",
    "more classes than there are": "data.partition = {name = 'pathological', clients = 3, "
    "classes_per_client = 11}",
    "natural clients of none": {"data": {"partition": {"name": "natural", "clients": None}}},
    "a picture model for a table": {
        "data": {"name": "iris"},
        "model": {"name": "lenet"},
    },
    "a kernel larger than the picture": "model = {name = 'cnn', layers = [{channels = 2, "
    "kernel_size = 9}]}",
    "nothing to train": "model.trainable = 'last:9'",
    "an unknown metric": "evaluation.early_stopping = {metric = 'acuracy', patience = 2}",
    "a client without its strategy": "client.name = 'scaffold'",
    "federated evaluation on nothing": "evaluation.federated = true\ndata.validation = 0",
    "a cohort of more than all": "strategy.min_train_nodes = 9",
    "a model of many gigabytes": "model.hidden = [65536, 65536, 65536, 65536]",
    "a tag that timm does not have": "model = {name = 'resnet10t.nowhere'}",
}


def changed(change: Changes) -> object:
    base: dict[str, object] = {}
    if isinstance(change, str) and "model = {" in change:
        base["model"] = None
    return scenario_with(base, change)


@pytest.mark.parametrize("case", REFUSED)
def test_a_check_refuses_what_a_run_refuses(case: str) -> None:
    scenario = changed(REFUSED[case])
    with pytest.raises(FedlabError) as checked:
        rehearse(scenario)
    with pytest.raises(FedlabError) as ran:
        Simulation(scenario)
    assert str(checked.value) == str(ran.value)


def test_what_runs_is_valid() -> None:
    assert rehearse(scenario_with()) == []


def test_missing_data_are_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(scenario: object) -> None:
        assert os.environ["FEDLAB_OFFLINE"] == "1"
        raise AssetMissing("digits is not on this machine")

    monkeypatch.delenv("FEDLAB_OFFLINE", raising=False)
    monkeypatch.setattr(rehearsal, "load_federation", missing)
    (said,) = rehearse(scenario_with())
    assert said.startswith("data.name: 'digits' is not at hand")
    assert "FEDLAB_OFFLINE" not in os.environ


def test_missing_weights_are_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise AssetMissing(f"{name} is not on this machine")

    monkeypatch.setattr(building.assets, "weights", missing)
    scenario = scenario_with(
        {"model": None},
        "model = {name = 'resnet10t', pretrained = true, image_size = 32}",
    )
    said, *_ = rehearse(scenario)
    assert said.startswith("model.pretrained: the weights are not at hand")


def test_the_command_says_what_was_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rehearsal, "rehearse", lambda scenario: ["something is not at hand"])
    check_command.check("fedavg", ["rounds=1"])
    printed = capsys.readouterr()
    assert printed.out == "fedavg is a valid scenario.\n"
    assert printed.err == "note: something is not at hand\n"
