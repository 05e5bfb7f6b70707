"""Evaluation gives the figures of the run's summary, and serves a user's own labelled files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedlab.errors import FedlabError
from fedlab.scenario.parts import load_dataset
from fedlab.use.evaluate import evaluate_trained
from fedlab.use.loading import Trained, load_trained


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
