"""Clients without labels: nothing is trained or chosen by theirs, and the target is tested on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fedlab.data.federation import Federation
from fedlab.data.unlabelled import without_labels
from fedlab.errors import FedlabError
from fedlab.run.baselines import run_baselines
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.scenario.parts import load_federation
from tests.shared import raw_with, scenario_with

TURNED = {"data": {"shift": [{"name": "rotation", "strengths": [0, 30, 60]}]}}


def federation(**data: Any) -> Federation:
    return load_federation(scenario_with(TURNED, {"data": data}))


def test_their_labels_are_gone_from_training_and_validation() -> None:
    whole, found = federation(), federation(unlabelled=[1])
    for client in range(3):
        rows = whole.partition.rows(client)
        targets = found.dataset.train.targets[rows]
        wanted = torch.full_like(targets, -100)
        assert torch.equal(targets, wanted if client == 1 else whole.dataset.train.targets[rows])
    training, validation = found.examples(1)
    assert (len(training), len(validation)) == (len(whole.partition.rows(1)), 0)
    assert found.labelled == [0, 2]


def test_what_they_are_tested_on_themselves_keeps_its_labels() -> None:
    found = federation(unlabelled=[1], client_test=0.25)
    own = found.evaluation_examples(1)
    assert len(own) == found.part_sizes(1)[2] == round(0.25 * found.partition.size(1))
    assert int(own.targets.min()) >= 0
    assert len(federation(unlabelled=[1]).evaluation_examples(1)) == 0


def test_the_servers_test_set_is_that_of_their_domain() -> None:
    whole, found = federation(), federation(unlabelled=[2])
    groups = whole.dataset.test.groups
    assert groups is not None
    assert torch.equal(found.dataset.test.inputs, whole.dataset.test.inputs[groups == 2])


def test_pooled_training_is_on_those_with_labels() -> None:
    found = federation(unlabelled=[0], validation=0.0)
    assert found.training_total == len(found.pooled_rows())
    assert set(found.pooled_rows()).isdisjoint(found.partition.rows(0))


def test_without_domains_in_the_test_set_all_of_it_is_tested_on_and_that_is_said() -> None:
    found = load_federation(scenario_with({"data": {"unlabelled": [1]}}))
    assert len(found.dataset.test) == 360
    assert any("the whole of it is tested on" in note for note in found.dataset.notes)


def test_clients_go_by_name_where_they_have_names() -> None:
    own = {"name": "rotated-digits", "partition": {"name": "natural", "clients": None}}
    whole = load_federation(scenario_with({"data": own}))
    name = whole.partition.names[3]
    assert without_labels([name], whole).unlabelled == {3}
    assert without_labels([f"{name[:-1]}?"], whole).unlabelled >= {3}
    with pytest.raises(FedlabError, match=r"data\.unlabelled: unknown client 'nobody'"):
        without_labels(["nobody"], whole)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"unlabelled": [0, 1, 2]}, "no client with labels is left"),
        ({"unlabelled": [3]}, "there is no client 3; they are numbered from 0 to 2"),
        ({"unlabelled": ["usps"]}, "'usps' is a name, and these clients have none"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(data: dict[str, Any], sentence: str) -> None:
    with pytest.raises(FedlabError, match=sentence):
        federation(**data)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"evaluation": {"baselines": ["local"]}}, "'local' lets each client learn alone"),
        ({"client": {"class_weights": "balanced"}}, "counts the labels of all clients"),
        (
            {"data": {"unlabelled": []}, "evaluation": {"baselines": ["source-only"]}},
            "name those without in data.unlabelled",
        ),
    ],
)
def test_what_does_not_go_with_them_is_refused_before_the_first_round(
    tmp_path: Any, change: dict[str, Any], sentence: str
) -> None:
    scenario = scenario_with(TURNED, {"data": {"unlabelled": [1]}}, change)
    with pytest.raises(FedlabError, match=sentence):
        run(RunFolder.create(tmp_path, "run", scenario))


def test_a_run_is_that_of_the_clients_with_labels_and_so_is_source_only(tmp_path: Any) -> None:
    scenario = scenario_with(
        TURNED,
        {"data": {"unlabelled": [2], "validation": 0.0}},
        {"evaluation": {"baselines": ["source-only", "target-supervised"]}, "rounds": 2},
    )
    folder = RunFolder.create(tmp_path, "run", scenario)
    run(folder)
    run_baselines(folder, [])
    rounds = [line["test"] for line in folder.lines("metrics.jsonl")]
    lines = list(folder.lines("baselines.jsonl"))
    bounds = {n: [b["test"] for b in lines if b["baseline"] == n] for n in ("source-only",)}
    assert bounds["source-only"] == rounds
    supervised = [b["test"] for b in lines if b["baseline"] == "target-supervised"]
    assert supervised[0] == rounds[0]
    assert supervised[-1]["loss"] < rounds[-1]["loss"]
    assert all(np.isfinite(line["loss"]) for line in rounds)


def test_a_scenario_keeps_the_keys_of_its_shifts() -> None:
    raw = raw_with(TURNED)
    assert scenario_with(raw).data.shift[0].strengths == (0, 30, 60)
