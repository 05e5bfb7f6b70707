"""A run's chain names what was changed, and rounds that are run again give the same bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import fedlab
from fedlab.errors import FedlabError
from fedlab.run.chain import first_link, next_link, source_digest
from fedlab.run.folder import RunFolder
from fedlab.run.verify import verify
from tests.shared import SMALL

CASES: dict[str, dict[str, Any]] = {
    "at once": {"rounds": 4, "data": {"partition": {"clients": 6}}},
    "states of clients": {"rounds": 4, "strategy": "scaffold", "client": "scaffold"},
    "every checkpoint": {"rounds": 4, "strategy": "fedadam", "keep_checkpoints": "all"},
    "phases": {
        "rounds": 4,
        "phases": [
            {"name": "head", "rounds": 2, "trainable": "head"},
            {"name": "all", "rounds": 2},
        ],
    },
}


def made(path: Path, **keys: Any) -> RunFolder:
    fedlab.run(SMALL, **keys, path=path, progress=False)
    return RunFolder.open(path)


@pytest.mark.parametrize("case", CASES)
def test_rounds_that_are_run_again_give_the_runs_weights_and_figures(
    tmp_path: Path, case: str
) -> None:
    folder = made(tmp_path / "run", **CASES[case])
    before = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")}
    told: list[str] = []
    result = verify(folder, tell=told.append)
    assert result.holds
    assert result.is_own_source
    assert [each.round for each in result.compared] == [1, 2, 3, 4]
    assert result.links == 5
    assert len(verify(folder, 2, seed=1).compared) == 2
    assert {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")} == before
    kept = list(folder.checkpoints.glob("round-*"))
    assert len(kept) == (5 if case == "every checkpoint" else 2)
    assert any("are run again" in sentence for sentence in told) == (case != "every checkpoint")


def test_a_chain_is_the_same_on_every_engine_and_after_a_resume(tmp_path: Path) -> None:
    keys = {"rounds": 3, "data": {"partition": {"clients": 6}}}
    plain = links(made(tmp_path / "plain", **keys))
    half = made(tmp_path / "half", **keys | {"rounds": 2})
    fedlab.load_run(half.path).resume(rounds=3)
    assert links(half) == plain
    assert links(made(tmp_path / "ray", **keys, engine={"name": "ray", "workers": 2})) == plain
    assert links(made(tmp_path / "other", **keys, seed=8)) != plain


def links(folder: RunFolder) -> list[str]:
    return [line["chain"] for line in folder.lines("metrics.jsonl")]


def test_a_figure_that_was_changed_breaks_the_chain_where_it_stands(tmp_path: Path) -> None:
    folder = made(tmp_path / "run", rounds=3)
    lines = list(folder.lines("metrics.jsonl"))
    lines[2]["test"]["accuracy"] = 0.999
    folder.write_lines("metrics.jsonl", lines)
    result = verify(folder)
    assert result.broken == 2
    assert not result.holds
    assert [each.differences for each in result.compared] == [(), ("test",), ()]


def test_a_beginning_that_was_deleted_breaks_the_chain(tmp_path: Path) -> None:
    folder = made(tmp_path / "run", rounds=3)
    folder.write_lines("metrics.jsonl", list(folder.lines("metrics.jsonl"))[2:])
    result = verify(folder, 1, seed=1)
    assert result.broken == 0
    assert not result.holds


def test_a_chain_that_was_made_up_anew_is_found_out_by_running_again(tmp_path: Path) -> None:
    folder = made(tmp_path / "run", rounds=3)
    lines = list(folder.lines("metrics.jsonl"))
    lines[3]["test"]["accuracy"] = 0.999
    link = first_link(folder, source_digest())
    for line in lines:
        line["chain"] = link = next_link(link, line)
    folder.write_lines("metrics.jsonl", lines)
    result = verify(folder)
    assert result.broken is None
    assert not result.holds
    assert [each.agrees for each in result.compared] == [True, True, False]


def test_a_checkpoint_with_other_weights_is_named(tmp_path: Path) -> None:
    folder = made(tmp_path / "run", rounds=3)
    saved = folder.latest()
    assert saved is not None
    saved.weights = saved.weights + 1
    saved.round = 2
    folder.save(saved)
    result = verify(folder, 3)
    assert not result.holds
    assert 2 in [each.round for each in result.compared if not each.agrees]


def test_another_scenario_or_source_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(tmp_path / "run", rounds=1)
    monkeypatch.setattr("fedlab.run.verify.source_digest", lambda: "another")
    assert not verify(folder).is_own_source
    environment = json.loads((folder.path / "environment.json").read_text())
    environment["packages"]["torch"] = "1.0"
    folder.write_json("environment.json", environment)
    assert any("torch" in sentence for sentence in verify(folder).elsewhere)


def test_a_folder_without_rounds_is_refused(tmp_path: Path) -> None:
    folder = made(tmp_path / "run", rounds=1)
    folder.write_lines("metrics.jsonl", [])
    with pytest.raises(FedlabError, match="holds no rounds with digests"):
        verify(folder)
