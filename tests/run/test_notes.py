"""Whatever a scenario asks and cannot get is said before the first round."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fedlab.run.callbacks import Callback, RunView
from fedlab.run.crossval import cross_validate
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.simulation import Simulation
from fedlab.scenario.parts import load_federation
from tests.shared import scenario_with

IRIS = {"rounds": 2, "data": {"name": "iris"}, "model": {"hidden": [4]}}
SMALL_CLIENTS = {"data": {"partition": {"clients": 40}}}


def notes(*changes: object) -> list[str]:
    with Simulation(scenario_with(IRIS, *changes)) as simulation:
        return simulation.notes


def test_a_plain_scenario_has_no_notes() -> None:
    assert notes() == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            "evaluation.federated = true",
            "no client has a validation example: federated evaluation has nothing to look at; "
            "raise data.validation, or ask for fewer clients",
        ),
        (
            "evaluation.federated = true\ndata.client_test = 0.1",
            "no client has a test example: federated evaluation has nothing to look at; "
            "raise data.client_test, or ask for fewer clients",
        ),
        (
            "client.early_stopping.patience = 1\nclient.epochs = 3",
            "no client has a validation example: client.early_stopping has nothing to look at; "
            "raise data.validation, or ask for fewer clients",
        ),
    ],
)
def test_parts_without_examples_are_told(changes: str, sentence: str) -> None:
    assert notes(SMALL_CLIENTS, changes) == [sentence]


def test_some_clients_without_examples_are_counted() -> None:
    partition = 'data.partition = {name = "dirichlet", alpha = 0.5, clients = 10, min_size = 1}'
    (note,) = notes(partition, "evaluation.federated = true")
    assert note.endswith(
        "of 10 clients have no validation example: federated evaluation has nothing to look at "
        "there; raise data.validation, or ask for fewer clients"
    )


@pytest.mark.parametrize(
    ("changes", "begin"),
    [
        ("evaluation.every = 3", "evaluation.every = 3 is more than rounds = 2"),
        ("evaluation.early_stopping.patience = 2", "evaluation.early_stopping.patience = 2 cannot"),
        ("evaluation.minimum_replies = 4", "evaluation.minimum_replies = 4 is more than a cohort"),
        ('evaluation.baselines = ["random"]', "evaluation.baselines: 'random' is the run itself"),
        ("data.train_examples = 999", "data.train_examples = 999 is more than there are: all 120"),
        ("evaluation.test_examples = 31", "evaluation.test_examples = 31 is more than there are"),
        ("data.public.examples = 9", "data.public: strategy 'fedavg' does not look at public"),
        ("data.augmentation = {}", "data.augmentation changes nothing"),
        (
            "data.augmentation.mixup = 1.0\nclient.batch_size = 1",
            "data.augmentation.mixup has nothing to mix",
        ),
        ('model.batch_norm = "frozen"', "model.batch_norm = 'frozen': 'mlp' has no batch norm"),
        ("client = {steps = 3, epochs = 4}", "client.epochs = 4: client.steps = 3 takes its place"),
        ('client.schedule = {name = "step", every = 2}', "client.schedule: the rate does not"),
        (
            'client.schedule.name = "cosine"\nrounds = 3\n'
            "[[phases]]\nrounds = 2\n[[phases]]\nrounds = 1",
            "phases.1: client.schedule: the rate does not change within 1 round",
        ),
        (
            'client.optimizer = {name = "adam", momentum = 0.5}',
            "client.optimizer.momentum: 'adam' has no such key",
        ),
        ("client.optimizer.betas = [0.5, 0.5]", "client.optimizer.betas: 'sgd' has no such key"),
    ],
)
def test_a_key_without_effect_is_told(changes: str, begin: str) -> None:
    (note,) = notes(changes)
    assert note.startswith(begin)


def test_early_stopping_of_clients_needs_epochs() -> None:
    (note,) = notes("client.early_stopping.patience = 3\nclient.epochs = 3")
    assert note.startswith("client.early_stopping.patience = 3 cannot end 3 epochs early")


class Told(Callback):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def noted(self, notes: Sequence[str]) -> None:
        self.heard += notes

    def started(self, run: RunView) -> None:
        self.heard.append("started")


def test_the_notes_of_a_data_set_come_first_and_are_kept(tmp_path: Path) -> None:
    scenario = scenario_with(IRIS, "evaluation.every = 9")
    federation = load_federation(scenario)
    noted = replace(federation, dataset=replace(federation.dataset, notes=("3 files left out",)))
    folder, told = RunFolder.create(tmp_path, "noted", scenario), Told()
    run(folder, [told], lambda _: Simulation(scenario, noted))
    assert told.heard[0] == "3 files left out"
    assert told.heard[2] == "started"
    kept = json.loads((folder.path / "notes.json").read_text())
    assert kept == {"notes": told.heard[:2]}


def test_a_cross_validation_tells_them_once() -> None:
    told = Told()
    cross_validate(scenario_with(IRIS, "evaluation.every = 9"), 2, [told])
    assert len(told.heard) == 1


def test_augmentation_over_a_frozen_part_is_said_to_cost_the_cache() -> None:
    frozen = {"data": {"name": "digits"}, "model": {"hidden": [8], "trainable": "head"}}
    assert not any("augmentation" in note for note in notes(frozen))
    (said,) = notes(frozen, {"data": {"augmentation": {"flip": True}}})
    assert said.startswith("data.augmentation changes pictures at random, so that the frozen ")
    assert "(--set data.augmentation=none)" in said
    whole = {"data": {"augmentation": {"flip": True}}, "model": {"trainable": "all"}}
    assert notes(frozen, whole) == []


def test_what_is_said_of_evaluation_is_said_of_the_whole_run() -> None:
    phases = "[[phases]]\nrounds = 2\n[[phases]]\nrounds = 6"
    stopping = "evaluation.early_stopping.patience = 3"
    assert notes({"rounds": None}, stopping, phases) == []
    (note,) = notes({"rounds": None}, "evaluation.early_stopping.patience = 6", phases)
    assert note == (
        "evaluation.early_stopping.patience = 6 cannot end a last phase of 6 evaluated rounds "
        "early; lower it, or raise rounds"
    )
    assert notes({"rounds": None}, "evaluation.every = 3", phases) == []
    (note,) = notes({"rounds": None}, "evaluation.every = 9", phases)
    assert note == (
        "evaluation.every = 9 is more than rounds = 8: the model is evaluated before the first "
        "round and after the last one of each phase only"
    )
