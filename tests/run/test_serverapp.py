"""The Flower ServerApp runs the same rounds over any Grid whose nodes are clients."""

import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, Message, MessageType, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from safetensors.numpy import load_file

import fedlab
from fedlab.engine.inline import InlineEngine
from fedlab.errors import FedlabError
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.serverapp import app
from fedlab.scenario import dumps, from_run_config, load
from fedlab.scenario.parts import load_federation
from tests.engine.flower.nodes import Nodes
from tests.shared import scenario_with

BASE = {
    "rounds": 2,
    "data": {"name": "iris", "partition": {"clients": 4}},
    "strategy": {"name": "fedavgm", "server_momentum": 0.5},
}


def test_over_a_grid_of_nodes_it_reaches_the_simulations_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = scenario_with(BASE)
    simulated = RunFolder.create(tmp_path, "simulated", scenario)
    run(simulated)
    monkeypatch.chdir(tmp_path)
    nodes: Any = Nodes(dumps(scenario), [None] * 4)
    app(nodes, Context(1, 1, {}, RecordDict(), {"scenario": dumps(scenario)}))
    (deployed,) = (tmp_path / "runs").iterdir()
    expected = load_file(simulated.path / "model.safetensors")
    for name, tensor in load_file(deployed / "model.safetensors").items():
        np.testing.assert_allclose(tensor, expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_nodes_report_their_partition_when_asked() -> None:
    scenario = scenario_with(BASE)
    nodes = InlineEngine(scenario.engine, scenario, load_federation(scenario))  # type: ignore[arg-type]
    asked = [Message(RecordDict(), node, MessageType.QUERY) for node in nodes.get_node_ids()]
    told = [
        reply.content.config_records["config"]["partition-id"]
        for reply in nodes.send_and_receive(asked)
    ]
    assert told == [0, 1, 2, 3]


def test_the_root_is_a_flower_app_whose_parts_exist() -> None:
    project = Path(fedlab.__file__).parent.parent / "pyproject.toml"
    components = tomllib.loads(project.read_text())["tool"]["flwr"]["app"]["components"]
    for name, kind in (("serverapp", ServerApp), ("clientapp", ClientApp)):
        module, _, attribute = components[name].partition(":")
        assert isinstance(getattr(import_module(module), attribute), kind)


def test_a_run_configuration_may_extend_what_comes_with_fedlab() -> None:
    scenario = from_run_config('extends = "quickstart"\nrounds = 3\n')
    assert scenario.rounds == 3
    assert scenario.data.name == load("quickstart").data.name


def test_a_run_configuration_that_extends_a_file_is_to_be_resolved() -> None:
    with pytest.raises(FedlabError, match="submit the scenario resolved"):
        from_run_config('extends = "mine.toml"\nrounds = 3\n')
