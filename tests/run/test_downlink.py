"""Downlink compression: its equations, its bytes, on every engine and after a resume."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedlab.algorithm.update_chain import UpdateChain
from fedlab.errors import FedlabError
from fedlab.run.callbacks import Callback
from fedlab.run.downlink import Downlink
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.simulation import Simulation
from fedlab.scenario import dumps, loads
from tests.clients.processing.codec import processor, small_layout
from tests.stopping import StopAfter

LAYOUT = small_layout()


def downlink(name: str = "top-k", **keys: Any) -> Downlink:
    return Downlink(UpdateChain([processor(name, LAYOUT, **keys)], LAYOUT, True, 1))


def test_rounds_follow_the_equations() -> None:
    draws = np.random.default_rng(1)
    own, end = downlink(fraction=0.1), LAYOUT.wire_parameters
    weights = draws.normal(size=LAYOUT.wire_size).astype(np.float32)
    held = weights.copy()
    np.testing.assert_array_equal(own.sent(torch.from_numpy(weights), 0), held)
    for number in range(1, 4):
        aggregated = held + draws.normal(size=len(held)).astype(np.float32)
        new = own.reached(torch.from_numpy(aggregated)).numpy()
        np.testing.assert_allclose(new, aggregated + (weights - held), atol=1e-5)
        weights = new
        change = weights - held
        chosen = np.argsort(-np.abs(change[:end]))[: -(-end // 10)]
        held = held.copy()
        held[chosen] += change[chosen]
        held[end:] = weights[end:]
        # It goes through a checkpoint between rounds.
        again = downlink(fraction=0.1)
        again.restore(own.state())
        own = again
        sent = own.sent(torch.from_numpy(weights), number)
        np.testing.assert_allclose(sent, held, atol=1e-5)
        assert torch.equal(own.sent(torch.from_numpy(weights), number), sent)
        held = sent.numpy()


def test_a_client_that_was_away_is_sent_all_changes_or_the_weights() -> None:
    own, weights = downlink("float16"), torch.randn(LAYOUT.wire_size)
    whole = 4 * LAYOUT.wire_size
    statistics = 4 * (LAYOUT.wire_size - LAYOUT.wire_parameters)
    change = 2 * LAYOUT.wire_parameters + statistics
    own.sent(weights, 0)
    assert own.saved([0, 1]) == 0
    own.sent(weights + 1, 1)
    assert own.saved([0, 2]) == whole - change
    own.sent(weights + 2, 2)
    # Client 1 has missed two changes, which are more than the weights; client 0 has one to get.
    assert own.saved([0, 1, 2]) == 2 * (whole - change)
    assert own.saved([0, 1, 2]) == 3 * whole


SCENARIO = """
rounds = 3
[data]
name = "digits"
[data.partition]
name = "iid"
clients = 4
[model]
name = "mlp"
hidden = [8]
[client]
steps = 4
[client.optimizer]
lr = 0.2
[strategy]
name = "fedavg"
[engine]
name = "inline"
[evaluation]
federated = true
test_examples = 60
"""
PROCESSORS = {
    "top-k": "",
    "qsgd": "levels = 7",
    "powersgd": "rank = 2",
    "count-sketch": "",
    "lossless": 'codec = "zlib"',
}


NPY_HEADER = 128


def text_of(name: str, engine: str = "inline") -> str:
    text = SCENARIO.replace('"inline"', f'"{engine}"')
    return f'{text}\n[[downlink]]\nname = "{name}"\n{PROCESSORS.get(name, "")}'


def finished(folder: RunFolder, *callbacks: Callback) -> str:
    run(folder, callbacks)
    return str(json.loads((folder.path / "summary.json").read_text())["weights_sha256"])


@pytest.mark.parametrize("name", PROCESSORS)
def test_a_resumed_run_ends_in_the_same_bits(tmp_path: Path, name: str) -> None:
    scenario = loads(text_of(name))
    again = loads(dumps(scenario)).downlink
    assert [table.model_dump() for table in again] == [
        table.model_dump() for table in scenario.downlink
    ]
    folders = [RunFolder.create(tmp_path, kind, scenario) for kind in ("whole", "stopped")]
    whole = finished(folders[0])
    finished(folders[1], StopAfter(2))
    assert finished(RunFolder.open(folders[1].path)) == whole
    keys = ("bytes_down", "bytes_down_saved")
    lines = [[[x[k] for k in keys] for x in list(f.lines("metrics.jsonl"))[1:]] for f in folders]
    assert lines[0] == lines[1]
    assert lines[0][1][1] > 0


def test_the_bytes_are_those_that_would_travel(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "bytes", loads(text_of("top-k")))
    run(folder)
    parameters = 64 * 8 + 8 + 8 * 10 + 10
    each = 61 * 8 + 8
    lines = list(folder.lines("metrics.jsonl"))[1:]
    # Sent whole at first; the change for the evaluation is what the next round trains from.
    headers = 2 * 4 * NPY_HEADER
    first, later = 4 * (4 * parameters + each) + headers, 4 * each + headers
    assert [line["bytes_down"] for line in lines] == [first, later, later]
    assert lines[2]["bytes_down_saved"] == 4 * (2 * 4 * parameters - each)


@pytest.mark.slow
def test_ray_ends_in_the_same_bits(tmp_path: Path) -> None:
    ends = [
        finished(RunFolder.create(tmp_path, engine, loads(text_of("qsgd", engine))))
        for engine in ("inline", "ray")
    ]
    assert ends[0] == ends[1]


@pytest.mark.slow
def test_flowers_own_engine_agrees() -> None:
    ends = []
    for engine in ("inline", "flower"):
        with Simulation(loads(text_of("top-k", engine))) as simulation:
            rounds = simulation.rounds()
            rounds.run()
            ends.append(rounds.weights)
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("[[downlink]]", "[[downlink]]\nerror_feedback = false"), "downlink.0.error_feedback"),
        (
            ('name = "fedavg"', 'name = "ifca"'),
            "works on the change of one global model, and strategy 'ifca' has several",
        ),
        (('"top-k"', '"fixed-clipping"'), "downlink: 'fixed-clipping' works on what clients send"),
    ],
)
def test_what_cannot_be_composed_is_refused(change: tuple[str, str], told: str) -> None:
    text = text_of("top-k").replace(*change)
    if "ifca" in text:
        text = text.replace("[client]", '[client]\nname = "ifca"')
    with pytest.raises(FedlabError, match=told):
        Simulation(loads(text))


def test_a_deployment_refuses_it() -> None:
    from dataclasses import replace

    from fedlab import registry
    from fedlab.run.checks import setup_of
    from fedlab.run.downlink import objections

    with Simulation(loads(text_of("top-k"))) as made:
        setup = setup_of(made.scenario, made.federation, made.network, made.strategy)
        deployed = registry.engines.get("deployment").traits
        told = list(objections(made.scenario, replace(setup, engine=deployed)))
    assert told == [
        "downlink: sites are sent the weights whole, and 'top-k' would save nothing there; leave "
        "[[downlink]] out"
    ]
