"""Clients that never train are evaluated after steps of their own, whatever the algorithm."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.sanity.parts import ALGORITHMS, STRATEGIES
from fedlab.data.unseen import support_of
from fedlab.errors import FedlabError
from fedlab.results.reading import RunRecord
from fedlab.results.report.sections import sections
from fedlab.results.unseen import unseen_figures
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.simulation import Simulation
from fedlab.scenario import Scenario
from tests.shared import scenario_with
from tests.stopping import StopAfter

BASE = {
    "rounds": 2,
    "data": {
        "name": "iris",
        "validation": 0.0,
        "client_test": 0.3,
        "partition": {"name": "dirichlet", "clients": 8, "alpha": 1.0, "min_size": 8},
    },
    "model": {"hidden": [4]},
    "client": {"batch_size": 8, "optimizer": {"lr": 0.1, "momentum": 0.9}},
    "evaluation": {"unseen_clients": 3, "unseen_shots": 2},
}


def lines(folder: RunFolder, phase: str) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in line.items() if key != "seconds"}
        for line in folder.lines("clients.jsonl")
        if line["phase"] == phase
    ]


def ran(folder: Path, scenario: Scenario) -> RunFolder:
    made = RunFolder.create(folder, "run", scenario)
    run(made)
    return made


def test_a_run_reports_new_clients_in_lines_summary_and_report(tmp_path: Path) -> None:
    folder = ran(tmp_path, scenario_with(BASE))
    record = RunRecord.load(folder.path)
    unseen = lines(folder, "unseen")
    assert {line["client"] for line in unseen} == {5, 6, 7}
    assert {line["client"] for line in lines(folder, "train")} <= set(range(5))
    assert {line["round"] for line in unseen} == {1, 2}
    reached = record.rounds[-1].unseen
    assert list(reached) == ["0", "1", "5"]
    last = [line for line in unseen if line["round"] == 2]
    mean = sum(line["after_5_loss"] for line in last) / 3
    assert reached["5"]["loss"].mean == pytest.approx(mean)
    assert record.summary is not None
    assert record.summary.unseen["5"]["loss"] == pytest.approx(mean)
    figures = unseen_figures(record)
    assert figures is not None
    assert "on new clients' test parts" in figures.sentence
    assert "unseen" in [section.key for section in sections(record)]


def test_without_such_clients_nothing_is_said_of_them(tmp_path: Path) -> None:
    changed = scenario_with(BASE, "evaluation.unseen_clients = 0\nevaluation.unseen_shots = 1")
    folder = ran(tmp_path, changed)
    record = RunRecord.load(folder.path)
    assert unseen_figures(record) is None
    assert any("evaluation.unseen_shots has no effect" in note for note in record.notes)
    assert "unseen" not in json.loads((folder.path / "summary.json").read_text())


def test_new_clients_change_nothing_that_is_trained(tmp_path: Path) -> None:
    tested = ran(tmp_path / "a", scenario_with(BASE))
    other = ran(tmp_path / "b", scenario_with(BASE, "evaluation.unseen_steps = [3]"))
    assert lines(tested, "train") == lines(other, "train")


def test_a_number_of_steps_has_the_same_outcome_whichever_others_are_asked_for(
    tmp_path: Path,
) -> None:
    tested = ran(tmp_path / "a", scenario_with(BASE))
    other = ran(tmp_path / "b", scenario_with(BASE, "evaluation.unseen_steps = [5]"))
    for one, two in zip(lines(tested, "unseen"), lines(other, "unseen"), strict=True):
        assert two["after_5_loss"] == one["after_5_loss"]


def test_ray_gives_the_same_bits_and_so_does_a_resumed_run(tmp_path: Path) -> None:
    whole = ran(tmp_path / "a", scenario_with(BASE))
    ray = ran(tmp_path / "b", scenario_with(BASE, engine='name = "ray"\nworkers = 2'))
    assert lines(ray, "unseen") == lines(whole, "unseen")
    resumed = RunFolder.create(tmp_path / "c", "run", scenario_with(BASE))
    run(resumed, [StopAfter(1)])
    run(resumed)
    assert lines(resumed, "unseen") == lines(whole, "unseen")


def test_steps_of_a_new_client_are_plain_descent_on_its_shots() -> None:
    changes = "client.optimizer.momentum = 0\nevaluation.unseen_rate = 0.5"
    with Simulation(scenario_with(BASE, changes)) as simulation:
        rounds = simulation.rounds()
        exchange = rounds._evaluate_on_unseen(1)
        federation, algorithm = simulation.federation, simulation.engine._runner.worker.algorithm
        client = federation.unseen_clients[0]
        whole = federation.examples(client)[0]
        own = support_of(whole, federation.dataset.task, 2, federation.seed, client)
        module = simulation.network.model.module
        weights = [p.detach().clone().requires_grad_() for p in module.parameters()]
        names = [name for name, _ in module.named_parameters()]

        def loss(examples: Any) -> torch.Tensor:
            state = dict(zip(names, weights, strict=True))
            outputs = torch.func.functional_call(module, state, (examples.inputs,))
            return torch.nn.functional.cross_entropy(outputs, examples.targets)

        gradients = torch.autograd.grad(loss(own), weights)
        weights = [w.detach() - 0.5 * g for w, g in zip(weights, gradients, strict=True)]
        expected = loss(federation.evaluation_examples(client)).item()
        assert algorithm.settings.batch_size >= len(own)
        assert exchange.reports[0].metrics["after_1_loss"] == pytest.approx(expected, rel=1e-5)


PARTS = {f"strategy {name}": own for name, own in STRATEGIES.items()}
PARTS |= {f"client {name}": own for name, own in ALGORITHMS.items()}
# Those that need more than weights: states, control variates, several models, no weights at all.
QUICK = ("strategy scaffold", "strategy mimelite", "strategy ifca", "strategy fedproto")
NAMES = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in PARTS]


@pytest.mark.parametrize("name", NAMES)
def test_every_algorithm_is_evaluated_on_new_clients(name: str) -> None:
    changes = {
        "rounds": 1,
        "data": {"name": "digits", "train_examples": 300, "partition": {"name": "iid"}},
        "client": {"optimizer": {"momentum": 0.0, "lr": 0.05}},
        "evaluation": {"test_examples": 20, "unseen_clients": 2, "unseen_steps": [0, 2]},
        "model": {"name": "cnn", "layers": [{"channels": 2, "kernel_size": 3, "batch_norm": True}]},
    }
    kind, part = name.split(" ", 1)
    named = {"strategy": {"name": part if kind == "strategy" else "fedavg"}}
    removed = {"data": {"partition": {"alpha": None, "min_size": None}}}
    scenario = scenario_with(BASE, changes, removed, named, PARTS[name])
    with Simulation(scenario) as simulation:
        rounds = simulation.rounds()
        rounds.run()
        exchange = rounds._evaluate_on_unseen(1)
    assert not exchange.failures
    for report in exchange.reports:
        stays = report.metrics["after_2_loss"] == report.metrics["after_0_loss"]
        # Prototypical networks adapt without a step.
        assert stays == (part == "protonet")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ("evaluation.unseen_clients = 8", "ask for 7 at most"),
        ("data.client_test = 0.0", "nothing to be tested on"),
        ('engine.name = "flower"', "has a node for each client that trains"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(changes: str, sentence: str) -> None:
    with pytest.raises(FedlabError) as raised:
        Simulation(scenario_with(BASE, changes))
    assert sentence in str(raised.value)
