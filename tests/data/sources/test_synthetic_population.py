"""Clients that are made when they are asked for, and never stored."""

import pickle
from typing import Any

import numpy as np
import pytest
import torch

from fedlab.data.description import statistics
from fedlab.data.federation import Federation
from fedlab.errors import FedlabError
from fedlab.run.simulation import Simulation
from fedlab.scenario.parts import load_federation
from tests.shared import scenario_with

BASE = {
    "rounds": 2,
    "seed": 4,
    "data": {
        "name": "synthetic-population",
        "clients": 1_000_000,
        "partition": {"name": "natural", "clients": None},
    },
    "model": {"name": "linear"},
    "client": {"batch_size": 10},
    "strategy": {"fraction_train": 0.00001},
}


def scenario(**changes: Any) -> Any:
    return scenario_with(BASE, changes)


def made(**data: Any) -> Federation:
    return load_federation(scenario(data=data))


def test_a_client_is_the_same_whatever_the_population() -> None:
    large, small = made(), made(clients=10)
    large.examples(999_999)
    for client in (0, 9):
        for a, b in zip(large.examples(client), small.examples(client), strict=True):
            torch.testing.assert_close(a.inputs, b.inputs, rtol=0, atol=0)
            assert torch.equal(a.targets, b.targets)
    assert not torch.equal(large.examples(0)[0].inputs, large.examples(1)[0].inputs)


def test_training_and_validation_parts_are_the_clients_examples() -> None:
    federation = made(size_sigma=0.6)
    for client in (3, 777_777):
        training, validation = federation.examples(client)
        size = federation.partition.size(client)
        assert len(training) + len(validation) == size
        assert (len(training), len(validation), 0) == federation.part_sizes(client)
        inputs, targets = federation.dataset.train.population.make(client)  # type: ignore[attr-defined]
        ours = torch.cat([training.inputs, validation.inputs])
        assert torch.equal(ours.sort(dim=0).values, inputs.sort(dim=0).values)
        assert len(targets) == size


def test_rows_of_several_clients_come_in_the_order_asked_for() -> None:
    train = made().dataset.train
    rows = np.array([125, 3, 60, 3])
    taken = train.take(rows)
    for place, row in enumerate(rows):
        one = train.take(np.array([row]))
        assert torch.equal(taken.inputs[place], one.inputs[0])
        assert taken.targets[place] == one.targets[0]


def test_inputs_and_classes_follow_the_equations() -> None:
    federation = made(alpha=0.0, beta=0.0, examples=20000, features=5)
    inputs, targets = federation.dataset.train.population.make(8)  # type: ignore[attr-defined]
    deviations = inputs.double().std(dim=0).numpy()
    np.testing.assert_allclose(deviations, np.arange(1, 6) ** -0.6, rtol=0.03)
    # With alpha = 0 one linear map, the same for all clients, separates the classes.
    weights = federation.dataset.train.population._weights  # type: ignore[attr-defined]
    scores = inputs.double().numpy() @ weights[:, :5].T + weights[:, 5]
    assert (scores.argmax(axis=1) == targets.numpy()).mean() > 0.999


def test_a_million_clients_are_small_to_send_and_to_describe() -> None:
    federation = made()
    test = federation.dataset.test
    room = test.inputs.nbytes + test.targets.nbytes
    assert len(pickle.dumps(federation)) < room + 50_000
    described = statistics(federation.partition, federation.dataset.train, federation.dataset.task)
    assert described["clients"] == 1_000_000
    assert len(described["counts"]) == 5000


def test_rounds_ask_for_the_cohorts_clients_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with Simulation(scenario()) as simulation:
        population = simulation.federation.dataset.train.population  # type: ignore[attr-defined]
        asked: list[int] = []
        original = population.make
        monkeypatch.setattr(population, "make", lambda c: (asked.append(c), original(c))[1])
        rounds = simulation.rounds()
        rounds.run()
    assert rounds.round == 2
    assert len(set(asked)) <= 20


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"partition": {"name": "iid", "clients": 3}}, r"partition\.name: .*natural"),
        ({"train_examples": 5}, r"data\.train_examples: "),
        ({"clients": 5, "partition": {"clients": 6}}, r"data\.partition\.clients: 6 is more"),
    ],
)
def test_what_cannot_be_made_client_by_client_is_refused(keys: Any, message: str) -> None:
    with pytest.raises(FedlabError, match=message):
        made(**keys)


def test_pooling_all_clients_is_refused_before_the_first_round() -> None:
    with pytest.raises(FedlabError, match=r"evaluation\.baselines: 'centralised'"):
        Simulation(scenario(evaluation={"baselines": ["centralised"]}))
