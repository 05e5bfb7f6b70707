"""Criteria and optimisers of a scenario's own, by module and class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import Field

from fedlab.errors import FedlabError
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.simulation import Simulation
from fedlab.scenario import dumps, load_resolved, loads
from fedlab.training.criterion import Criterion
from fedlab.training.optimizer import LocalOptimizer, OptimizerSettings
from tests.shared import scenario_with


class Hinge(Criterion):
    """Σ max(0, 1 − (y_t − y_k)) over the wrong classes k."""

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        right = outputs.gather(1, targets.unsqueeze(1))
        return (1 - right + outputs).clamp(min=0).sum() / len(outputs) - 1


class SignDescent(LocalOptimizer):
    """w ← w − lr · scale · sign(∇)."""

    class Settings(OptimizerSettings):
        """Keys of sign descent."""

        scale: float = Field(1.0, gt=0, description="of a step")

    settings: Settings

    def build(self, parameters: Sequence[torch.nn.Parameter], lr: float) -> torch.optim.Optimizer:
        return Signs(parameters, lr * self.settings.scale)


class Signs(torch.optim.Optimizer):
    def __init__(self, parameters: Sequence[torch.nn.Parameter], lr: float) -> None:
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.add_(parameter.grad.sign(), alpha=-group["lr"])


OWN = {
    "rounds": 1,
    "client": {
        "criterion": f"{__name__}:Hinge",
        "steps": 1,
        "optimizer": {"name": f"{__name__}:SignDescent", "lr": 0.25, "scale": 0.5},
    },
}


def test_a_scenario_takes_its_own_criterion_and_optimiser(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "own", scenario_with(OWN))
    with Simulation(folder.scenario) as simulation:
        before = simulation.initial_weights.numpy().copy()
    rounds = run(folder)
    change = rounds.weights.numpy() - before
    # One step of three clients, each 0 or ±0.125 in every weight: their weighted mean is no larger.
    assert 0.12 < np.abs(change).max() <= 0.1251
    resolved = load_resolved(folder.path / "scenario.toml")
    assert resolved.client.optimizer.scale == 0.5  # type: ignore[attr-defined]
    assert dumps(loads(dumps(resolved))) == dumps(resolved)


def test_stacking_leaves_an_optimiser_that_may_mix_clients_alone(tmp_path: Path) -> None:
    engine = {"engine": {"vectorised": "auto"}, "client": {"criterion": "auto"}}
    folder = RunFolder.create(tmp_path, "own", scenario_with(OWN, engine))
    rounds = run(folder)
    assert "may mix the weights of clients" in rounds.engine.stacking.decision.reason


@pytest.mark.parametrize(
    ("client", "sentence"),
    [
        ({"criterion": "nowhere:Loss"}, "client.criterion: criterion 'nowhere:Loss': there is no"),
        ({"criterion": "squares"}, "client.criterion: 'squares' is none of 'auto', 'agreement', "),
        ({"criterion": 3}, "client.criterion: text belongs here, not 3"),
        ({"optimizer": {"name": "torch.optim:Nope"}}, "client.optimizer.name: optimiser 'torch."),
        ({"optimizer": {"name": f"{__name__}:SignDescent", "scale": 0.0}}, "optimizer.scale: it"),
        ({"optimizer": {"scale": 2.0}}, "client.optimizer.scale: there is no such key"),
    ],
)
def test_what_is_no_criterion_or_optimiser_is_refused(client: dict, sentence: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(FedlabError) as caught:
        scenario_with({"client": client})
    assert sentence in str(caught.value)
