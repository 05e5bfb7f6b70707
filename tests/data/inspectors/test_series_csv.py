"""Which tables are taken for series, and the scenario that is proposed for them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedlab.data.formats.columns import read_table
from fedlab.data.inspection import Finding, inspect
from fedlab.data.inspectors import series_csv
from fedlab.run.simulation import assemble
from fedlab.scenario.loading import check
from fedlab.use.starting import starting_scenario

START = datetime(2024, 1, 1)


def written(path: Path, header: str, rows: Sequence[Sequence[Any]]) -> Path:
    lines = [header, *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def hourly(path: Path, sites: Sequence[str], steps: int = 200, interleaved: bool = True) -> Path:
    draw = np.random.default_rng(3)
    rows = [
        (site, START + timedelta(hours=step), f"{draw.normal():.3f}", f"{draw.normal():.3f}")
        for step in range(steps)
        for site in sites
    ]
    if not interleaved:
        rows.sort(key=lambda row: row[0])
    return written(path, "site,when,temperature,load", rows)


def loaded(found: Finding) -> Any:
    content = starting_scenario(found)
    return assemble(check(content, "start")).federation


@pytest.mark.parametrize("interleaved", [True, False])
def test_hours_of_several_sites_are_series_of_clients(tmp_path: Path, interleaved: bool) -> None:
    path = hourly(tmp_path / "load.csv", ["north", "south", "west"], 900, interleaved)
    found = inspect(path)
    assert found.kind == "series-csv"
    data = found.scenario["data"]
    assert (data["time"], data["clients_by"]) == ("when", "site")
    assert (data["target"], data["window"]) == ("load", 24)
    assert found.sites == {"north": 876, "south": 876, "west": 876}
    (note,) = [note for note in found.notes if "taken for" in note]
    assert note == (
        "rows are taken for the steps of series, because the times in 'when' are evenly spaced, "
        "an hour apart; --kind table takes them for independent examples"
    )
    assert len(loaded(found)) == 3


@pytest.mark.parametrize(
    ("name", "times"),
    [
        ("date", [START.date() + timedelta(days=n) for n in range(90)]),
        ("day", [d for n in range(126) if (d := START.date() + timedelta(n)).weekday() < 5]),
        ("month", [f"{2010 + n // 12}-{n % 12 + 1:02d}-01" for n in range(120)]),
        ("timestamp", [1_700_000_000 + 60 * n for n in range(90)]),
        ("time", [f"{0.02 * n + 0.0005 * (n % 3):.4f}" for n in range(90)]),
    ],
)
def test_evenly_spaced_times_in_any_order_of_rows_are_series(
    tmp_path: Path, name: str, times: Sequence[Any]
) -> None:
    draw = np.random.default_rng(1)
    rows = [(time, f"{draw.normal():.3f}") for time in times]
    draw.shuffle(rows)
    found = inspect(written(tmp_path / "own.csv", f"{name},sales", rows))
    assert found.kind == "series-csv"
    assert found.scenario["data"]["time"] == name
    assert not found.sites
    assert len(loaded(found)) == 5


def admissions(draw: np.random.Generator, count: int, days: int) -> list[tuple[Any, ...]]:
    return [
        (
            n,
            START.date() + timedelta(days=int(draw.integers(days))),
            ["north", "south"][n % 2],
            f"{draw.normal(70, 10):.1f}",
            int(draw.random() < 0.4),
        )
        for n in range(count)
    ]


@pytest.mark.parametrize("is_sorted", [True, False])
@pytest.mark.parametrize("days", [60, 5000])
def test_a_row_a_patient_with_an_admission_date_is_a_table(
    tmp_path: Path, is_sorted: bool, days: int
) -> None:
    rows = admissions(np.random.default_rng(2), 150, days)
    rows = sorted(rows, key=lambda row: row[1]) if is_sorted else rows
    path = written(tmp_path / "own.csv", "id,admission,hospital,weight,died", rows)
    found = inspect(path)
    assert found.kind == "table"
    assert found.scenario["data"]["name"] == "table"
    assert (
        "rows are taken for independent examples, and 'admission' for a property of each; --kind "
        "series-csv takes them for the steps of series"
    ) in found.notes


def test_a_few_visits_of_each_patient_are_no_series(tmp_path: Path) -> None:
    draw = np.random.default_rng(5)
    rows = [
        (
            f"p{patient}",
            START.date() + timedelta(days=7 * visit),
            f"{draw.normal():.2f}",
            patient % 2,
        )
        for patient in range(40)
        for visit in range(4)
    ]
    path = written(tmp_path / "own.csv", "patient,visit,pressure,outcome", rows)
    assert inspect(path).kind == "table"


def test_times_of_follow_up_are_no_times_of_steps(tmp_path: Path) -> None:
    draw = np.random.default_rng(6)
    rows = [(int(draw.integers(4, 285)), f"{draw.normal():.2f}", n % 2) for n in range(120)]
    assert inspect(written(tmp_path / "own.csv", "time,creatinine,death", rows)).kind == "table"


def test_what_is_only_regular_in_its_first_rows_is_a_table(tmp_path: Path) -> None:
    path = hourly(tmp_path / "own.csv", ["one"], 3000)
    path.write_text(path.read_text() + "one,2024-01-01 00:00:00,1.0,2.0\n" * 40)
    assert inspect(path).kind == "table"


def test_the_other_reading_can_be_asked_for(tmp_path: Path) -> None:
    series = hourly(tmp_path / "load.csv", ["north", "south"])
    assert inspect(series, "table").kind == "table"
    rows = admissions(np.random.default_rng(2), 150, 5000)
    path = written(tmp_path / "own.csv", "id,admission,hospital,weight,died", rows)
    found = inspect(path, "series-csv")
    assert found.kind == "series-csv"
    assert found.scenario["data"]["time"] == "admission"
    assert any("though no times in them are evenly spaced" in note for note in found.notes)


def test_classes_of_recordings_are_learned(tmp_path: Path) -> None:
    draw = np.random.default_rng(7)
    rows = [
        (f"s{person}", recording, f"{step * 0.02:.2f}", f"{draw.normal():.3f}", "ab"[recording % 2])
        for person in range(3)
        for recording in range(4)
        for step in range(60)
    ]
    path = written(tmp_path / "motion.csv", "subject,recording,time,x,activity", rows)
    found = inspect(path)
    data = found.scenario["data"]
    assert (found.kind, data["label"]) == ("series-csv", "activity")
    assert (data["clients_by"], data["series"]) == ("subject", "recording")
    assert set(found.classes) == {"a", "b"}
    federation = loaded(found)
    assert len(federation) == 3
    assert federation.dataset.task.kind == "classification"


def test_a_gap_and_a_column_that_counts_rows_are_provided_for(tmp_path: Path) -> None:
    draw = np.random.default_rng(8)
    rows = [
        (n + 1, START + timedelta(hours=n), "" if n == 50 else f"{draw.normal():.3f}")
        for n in range(150)
    ]
    found = inspect(written(tmp_path / "own.csv", "No,when,pm2.5", rows))
    data = found.scenario["data"]
    assert (data["columns"], data["missing"]) == (["pm2.5"], "interpolate")
    assert "column 'No' is no input: it numbers the rows" in found.notes
    loaded(found)


def test_a_file_is_read_as_a_whole_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def counted(path: Path, *others: Any) -> Any:
        read.append(path)
        return read_table(path, *others)

    monkeypatch.setattr(series_csv, "read_table", counted)
    path = hourly(tmp_path / "load.csv", ["north", "south"])
    assert inspect(path).kind == "series-csv"
    assert read == [path]
