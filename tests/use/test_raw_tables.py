"""A run trained on a user's table takes the same raw table again."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes

from fedlab.errors import FedlabError
from fedlab.use.evaluate import evaluate_trained
from fedlab.use.inputs import reader_of
from fedlab.use.loading import Trained, load_trained
from fedlab.use.predict import predict
from tests.use.conftest import Train

MODEL = 'name = "mlp"\nhidden = [8]'
SITES = ("east", "north", "west")


@pytest.fixture(scope="session")
def tumours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return breast-cancer data as a hospital would keep them: sites, words, gaps."""
    bunch = load_breast_cancer()
    path = tmp_path_factory.mktemp("tables") / "tumours.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["radius", "texture", "grade", "site", "diagnosis"])
        for row, (values, number) in enumerate(zip(bunch.data, bunch.target, strict=True)):
            radius = "" if row % 10 == 0 else f"{values[0]:.2f}".replace(".", ",")
            grade = "high" if values[7] > 0.05 else "low"
            site = SITES[row % 3]
            writer.writerow([radius, values[1], grade, site, bunch.target_names[number]])
    return path


@pytest.fixture(scope="session")
def trained(train: Train, tumours: Path) -> Trained:
    data = f"name = 'table'\npath = '{tumours}'\ntarget = 'diagnosis'\nclients_by = 'site'"
    return load_trained(train("tumours", data + "\nstatistics = 'client'", MODEL))


def test_a_table_as_it_was_trained_on_is_predicted_and_evaluated(trained, tumours, tmp_path):
    lines = tumours.read_text().splitlines()
    (tmp_path / "few.csv").write_text("\n".join([lines[0], *lines[11:14]]))
    ranked = list(predict(trained, [str(tmp_path / "few.csv")]))
    assert [found.row for found in ranked] == [1, 2, 3]
    assert evaluate_trained(trained).compute()["accuracy"] > 0.8
    whole = evaluate_trained(trained, tumours).compute()
    right = [
        found.classes[0][0] == line.rpartition(";")[2]
        for found, line in zip(predict(trained, [str(tumours)]), lines[1:], strict=True)
    ]
    assert whole["accuracy"] == pytest.approx(np.mean(right))


def test_columns_go_by_name_and_the_target_need_not_be_there(trained, tumours, tmp_path):
    with tumours.open(newline="") as file:
        rows = [row[:4] for row in csv.reader(file, delimiter=";")][:6]
    (tmp_path / "a.csv").write_text("\n".join(";".join(row) for row in rows))
    turned = [[row[3], "x", *reversed(row[:3])] for row in rows]
    (tmp_path / "b.csv").write_text("\n".join("|".join(row) for row in turned))
    first, second = (list(predict(trained, [str(tmp_path / name)])) for name in ("a.csv", "b.csv"))
    assert [found.classes for found in first] == [found.classes for found in second]


def test_a_row_at_fault_does_not_change_how_the_others_are_read(trained, tmp_path):
    rows = ["14,125\t20\tlow\tnorth", "9,5\t20\tlow\tnorth"]
    whole = _stored(trained, tmp_path / "whole.tsv", rows)
    found = _stored(trained, tmp_path / "found.tsv", [*rows, "12,5\tabc\tlow\tnorth"])
    assert found[2] is None
    assert torch.equal(torch.stack(found[:2]), torch.stack(whole))


def _stored(trained: Trained, path: Path, rows: list[str]) -> list[torch.Tensor | None]:
    path.write_text("\n".join(["radius\ttexture\tgrade\tsite", *rows]))
    return [item.stored for item in reader_of(trained.task).read([str(path)])]


def test_rows_of_strangers_are_scaled_by_all_clients_statistics_and_that_is_said(
    trained, tmp_path, capsys
):
    header, row = "radius;texture;grade;site", "14,1;20;low;"
    (tmp_path / "a.csv").write_text(f"{header}\n{row}mars\n")
    (tmp_path / "b.csv").write_text(f"{header.removesuffix(';site')}\n{row.removesuffix(';')}\n")
    first, second = (
        next(predict(trained, [str(tmp_path / name)])).classes for name in ("a.csv", "b.csv")
    )
    assert first == second
    said = capsys.readouterr().err
    assert "'mars' took no part in training" in said
    assert "no column 'site' says whose" in said


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("radius;texture\n1;2\n", "a.csv has no column 'grade', which is an input"),
        ("radius;texture;grade\n1;2;low\nx;2;low\n", "a.csv, line 3, column 'radius': 'x' is not"),
        ("", "a.csv is empty"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_line_and_column(
    trained, tmp_path, monkeypatch, content, sentence
):
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text(content)
    with pytest.raises(FedlabError, match=sentence):
        list(predict(trained, ["a.csv"]))


def test_rows_that_cannot_be_read_may_be_skipped(trained, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("radius;texture;grade\n12;2;low\nx;2;low\n12;2;low\n")
    first, second, third = predict(trained, [str(path)], on_error="skip")
    assert first.classes == third.classes
    assert "line 3, column 'radius': 'x' is not a number" in second.error


def test_labels_that_the_run_does_not_know_are_refused(trained, tumours, tmp_path):
    (tmp_path / "a.csv").write_text(tumours.read_text().replace("malignant", "bad"))
    with pytest.raises(FedlabError, match=r"line 2, column 'diagnosis': unknown class 'bad'"):
        evaluate_trained(trained, tmp_path / "a.csv")


def test_a_regression_is_predicted_in_the_units_of_its_file(train, tmp_path_factory):
    bunch = load_diabetes(scaled=False)
    path = tmp_path_factory.mktemp("tables") / "diabetes.csv"
    rows = np.concatenate([bunch.data, bunch.target[:, None]], axis=1)
    names = ",".join([*bunch.feature_names, "progression"])
    np.savetxt(path, rows, delimiter=",", header=names, comments="", fmt="%.6g")
    data = f"name = 'table'\npath = '{path}'\ntarget = 'progression'\npartition.clients = 2"
    run = load_trained(train("diabetes-table", data, MODEL))
    found = torch.tensor([made.values[0][1] for made in predict(run, [str(path)])])
    assert found.mean().item() == pytest.approx(bunch.target.mean(), rel=0.1)
    assert evaluate_trained(run, path).compute()["rmse"] > 0


def test_a_folder_is_no_table_and_is_called_a_folder(trained, tmp_path):
    with pytest.raises(FedlabError, match="is a folder, and a file with a table is wanted"):
        list(predict(trained, [str(tmp_path)]))
