"""Series in CSV files: who is a client, gaps, unequal lengths, classes, and new series."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from fedlab.data.dataset import Dataset
from fedlab.data.series_table import filled
from fedlab.errors import FedlabError
from fedlab.registry import datasets
from fedlab.scenario.parts import load_federation
from fedlab.use.evaluate import read_labelled
from fedlab.use.inputs import read_inputs, stacked
from fedlab.use.loading import Trained
from tests.shared import scenario_with

Settings = datasets.get("series-csv").Settings


def settings(**keys: Any) -> Any:
    return Settings(name="series-csv", **{"window": 3, **keys})


def load(seed: int = 0, **keys: Any) -> Dataset:
    return cast(Dataset, datasets.get("series-csv")(settings(**keys)).load(seed))


def write(path: Path, header: str, rows: list[tuple[Any, ...]]) -> str:
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return str(path)


def raw(data: Dataset, inputs: torch.Tensor) -> torch.Tensor:
    assert data.task.encoding is not None
    scaling = data.task.encoding.features
    assert scaling is not None
    return inputs.double() * torch.tensor(scaling.scale) + torch.tensor(scaling.offset)


@pytest.fixture
def meters(tmp_path: Path) -> str:
    """Return a file of two meters of unequal length; each counts from its own number."""
    rows = [("north", n, 100 + n) for n in range(30)] + [("south", n, 500 + n) for n in range(10)]
    return write(tmp_path / "meters.csv", "site,hour,load", rows)


def test_the_column_of_clients_needs_no_partitioner_and_group_is_its_former_name(meters):
    keys = {"name": "series-csv", "path": meters, "columns": ["load"], "window": 3}
    scenario = scenario_with(
        {"data": {**keys, "clients_by": "site", "partition": None}, "model": {"name": "gru"}}
    )
    assert scenario.data.partition.name == "natural"
    assert load_federation(scenario).dataset.train.group_names == ("north", "south")
    former = load(path=meters, columns=["load"], group="site")
    named = load(path=meters, columns=["load"], clients_by="site")
    assert torch.equal(former.train.inputs, named.train.inputs)
    assert settings(path="x", missing=["none"]).missing_words == ("none",)


def test_each_client_is_tested_on_its_last_steps(meters):
    data = load(path=meters, columns=["load"], clients_by="site", horizon=2)
    assert np.bincount(data.train.groups).tolist() == [20, 4]
    assert np.bincount(data.test.groups).tolist() == [2]
    assert raw(data, data.test.inputs).min() == pytest.approx(124, abs=1e-3)


def test_sites_are_a_file_each(tmp_path):
    sites = []
    for name, start in (("north", 0), ("south", 1000)):
        rows = [(start + n,) for n in range(20)]
        path = write(tmp_path / f"{name}.csv", "load", rows)
        sites.append({"name": name.title(), "path": path})
    data = load(sites=sites, columns=["load"])
    assert data.train.group_names == ("North", "South")
    assert (raw(data, data.train.inputs)[:, 0, 0] > 500).numpy().tolist() == (
        data.train.groups == 1
    ).tolist()


def test_columns_of_numbers_are_the_inputs_where_none_are_named(meters):
    data = load(path=meters, clients_by="site", time="hour")
    assert data.task.input_shape == (3, 1)
    assert any("the inputs are 'load' (data.columns)" in note for note in data.notes)
    assert any("data.target: the column 'load' is forecast" in note for note in data.notes)


def test_a_missing_number_is_refused_or_filled_and_no_target_is_made_up(tmp_path):
    rows: list[tuple[Any, ...]] = [(n, n) for n in range(20)]
    rows[5], rows[6] = ("NA", 5), ("", 6)
    path = write(tmp_path / "x.csv", "load,n", rows)
    with pytest.raises(FedlabError, match=r"line 7, column 'load': there is no number; data\.miss"):
        load(path=path, columns=["load"])
    data = load(path=path, columns=["load"], missing="interpolate")
    assert any("2 of 20 numbers are missing" in note for note in data.notes)
    windows = raw(data, data.train.inputs)[..., 0]
    assert windows[2].tolist() == pytest.approx([4, 5, 6], abs=1e-3)
    # Steps 5 and 6 are the targets of the windows that begin at 2 and 3.
    assert len(data.train) == 16 - 3 - 2
    assert write(tmp_path / "x.csv", "load", [(n,) if n != 5 else ("?",) for n in range(20)])
    with pytest.raises(FedlabError, match=r"line 7, column 'load': '\?' is not a number"):
        load(path=path, columns=["load"], missing="mean")
    assert len(load(path=path, columns=["load"], missing="mean", missing_words=["?"]).train) == 12


def test_gaps_are_filled_as_the_key_says():
    gaps = np.array([[np.nan], [1], [np.nan], [3], [np.nan]])
    assert filled(gaps, "interpolate")[:, 0].tolist() == [1, 1, 2, 3, 3]
    assert np.isnan(filled(gaps, "previous")[0, 0])
    assert filled(gaps, "previous")[1:, 0].tolist() == [1, 1, 3, 3]
    assert np.isnan(filled(gaps, "mean")).sum() == 3


@pytest.fixture
def steps(tmp_path: Path) -> str:
    """Return recordings of two subjects, of unequal length, each of one class."""
    rows = []
    for subject in ("ann", "bob"):
        for take in range(10):
            label = ("walk", "run")[take % 2]
            rows += [(subject, take, (take % 2) * 10 + n, label) for n in range(2 + take)]
    return write(tmp_path / "steps.csv", "who,take,speed,what", rows)


CLASSES = {"clients_by": "who", "series": "take", "label": "what", "columns": ["speed"]}


def test_windows_are_classified_and_whole_recordings_of_each_client_are_held_out(steps):
    data = load(path=steps, window=4, stride=4, **CLASSES)
    assert (data.task.kind, data.task.labels) == ("classification", ("run", "walk"))
    first = raw(data, data.train.inputs)[:, 0, 0]
    assert ((first >= 9.99) == (data.train.targets == 0)).all()
    assert {*data.test.groups.tolist()} == {0, 1}
    assert any("are padded at their end with the mean" in note for note in data.notes)


def test_a_window_lies_within_steps_of_one_class(tmp_path):
    rows = [(n, "low" if n % 20 < 10 else "high") for n in range(80)]
    data = load(path=write(tmp_path / "x.csv", "x,what", rows), label="what", columns=["x"])
    windows = raw(data, data.train.inputs)[..., 0].round().long()
    assert ((windows % 20 < 10).long().sum(1) % 3 == 0).all()


def test_clients_may_be_held_out_whole(meters):
    data = load(path=meters, columns=["load"], clients_by="site", test_clients=1)
    assert not {*data.train.groups.tolist()} & {*data.test.groups.tolist()}
    with pytest.raises(FedlabError, match=r"data\.test_clients: 2 of 2 clients leave none"):
        load(path=meters, columns=["load"], clients_by="site", test_clients=2)


def test_new_series_are_cut_as_those_of_the_data_set_and_none_of_their_steps_is_left_out(steps):
    data, keys = load(path=steps, window=4, **CLASSES), settings(path=steps, window=4, **CLASSES)
    items = read_inputs(data.task, [steps], keys)
    assert [item.row for item in items[:3]] == ["1 to 2 of 'ann 0'", "1 to 3 of 'ann 1'",
                                               "1 to 4 of 'ann 2'"]  # fmt: skip
    assert [item.row for item in items if str(item.row).endswith("'ann 4'")] == [
        "1 to 4 of 'ann 4'", "3 to 6 of 'ann 4'"
    ]  # fmt: skip
    assert stacked(items).isfinite().all()


def test_labelled_series_are_evaluated_with_classes_or_with_what_follows(steps, meters):
    for path, keys in ((steps, CLASSES), (meters, {"columns": ["load"], "clients_by": "site"})):
        data = load(path=path, **keys)
        scenario = SimpleNamespace(data=settings(path=path, **keys))
        trained = cast(Trained, SimpleNamespace(task=data.task, scenario=scenario))
        (examples,) = read_labelled(trained, Path(path))
        assert len(examples) == len(examples.targets) > 0
        if keys is not CLASSES:
            whole = raw(data, examples.inputs)[:, -1, 0] + 1
            encoding = data.task.encoding
            assert encoding is not None
            assert encoding.targets is not None
            wanted = examples.targets[:, 0] * encoding.targets.scale[0] + encoding.targets.offset[0]
            assert wanted.tolist() == pytest.approx(whole.tolist(), rel=1e-4)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({}, "path is missing"),
        ({"path": "x", "sites": [{"name": "a", "path": "a.csv"}]}, "both path and sites"),
        ({"sites": [{"name": "a", "path": "a.csv"}], "clients_by": "c"}, "leave clients_by out"),
        ({"path": "x", "label": "a", "target": "b"}, "name one"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(keys, sentence):
    with pytest.raises(ValidationError, match=sentence):
        settings(**keys)


def test_a_single_class_and_a_file_without_numbers_are_refused(tmp_path):
    path = write(tmp_path / "x.csv", "x,what", [(n, "low") for n in range(20)])
    with pytest.raises(FedlabError, match=r"data\.label: there is one class to learn, 'low'"):
        load(path=path, columns=["x"], label="what")
    path = write(tmp_path / "x.csv", "a", [("x",)])
    with pytest.raises(FedlabError, match="has no column of numbers to read"):
        load(path=path)


def test_a_comma_stands_before_decimals_where_semicolons_separate_fields(tmp_path):
    rows = [(n, n / 4) for n in range(20)]
    plain = load(path=write(tmp_path / "plain.csv", "hour,load", rows), columns=["load"])
    german = tmp_path / "german.csv"
    german.write_bytes(
        (tmp_path / "plain.csv").read_text().replace(",", ";").replace(".", ",").encode("utf-16")
    )
    other = load(path=str(german), columns=["load"])
    assert torch.equal(plain.train.inputs, other.train.inputs)
    assert plain.task == other.task
