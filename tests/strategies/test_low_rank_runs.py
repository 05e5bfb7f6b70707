"""Whole runs with adapters: resumed, and on ray, the same bits; and with what they compose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fedlab.errors import FedlabError, FedlabErrors
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.simulation import assemble
from fedlab.use.evaluate import evaluate_trained
from fedlab.use.loading import load_trained
from tests.shared import Changes, scenario_with
from tests.stopping import StopAfter

BASE = {
    "seed": 5,
    "data": {
        "train_examples": 120,
        "partition": {"name": "dirichlet", "clients": 6, "alpha": 0.5},
    },
    "client": {"batch_size": 8, "optimizer": {"lr": 0.1}},
    "strategy": {"fraction_train": 0.7},
    "evaluation": {"test_examples": 50},
}
VIT = 'name = "vit"\ndepth = 1\nwidth = 8\nheads = 2\n[adapter]\nname = "lora"\nrank = 2\n'
STRATEGIES = {
    "fedit": ('name = "fedit"', VIT),
    "ffa": ('name = "fedavg"', f"{VIT}freeze_a = true"),
    "fedex-lora": ('name = "fedex-lora"', f"{VIT}base_travels = true"),
}
ALL = pytest.mark.parametrize("name", STRATEGIES)
TOP_K = '[[updates]]\nname = "top-k"\nfraction = 0.2\n'
FEDADAM = 'strategy.name = "fedadam"\nstrategy.eta = 0.02\n'


def started(parent: Path, name: str, *changes: Changes) -> RunFolder:
    strategy, model = STRATEGIES[name]
    scenario = scenario_with(
        BASE, {"model": {"name": None}}, *changes, model=model, strategy=strategy
    )
    return RunFolder.create(parent, "adapted", scenario)


def finished(folder: RunFolder, *callbacks: Any) -> dict[str, Any]:
    run(folder, callbacks)
    summary: dict[str, Any] = json.loads((folder.path / "summary.json").read_text())
    return summary


def digest(folder: RunFolder, *callbacks: Any) -> str:
    return str(finished(folder, *callbacks)["weights_sha256"])


@ALL
def test_a_resumed_run_ends_in_the_same_bits(tmp_path: Path, name: str) -> None:
    whole = digest(started(tmp_path, name))
    stopped = started(tmp_path, name)
    assert digest(stopped, StopAfter(2)) != whole
    assert digest(RunFolder.open(stopped.path)) == whole


@ALL
@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_ray_ends_in_the_same_bits(tmp_path: Path, name: str, workers: int) -> None:
    inline = digest(started(tmp_path, name))
    assert (
        digest(started(tmp_path, name, f'engine.name = "ray"\nengine.workers = {workers}'))
        == inline
    )


HEAD_FIRST = '[[phases]]\nrounds = 1\ntrainable = "head"\n[[phases]]\nrounds = 2'


@ALL
def test_a_phase_may_train_the_head_alone_and_what_is_under_the_adapter_stays_at_home(
    tmp_path: Path, name: str
) -> None:
    folder = started(tmp_path, name, {"rounds": None}, HEAD_FIRST)
    whole = digest(folder)
    lines = [line for line in folder.lines("metrics.jsonl") if line["round"]]
    head, first, _ = (line["bytes_down"] for line in lines)
    assert head < first
    if name != "ffa":
        assert (
            lines[0]["strategy"]["product_mismatch"] == 0 < lines[2]["strategy"]["product_mismatch"]
        )
    stopped = started(tmp_path, name, {"rounds": None}, HEAD_FIRST)
    assert digest(stopped, StopAfter(1)) != whole
    assert digest(RunFolder.open(stopped.path)) == whole


def test_phases_none_of_which_trains_the_adapter_are_refused() -> None:
    phases = (
        '[[phases]]\nrounds = 1\ntrainable = "head"\n[[phases]]\nrounds = 1\ntrainable = "head"'
    )
    scenario = scenario_with(
        BASE, {"model": {"name": None}, "rounds": None}, {"model": _table(VIT)}, phases
    )
    with pytest.raises(FedlabError, match="phases: none of them trains anything of the adapter"):
        assemble(scenario)


@ALL
def test_what_the_run_leaves_is_the_bare_network_with_the_adapter_in_its_weights(
    tmp_path: Path, name: str
) -> None:
    folder = started(tmp_path, name)
    finished(folder)
    tensors = load_file(folder.path / "model.safetensors")
    assert not any("lora" in tensor for tensor in tensors)
    trained = load_trained(folder.path)
    assert trained.network.adapted is None
    assert trained.network.model.module.state_dict().keys() == tensors.keys()
    last = list(folder.lines("metrics.jsonl"))[-1]["test"]
    measured = evaluate_trained(trained).compute()
    assert measured["accuracy"] == pytest.approx(last["accuracy"])
    assert measured["loss"] == pytest.approx(last["loss"], rel=1e-5)


def test_bytes_are_those_of_what_is_trained(tmp_path: Path) -> None:
    sizes = {}
    for name in STRATEGIES:
        folder = started(tmp_path, name, "strategy.fraction_train = 1.0\nrounds = 1")
        summary = finished(folder)
        network = assemble(folder.scenario).network
        layout = network.model.layout
        # In a message of its own an array has a header of 128 bytes.
        assert 0 <= summary["bytes_up"] - 4 * 6 * layout.wire_parameters <= 6 * 128, name
        assert 0 <= summary["bytes_down"] - 4 * 6 * layout.wire_size <= 6 * 128, name
        sizes[name] = (layout.wire_parameters, layout.held)
    # Of the weights of attention, 24×8 and 8×8, factors of rank 2; and a head of 10 by 8.
    head = 90
    assert sizes["fedit"] == (2 * (24 + 8) + 2 * (8 + 8) + head, 0)
    assert sizes["ffa"] == (2 * 24 + 2 * 8 + head, 0)
    assert sizes["fedex-lora"] == (sizes["fedit"][0], 24 * 8 + 8 * 8)


def test_the_mean_of_factors_is_off_and_that_is_recorded(tmp_path: Path) -> None:
    for name in ("fedit", "fedex-lora"):
        folder = started(tmp_path, name)
        run(folder)
        found = [line["strategy"] for line in folder.lines("metrics.jsonl") if line["round"]]
        assert all(0 < line["product_mismatch"] < 10 for line in found)
    model = _table(STRATEGIES["ffa"][1])
    scenario = scenario_with(BASE, {"model": None}, {"model": model}, strategy='name = "fedit"')
    frozen = RunFolder.create(tmp_path, "frozen", scenario)
    run(frozen)
    lines = [line["strategy"] for line in frozen.lines("metrics.jsonl") if line["round"]]
    assert all(line["product_mismatch"] == 0 for line in lines)


COMPOSED = {
    "top-k, error feedback, FedAdam": f"{FEDADAM}{TOP_K}",
    "float16": '[[updates]]\nname = "float16"',
    "scaffold": 'strategy.name = "scaffold"\nclient.name = "scaffold"',
    "median": 'strategy.name = "fedmedian"',
    "personal head": 'model.personal = "head"',
    "personal adapter": 'model.personal = ["*.lora.*"]',
    "head first": '[[phases]]\nrounds = 1\ntrainable = "head"\n[[phases]]\nrounds = 2',
    "clients that stack": "engine.vectorised = 3",
}


@pytest.mark.parametrize("what", COMPOSED)
def test_lora_goes_with_the_rest(tmp_path: Path, what: str) -> None:
    model = {"model": {"name": None}}
    changes = (BASE, model, {"rounds": None} if "phases" in COMPOSED[what] else {})
    scenario = scenario_with(*changes, {"model": _table(VIT)}, COMPOSED[what])
    summary = finished(RunFolder.create(tmp_path, "composed", scenario))
    assert summary["status"] == "finished"
    resumed = RunFolder.create(tmp_path, "composed", scenario)
    run(resumed, [StopAfter(2)])
    assert digest(RunFolder.open(resumed.path)) == summary["weights_sha256"]


def _table(text: str) -> Any:
    import tomllib

    return tomllib.loads(text)


def test_fedex_goes_with_update_processors_which_leave_the_weights_under_it_alone(
    tmp_path: Path,
) -> None:
    folder = started(tmp_path, "fedex-lora", TOP_K)
    summary = finished(folder)
    plain = finished(started(tmp_path, "fedex-lora"))
    assert summary["bytes_up"] < plain["bytes_up"]
    assert summary["bytes_down"] == plain["bytes_down"]


def test_an_adapter_starts_from_what_another_run_left(tmp_path: Path) -> None:
    first = started(tmp_path, "fedit")
    run(first)
    second = started(tmp_path, "fedit", {"model": {"pretrained": str(first.path)}})
    network = assemble(second.scenario).network
    state, left = network.model.module.state_dict(), load_file(first.path / "model.safetensors")
    assert all(torch.equal(state[name], tensor) for name, tensor in left.items())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ('strategy.name = "fedex-lora"', "set model.adapter.base_travels = true"),
        (
            'strategy.name = "fedex-lora"\nmodel.adapter.freeze_a = true',
            "one stays frozen, so that the mean is exact",
        ),
        ('strategy.name = "fedit"\nmodel.personal = ["*.lora.*"]', "they do not travel"),
        ('model.trainable = "head"', "nothing of the adapter is trained"),
        ({"strategy": {"name": "fedit"}, "model": {"adapter": None}}, "this model has none"),
    ],
)
def test_what_cannot_go_together_is_refused_before_the_first_round(
    changes: Changes, said: str
) -> None:
    scenario = scenario_with(BASE, {"model": {"name": None}}, {"model": _table(VIT)}, changes)
    with pytest.raises(FedlabErrors, match=said):
        assemble(scenario)
