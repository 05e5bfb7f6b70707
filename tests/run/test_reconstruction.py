"""A task without labels, from the scenario to the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedlab.data.dataset import Task
from fedlab.engine.features.cache import CannotCache, split_network
from fedlab.errors import FedlabError
from fedlab.models.network import build_network
from fedlab.results.report.page import write_report
from fedlab.run.baselines import run_baselines
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.simulation import Simulation
from fedlab.scenario import Scenario
from fedlab.scenario.parts import load_dataset, load_federation, task_of
from fedlab.use.evaluate import evaluate_trained
from fedlab.use.loading import load_trained
from fedlab.use.predict import predict
from tests.shared import scenario_with
from tests.stopping import StopAfter

CODES: dict[str, Any] = {
    "rounds": 3,
    "data": {"task": "reconstruction", "client_test": 0.1, "train_examples": 300},
    "model": {"name": "autoencoder", "hidden": [16], "code": 4},
    "client": {"epochs": 2, "optimizer": {"name": "adam", "lr": 0.005}},
    "evaluation": {"federated": True},
}


def scenario(*changes: Any) -> Scenario:
    return scenario_with(CODES, *changes)


def finished(parent: Path, *changes: Any) -> RunFolder:
    folder = RunFolder.create(parent, "codes", scenario(*changes))
    run(folder)
    return folder


def read(folder: RunFolder, name: str) -> Any:
    return json.loads((folder.path / name).read_text())


@pytest.fixture(scope="module")
def codes(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Return the folder of a finished run with baselines."""
    parent = tmp_path_factory.mktemp("codes")
    folder = finished(parent, {"evaluation": {"baselines": ["centralised", "local"]}})
    run_baselines(folder, [])
    return folder


def test_the_error_falls_below_that_of_the_mean_picture(codes: RunFolder) -> None:
    dataset = load_federation(codes.scenario).dataset
    train, test = (part.inputs.float() / 255 for part in (dataset.train, dataset.test))
    mean_picture = (test - train.mean(0)).square().mean().sqrt().item()
    longer = finished(codes.path.parent, {"rounds": 12})
    assert read(longer, "summary.json")["test"]["rmse"] < 0.95 * mean_picture


def test_loss_and_error_are_those_of_the_test_pictures(codes: RunFolder) -> None:
    trained, test = load_trained(codes.path), load_dataset(codes.scenario).test
    error = trained.outputs(test.inputs) - test.inputs.flatten(1) / 255
    told = read(codes, "summary.json")["test"]
    assert list(told) == ["loss", "rmse"]
    assert told["loss"] == pytest.approx(error.square().mean().item(), rel=1e-5)
    assert told["rmse"] == pytest.approx(told["loss"] ** 0.5)
    assert evaluate_trained(trained).compute() == pytest.approx(told)


def test_clients_and_baselines_have_the_same_metrics(codes: RunFolder) -> None:
    assert set(read(codes, "summary.json")["clients"]) >= {"loss", "rmse"}
    lines = list(codes.lines("baselines.jsonl"))
    assert {line["baseline"] for line in lines} == {"centralised", "local"}
    assert all(list(line["test"]) == ["loss", "rmse"] for line in lines)
    assert all(set(line["own"]) == {"loss", "rmse"} for line in lines if "client" in line)


def test_the_run_folder_knows_no_classes(codes: RunFolder) -> None:
    assert not (codes.path / "confusion.json").exists()
    assert read(codes, "task.json")["kind"] == "reconstruction"
    assert read(codes, "task.json")["labels"] == []
    assert "counts" not in read(codes, "partition.json")


def test_its_report_can_be_written(codes: RunFolder) -> None:
    page = write_report(codes.path).read_text()
    assert "root mean squared error" in page
    assert "onfusion" not in page


def test_predict_refuses_and_evaluate_serves(codes: RunFolder) -> None:
    with pytest.raises(FedlabError, match="predict does not serve reconstruction tasks yet"):
        list(predict(load_trained(codes.path), ["picture.png"]))
    with pytest.raises(FedlabError, match="this run's task is reconstruction on image inputs"):
        evaluate_trained(load_trained(codes.path), codes.path)


def test_labels_decide_the_split_and_nothing_else() -> None:
    skewed = {"data": {"partition": {"name": "dirichlet", "clients": 3, "alpha": 0.1}}}
    plain = load_federation(scenario(skewed, {"data": {"task": "own"}}))
    posed = load_federation(scenario(skewed))
    for client in range(3):
        for found, wanted in zip(posed.rows(client), plain.rows(client), strict=True):
            assert np.array_equal(found, wanted)
    ends = []
    for labels in (posed.dataset.train.targets, torch.full((300,), 7)):
        posed.dataset.train.__dict__["targets"] = labels
        with Simulation(scenario(skewed), posed) as simulation:
            rounds = simulation.rounds()
            rounds.run()
            ends.append((rounds.weights.clone(), rounds.evaluation().compute()))
    assert torch.equal(ends[0][0], ends[1][0])
    assert ends[0][1] == ends[1][1]


def test_ray_and_a_resumed_run_end_in_the_same_bits(codes: RunFolder, tmp_path: Path) -> None:
    whole = read(codes, "summary.json")
    stopped = RunFolder.create(tmp_path, "stopped", scenario())
    run(stopped, [StopAfter(1)])
    assert read(stopped, "summary.json")["status"] == "stopped"
    run(RunFolder.open(stopped.path))
    spread = finished(tmp_path, {"engine": {"name": "ray", "workers": 2}})
    for folder in (stopped, spread):
        found = read(folder, "summary.json")
        assert found["weights_sha256"] == whole["weights_sha256"]
        assert found["test"] == whole["test"]


def test_neither_stacked_nor_cached(codes: RunFolder) -> None:
    assert read(codes, "summary.json")["engine"]["vectorised"] == "targets are made of the inputs"
    asked: Any = scenario({"model": {"trainable": "head"}})
    federation = load_federation(asked)
    network = build_network(asked.model, federation.dataset.task, 0)
    with pytest.raises(CannotCache, match="targets are made of the inputs"):
        split_network(asked, network, federation)


def test_early_stopping_knows_the_metrics(tmp_path: Path) -> None:
    watched = {"evaluation": {"early_stopping": {"metric": "rmse", "threshold": 0.4}}}
    folder = finished(tmp_path, watched)
    assert "rmse reached" in read(folder, "summary.json")["reason"]
    wrong = {"evaluation": {"early_stopping": {"metric": "accuracy", "patience": 2}}}
    with pytest.raises(FedlabError, match=r"unknown metric 'accuracy'\. Known: loss, rmse"):
        Simulation(scenario(wrong))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model": {"name": "mlp", "code": None}}, "task is reconstruction; take autoencoder"),
        ({"data": {"task": "own"}}, "serves reconstruction, and the data set's task is classif"),
        ({"data": {"augmentation": {"mixup": 0.5}}}, "mixup: it mixes numbers with one target"),
        ({"client": {"criterion": "cross-entropy"}}, "cross-entropy needs classes"),
        (
            {"attack": {"name": "label-flip", "fraction": 0.4}},
            "needs a classification task, and this is reconstr",
        ),
    ],
)
def test_what_needs_labels_is_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(FedlabError) as caught:
        Simulation(scenario(change))
    assert sentence in str(caught.value)


def test_text_cannot_be_reconstructed() -> None:
    text = Task("next-token", "text", (5,), 30, vocabulary=30)
    with pytest.raises(FedlabError, match=r"data\.task: 'reconstruction' compares numbers"):
        task_of(scenario(), text)


def test_a_pictures_changes_are_reconstructed_too(tmp_path: Path) -> None:
    folder = finished(tmp_path, {"rounds": 1, "data": {"augmentation": {"flip": True}}})
    assert read(folder, "summary.json")["status"] == "finished"
