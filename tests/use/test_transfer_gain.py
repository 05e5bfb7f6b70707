"""Policies of one scenario side by side: what each trains, and that a stopped one goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from fedlab.errors import FedlabError
from fedlab.models.network import whole_state
from fedlab.results.comparison import Comparison
from fedlab.results.transfer_gain import TransferGain
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.scenario import Scenario
from fedlab.scenario.parts import load_federation, network_of
from fedlab.use.transfer_gain import policies, run_all, scenarios
from tests.shared import Changes, scenario_with
from tests.stopping import StopAfter

CNN = {
    "name": "cnn",
    "layers": [
        {"channels": 4, "kernel_size": 3, "batch_norm": True},
        {"channels": 6, "kernel_size": 3},
    ],
    "hidden": [8],
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of weights of the CNN."""
    drawn = scenario_with({"model": None}, {"model": CNN, "seed": 9})
    network = network_of(drawn, load_federation(drawn).dataset.task)
    path = tmp_path_factory.mktemp("weights") / "cnn.safetensors"
    save_file(whole_state(network, network.model.wire()), path)
    return path


def given(weights: Path, *changes: Changes) -> Scenario:
    return scenario_with(
        {"model": None, "data": {"train_examples": 90}},
        {"model": {**CNN, "pretrained": str(weights)}},
        {"client": {"optimizer": {"lr": 0.5}}, "evaluation": {"test_examples": 40}},
        *changes,
    )


def test_each_policy_trains_what_it_says_for_as_many_rounds(weights: Path) -> None:
    made: dict[str, Any] = scenarios(given(weights), policies(()), 4)
    assert {scenario.rounds for scenario in made.values()} == {4}
    assert {
        name: scenario.model.trainable for name, scenario in made.items() if not scenario.phases
    } == {
        "random": "all",
        "probe": "head",
        "full": "all",
    }
    last = {name: own.phases[-1].trainable for name, own in made.items() if own.phases}
    assert last == {
        "norm": "norm+head",
        "bitfit": "bias+head",
        "lora": None,
        "last": "last:1",
        "recipe": None,
    }
    assert made["lora"].model.trainable == "adapter+head"
    assert not made["random"].model.pretrained
    assert made["random"].model.batch_norm == "train"
    assert all(own.model.batch_norm == "frozen" for name, own in made.items() if name != "random")
    assert all(own.client.optimizer.lr < 0.5 for own in made.values())
    assert all(own.evaluation.early_stopping is None for own in made.values())


def test_a_scenario_s_own_adapter_is_that_of_the_policy(weights: Path) -> None:
    adapter = {"model": {"adapter": {"name": "lora", "rank": 2}, "trainable": "adapter+head"}}
    made: dict[str, Any] = scenarios(given(weights, adapter), policies(["probe", "lora"]), 2)
    assert made["probe"].model.adapter is None
    assert made["lora"].model.adapter.rank == 2


def test_a_stopped_comparison_goes_on_where_it_was(weights: Path, tmp_path: Path) -> None:
    wanted = policies(["probe", "lora"])
    made = scenarios(given(weights), wanted, 2)
    whole = list(run_all(tmp_path / "whole", made))
    assert [record.name for record in whole] == ["probe", "lora"]

    folder = tmp_path / "stopped"
    run(RunFolder.create_at(_made(folder) / "probe", made["probe"]), [StopAfter(1)])
    records = list(run_all(folder, made))
    assert [_digest(record) for record in records] == [_digest(record) for record in whole]
    before = (folder / "probe" / "summary.json").stat().st_mtime_ns
    list(run_all(folder, made))
    assert (folder / "probe" / "summary.json").stat().st_mtime_ns == before

    metric = records[0].metric
    assert metric is not None
    table = TransferGain(Comparison(records, metric), [own.what for own in wanted], 0.01)
    rows = table.rows()
    assert [row[0] for row in rows] == ["probe", "lora"]
    assert [row[3] for row in rows] == ["0", "0"]
    assert "| probe | the head |" in table.markdown()
    near = TransferGain(Comparison(records, metric), [own.what for own in wanted])
    assert near.target == pytest.approx(
        0.95 * max(record.tested[-1].value("accuracy") for record in records)
    )
    other = scenarios(given(weights, "seed = 8"), wanted, 2)
    with pytest.raises(FedlabError, match="holds a run of another scenario"):
        list(run_all(folder, other))


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _digest(record: Any) -> Any:
    import json

    return json.loads((record.path / "summary.json").read_text())["weights_sha256"]


def test_without_pretrained_weights_there_is_nothing_to_measure(weights: Path) -> None:
    with pytest.raises(FedlabError, match=r"model.pretrained: 'cnn' begins from random weights"):
        scenarios(given(weights, {"model": {"pretrained": False}}), policies(["probe"]), 2)
    with pytest.raises(FedlabError, match="--policy: 'prob' is none of random, probe"):
        policies(["prob"])
    with pytest.raises(FedlabError, match=r"policy 'probe': strategy.name: 'fedit' averages"):
        scenarios(given(weights, {"strategy": {"name": "fedit"}}), policies(["probe"]), 2)
