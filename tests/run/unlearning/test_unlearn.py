"""``fedlab unlearn``: the comparison, the folders, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import fedlab
from fedlab import registry
from fedlab.engine.settings import EngineSettings
from fedlab.errors import FedlabError
from fedlab.results.reading import RunRecord
from fedlab.results.unlearning import UnlearningFile, tables_of
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.unlearning.method import Past
from fedlab.run.unlearning.unlearn import unlearn
from fedlab.trust import own_code
from fedlab.use.evaluate import evaluate_trained
from fedlab.use.loading import load_trained
from tests.shared import SMALL

FOUR: dict[str, Any] = {"data": {"partition": {"clients": 4}}, "client": {"epochs": 2}}
ALL = ["original", "retrain", "federaser", "fine-tuning", "projected-ascent"]


def made(path: Path, **keys: Any) -> RunFolder:
    fedlab.run(SMALL, **(FOUR | keys), path=path, progress=False)
    return RunFolder.open(path)


def models_in(path: Path) -> dict[str, dict[str, Any]]:
    return {
        folder.name: load_file(folder / "model.safetensors")
        for folder in path.iterdir()
        if folder.is_dir()
    }


def test_every_method_leaves_a_model_and_the_run_stays_as_it_was(tmp_path: Path) -> None:
    folder = made(tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")}
    found = unlearn(folder, [1], tmp_path / "out")
    assert {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")} == before
    assert [model.name for model in found.models] == ALL
    written = json.loads((tmp_path / "out" / "unlearning.json").read_text())
    assert UnlearningFile.model_validate(written) == found
    assert (found.of, found.clients, found.rounds) == (str(folder.path.absolute()), [1], 3)
    oracle = found.models[1]
    assert oracle.against == {"distance": 0.0, "agreement": 1.0, "divergence": 0.0}
    assert (oracle.cost.rounds, oracle.cost.trainings) == (3, 9)
    summary = json.loads((folder.path / "summary.json").read_text())
    assert found.models[0].test == summary["test"]
    for model in found.models[1:]:
        path = tmp_path / "out" / model.name
        assert evaluate_trained(load_trained(path)).compute() == pytest.approx(model.test)
        record = RunRecord.load(path)
        assert "without client 1" in record.notes[0]
        assert record.tested
    knowledge, costs = tables_of(found)
    assert [row[0] for row in knowledge.rows] == ALL
    assert [row[0] for row in costs.rows] == ALL[1:]


def test_models_are_the_same_bits_on_ray(tmp_path: Path) -> None:
    ray = {"name": "ray", "workers": 2}
    engines: dict[str, dict[str, Any]] = {"inline": {}, "ray": {"engine": ray}}
    found = {}
    for name, keys in engines.items():
        folder = made(tmp_path / name, **keys)
        unlearn(folder, [0], tmp_path / f"{name}-out")
        found[name] = models_in(tmp_path / f"{name}-out")
    assert set(found["inline"]) == set(ALL[1:])
    for method, state in found["inline"].items():
        for key, tensor in state.items():
            assert tensor.equal(found["ray"][method][key]), (method, key)


def test_several_clients_are_forgotten_at_once(tmp_path: Path) -> None:
    folder, told = made(tmp_path / "run"), list[str]()
    found = unlearn(folder, [3, 0], tmp_path / "out", tell=told.append)
    assert [model.name for model in found.models] == ALL[:-1]
    assert found.clients == [0, 3]
    assert found.models[1].cost.trainings == 3 * 2
    assert any("'projected-ascent' is left out" in sentence for sentence in told)


def test_a_run_that_went_on_for_longer_is_repeated_as_long(tmp_path: Path) -> None:
    folder, told = made(tmp_path / "run"), list[str]()
    fedlab.load_run(folder.path).resume(rounds=4, progress=False)
    longer = RunFolder.open(folder.path)
    found = unlearn(longer, [2], tmp_path / "out", ["retrain"], tell=told.append)
    assert (found.rounds, found.models[1].cost.rounds) == (4, 4)
    assert any("went on with other keys" in sentence for sentence in told)
    with pytest.raises(FedlabError, match="has gone on after round 7 meanwhile"):
        _ = Past(longer, frozenset([2]), 7).weights


def test_a_models_folder_is_no_run_that_goes_on(tmp_path: Path) -> None:
    unlearn(made(tmp_path / "run"), [1], tmp_path / "out", ["retrain"])
    folder = RunFolder.open(tmp_path / "out" / "retrain")
    for go_on in (lambda: run(folder), lambda: unlearn(folder, [1], tmp_path / "further")):
        with pytest.raises(FedlabError, match="is what 'fedlab unlearn' has made of a run"):
            go_on()


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "scaffold": (
        {"strategy": {"name": "scaffold"}, "client": {"name": "scaffold"}},
        "count on what clients send beside their weights",
    ),
    "feddyn": (
        {"strategy": {"name": "feddyn"}, "client": {"name": "feddyn"}},
        "count on what clients send beside their weights",
    ),
    "fednova": (
        {"strategy": {"name": "fednova"}, "client": {"name": "fednova"}},
        "count on what clients send beside their weights",
    ),
    "ifca": (
        {"strategy": {"name": "ifca"}, "client": {"name": "ifca"}},
        "has several models, and one is corrected",
    ),
    "fedper": (
        {"client": {"name": "fedper"}, "model": {"personal": "head"}},
        "part of the model stays on clients",
    ),
    "moon": ({"client": {"name": "moon"}}, "clients keep something from round to round"),
    "top-k": ({"updates": [{"name": "top-k"}]}, "updates: clients' updates are not read as they"),
    "phases": (
        {
            "phases": [
                {"name": "head", "rounds": 1, "trainable": "head"},
                {"name": "all", "rounds": 1, "trainable": "all"},
            ]
        },
        "phases: what an earlier phase has trained",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_method_cannot_correct_is_refused_before_anything_runs(
    tmp_path: Path, name: str
) -> None:
    keys, reason = REFUSED[name]
    folder = made(tmp_path / "run", **({"rounds": 2} | keys))
    for method in ("federaser", "projected-ascent", "fine-tuning"):
        with pytest.raises(FedlabError, match=reason):
            unlearn(folder, [1], tmp_path / "out", [method])
    assert not (tmp_path / "out").exists()
    # The oracle is there for whatever can be run again.
    found = unlearn(folder, [1], tmp_path / "out")
    assert [model.name for model in found.models] == ["original", "retrain"]
    assert found.models[1].against["distance"] == 0.0 < found.models[0].against["distance"]


OWN = """
from fedlab.run.unlearning.method import MethodSettings, Past, Unlearned, UnlearningMethod

class Keys(MethodSettings):
    share: float = 0.5

class Nothing(UnlearningMethod):
    Settings = Keys
    def unlearn(self, past):
        with past.again() as simulation:
            return Unlearned(self.settings.share * simulation.initial_weights, Cost())

from fedlab.run.without import Cost
"""


def test_a_method_of_ones_own_is_a_class_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(tmp_path / "run")
    (tmp_path / "my_unlearning.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    name = "my_unlearning:Nothing"
    with own_code(allowed=True):
        found = unlearn(folder, [1], tmp_path / "out", [name], [f"{name}.share=0"])
    assert [model.name for model in found.models] == ["original", name]
    assert found.models[1].settings == {"share": 0.0}
    state = load_file(tmp_path / "out" / "Nothing" / "model.safetensors")
    assert not any(tensor.any() for tensor in state.values())


def test_rounds_that_a_run_has_not_are_refused(tmp_path: Path) -> None:
    folder = made(tmp_path / "run", rounds=2)
    for keys, reason in (
        ("federaser.interval=3", "federaser.interval: of 2 rounds none is the first of 3"),
        ("projected-ascent.rounds=3", "projected-ascent.rounds: the run has 2 rounds"),
        ("fine-tuning.rounds=5", "fine-tuning.rounds: the run has 2 rounds"),
    ):
        with pytest.raises(FedlabError, match=reason):
            unlearn(folder, [1], tmp_path / "out", [keys.split(".")[0]], [keys])


def test_regression_has_no_ascent_and_its_other_methods(tmp_path: Path) -> None:
    folder = made(tmp_path / "run", data={"name": "diabetes", "partition": {"clients": 4}})
    with pytest.raises(FedlabError, match="it ends at an accuracy, which classification has"):
        unlearn(folder, [1], tmp_path / "out", ["projected-ascent"])
    found = unlearn(folder, [1], tmp_path / "out")
    assert [model.name for model in found.models] == ALL[:-1]
    assert tables_of(found)[0].headers[1] == "test root mean squared error"


def test_an_engine_of_flowers_cannot_be_repeated(tmp_path: Path) -> None:
    folder = made(tmp_path / "run")
    keys = {key: getattr(folder.scenario.engine, key) for key in EngineSettings.model_fields}
    engine = registry.engines.get("flower").Settings(**(keys | {"name": "flower"}))
    flower = RunFolder(folder.path, folder.scenario.model_copy(update={"engine": engine}))
    with pytest.raises(FedlabError, match=r"engine\.name: on 'flower' no run can be repeated"):
        unlearn(flower, [1], tmp_path / "out")


@pytest.mark.slow
def test_the_built_in_scenarios_backdoor_goes_and_fine_tuning_leaves_it(tmp_path: Path) -> None:
    fedlab.run("unlearning", engine={"name": "inline"}, path=tmp_path / "run", progress=False)
    found = unlearn(RunFolder.open(tmp_path / "run"), [9], tmp_path / "out")
    success = {model.name: model.test["attack_success"] for model in found.models}
    accuracy = {model.name: model.test["accuracy"] for model in found.models}
    assert min(success["original"], success["fine-tuning"]) > 0.9
    assert max(success[name] for name in ("retrain", "federaser", "projected-ascent")) < 0.05
    assert accuracy["projected-ascent"] > accuracy["original"] - 0.02
    assert accuracy["federaser"] > accuracy["original"] - 0.1
    oracle, erased = found.models[1].cost, found.models[2].cost
    assert erased.steps < oracle.steps / 4
