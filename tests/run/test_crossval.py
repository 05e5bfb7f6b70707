from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedlab import cli
from fedlab.data.dataset import Dataset, Examples, Task
from fedlab.errors import FedlabError
from fedlab.run.crossval import CrossValidation, Fold, cross_validate, final_fit, fold_datasets
from fedlab.run.simulation import Simulation
from fedlab.scenario import Scenario, load


def table(classes: list[int]) -> Dataset:
    """Return a data set whose inputs are their row numbers."""
    targets = torch.tensor(classes)
    inputs = torch.arange(len(classes), dtype=torch.float32).unsqueeze(1)
    task = Task("classification", "tabular", (1,), max(classes) + 1)
    groups = np.arange(len(classes)) % 2
    return Dataset(task, Examples(inputs, targets, groups, ("a", "b")), Examples(inputs, targets))


def wine(*overrides: str) -> Scenario:
    return load("mlp-wine", ["rounds=6", *overrides])


def fold(best_round: int, best: float) -> Fold:
    return Fold(1, 8, 2, 20, best_round, "accuracy", best, {"accuracy": best})


def test_every_example_is_tested_once_and_not_trained_on_then() -> None:
    dataset = table([0, 1] * 15)
    parts = list(fold_datasets(dataset, 5, seed=3))
    tested = torch.cat([part.test.inputs for part in parts]).flatten().tolist()
    assert sorted(tested) == list(range(30))
    for part in parts:
        seen, unseen = (set(p.inputs.flatten().tolist()) for p in (part.train, part.test))
        assert not seen & unseen
        assert len(seen | unseen) == 30


def test_folds_keep_the_shares_of_the_classes() -> None:
    for part in fold_datasets(table([0] * 40 + [1] * 10), 5, seed=0):
        assert part.test.targets.bincount().tolist() == [8, 2]


def test_clients_keep_their_names_and_the_fold_is_nobodys() -> None:
    for part in fold_datasets(table([0, 1] * 10), 2, seed=0):
        assert part.train.groups is not None
        np.testing.assert_array_equal(part.train.groups, part.train.inputs.flatten().numpy() % 2)
        assert part.train.group_names == ("a", "b")
        assert part.test.groups is None


def test_folds_depend_on_the_seed_alone() -> None:
    def tested(seed: int) -> list[float]:
        parts = fold_datasets(table([0, 1] * 15), 3, seed)
        return torch.cat([part.test.inputs for part in parts]).flatten().tolist()

    assert tested(1) == tested(1)
    assert tested(1) != tested(2)


def test_as_many_folds_as_examples_leave_one_out() -> None:
    parts = list(fold_datasets(table([0, 1, 1, 0]), 4, seed=0))
    assert [len(part.test) for part in parts] == [1, 1, 1, 1]


def test_a_class_rarer_than_the_folds_is_no_obstacle() -> None:
    parts = list(fold_datasets(table([0] * 20 + [1] * 2), 5, seed=0))
    assert sum(int((part.test.targets == 1).sum()) for part in parts) == 2


@pytest.mark.parametrize(("folds", "words"), [(1, "at least 2"), (0, "at least 2"), (5, "4 at m")])
def test_impossible_numbers_of_folds_are_refused(folds: int, words: str) -> None:
    with pytest.raises(FedlabError, match=f"--folds.*{words}"):
        list(fold_datasets(table([0, 1, 0, 1]), folds, seed=0))


def test_the_rounds_are_the_rounded_mean_of_the_best_ones() -> None:
    result = CrossValidation((fold(1, 0.8), fold(2, 0.9), fold(4, 1.0), fold(3, 0.9)))
    assert result.rounds == 3
    assert result.mean == pytest.approx(0.9)
    assert result.std == pytest.approx(np.std([0.8, 0.9, 1.0, 0.9], ddof=1))


def test_each_fold_is_the_run_of_a_federation_without_it() -> None:
    scenario = wine()
    result = cross_validate(scenario, 3)
    assert [fold.fold for fold in result.folds] == [1, 2, 3]
    assert sum(fold.test_examples for fold in result.folds) == 142
    for fold in result.folds:
        assert fold.train_examples + fold.test_examples == 142
        assert 1 <= fold.best_round <= 6
        assert fold.best == fold.test["accuracy"] > 0.5
    assert cross_validate(scenario, 3) == result


def test_the_best_round_is_the_earliest_with_the_best_metric() -> None:
    from fedlab.run.callbacks import Callback, RoundOutcome
    from fedlab.scenario.parts import load_dataset, split

    scenario: Scenario = wine()
    dataset = next(fold_datasets(load_dataset(scenario), 3, scenario.seed))
    values: list[float] = []

    class Watch(Callback):
        def round_ended(self, rounds: Any, outcome: RoundOutcome) -> None:
            values.append(outcome.record["test"]["accuracy"])

    with Simulation(scenario, split(scenario, dataset)) as simulation:
        simulation.rounds([Watch()]).run()
    first = cross_validate(scenario, 3).folds[0]
    assert first.best_round == 1 + int(np.argmax(values[1:]))
    assert first.best == max(values[1:])


def test_errors_are_judged_the_lower_the_better() -> None:
    scenario = load("overfitting", ["rounds=40", "client.optimizer.lr=0.01"])
    result = cross_validate(scenario, 2)
    assert result.folds[0].metric == "rmse"
    assert result.rounds < 30


def test_early_stopping_ends_a_fold_and_not_the_final_fit() -> None:
    stopping = "evaluation.early_stopping={metric = 'accuracy', threshold = 0.5}"
    scenario = wine(stopping, "rounds=50")
    result = cross_validate(scenario, 2)
    assert max(fold.rounds for fold in result.folds) < 50
    last = final_fit(scenario, result.rounds)
    assert last.rounds == result.rounds
    assert last.evaluation.early_stopping is None


def test_engines_whose_clients_load_the_data_are_refused() -> None:
    with pytest.raises(FedlabError, match=r"engine\.name: .*'flower'.*engine\.name=ray"):
        cross_validate(wine("engine.name=flower"), 2)


def fedlab(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Return the exit code of the command line."""
    monkeypatch.setattr(sys, "argv", ["fedlab", *arguments])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    code = exit_.value.code
    assert isinstance(code, int)
    return code


def test_the_command_trains_on_all_data_for_the_chosen_rounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["mlp-wine", "--folds", "2", "--json", "--rounds", "5", "--set"]
    arguments += ["evaluation.baselines=[]", "--runs", str(tmp_path)]
    assert fedlab(monkeypatch, "crossval", *arguments) == 0
    (folder,) = tmp_path.iterdir()
    written = json.loads((folder / "crossval.json").read_text())
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[:2] == written["folds"]
    assert written["rounds"] == round(np.mean([f["best_round"] for f in written["folds"]]) + 1e-9)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["rounds"] == written["rounds"]
    assert sum(json.loads((folder / "partition.json").read_text())["sizes"]) == 142


@pytest.mark.parametrize("folds", ["1", "100000", "many"])
def test_the_command_refuses_impossible_folds_and_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    folds: str,
) -> None:
    arguments = ["mlp-wine", "--folds", folds, "--runs", str(tmp_path / "runs")]
    assert fedlab(monkeypatch, "crossval", *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "--folds" in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "runs").exists()
