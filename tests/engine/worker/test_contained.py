"""A client that misbehaves fails, or is undone; what the other clients compute stays the same."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedlab.errors import FedlabError, Interrupted
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from tests.engine.worker.misbehaving import DEADLY, ENDLESS, FAILING, HARMLESS
from tests.shared import scenario_with

GOOD = 4
"""How many clients behave, after all the others."""
ALGORITHM = "tests.engine.worker.misbehaving:Misbehaving"


def outcome(tmp_path: Path, ways: Sequence[str], **engine: Any) -> tuple[str, dict[int, str]]:
    """Run two rounds; return the digest of the weights, and why clients failed in the first."""
    scenario = scenario_with(
        {
            "rounds": 2,
            "data": {"name": "digits", "train_examples": 400},
            "model": {"hidden": [4]},
            "client": {"name": ALGORITHM, "ways": list(ways)},
            "engine": engine,
        },
        data={"partition": {"clients": len(ways) + GOOD}},
    )
    folder = RunFolder.create(tmp_path, "run", scenario)
    run(folder)
    summary = json.loads((folder.path / "summary.json").read_text())
    failed = [json.loads(line) for line in (folder.path / "failures.jsonl").open()]
    return summary["weights_sha256"], {f["client"]: f["reason"] for f in failed if f["round"] == 1}


@pytest.mark.parametrize("vectorised", ["auto", False])
def test_each_fault_is_its_clients_alone_and_named(
    tmp_path: Path, vectorised: str | bool, capfd: pytest.CaptureFixture[str]
) -> None:
    ways = [*FAILING]
    digest, reasons = outcome(tmp_path, ways, vectorised=vectorised)
    assert len(reasons) == len(FAILING)
    for client, way in enumerate(ways):
        assert FAILING[way][1] in reasons[client], way
        assert "\n" not in reasons[client]
    same, _ = outcome(tmp_path, ["raise"] * len(ways), vectorised=vectorised)
    assert digest == same


@pytest.mark.parametrize("vectorised", ["auto", False])
def test_what_a_client_changes_about_it_stays_with_it(
    tmp_path: Path, vectorised: str | bool, capfd: pytest.CaptureFixture[str]
) -> None:
    before = os.getcwd(), torch.get_num_threads(), torch.get_default_dtype()
    digest, _ = outcome(tmp_path, [*HARMLESS], vectorised=vectorised)
    assert (os.getcwd(), torch.get_num_threads(), torch.get_default_dtype()) == before
    assert digest == outcome(tmp_path, [""] * len(HARMLESS), vectorised=vectorised)[0]


@pytest.mark.parametrize("vectorised", ["auto", False])
def test_what_a_client_reseeds_is_as_before_the_run(tmp_path: Path, vectorised: str | bool) -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    expected = torch.rand(1), np.random.rand()
    torch.manual_seed(1)
    np.random.seed(1)
    outcome(tmp_path, ["reseeds"], vectorised=vectorised)
    assert (torch.rand(1), np.random.rand()) == expected


def test_writing_to_what_all_clients_use_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(FedlabError, match="changed in place what all clients use"):
        outcome(tmp_path, ["writes to what was sent"])


def test_the_users_own_interrupt_is_no_fault_of_a_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.engine.worker import misbehaving

    def interrupt(task: object, update: object) -> None:
        raise Interrupted(2)

    monkeypatch.setitem(misbehaving.WAYS, "raise", interrupt)
    with pytest.raises(Interrupted):
        outcome(tmp_path, ["raise"])


@pytest.mark.timeout(600)
def test_on_ray_they_fail_as_well_and_what_kills_a_worker_too(tmp_path: Path) -> None:
    ways = [*FAILING, *HARMLESS, *DEADLY]
    digest, reasons = outcome(tmp_path, ways, name="ray", workers=2, vectorised=False)
    dead = len(FAILING) + len(HARMLESS)
    for client, way in enumerate(FAILING):
        assert FAILING[way][1] in reasons[client], way
    assert [client for client in reasons if client >= len(FAILING)] == [dead, dead + 1]
    assert "the worker was lost" in reasons[dead]
    plain = [*["raise"] * len(FAILING), *[""] * len(HARMLESS), *["raise"] * len(DEADLY)]
    assert digest == outcome(tmp_path, plain, vectorised=False)[0]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_on_ray_what_never_returns_is_ended_by_the_time_limit(tmp_path: Path) -> None:
    ways = [*ENDLESS]
    digest, reasons = outcome(
        tmp_path, ways, name="ray", workers=2, vectorised=False, client_timeout=2.0
    )
    assert len(reasons) == len(ENDLESS)
    assert all("could not be stopped in time" in r or "too long" in r for r in reasons.values())
    plain, _ = outcome(tmp_path, ["raise"] * len(ENDLESS), vectorised=False)
    assert digest == plain
