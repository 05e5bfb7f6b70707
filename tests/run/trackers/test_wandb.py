"""The offline files of Weights & Biases hold what the run folder holds."""

from __future__ import annotations

import json
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedlab.results.reading import RunRecord
from fedlab.run.baselines import run_baselines
from fedlab.run.callbacks import trackers_of
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from tests.shared import scenario_with

pytest.importorskip("wandb")

BLOCK, FILE_HEADER, PIECE_HEADER = 32768, 7, 7
WHOLE, LAST = 1, 4


def records_in(path: Path) -> list[Any]:
    """Return the records of an offline file: protocol buffers in LevelDB's log format."""
    from wandb.proto import wandb_internal_pb2

    found = []
    for data in log_records(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        found.append(record)
    return found


def whole_records_in(path: Path) -> list[Any]:
    """Return the records of a file that its process, another one, has ended."""
    until = time.monotonic() + 60
    while True:
        found = records_in(path)
        kinds = {record.WhichOneof("record_type") for record in found}
        if {"run", "exit"} <= kinds or time.monotonic() > until:
            return found
        time.sleep(0.2)


def log_records(content: bytes) -> Iterator[bytes]:
    """Yield the records of a log: pieces of at most a block, each with its length and kind."""
    place, parts = FILE_HEADER, b""
    while place + PIECE_HEADER <= len(content):
        left = BLOCK - place % BLOCK
        if left < PIECE_HEADER:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + PIECE_HEADER])
        place += PIECE_HEADER
        parts += content[place : place + length]
        place += length
        if kind in (WHOLE, LAST):
            yield parts
            parts = b""


def figures(records: list[Any], name: str) -> dict[int, float]:
    """Return a metric by step."""
    values = {}
    for record in records:
        if record.WhichOneof("record_type") == "history":
            items = {i.key or "/".join(i.nested_key): i.value_json for i in record.history.item}
            if name in items:
                values[int(json.loads(items["_step"]))] = json.loads(items[name])
    return values


def test_offline_files_hold_the_run_and_its_baseline(tmp_path: Path) -> None:
    scenario = scenario_with(
        {
            "data": {"name": "iris"},
            "model": {"name": "linear"},
            "evaluation": {"baselines": ["centralised"]},
            "trackers": [{"name": "wandb", "mode": "offline", "project": "flowers"}],
        }
    )
    folder = RunFolder.create_at(tmp_path / "one", scenario)
    callbacks = trackers_of(scenario, folder.path)
    hooks = sys.exit, sys.excepthook
    run(folder, callbacks)
    run_baselines(folder, callbacks)
    for callback in callbacks:
        callback.closed()
    assert (sys.exit, sys.excepthook) == hooks
    record = RunRecord.load(folder.path)
    files = list((folder.path / "wandb").glob("offline-run-*/*.wandb"))
    found = {}
    for file in files:
        records = whole_records_in(file)
        (about,) = [r.run for r in records if r.WhichOneof("record_type") == "run"][:1]
        assert about.project == "flowers"
        assert about.run_group == "one"
        found[about.display_name] = figures(records, "test/accuracy")
    assert found == {
        "one": pytest.approx({row.round: row.value("accuracy") for row in record.tested}),
        "one, centralised": pytest.approx(
            {b.round: b.test["accuracy"] for b in record.baselines if b.round is not None}
        ),
    }
