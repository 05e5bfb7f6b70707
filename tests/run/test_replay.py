"""A client's step that is run again gives the update that the run recorded, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import fedlab
from fedlab.algorithm.client import ClientAlgorithm
from fedlab.cli import replay as command
from fedlab.run.folder import RunFolder
from fedlab.run.replay import replay
from tests.shared import SMALL

MANY = {"data": {"partition": {"clients": 6}}, "strategy": {"name": "fedavg"}}
CASES: dict[str, dict[str, Any]] = {
    "at once": {"rounds": 4, **MANY},
    "one by one": {"rounds": 4, "engine": {"vectorised": False}},
    "states of clients": {"rounds": 4, "strategy": "scaffold", "client": "scaffold"},
    "stateful strategy": {"rounds": 4, "strategy": {"name": "fedadam"}},
    "no mean": {"rounds": 4, "strategy": "krum"},
    "processors": {
        "rounds": 4,
        "updates": [{"name": "top-k", "fraction": 0.1}],
        "downlink": [{"name": "top-k", "fraction": 0.5}],
    },
    "stragglers": {"rounds": 4, "client": {"stragglers": {"fraction": 0.5}, "epochs": 3}},
    "phases": {
        "rounds": 4,
        "phases": [
            {"name": "head", "rounds": 2, "trainable": "head"},
            {"name": "all", "rounds": 2},
        ],
    },
}
BY_THE_PLAIN_LOOP = {"one by one", "no mean"}


@pytest.mark.parametrize("case", CASES)
def test_the_update_is_that_of_the_run(tmp_path: Path, case: str) -> None:
    run = fedlab.run(SMALL, **CASES[case], path=tmp_path / "run", progress=False)
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    trained = run.clients[run.clients.phase == "train"]
    # Of the checkpoints those of the last two rounds are there.
    for number in (1, 2, 4):
        client = int(trained[trained["round"] == number].client.iloc[-1])
        found = run.replay(number, client)
        assert found.agrees is True
        assert found.recorded is not None
        assert (found.stacked > 0) == (case not in BY_THE_PLAIN_LOOP)
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*")} == before


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_run_on_ray_is_replayed_in_this_process(tmp_path: Path) -> None:
    run = fedlab.run("fedavg", rounds=4, path=tmp_path / "run", progress=False)
    trained = run.clients[(run.clients.phase == "train") & (run.clients["round"] == 3)]
    assert run.replay(3, int(trained.client.iloc[0])).agrees


def test_alone_a_client_of_a_stack_sends_the_same_but_for_the_last_bits(tmp_path: Path) -> None:
    run = fedlab.run(SMALL, **CASES["at once"], path=tmp_path / "run", progress=False)
    together, alone = run.replay(2, 3), run.replay(2, 3, alone=True)
    assert (together.stacked > 1, alone.stacked) == (True, 0)
    torch.testing.assert_close(alone.update.weights, together.update.weights)


def test_a_client_that_fails_raises_what_it_raised(tmp_path: Path) -> None:
    class Sometimes(ClientAlgorithm):
        """Fails on client 1 in round 2."""

        def train(self, task: Any) -> Any:
            if (task.client, task.round) == (1, 2):
                raise ValueError("no luck")
            return super().train(task)

    run = fedlab.run(SMALL, client=Sometimes, path=tmp_path / "run", progress=False)
    with pytest.raises(ValueError, match="no luck"):
        run.replay(2, 1)
    assert run.replay(1, 1).agrees


def test_what_differs_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = fedlab.run(SMALL, rounds=1, path=tmp_path / "run", progress=False)
    file = run.path / "clients.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines[0]["digest"] += 1
    del lines[1]["digest"]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert command._replay(run.path, 1, 0, False, False) == 1
    assert "Its update is NOT that of the run" in capsys.readouterr().out
    assert command._replay(run.path, 1, 1, False, False) == 0
    assert "The run recorded no digest" in capsys.readouterr().out
    assert command._replay(run.path, 1, 2, False, False) == 0
    assert "is that of the run, bit for bit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("server_round", "client", "sentence"),
    [
        (2, 0, r"--round 2: no client has trained in that round of .*; it has rounds 1 to 1"),
        (1, 9, r"--client 9: it did not train in round 1; these clients did: 0, 1, 2"),
    ],
)
def test_what_did_not_happen_is_refused(
    tmp_path: Path, server_round: int, client: int, sentence: str
) -> None:
    run = fedlab.run(SMALL, rounds=1, path=tmp_path / "run", progress=False)
    with pytest.raises(fedlab.FedlabError, match=sentence):
        replay(RunFolder.open(run.path), server_round, client)
