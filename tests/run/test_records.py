"""Each record stands once in a run folder, wherever among its writes the run was ended."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fedlab.errors import FedlabError
from fedlab.run.baselines import run_baselines
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from tests.shared import scenario_with
from tests.stopping import StopAfter

IRIS = {"rounds": 2, "data": {"name": "iris"}, "model": {"hidden": [4]}}
WRITES = ("append", "save", "write_text", "remove")


class Killed(BaseException):
    """What ends a process between two writes."""


def killed_before_write(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the run end before its write of this number."""
    done = iter(range(number))

    def counted(write: Any) -> Any:
        def wrapped(*arguments: Any) -> Any:
            if next(done, None) is None:
                raise Killed
            return write(*arguments)

        return wrapped

    for name in WRITES:
        monkeypatch.setattr(RunFolder, name, counted(getattr(RunFolder, name)))


def assert_each_record_once(folder: RunFolder, rounds: int) -> None:
    assert [line["round"] for line in folder.lines("metrics.jsonl")] == [*range(rounds + 1)]
    records = Counter((line["round"], line["client"]) for line in folder.lines("clients.jsonl"))
    assert records == Counter((number + 1, c) for number in range(rounds) for c in range(3))


def test_killed_between_any_two_writes_each_record_stands_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = 0
    while True:
        folder = RunFolder.create(tmp_path, "run", scenario_with(IRIS))
        with monkeypatch.context() as patched:
            killed_before_write(number, patched)
            try:
                run(folder)
            except Killed:
                number += 1
            else:
                break
        again = RunFolder.open(folder.path)
        run(again)
        assert_each_record_once(again, 2)
    assert number > 12


def test_a_run_that_ended_at_round_0_has_round_0_once(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "run", scenario_with(IRIS))
    run(folder, [StopAfter(0)])
    run(RunFolder.open(folder.path))
    assert_each_record_once(folder, 2)


@pytest.mark.parametrize("name", ["metrics.jsonl", "clients.jsonl", "failures.jsonl"])
def test_half_a_line_is_cut_off(tmp_path: Path, name: str) -> None:
    folder = RunFolder.create(tmp_path, "run", scenario_with(IRIS))
    run(folder, [StopAfter(1)])
    with (folder.path / name).open("ab") as file:
        file.write(b'{"round": 1, "cli\xff')
    run(RunFolder.open(folder.path))
    assert_each_record_once(folder, 2)
    for line in (folder.path / name).read_text().splitlines():
        json.loads(line)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (b"nonsense\n", "line 1: this is not JSON"),
        (b"\xff\n", "line 1: this is not JSON: it is not UTF-8 text"),
        (b"[]\n", "line 1: a JSON object belongs here"),
        (b"{}\n", "line 1: it does not say its round"),
    ],
)
def test_a_damaged_line_is_named_on_resume(tmp_path: Path, damage: bytes, told: str) -> None:
    folder = RunFolder.create(tmp_path, "run", scenario_with(IRIS))
    run(folder, [StopAfter(1)])
    path = folder.path / "clients.jsonl"
    path.write_bytes(damage + path.read_bytes())
    with pytest.raises(FedlabError, match=f"clients.jsonl, {told}"):
        run(RunFolder.open(folder.path))


def test_rounds_without_a_checkpoint_are_not_run_over(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "run", scenario_with(IRIS))
    run(folder)
    folder.checkpoints.rename(tmp_path / "checkpoints")
    with pytest.raises(FedlabError, match="holds 2 rounds and no checkpoint to go on from"):
        run(RunFolder.open(folder.path))


def test_a_run_that_goes_on_has_no_end_yet(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "run", scenario_with(IRIS))
    run(folder, [StopAfter(1)])
    assert (folder.path / "model.safetensors").exists()
    folder.forget_end()
    for name in ("summary.json", "confusion.json", "model.safetensors"):
        assert not (folder.path / name).exists()


def test_what_was_written_behind_half_a_line_is_made_again(tmp_path: Path) -> None:
    scenario = scenario_with(IRIS, {"evaluation": {"baselines": ["centralised", "local"]}})
    folder = RunFolder.create(tmp_path, "run", scenario)
    run(folder)
    run_baselines(folder, [])
    path = folder.path / "baselines.jsonl"
    whole = path.read_text()
    first, second, third, *others = whole.splitlines(keepends=True)
    path.write_text("".join([first, second, third[:20], *others]))
    again = RunFolder.open(folder.path)
    run(again)
    run_baselines(again, [])
    assert sorted(path.read_text().splitlines()) == sorted(whole.splitlines())


@pytest.mark.parametrize("baseline", ["centralised", "local", "random"])
def test_part_of_a_baseline_is_run_again(tmp_path: Path, baseline: str) -> None:
    scenario = scenario_with(IRIS, {"evaluation": {"baselines": [baseline, "random"]}})
    folder = RunFolder.create(tmp_path, "run", scenario)
    run(folder)
    run_baselines(folder, [])
    path = folder.path / "baselines.jsonl"
    whole = path.read_text()
    lines = whole.splitlines(keepends=True)
    for kept in (lines[:2], [*lines[:2], lines[2][:9]]):
        path.write_text("".join(kept))
        run_baselines(folder, [])
        assert path.read_text() == whole
    before = path.stat().st_mtime_ns
    run_baselines(folder, [])
    assert path.stat().st_mtime_ns == before
