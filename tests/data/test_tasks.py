"""What a task counts as, and the file that keeps it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fedlab import registry
from fedlab.data import task_file
from fedlab.data.dataset import Encoding, Task
from fedlab.data.task_kinds import KINDS, ONE_SCORE, Conventions
from fedlab.errors import FedlabError

# As a run folder of an older fedlab holds it.
OLD = {
    "kind": "classification",
    "modality": "image",
    "input_shape": [1, 8, 8],
    "outputs": 10,
    "labels": list("0123456789"),
    "vocabulary": 0,
    "padding": -100,
    "source_length": 0,
    "every_position": False,
    "input_padding": None,
    "encoding": None,
}

COLUMNS = {"columns": ["a"], "offset": [0.0], "scale": [1.0]}


@pytest.mark.parametrize("conventions", [*KINDS.values(), ONE_SCORE], ids=[*KINDS, "one score"])
def test_every_kind_counts_as_what_is_registered(conventions: Conventions) -> None:
    assert conventions.criterion in registry.criteria
    assert conventions.metrics in registry.metrics
    assert conventions.draw in registry.draws


def test_a_kind_says_what_a_task_counts_as() -> None:
    assert Task("regression", "tabular", (2,), 1).conventions == KINDS["regression"]
    assert Task("classification", "tabular", (2,), 1).conventions.criterion == "binary"


def test_a_task_says_what_it_counts_as_before_its_kind_does() -> None:
    task = Task("regression", "tabular", (2,), 1, criterion="binary", draw="reconstruction")
    assert task.conventions == Conventions("binary", "regression", "reconstruction")


def test_another_kind_names_its_criterion_and_metrics() -> None:
    with pytest.raises(ValueError, match="kind: 'ranking' is none of classification, next-token"):
        Task("ranking", "tabular", (2,), 1, criterion="binary")
    task = Task("ranking", "tabular", (2,), 1, criterion="binary", metrics="regression")
    assert task.conventions == Conventions("binary", "regression", "labelled")


def test_an_older_task_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "task.json"
    path.write_text(json.dumps(OLD))
    task = task_file.read(path)
    assert task == Task("classification", "image", (1, 8, 8), 10, tuple("0123456789"))
    assert task.conventions == KINDS["classification"]


def test_a_task_file_keeps_all_of_a_task(tmp_path: Path) -> None:
    path = tmp_path / "task.json"
    facts = {"vocabulary": 1, "criterion": "binary", "metrics": "m:N"}
    task = Task("x", "text", (3,), 2, encoding=Encoding(("a",)), **facts)
    path.write_text(task_file.dumps(task))
    assert task_file.read(path) == task


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"kind": "guessing"}, "does not describe a task: kind: 'guessing' is none of classific"),
        ({"outputs": "many"}, "does not describe a task: outputs: "),
        ({"outputs": "10"}, "outputs: Input should be a valid integer"),
        ({"outputs": 10**30}, "outputs: it must be from 1 to"),
        ({"labels": ["a"]}, "labels: 1 names for 10 outputs"),
        ({"input_shape": [8, 8]}, "input_shape: [8, 8] is no shape of 'image' inputs"),
        ({"input_shape": [0, 8, 8]}, "input_shape: [0, 8, 8] is no shape of 'image' inputs"),
        ({"input_shape": []}, "input_shape: [] is no shape of 'image' inputs"),
        ({"encoding": {"tokens": ["a"]}}, "encoding.tokens: 1 tokens for a vocabulary of 0"),
        ({"encoding": {"unknown": 7}}, "encoding.unknown: 7 is no token of the vocabulary"),
        ({"encoding": {"features": COLUMNS}}, "encoding.features.columns: 1 names for 8 columns"),
    ],
)
def test_what_is_no_task_is_refused(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    path = tmp_path / "task.json"
    path.write_text(json.dumps(OLD | change))
    with pytest.raises(FedlabError) as caught:
        task_file.read(path)
    assert sentence in str(caught.value)
