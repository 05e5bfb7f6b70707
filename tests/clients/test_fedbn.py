"""FedBN against its paper's Algorithm 1: plain clients, and all but batch norm averaged here."""

from typing import Any

import numpy as np
import torch

from fedlab.engine.worker.worker import Worker
from fedlab.run.simulation import Simulation
from fedlab.scenario import loads
from fedlab.scenario.parts import load_federation
from fedlab.training.task import Assignment

SCENARIO = """
rounds = 2
[data]
name = "iris"
validation = 0.0
[data.partition]
name = "dirichlet"
clients = 3
alpha = 1.0
min_size = 10
[model]
name = "mlp"
hidden = [4]
batch_norm_layers = true
batch_norm = "{batch_norm}"
[client]
name = "{client}"
batch_size = 8
[client.optimizer]
lr = 0.2
[engine]
name = "inline"
"""
Named = dict[str, np.ndarray[Any, Any]]


def copied(views: dict[str, torch.Tensor]) -> Named:
    return {name: tensor.double().numpy().copy() for name, tensor in views.items()}


def test_all_but_batch_norm_is_averaged_over_examples_and_batch_norm_stays() -> None:
    scenario = loads(SCENARIO.format(batch_norm="train", client="supervised"))
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

    with Simulation(loads(SCENARIO.format(batch_norm="local", client="fedbn"))) as simulation:
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
