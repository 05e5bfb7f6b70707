from __future__ import annotations

from pathlib import Path

import pytest

from fedlab.results.reading import RunRecord
from fedlab.results.tensorboard import write_tensorboard

event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def scalars(folder: Path, tag: str) -> dict[int, float]:
    events = event_accumulator.EventAccumulator(str(folder))
    events.Reload()
    return {event.step: event.value for event in events.Scalars(tag)}


def test_event_files_hold_every_round_once_however_often_written(run: Path) -> None:
    write_tensorboard(run)
    folder = write_tensorboard(run)
    record = RunRecord.load(run)
    assert len(list((folder / "federated").iterdir())) == 1
    assert scalars(folder / "federated", "test/accuracy") == pytest.approx(
        {row.round: row.value("accuracy") for row in record.tested}
    )
    assert scalars(folder / "federated", "clients/accuracy/worst_decile") == pytest.approx(
        {r.round: r.clients["accuracy"].worst_decile for r in record.rounds if r.clients}
    )


def test_a_baseline_shares_the_tag_of_the_run(run: Path) -> None:
    folder = write_tensorboard(run)
    assert scalars(folder / "centralised", "test/accuracy") == pytest.approx(
        {b.round: b.test["accuracy"] for b in RunRecord.load(run).baselines if b.round is not None}
    )
