"""What models are measured by, against its definition."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from fedlab.run.replay import in_this_process
from fedlab.run.simulation import Simulation
from fedlab.run.unlearning.measures import Measured, auc, divergence, losses_of
from tests.shared import scenario_with

BACKDOOR = 'name = "backdoor"\nclients = [2]\npoisoned = 1.0\ntarget = 3'


def test_the_auc_counts_pairs_and_ties_half() -> None:
    draw = np.random.default_rng(1)
    members, others = draw.integers(0, 6, 40).astype(float), draw.integers(0, 5, 30).astype(float)
    pairs = [(m > o) + 0.5 * (m == o) for m in members for o in others]
    assert auc(members, others) == pytest.approx(np.mean(pairs))
    assert auc(members, members) == 0.5
    assert auc(members + 10, others) == 1.0


def test_divergence_and_losses_are_those_of_probabilities() -> None:
    wanted = torch.tensor([[0.5, 0.5], [1.0, 0.0]]).double()
    found = torch.tensor([[0.25, 0.75], [0.5, 0.5]]).double()
    first = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)
    assert divergence(wanted, found) == pytest.approx((first + math.log(2)) / 2)
    assert divergence(found, found) == 0.0
    losses = losses_of(found, torch.tensor([1, 0]))
    assert losses == pytest.approx([-math.log(0.75), math.log(2)])


@pytest.mark.parametrize("attacked", [False, True])
def test_a_model_is_measured_on_what_the_client_trained_on(attacked: bool) -> None:
    changes: dict[str, Any] = {"attack": BACKDOOR} if attacked else {}
    scenario = in_this_process(scenario_with(**changes))
    with Simulation(scenario) as simulation:
        worker = simulation.engine.worker  # type: ignore[attr-defined]
        size = simulation.network.model.layout.wire_size
        # Of zero weights the bias alone speaks: for class 3.
        weights = torch.zeros(size)
        entry = simulation.network.model.layout.entries[-1]
        weights[entry.start + 3] = 1.0
        measured = Measured(simulation, weights, [2], 1)
        examples = worker.federation.examples(2)[0]
        test = simulation.federation.dataset.test
    own = 1.0 if attacked else float((examples.targets == 3).float().mean())
    assert measured.forgotten["accuracy"] == pytest.approx(own)
    assert measured.test["accuracy"] == pytest.approx(float((test.targets == 3).float().mean()))
    assert ("attack_success" in measured.test) == attacked
    right, wrong = math.e / (math.e + 9), 1 / (math.e + 9)
    expected = -own * math.log(right) - (1 - own) * math.log(wrong)
    assert measured.forgotten["loss"] == pytest.approx(expected)
    # A member of class 3 has the smaller loss, and so have the test examples of that class.
    share = measured.test["accuracy"]
    ties = own * share + (1 - own) * (1 - share)
    assert measured.forgotten["membership"] == pytest.approx(own * (1 - share) + ties / 2)


def test_two_models_are_compared_by_their_weights_and_predictions() -> None:
    scenario = in_this_process(scenario_with())
    with Simulation(scenario) as simulation:
        first = simulation.initial_weights
        second = first + 0.05 * torch.randn(len(first), generator=torch.Generator().manual_seed(0))
        one, other = (Measured(simulation, w, [0], 1) for w in (first, second))
    assert one.against(one) == {"distance": 0.0, "agreement": 1.0, "divergence": 0.0}
    found = other.against(one)
    assert found["distance"] == pytest.approx(float((second - first).norm()), rel=1e-5)
    assert one.probabilities is not None
    assert other.probabilities is not None
    same = one.probabilities.argmax(1) == other.probabilities.argmax(1)
    assert found["agreement"] == pytest.approx(float(same.double().mean())) != 1.0
    assert found["divergence"] > 0


def test_a_task_without_classes_has_no_agreement() -> None:
    scenario = in_this_process(scenario_with('data.name = "diabetes"'))
    with Simulation(scenario) as simulation:
        measured = Measured(simulation, simulation.initial_weights, [0], 1)
    assert set(measured.against(measured)) == {"distance"}
    assert "rmse" in measured.forgotten
    assert "membership" not in measured.forgotten
