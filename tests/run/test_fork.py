"""A fork shares its first rounds with a run, bit for bit, and goes on with other keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fedlab
from fedlab.errors import FedlabError
from fedlab.results.forks import against_parent
from fedlab.results.reading import RunRecord
from fedlab.results.report.page import write_report
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.fork import fork
from fedlab.run.replay import replay
from fedlab.run.verify import verify
from tests.shared import SMALL

BASE: dict[str, Any] = {"rounds": 5, "data": {"partition": {"clients": 6}}}
LR = "client.optimizer.lr"


def made(path: Path, **keys: Any) -> RunFolder:
    fedlab.run(SMALL, **{**BASE, **keys}, path=path, progress=False)
    return RunFolder.open(path)


def lines(folder: RunFolder) -> list[dict[str, Any]]:
    found = list(folder.lines("metrics.jsonl"))
    return [{k: v for k, v in line.items() if k != "seconds"} for line in found]


@pytest.mark.parametrize("at", [0, 2, 4], ids=["the beginning", "in between", "a checkpoint"])
@pytest.mark.parametrize("algorithm", ["fedavg", "scaffold"])
def test_a_fork_without_effect_is_the_run_itself(tmp_path: Path, at: int, algorithm: str) -> None:
    names = {"strategy": "scaffold", "client": "scaffold"} if algorithm == "scaffold" else {}
    parent = made(tmp_path / "parent", **names)
    # A schedule that leaves the rate as it is: another key, and the same steps.
    forked = fork(
        parent, at, ["client.schedule.name=step", "client.schedule.every=1000"], tmp_path / "fork"
    )
    assert forked.round == at
    assert lines(forked.folder) == lines(parent)[: at + 1]
    run(forked.folder)
    own, other = lines(forked.folder), lines(parent)
    assert [line["weights"] for line in own] == [line["weights"] for line in other]
    assert verify(forked.folder).holds


def test_what_differs_after_a_fork_is_due_to_the_key(tmp_path: Path) -> None:
    parent = made(tmp_path / "parent")
    forked = fork(parent, 2, [f"{LR}=0.2", "rounds=6"], tmp_path / "fork").folder
    run(forked)
    same = [
        a["weights"] == b["weights"] for a, b in zip(lines(forked), lines(parent), strict=False)
    ]
    assert same == [True] * 3 + [False] * 3
    assert len(lines(forked)) == 7
    record = RunRecord.load(forked.path)
    told = against_parent(record)
    assert told.startswith("Forked from parent after round 2: ")
    assert f"{LR} 0.2 in place of 0.05" in told
    page = write_report(forked.path).read_text()
    assert "Forked from parent after round 2" in page
    assert "not forked (parent)" in page
    # Its own rounds are replayed, from a checkpoint that stays; those of the parent are there.
    assert verify(forked).holds
    assert replay(forked, 4, 0).agrees
    with pytest.raises(FedlabError, match=r"round 2 is one of .*parent.*; ask for it there"):
        replay(forked, 2, 0)
    again = fork(forked, 4, [f"{LR}=0.01"], tmp_path / "again").folder
    run(again)
    assert lines(again)[:5] == lines(forked)[:5]


def test_an_algorithm_of_another_name_begins_anew(tmp_path: Path) -> None:
    parent = made(tmp_path / "parent", strategy="fedadam")
    forked = fork(parent, 3, ["strategy.name=scaffold", "client.name=scaffold"], tmp_path / "fork")
    run(forked.folder)
    assert [line["weights"] for line in lines(forked.folder)][:4] == [
        line["weights"] for line in lines(parent)
    ][:4]
    assert RunRecord.load(forked.folder.path).status == "finished"


REFUSED = {
    "no change": (2, [], "nothing differs"),
    "the data": (2, ["data.partition.clients=3"], "clients decides what the common rounds are"),
    "the seed": (2, ["seed=9"], r"start a new run with 'fedlab run \S+ --set seed=9'"),
    "a round that is not there": (9, [f"{LR}=1"], "has rounds 0 to 5"),
    "too few rounds": (3, ["rounds=2"], "2 rounds end before the fork goes on"),
    "no such key": (3, ["client.optimizer.rate=1"], "client.optimizer.rate"),
    "parts that do not go together": (3, ["client.name=fedprox"], "needs a strategy that sends"),
}


def test_what_makes_no_fork_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    parent = made(tmp_path / "parent")
    for at, overrides, reason in REFUSED.values():
        with pytest.raises(FedlabError, match=reason):
            fork(parent, at, overrides, tmp_path / "fork")
        assert not (tmp_path / "fork").exists()


def test_rounds_that_come_out_otherwise_are_no_common_ones(tmp_path: Path) -> None:
    parent = made(tmp_path / "parent")
    changed = list(parent.lines("metrics.jsonl"))
    changed[2]["weights"] = "0" * 64
    parent.write_lines("metrics.jsonl", changed)
    with pytest.raises(FedlabError, match="round 2 gives other weights here"):
        fork(parent, 3, [f"{LR}=1"], tmp_path / "fork")
    assert not (tmp_path / "fork").exists()
