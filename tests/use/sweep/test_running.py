"""A sweep runs all of its members once, in few processes, and goes on where it was stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedlab.errors import FedlabError
from fedlab.results.reading import RunRecord
from fedlab.results.sweep_folder import records_in
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.scenario import load
from fedlab.use.sweep.description import Sweep, load_sweep
from fedlab.use.sweep.jobs import Outcome
from fedlab.use.sweep.options import search_of
from fedlab.use.sweep.running import OUTPUTS, SweepRun, compared, write_outputs

SCENARIO = """rounds = {rounds}
seed = 2
data = {{name = "iris", partition = {{name = "iid", clients = 3}}}}
model = {{name = "linear"}}
engine = {{name = "ray", workers = 1}}
evaluation = {{baselines = ["local"]}}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "own.toml"
    path.write_text(SCENARIO.format(rounds=3))
    return path


def sweep_of(scenario: Path, *grid: str, seeds: int = 2, **keys: object) -> Sweep:
    return load_sweep(str(scenario), list(grid), seeds, **keys)[0]  # type: ignore[arg-type]


def digest(path: Path) -> str:
    summary = RunRecord.load(path).summary
    assert summary is not None
    return summary.weights_sha256


def test_a_sweep_is_its_runs_and_is_gone_on_with(scenario: Path, tmp_path: Path) -> None:
    folder, outcomes = tmp_path / "sweep", list[Outcome]()
    sweep = sweep_of(scenario, "client.optimizer.lr=0.05,0.5")
    first = SweepRun(folder, sweep, jobs=2)
    assert first.source.left == 4
    assert first.run(outcomes.append)
    assert [outcome.status for outcome in outcomes] == ["finished"] * 4
    records = records_in([folder])
    assert [record.name for record in records] == ["lr=0.05", "lr=0.5"] * 2
    assert not any((record.path / "baselines.jsonl").exists() for record in records)

    # As one would run a member by hand, on the scenario's own engine.
    alone = load(str(scenario), ["client.optimizer.lr=0.5", "seed=3"])
    by_hand = RunFolder.create_at(tmp_path / "by hand", alone)
    run(by_hand)
    assert digest(by_hand.path) == digest(folder / "runs" / "lr=0.5-seed3")

    comparison, settings = compared(folder)
    write_outputs(folder, comparison, settings)
    assert all((folder / name).is_file() for name in OUTPUTS)
    table = json.loads((folder / "comparison.json").read_text())
    assert [len(setting["runs"]) for setting in table["settings"]] == [2, 2]

    more = SweepRun(folder, sweep_of(scenario, "client.optimizer.lr=0.05,0.5", seeds=3), jobs=1)
    assert more.source.left == 2
    other = sweep_of(scenario, "client.optimizer.lr=0.05", overrides=["client.epochs=2"])
    with pytest.raises(FedlabError, match="holds a run of another scenario"):
        SweepRun(folder, other, jobs=2)


def test_a_setting_that_cannot_be_run_is_named_before_the_first_run(
    scenario: Path, tmp_path: Path
) -> None:
    for grid in ("client.optimizer.lr=0.1,word", "data.partition.clients=3,4000"):
        with pytest.raises(FedlabError, match=r"setting '(lr=word|clients=4000)': "):
            SweepRun(tmp_path / "sweep", sweep_of(scenario, grid))
    assert not (tmp_path / "sweep").exists()


def test_one_run_is_a_sweep_and_a_reference_is_checked_before_any(
    scenario: Path, tmp_path: Path
) -> None:
    sweep = sweep_of(scenario, seeds=1)
    with pytest.raises(FedlabError, match="--against: 'other' is none of the settings scenario"):
        SweepRun(tmp_path / "sweep", sweep, against="other")
    assert not (tmp_path / "sweep").exists()
    assert SweepRun(tmp_path / "sweep", sweep).run()
    comparison, settings = compared(tmp_path / "sweep")
    write_outputs(tmp_path / "sweep", comparison, settings)
    assert [row[:2] for row in settings.table().rows] == [["scenario", "1"]]


def test_a_search_that_comes_back_to_a_setting_runs_it_once(scenario: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    wanted = search_of(["client.optimizer.lr=0.05|0.5"], 6, "tpe", "none")
    run = SweepRun(tmp_path / "search", sweep_of(scenario, seeds=2, search=wanted), jobs=2)
    outcomes: list[Outcome] = []
    assert run.run(outcomes.append)
    assert {outcome.status for outcome in outcomes} == {"finished"}
    assert len(outcomes) == len(records_in([tmp_path / "search"])) == 4
    assert run.source.left == 0


def test_a_search_whose_trials_all_fail_ends(scenario: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    wanted = search_of(["client.epochs=1:3"], 3, "tpe", "none")
    overrides = ["client.optimizer.lr=1e30", "model.name=mlp"]
    sweep = sweep_of(scenario, seeds=2, search=wanted, overrides=overrides)
    outcomes: list[Outcome] = []
    assert SweepRun(tmp_path / "search", sweep, jobs=2).run(outcomes.append)
    assert {outcome.status for outcome in outcomes} == {"failed"}
    assert 1 <= len(outcomes) <= 3


def test_one_runs_fault_is_not_the_others(scenario: Path, tmp_path: Path) -> None:
    outcomes: list[Outcome] = []
    sweep = SweepRun(tmp_path / "sweep", sweep_of(scenario, "rounds=1,2", seeds=1), jobs=2)
    broken = sweep.folder.members[0].opened()
    (broken.path / "metrics.jsonl").write_text('{"round": 9}\n')
    assert sweep.run(outcomes.append)
    assert {o.member.point.name: o.status for o in outcomes} == {
        "rounds=1": "failed",
        "rounds=2": "finished",
    }
    (failed,) = [o for o in outcomes if o.status == "failed"]
    assert "holds 9 rounds and no checkpoint" in failed.reason


def test_a_search_draws_its_trials_and_goes_on(scenario: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    folder = tmp_path / "search"

    def search(trials: int) -> SweepRun:
        wanted = search_of(["client.optimizer.lr=0.001:1:log"], trials, "tpe", "none")
        return SweepRun(folder, sweep_of(scenario, seeds=2, search=wanted), jobs=2)

    assert search(2).run()
    assert len(records_in([folder])) == 4
    again = search(3)
    assert again.source.left == 1
    assert again.run()
    records = records_in([folder])
    assert len(records) == 6
    finals = {record.name: 0.0 for record in records}
    for record in records:
        finals[record.name] += record.tested[-1].value("accuracy") / 2
    best = again.best()
    assert best is not None
    assert finals[best.name] == max(finals.values())


def test_a_pruner_ends_what_is_behind(scenario: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    scenario.write_text(SCENARIO.format(rounds=12))
    search = {
        **search_of(["client.optimizer.lr=1e-6|0.5"], 12, "tpe", "median"),
        "by": "validation",
    }
    sweep = sweep_of(scenario, seeds=1, search=search, overrides=["data.validation=0.3"])
    outcomes: list[Outcome] = []
    assert SweepRun(tmp_path / "search", sweep, jobs=1).run(outcomes.append)
    pruned = [outcome for outcome in outcomes if outcome.reason == "pruned"]
    assert all(outcome.member.point.name == "lr=1e-06" for outcome in pruned)
    assert all("clients" in (o.member.path / "metrics.jsonl").read_text() for o in outcomes)


def test_a_run_that_early_stopping_ends_is_one_that_came_to_its_end(
    scenario: Path, tmp_path: Path
) -> None:
    pytest.importorskip("optuna")
    overrides = [
        "evaluation.early_stopping.patience=1",
        "evaluation.early_stopping.minimum_change=9",
    ]
    wanted = search_of(["client.optimizer.lr=0.05|0.5"], 1, "tpe", "none")
    sweep = sweep_of(scenario, seeds=2, search=wanted, overrides=overrides)
    outcomes: list[Outcome] = []
    search = SweepRun(tmp_path / "search", sweep, jobs=1)
    assert search.run(outcomes.append)
    assert [outcome.status for outcome in outcomes] == ["stopped"] * 2
    assert search.best() is not None
    assert SweepRun(tmp_path / "search", sweep, jobs=1).source.left == 0


@pytest.mark.slow
def test_ctrl_c_ends_a_sweep_after_the_round_and_a_kill_loses_nothing(
    scenario: Path, tmp_path: Path
) -> None:
    scenario.write_text(SCENARIO.format(rounds=400))
    command = [
        *(sys.executable, "-m", "fedlab", "sweep", str(scenario), "--jobs", "2"),
        *("--grid", "client.optimizer.lr=0.05,0.5", "--output", str(tmp_path / "sweep")),
    ]
    for number in (signal.SIGINT, signal.SIGKILL):
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        _wait_until_rounds(tmp_path / "sweep", 2)
        os.kill(process.pid, number)
        output, _ = process.communicate(timeout=60)
        if number == signal.SIGINT:
            assert process.returncode == 130
            assert "The same command goes on" in output
    done = subprocess.run([*command, "--jobs", "1"], check=True, capture_output=True, text=True)
    assert "lr=0.05" in done.stdout
    assert [record.status for record in records_in([tmp_path / "sweep"])] == ["finished"] * 2
    fresh = load(str(scenario), ["client.optimizer.lr=0.5", "engine.name=inline"])
    by_hand = RunFolder.create_at(tmp_path / "by hand", fresh)
    run(by_hand)
    assert digest(by_hand.path) == digest(tmp_path / "sweep" / "runs" / "lr=0.5-seed2")


def _wait_until_rounds(folder: Path, more: int) -> None:
    """Wait until both runs have done more rounds."""

    def done() -> list[int]:
        files = sorted(folder.glob("runs/*/metrics.jsonl"))
        return [len(file.read_text().splitlines()) for file in files]

    before, until = done() or [0, 0], time.monotonic() + 120
    while time.monotonic() < until:
        now = done()
        if len(now) == 2 and all(n >= b + more for n, b in zip(now, before, strict=True)):
            return
        time.sleep(0.2)
    raise AssertionError("no rounds are run")
