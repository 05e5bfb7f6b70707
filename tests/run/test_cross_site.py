"""Every client's model on every client's own part, as the client itself would measure it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedlab
from fedlab.errors import FedlabError
from fedlab.results.cross_site import sentence_of, table_of
from fedlab.results.reading import RunRecord
from fedlab.results.report.page import write_report
from fedlab.run.cross_site import cross_site, write
from fedlab.run.folder import RunFolder
from tests.shared import SMALL

SKEWED = {
    "rounds": 3,
    "data": {
        "partition": {"name": "dirichlet", "clients": 4, "alpha": 0.1, "min_size": 20},
        "client_test": 0.3,
    },
    "client": {"epochs": 5, "optimizer": {"lr": 0.2}},
    "evaluation": {"federated": True},
}


def made(path: Path, **keys: Any) -> RunFolder:
    fedlab.run(SMALL, **keys, path=path, progress=False)
    return RunFolder.open(path)


def test_clients_are_best_at_home_and_the_sent_model_is_the_runs(tmp_path: Path) -> None:
    folder = made(tmp_path / "run", **SKEWED)
    before = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")}
    found = cross_site(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")} == before
    assert (found.round, found.metric, found.clients) == (3, "accuracy", [0, 1, 2, 3])
    matrix = np.array(found.matrix, float)
    home = np.diag(matrix)
    assert home.mean() > matrix[~np.eye(4, dtype=bool)].mean() + 0.2
    # What they were sent in round 3 is what round 2 has been evaluated with.
    record = RunRecord.load(folder.path)
    lines = map(json.loads, (folder.path / "clients.jsonl").read_text().splitlines())
    own = {
        line["client"]: line["accuracy"]
        for line in lines
        if line["phase"] == "evaluate" and line["round"] == 2
    }
    assert found.whole == pytest.approx([own[client] for client in found.clients])
    assert record.cross_site is None
    write(folder, found)
    assert RunRecord.load(folder.path).cross_site == found
    page = write_report(folder.path).read_text()
    assert "Client by client" in page
    assert sentence_of(found) in page
    assert [row[0] for row in table_of(found).rows] == [
        *(f"client {client}" for client in range(4)),
        "sent to all",
    ]


def test_what_stays_with_a_client_goes_along_with_its_model(tmp_path: Path) -> None:
    personal = {**SKEWED, "client": {"name": "fedper"}}
    model = {"personal": "head"}
    found = cross_site(made(tmp_path / "run", **personal, model=model))
    assert np.isfinite(np.array(found.matrix, float)).all()


def test_clients_without_a_part_of_their_own_are_said(tmp_path: Path) -> None:
    folder = made(tmp_path / "run", rounds=1, data={"validation": 0.0})
    with pytest.raises(FedlabError, match="no client has a test or validation part"):
        cross_site(folder)
