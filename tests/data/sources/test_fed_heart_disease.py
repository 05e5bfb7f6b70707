"""Fed-Heart-Disease from files as UCI writes them (made up here): columns, rows, split, scaling."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from fedlab.data.sources.fed_heart_disease import COLUMNS, HOSPITALS, FedHeartDisease
from fedlab.errors import AssetMissing, FedlabError

ROWS = 60


def write(folder: Path, gaps: int = 5) -> None:
    """Write four hospitals of 60 rows, the first five of which lack a value that counts."""
    draw = np.random.default_rng(0)
    for file in HOSPITALS.values():
        lines = []
        for row in range(ROWS):
            fields = [f"{value:.1f}" for value in draw.normal(50, 9, len(COLUMNS))]
            fields[2] = f"{1 + row % 4}.0" if row % 2 else str(1 + row % 4)
            fields[6] = str(row % 3)
            fields[10:13] = ["?", "", "3.0"]
            fields[13] = str(draw.integers(0, 3))
            if row < gaps:
                fields[3] = "?" if row % 2 else ""
            lines.append(",".join(fields))
        (folder / file).write_text("\n".join(lines) + "\n")


def load(folder: Path, **keys):
    return FedHeartDisease(FedHeartDisease.Settings(path=str(folder), **keys)).load(0)


def test_gaps_in_columns_that_are_left_out_cost_no_row(tmp_path):
    write(tmp_path)
    data = load(tmp_path)
    sizes = np.bincount(data.train.groups) + np.bincount(data.test.groups)
    assert sizes.tolist() == [ROWS - 5] * 4
    assert data.train.group_names == ("Cleveland", "Hungary", "Switzerland", "VA")
    assert (data.task.outputs, data.task.input_shape) == (1, (13,))
    table = data.task.encoding.table
    assert table.features[2:5] == ("cp = 2", "cp = 3", "cp = 4")


def test_the_split_is_that_of_scikit_learn_with_flambys_seed(tmp_path):
    write(tmp_path)
    data = load(tmp_path)
    lines = (tmp_path / HOSPITALS["Cleveland"]).read_text().splitlines()[5:]
    diseased = np.array([float(line.split(",")[-1]) > 0 for line in lines])
    rows, _ = train_test_split(
        np.arange(55), train_size=0.66, test_size=0.34, random_state=43, stratify=diseased
    )
    own = data.train.targets[data.train.groups == 0]
    assert own.tolist() == diseased[np.sort(rows)].tolist()


def test_each_hospital_is_scaled_by_its_training_rows_or_by_all(tmp_path):
    write(tmp_path)
    data = load(tmp_path)
    for hospital in range(4):
        own = data.train.inputs[data.train.groups == hospital]
        np.testing.assert_allclose(own.mean(0), 0, atol=1e-5)
        np.testing.assert_allclose(own.std(0), 1, rtol=1e-5)
    pooled = load(tmp_path, statistics="federated", test_statistics="federated")
    np.testing.assert_allclose(pooled.train.inputs.mean(0), 0, atol=1e-5)
    assert not np.allclose(pooled.test.inputs, data.test.inputs)


def test_a_header_changes_nothing(tmp_path):
    write(tmp_path)
    first = load(tmp_path)
    for file in HOSPITALS.values():
        text = (tmp_path / file).read_text()
        (tmp_path / file).write_text(",".join([*COLUMNS[:-1], "target"]) + "\n" + text)
    assert (load(tmp_path).train.inputs == first.train.inputs).all()


def test_files_are_found_in_the_users_folder_or_how_to_get_them_is_said(tmp_path, monkeypatch):
    write(tmp_path)
    (tmp_path / "heart-disease").mkdir()
    monkeypatch.setenv("FEDLAB_DATA", str(tmp_path))
    assert len(FedHeartDisease(FedHeartDisease.Settings()).load(0).train) > 100
    monkeypatch.delenv("FEDLAB_DATA")
    with pytest.raises(AssetMissing, match=r"archive.ics.uci.edu.*set data.path to its folder"):
        FedHeartDisease(FedHeartDisease.Settings()).load(0)


def test_a_field_that_is_no_number_is_named(tmp_path):
    write(tmp_path)
    path = tmp_path / HOSPITALS["VA"]
    lines = path.read_text().splitlines()
    lines[7] = "x" + lines[7]
    path.write_text("\n".join(lines))
    with pytest.raises(FedlabError, match=r"va.data, line 8, column 'age': 'x.*' is not a number"):
        load(tmp_path)
