"""Worker momentum against its equation, with weights that two rounds of plain clients reach."""

from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict

from fedlab.run.simulation import Simulation
from tests.shared import scenario_with

BASE = {
    "rounds": 2,
    "data": {"train_examples": 200},
    "model": {"hidden": [6]},
    "client": {"steps": 1, "optimizer": {"lr": 0.2}},
}


def updates(client: str, vectorised: str, starts: list[Any]) -> list[Any]:
    """Return the mean update of each round, from given weights, in a row of rounds."""
    scenario = scenario_with(
        BASE, {"client": {"name": client}}, engine=f"vectorised = {vectorised}"
    )
    found = []
    with Simulation(scenario) as simulation:
        for number, start in enumerate(starts, 1):
            sent = simulation.initial_weights.numpy() + start
            arrays = ArrayRecord({"weights": Array(sent.astype(np.float32))})
            config = ConfigRecord({"server-round": number, "weighting": "clients"})
            content = RecordDict({"arrays": arrays, "config": config})
            messages = [Message(content, client + 2, "train") for client in range(3)]
            (reply,) = simulation.engine.exchange(messages, combine=True).replies
            weights = next(iter(reply.content.array_records.values())).to_numpy_ndarrays()[0]
            found.append(weights - sent)
    return found


@pytest.mark.parametrize("vectorised", ["false", '"auto"'])
def test_what_is_sent_is_the_running_mean_of_updates(vectorised: str) -> None:
    starts = [0.0, 0.05, -0.03]
    first, second, third = updates("supervised", vectorised, starts)
    mean = 0.1 * second + 0.9 * first
    expected = [first, mean, 0.1 * third + 0.9 * mean]
    sent = updates("worker-momentum", vectorised, starts)
    np.testing.assert_allclose(sent, expected, atol=1e-6)
    assert np.abs(expected[2] - third).max() > 1e-3
