"""Weights are evaluated once each, and what is reported of the last ones is theirs."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fedlab.engine.inline import InlineEngine
from fedlab.metrics.evaluation import Evaluation
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from tests.shared import scenario_with

BASE = {
    "data": {"partition": {"clients": 2}},
    "model": {"name": "linear"},
    "client": {"steps": 1, "optimizer": {"lr": 0.1}},
    "evaluation": {"every": 2},
}


def test_weights_are_evaluated_once_the_last_with_a_matrix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated: list[torch.Tensor] = []
    evaluate = InlineEngine.evaluate

    def noted(self: Any, wire: torch.Tensor, server_round: int) -> Evaluation:
        evaluated.append(wire.clone())
        return evaluate(self, wire, server_round)

    monkeypatch.setattr(InlineEngine, "evaluate", noted)
    folder = RunFolder.create(tmp_path, "run", scenario_with(BASE))
    rounds = run(folder)
    assert len(evaluated) == 3  # before the first round, after the second and after the last
    assert torch.equal(evaluated[-1], rounds.weights)
    matrix = torch.tensor(json.loads((folder.path / "confusion.json").read_text())["matrix"])
    last = list(folder.lines("metrics.jsonl"))[-1]
    assert matrix.diagonal().sum() / matrix.sum() == pytest.approx(last["test"]["accuracy"])
