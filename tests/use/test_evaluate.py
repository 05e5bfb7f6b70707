"""Evaluation gives the figures of the run's summary, and serves a user's own labelled files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fedlab.errors import FedlabError
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.scenario.parts import load_dataset
from fedlab.use.evaluate import evaluate_trained
from fedlab.use.loading import Trained, load_trained
from tests.shared import scenario_with


def test_its_own_test_set_gives_the_figures_of_the_summary(
    digits: Trained, digits_run: Path
) -> None:
    summary = json.loads((digits_run / "summary.json").read_text())
    assert evaluate_trained(digits).compute() == pytest.approx(summary["test"], rel=1e-6)
    assert summary["test"]["accuracy"] > 0.5


def test_a_table_run_gives_the_figures_of_its_summary(iris_run: Path) -> None:
    summary = json.loads((iris_run / "summary.json").read_text())
    metrics = evaluate_trained(load_trained(iris_run)).compute()
    assert metrics == pytest.approx(summary["test"], rel=1e-6)


def test_pictures_in_class_folders_count_like_the_data_set(
    digits: Trained, digit_pictures: Path
) -> None:
    metrics = evaluate_trained(digits, digit_pictures).compute()
    assert metrics == pytest.approx(evaluate_trained(digits).compute(), rel=1e-5)


def test_pictures_that_a_table_lists_count_like_those_in_folders(
    digits: Trained, digit_pictures: Path
) -> None:
    files = sorted(digit_pictures.rglob("*.png"))
    table = digit_pictures / "list.csv"
    lines = [f"{file.relative_to(digit_pictures)},{file.parent.name}" for file in files]
    table.write_text("\n".join(["path,label", *lines]) + "\n")
    metrics = evaluate_trained(digits, table).compute()
    assert metrics == pytest.approx(evaluate_trained(digits).compute(), rel=1e-5)
    table.write_text("path,label\nabsent.png,3\n")
    with pytest.raises(FedlabError, match=r"'absent.png': .* holds no such picture"):
        evaluate_trained(digits, table)
    with pytest.raises(FedlabError, match="is one picture; labelled ones are a folder"):
        evaluate_trained(digits, files[0])


def test_rows_of_a_table_are_scaled_as_in_training(iris_run: Path, iris_table: Path) -> None:
    trained = load_trained(iris_run)
    metrics = evaluate_trained(trained, iris_table).compute()
    dataset = load_dataset(trained.scenario)
    assert metrics["accuracy"] > 0.5
    outputs = trained.outputs(dataset.train.inputs).argmax(1) == dataset.train.targets
    tested = trained.outputs(dataset.test.inputs).argmax(1) == dataset.test.targets
    whole = (outputs.sum() + tested.sum()).item() / (len(outputs) + len(tested))
    assert metrics["accuracy"] == pytest.approx(whole)


def test_an_unknown_class_names_what_is_known(digits: Trained, digit_pictures: Path) -> None:
    (digit_pictures / "3").rename(digit_pictures / "three")
    with pytest.raises(FedlabError, match="unknown class 'three'"):
        evaluate_trained(digits, digit_pictures)


@pytest.mark.parametrize("made", [True, False])
def test_a_folder_without_classes_or_none_at_all_is_named(
    digits: Trained, tmp_path: Path, made: bool
) -> None:
    folder = tmp_path / "own"
    if made:
        folder.mkdir()
    with pytest.raises(FedlabError, match="own"):
        evaluate_trained(digits, folder)


def test_a_table_without_a_label_column_says_so(iris_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b,c,d\n1,2,3,4\n")
    with pytest.raises(FedlabError, match="needs a header with one of label, class, target"):
        evaluate_trained(load_trained(iris_run), path)


@pytest.mark.parametrize("smoothed", [0, 1])
def test_a_run_of_phases_is_evaluated_with_the_loss_of_the_last_one(
    tmp_path: Path, smoothed: int
) -> None:
    phases: list[dict[str, Any]] = [{"rounds": 1}, {"rounds": 1}]
    phases[smoothed]["client"] = {"label_smoothing": 0.5}
    scenario = scenario_with("model.hidden = [4]", rounds=2, data={"name": "iris"}, phases=phases)
    folder = RunFolder.create(tmp_path, "run", scenario)
    run(folder)
    summary = json.loads((folder.path / "summary.json").read_text())
    metrics = evaluate_trained(load_trained(folder.path)).compute()
    assert metrics == pytest.approx(summary["test"], rel=1e-6)


@pytest.mark.parametrize(("best", "name"), [(True, "1"), (False, "2")])
def test_the_best_weights_are_of_the_phase_of_their_round(
    tmp_path: Path, best: bool, name: str
) -> None:
    spoiled = {"rounds": 1, "client": {"optimizer": {"lr": 1e4}, "clip_norm": 1.0}}
    scenario = scenario_with(
        "model.hidden = [4]",
        {"data": {"name": "iris", "validation": 0.3}, "evaluation": {"federated": True}},
        rounds=4,
        phases=[{"rounds": 3, "client": {"epochs": 5}}, spoiled],
    )
    folder = RunFolder.create(tmp_path, "run", scenario)
    run(folder)
    phase = load_trained(folder.path, best).phase.phase
    assert phase is not None
    assert phase.name == name
