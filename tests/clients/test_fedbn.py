"""FedBN against its paper's Algorithm 1: plain clients, and all but batch norm averaged here."""

from typing import Any

import numpy as np
import torch

from fedlab.engine.worker.worker import Worker
from fedlab.run.simulation import Simulation
from fedlab.scenario.parts import load_federation
from fedlab.training.task import Assignment
from tests.shared import scenario_with

BASE = {
    "rounds": 2,
    "data": {
        "name": "iris",
        "validation": 0.0,
        "partition": {"name": "dirichlet", "clients": 3, "alpha": 1.0, "min_size": 10},
    },
    "model": {"hidden": [4], "batch_norm_layers": True},
    "client": {"batch_size": 8, "optimizer": {"lr": 0.2}},
}
Named = dict[str, np.ndarray[Any, Any]]


def copied(views: dict[str, torch.Tensor]) -> Named:
    return {name: tensor.double().numpy().copy() for name, tensor in views.items()}


def test_all_but_batch_norm_is_averaged_over_examples() -> None:
    scenario = scenario_with(BASE, 'model.batch_norm = "train"\nclient.name = "supervised"')
    plain = Worker(scenario, load_federation(scenario))
    layout, start = plain.network.model.layout, plain.network.model.wire()
    own = [copied(layout.views(start)) for _ in range(3)]
    assert layout.wire == slice(0, layout.size)
    for server_round in (1, 2):
        trained = []
        for client, names in enumerate(own):
            vector = torch.empty(layout.size)
            for name, view in layout.views(vector).items():
                view.copy_(torch.from_numpy(names[name]))
            trained.append(plain.train(Assignment(client, server_round, vector)))
        own = [copied(layout.views(update.weights)) for update in trained]
        sizes = [update.examples for update in trained]
        for name in own[0]:
            if not name.startswith("hidden.0.1."):
                total = sum(n * names[name] for n, names in zip(sizes, own, strict=True))
                for names in own:
                    names[name] = total / sum(sizes)
    assert len(set(sizes)) > 1
    assert np.abs(own[0]["hidden.0.1.weight"] - own[1]["hidden.0.1.weight"]).max() > 1e-3

    local = scenario_with(BASE, 'model.batch_norm = "local"\nclient.name = "fedbn"')
    with Simulation(local) as simulation:
        rounds = simulation.rounds()
        rounds.run()
        layout = simulation.network.model.layout
        states = [simulation.engine.states.get(client) for client in range(3)]
    for client, state in enumerate(states):
        (record,) = state.array_records.values()
        personal = torch.from_numpy(record["personal"].numpy().copy())
        found = copied(layout.views(torch.cat([personal, rounds.weights])))
        assert found.keys() == own[client].keys()
        for name, values in own[client].items():
            np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-5, err_msg=name)
