"""Probes of representations, against their definitions."""

from typing import Any

import numpy as np
import pytest
import torch

from fedlab.engine.probe import by_linear_probe, by_neighbours
from fedlab.errors import FedlabError
from fedlab.run.simulation import Simulation, assemble
from fedlab.scenario import load
from tests.shared import scenario_with

PROBED = {
    "rounds": 1,
    "data": {"train_examples": 200},
    "evaluation": {"probe": {"examples": 150, "neighbours": 5}, "test_examples": 100},
}


def drawn(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))


def test_neighbours_vote_by_the_exponential_of_their_cosine() -> None:
    known, tested = drawn(30, 1), drawn(12, 2)
    labels = torch.arange(30) % 3
    a, b = known.double().numpy(), tested.double().numpy()
    a, b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (a, b))
    expected = []
    for row in b @ a.T:
        votes = np.zeros(3)
        for k in np.argsort(-row)[:7]:
            votes[int(labels[k])] += np.exp(row[k] / 0.07)
        expected.append(votes.argmax())
    assert by_neighbours(known, labels, tested, 7).tolist() == expected
    assert by_neighbours(known, labels, known, 1).tolist() == labels.tolist()
    assert len(by_neighbours(known, labels, tested, 100)) == 12


def test_a_linear_probe_separates_what_a_plane_does() -> None:
    known, tested = drawn(200, 1), drawn(200, 2)

    def side(points: torch.Tensor) -> torch.Tensor:
        return (points[:, 0] > 0.3 * points[:, 1]).long()

    found = by_linear_probe(known, side(known), tested)
    assert (found == side(tested)).float().mean() > 0.95


def test_what_enters_the_head_is_probed_and_nothing_else_changes() -> None:
    plain = scenario_with(PROBED, {"evaluation": {"probe": None}})
    with Simulation(scenario_with(PROBED)) as probed, Simulation(plain) as bare:
        wire = probed.initial_weights
        rounds, without = probed.rounds(), bare.rounds()
        found = probed.engine.evaluate(wire).compute()
        assert {"loss", "accuracy", "probe_accuracy", "knn_accuracy"} <= found.keys()
        assert found["probe_accuracy"] > 0.6
        rounds.run()
        without.run()
        assert torch.equal(torch.as_tensor(rounds.weights), torch.as_tensor(without.weights))


def test_neither_has_to_be_measured() -> None:
    keys = {"evaluation": {"probe": {"neighbours": 0}}}
    with Simulation(scenario_with(PROBED, keys)) as simulation:
        found = simulation.engine.evaluate(simulation.initial_weights).compute()
    assert "knn_accuracy" not in found
    assert "probe_accuracy" in found


@pytest.mark.parametrize(
    "data", [{"name": "diabetes"}, {"task": "reconstruction", "name": "diabetes"}]
)
def test_a_probe_needs_classes(data: Any) -> None:
    model = {"name": "autoencoder" if "task" in data else "linear"}
    with pytest.raises(FedlabError, match=r"evaluation\.probe: the data set's examples are not of"):
        assemble(scenario_with(PROBED, {"data": data, "model": model}))


def test_labels_that_are_not_known_are_not_probed_with() -> None:
    probe = {"examples": 10_000, "neighbours": 1}
    keys = {"data": {"unlabelled": [1]}, "evaluation": {"probe": probe}}
    with Simulation(scenario_with(PROBED, keys)) as simulation:
        known = simulation.engine._probe.known  # type: ignore[union-attr]
        held = simulation.federation.rows(1)[0]
        assert len(known) == len(simulation.federation.dataset.train) - len(held)
        assert int(known.targets.min()) >= 0
        assert "knn_accuracy" in simulation.engine.evaluate(simulation.initial_weights).compute()


def test_a_probe_needs_examples_that_are_stored() -> None:
    with pytest.raises(FedlabError, match=r"evaluation\.probe: this data set makes training exam"):
        assemble(load("million-made-up-clients", ("evaluation.probe={examples=10}",)))
