"""What may change while a run goes on is recorded; a scenario edited by hand is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from fedlab.errors import FedlabError
from fedlab.run.changes import with_overrides
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from tests.shared import scenario_with
from tests.stopping import StopAfter

IRIS = {"rounds": 2, "data": {"name": "iris"}, "model": {"hidden": [4]}}


def begun(tmp_path: Path, *changes: object) -> Path:
    folder = RunFolder.create(tmp_path / "runs", "iris", scenario_with(IRIS, *changes))
    run(folder)
    return folder.path


def go_on(path: Path, *overrides: str) -> None:
    run(with_overrides(RunFolder.open(path), overrides))


def digest(path: Path) -> str:
    return hashlib.sha256((path / "model.safetensors").read_bytes()).hexdigest()


def edit(path: Path, before: str, after: str) -> None:
    text = (path / "scenario.toml").read_text()
    assert before in text
    (path / "scenario.toml").write_text(text.replace(before, after))


def test_more_rounds_reach_the_weights_of_one_longer_run(tmp_path: Path) -> None:
    path = begun(tmp_path, "client.optimizer.momentum = 0.5")
    go_on(path, "rounds=3")
    go_on(path, "rounds=5")
    assert digest(path) == digest(begun(tmp_path, "rounds = 5\nclient.optimizer.momentum = 0.5"))
    assert [line["round"] for line in RunFolder.open(path).lines("metrics.jsonl")] == [*range(6)]
    assert RunFolder.open(path).scenario.rounds == 5
    entries = json.loads((path / "changes.json").read_text())["changes"]
    assert [(entry["round"], entry["changed"]) for entry in entries] == [
        (2, {"rounds": {"from": 2, "to": 3}}),
        (3, {"rounds": {"from": 3, "to": 5}}),
    ]


def test_an_edited_scenario_is_refused_by_its_keys(tmp_path: Path) -> None:
    path = begun(tmp_path)
    edit(path, "seed = 0", "seed = 4")
    edit(path, "lr = 0.05", "lr = 0.5")
    with pytest.raises(FedlabError) as refused:
        run(RunFolder.open(path))
    assert "was edited since round 2: seed is 4 and was 0; client.optimizer.lr is 0.5" in str(
        refused.value
    )
    with pytest.raises(FedlabError, match="was edited since round 2: seed is 4"):
        go_on(path, "rounds=3")
    edit(path, "seed = 4", "seed = 0")
    edit(path, "lr = 0.5", "lr = 0.05")
    run(RunFolder.open(path))


def test_what_decides_the_result_cannot_change(tmp_path: Path) -> None:
    path = begun(tmp_path)
    before = (path / "scenario.toml").read_bytes()
    with pytest.raises(FedlabError) as refused:
        go_on(path, "client.optimizer.lr=0.5", "rounds=3")
    assert "--set client.optimizer.lr: client.optimizer.lr cannot change within a run" in str(
        refused.value
    )
    assert f"'fedlab run {path}/scenario.toml --set client.optimizer.lr=0.5" in str(refused.value)
    with pytest.raises(FedlabError, match="2 rounds are done already"):
        go_on(path, "rounds=1")
    assert (path / "scenario.toml").read_bytes() == before
    assert not (path / "changes.json").exists()


def test_a_run_that_stopped_early_goes_on_with_more_patience(tmp_path: Path) -> None:
    path = begun(
        tmp_path, 'evaluation.early_stopping = {metric = "accuracy", threshold = 0.0}\nrounds = 5'
    )
    assert json.loads((path / "summary.json").read_text())["rounds"] == 1
    go_on(path, "rounds=6")
    assert json.loads((path / "summary.json").read_text())["rounds"] == 1
    go_on(path, "evaluation.early_stopping.threshold=2.0")
    assert json.loads((path / "summary.json").read_text())["rounds"] == 6


def test_another_watched_metric_begins_anew(tmp_path: Path) -> None:
    path = begun(tmp_path, "evaluation.early_stopping.threshold = 9.0")
    go_on(path, "evaluation.early_stopping={metric='accuracy', threshold=2.0}", "rounds=3")
    assert json.loads((path / "summary.json").read_text())["rounds"] == 3


def test_the_engine_may_change(tmp_path: Path) -> None:
    path = begun(tmp_path)
    go_on(path, "engine.client_timeout=60.0", "rounds=3")
    assert RunFolder.open(path).scenario.engine.client_timeout == 60


def test_a_change_that_was_recorded_and_not_made_is_taken_back(tmp_path: Path) -> None:
    path = begun(tmp_path)
    before = (path / "scenario.toml").read_bytes()
    go_on(path, "rounds=3")
    (path / "scenario.toml").write_bytes(before)
    newest = path / "checkpoints" / "round-00003"
    newest.rename(tmp_path / "gone")
    run(RunFolder.open(path))
    assert not (path / "changes.json").exists()
    assert RunFolder.open(path).scenario.rounds == 2


def test_a_schedule_over_all_rounds_is_told(tmp_path: Path) -> None:
    path = begun(tmp_path, 'client.schedule.name = "cosine"')
    go_on(path, "rounds=3")
    notes = json.loads((path / "notes.json").read_text())["notes"]
    assert notes[0] == "from round 3 on, rounds is 3 and was 2"
    assert notes[1].startswith("client.schedule: 'cosine' is spread over all rounds")


def test_the_schedule_of_the_phase_that_goes_on_longer_is_told(tmp_path: Path) -> None:
    phases = {"rounds": None, "client": {"schedule": {"name": "cosine"}}}
    last = {"rounds": 1, "client": {"schedule": {"name": "linear"}}}
    path = begun(tmp_path, {**phases, "phases": [{"rounds": 1}, last]})
    go_on(path, "rounds=3")
    notes = json.loads((path / "notes.json").read_text())["notes"]
    assert notes[1] == (
        "phases.1.client.schedule: 'linear' is spread over all rounds of the phase: from round 3 "
        "on rates are those of a phase of 2 rounds, and until then they were not"
    )


def test_the_schedule_of_a_phase_that_has_not_begun_is_not_told(tmp_path: Path) -> None:
    last = {"rounds": 1, "client": {"schedule": {"name": "linear"}}}
    scenario = scenario_with(IRIS, {"rounds": None, "phases": [{"rounds": 1}, last]})
    folder = RunFolder.create(tmp_path / "runs", "iris", scenario)
    run(folder, [StopAfter(1)])
    go_on(folder.path, "rounds=3")
    notes = json.loads((folder.path / "notes.json").read_text())["notes"]
    assert not any("is spread over" in note for note in notes)


def test_baselines_of_fewer_rounds_are_made_again(tmp_path: Path) -> None:
    path = begun(tmp_path)
    (path / "baselines.jsonl").write_text('{"baseline": "local"}\n')
    go_on(path, "title=other")
    assert (path / "baselines.jsonl").exists()
    go_on(path, "rounds=3")
    assert not (path / "baselines.jsonl").exists()


def test_a_checkpoint_without_a_scenario_is_resumed(tmp_path: Path) -> None:
    path = begun(tmp_path)
    state = path / "checkpoints" / "round-00002" / "state.json"
    content = json.loads(state.read_text())
    del content["scenario"]
    state.write_text(json.dumps(content))
    run(RunFolder.open(path))


def test_the_last_phase_goes_on_longer_to_the_weights_of_one_longer_run(tmp_path: Path) -> None:
    phases = "[[phases]]\nrounds = 1\ntrainable = 'head'\n[[phases]]\nrounds = {}\n"
    path = begun(tmp_path, {"rounds": None}, phases.format(1))
    go_on(path, "rounds=3", "phases.1.rounds=2")
    assert digest(path) == digest(begun(tmp_path, {"rounds": None}, phases.format(2)))
    with pytest.raises(FedlabError, match=r"phases\.0\.rounds cannot change within a run"):
        go_on(path, "rounds=4", "phases.0.rounds=2")
