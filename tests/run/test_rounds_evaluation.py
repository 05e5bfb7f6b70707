"""Weights are evaluated once each, and what is told of the last ones is of the last ones."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fedlab.engine.inline import InlineEngine
from fedlab.metrics.evaluation import Evaluation
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.scenario import loads

SCENARIO = """
rounds = 3
[data]
name = "digits"
[data.partition]
name = "iid"
clients = 2
[model]
name = "linear"
[client]
steps = 1
[client.optimizer]
lr = 0.1
[strategy]
name = "fedavg"
[engine]
name = "inline"
[evaluation]
every = 2
"""


def test_weights_are_evaluated_once_and_the_confusion_matrix_is_of_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated: list[torch.Tensor] = []
    evaluate = InlineEngine.evaluate

    def noted(self: Any, wire: torch.Tensor) -> Evaluation:
        evaluated.append(wire.clone())
        return evaluate(self, wire)

    monkeypatch.setattr(InlineEngine, "evaluate", noted)
    folder = RunFolder.create(tmp_path, "run", loads(SCENARIO))
    rounds = run(folder)
    assert len(evaluated) == 3  # before the first round, after the second and after the last
    assert torch.equal(evaluated[-1], rounds.weights)
    matrix = torch.tensor(json.loads((folder.path / "confusion.json").read_text())["matrix"])
    last = list(folder.lines("metrics.jsonl"))[-1]
    assert matrix.diagonal().sum() / matrix.sum() == pytest.approx(last["test"]["accuracy"])
