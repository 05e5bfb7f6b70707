"""Every built-in scenario runs, and together they show everything that a scenario can name."""

import json
import math
import os
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fedlab import registry
from fedlab.errors import AssetMissing
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.scenario import Scenario, built_in, load

ROOT = Path(str(resources.files("scenarios")))
SHORTENED = (
    "rounds=1",
    "client.steps=2",
    "engine.name=inline",
    "evaluation.test_examples=64",
    "evaluation.every=1",
)
# They read large files, or run large networks: `pytest -m slow` runs them.
HEAVY = {
    "bottleneck-vit",
    "bucketing-mnist",
    "coral",
    "coral-rotated",
    "dann",
    "fedex-lora-vit",
    "fedgma",
    "flora-vit",
    "heterofl",
    "hetlora-vit",
    "fedgkt",
    "fedmd",
    "fedrolex",
    "fjord",
    "ffa-lora-vit",
    "ia3-vit",
    "irm",
    "kd3a",
    "lora-cnn",
    "lora-decoder",
    "lora-minilm",
    "lora-shakespeare",
    "lora-top-k-fedadam",
    "lora-vit",
    "mcmahan-fashion-mnist",
    "mmd",
    "mnist-usps",
    "model-mcmahan-2nn",
    "model-mcmahan-cnn",
    "personalisation-fashion-mnist",
    "pretrained-cnn",
    "pretrained-cnn-norm-head",
    "pretrained-vit",
    "quickstart",
    "rotated-mnist",
    "shakespeare",
    "shakespeare-decoder",
    "text-transformer-head",
}
# Their data have no address that fedlab fetches from.
UNFETCHED = {
    *("coral", "dann", "kd3a", "mmd", "mnist-usps"),
    *("fed-heart-disease", "fed-heart-disease-alone", "spoken-digits"),
    *("omniglot-anil", "omniglot-fedavg", "omniglot-maml", "omniglot-protonet"),
}


def names() -> list[object]:
    """Return every built-in scenario, heavy ones marked slow."""
    return [
        pytest.param(name, marks=pytest.mark.slow if name in HEAVY else ()) for name in built_in()
    ]


@cache
def shown() -> tuple[Any, ...]:
    """Return the built-in scenarios, whose tables' keys depend on their names."""
    return tuple(load(name) for name in built_in())


def shortened(name: str) -> tuple[str, ...]:
    """Return what makes a scenario short; stragglers need epochs to leave out."""
    settings: Any = load(name)
    keys = SHORTENED
    if settings.phases:
        each = (f"phases.{number}.rounds=1" for number in range(len(settings.phases)))
        keys = (*(key for key in keys if key != "rounds=1"), *each)
    if settings.client.steps == 1:
        keys = tuple(key for key in keys if not key.startswith("client.steps"))
    if settings.strategy.name == "gradual-pruning":
        # Its last round stands above its first.
        keys = (*(key for key in keys if key != "rounds=1"), "rounds=2", "strategy.last=2")
    if settings.client.stragglers is None:
        return keys
    return tuple(key.replace("client.steps", "client.epochs") for key in keys)


@pytest.mark.parametrize("name", names())
def test_a_round_of_every_scenario_gives_a_whole_run_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    if not os.environ.get("CI"):
        monkeypatch.setenv("FEDLAB_OFFLINE", "1")
    scenario = load(name, shortened(name))
    folder = RunFolder.create(tmp_path, name, scenario)
    try:
        run(folder)
    except AssetMissing as missing:
        if os.environ.get("CI") and name not in UNFETCHED:
            raise
        pytest.skip(str(missing))
    check(folder, scenario)


def check(folder: RunFolder, scenario: Scenario) -> None:
    """Hold a run folder of one round against what docs/run-folder.md promises."""
    summary = json.loads((folder.path / "summary.json").read_text())
    # A round may already be good enough where the scenario stops early.
    assert summary["status"] == "finished" or scenario.evaluation.early_stopping is not None
    rounds = scenario.rounds
    assert summary["rounds"] == rounds
    lines = list(folder.lines("metrics.jsonl"))
    assert [line["round"] for line in lines] == list(range(rounds + 1))
    last = lines[-1]
    # Where no weights travel, there is no model to test on the server; few data sets have no test.
    tested = json.loads((folder.path / "data.json").read_text())["test"]["examples"] > 0
    assert ("test" in last) == (tested and summary["parameters"]["travelling"] > 0)
    assert all(math.isfinite(value) for value in last.get("test", {}).values())
    assert last["replies"] == last["cohort"] >= 1
    assert last["failures"] == 0
    weights = load_file(folder.path / "model.safetensors")
    assert sum(tensor.numel() for tensor in weights.values()) >= summary["parameters"]["trained"]
    assert (folder.path / "checkpoints" / f"round-{rounds:05d}").is_dir()
    partition = json.loads((folder.path / "partition.json").read_text())
    described = partition.get("described", partition)["clients"]
    assert len(partition["sizes"]) == described <= partition["clients"]


def test_heavy_scenarios_exist() -> None:
    assert set(built_in()) >= HEAVY


def test_no_two_built_in_scenarios_have_the_same_name() -> None:
    files = [path.stem for path in ROOT.rglob("*.toml")]
    assert sorted(files) == sorted(built_in())


def test_titles_are_unique_lines_and_descriptions_say_something() -> None:
    scenarios = shown()
    assert all("\n" not in scenario.title for scenario in scenarios)
    assert len({scenario.title for scenario in scenarios}) == len(scenarios)
    assert all(len(scenario.description.split()) > 5 for scenario in scenarios)


@pytest.mark.parametrize("name", registry.models.names())
def test_every_zoo_model_has_a_scenario(name: str) -> None:
    assert any(scenario.model.name == name for scenario in shown())


@pytest.mark.parametrize("name", registry.partitioners.names())
def test_every_partitioner_has_a_scenario(name: str) -> None:
    assert any(scenario.data.partition.name == name for scenario in shown())


@pytest.mark.parametrize("name", registry.adapters.names())
def test_every_adapter_has_a_scenario(name: str) -> None:
    adapters = [scenario.model.adapter for scenario in shown()]
    assert any(adapter is not None and adapter.name == name for adapter in adapters)


@pytest.mark.parametrize("name", registry.strategies.names())
def test_every_strategy_has_a_scenario(name: str) -> None:
    assert any(scenario.strategy.name == name for scenario in shown())


@pytest.mark.parametrize("name", registry.clients.names())
def test_every_client_algorithm_has_a_scenario(name: str) -> None:
    assert any(scenario.client.name == name for scenario in shown())


@pytest.mark.parametrize("name", registry.updates.names())
def test_every_update_processor_has_a_scenario(name: str) -> None:
    assert any(name in [table.name for table in scenario.updates] for scenario in shown())


# No scenario names an engine whose clients are other machines: `fedlab deploy run` does.
@pytest.mark.parametrize("name", [n for n in registry.engines.names() if n != "deployment"])
def test_every_engine_has_a_scenario(name: str) -> None:
    assert any(scenario.engine.name == name for scenario in shown())


@pytest.mark.parametrize("name", registry.attacks.names())
def test_every_attack_has_a_scenario(name: str) -> None:
    assert any(scenario.attack and scenario.attack.name == name for scenario in shown())
