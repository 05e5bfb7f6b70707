from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedlab.errors import FedlabError
from fedlab.results.reading import RunRecord
from fedlab.results.rows import RoundRow
from fedlab.ui.lines import GrowingLines, last_lines, lines_of_round


def _write(path: Path, rows: list[dict], mode: str = "w") -> None:
    with path.open(mode) as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "metrics.jsonl"


def test_lines_are_read_as_they_come_and_none_twice(path) -> None:
    lines = GrowingLines(path, RoundRow)
    assert lines.read() == []
    _write(path, [{"round": 0}, {"round": 1}])
    first = lines.read()[0]
    _write(path, [{"round": 2}], "a")
    assert [row.round for row in lines.read()] == [0, 1, 2]
    assert lines.read()[0] is first
    assert lines.generation == 0


@pytest.mark.parametrize("cut", range(1, 20))
def test_half_a_line_is_read_once_it_is_whole(path, cut) -> None:
    line = '{"round": 1, "cohort": 7}\n'
    path.write_text('{"round": 0}\n' + line[:cut])
    lines = GrowingLines(path, RoundRow)
    assert [row.round for row in lines.read()] == [0]
    with path.open("a") as file:
        file.write(line[cut:])
    assert [row.cohort for row in lines.read()] == [0, 7]


def test_a_last_line_without_its_end_counts_once(path) -> None:
    path.write_text('{"round": 0}')
    lines = GrowingLines(path, RoundRow)
    assert len(lines.read()) == 1
    with path.open("a") as file:
        file.write('\n{"round": 1}\n')
    assert [row.round for row in lines.read()] == [0, 1]


def test_a_file_that_was_written_anew_is_read_anew(path) -> None:
    _write(path, [{"round": 0}, {"round": 1}, {"round": 2}])
    lines = GrowingLines(path, RoundRow)
    lines.read()
    other = path.with_name("new")
    _write(other, [{"round": 0}, {"round": 1, "cohort": 5}, {"round": 2}, {"round": 3}])
    other.replace(path)
    assert [row.cohort for row in lines.read()] == [0, 5, 0, 0]
    assert lines.generation == 1
    _write(path, [{"round": 0, "cohort": 3}, {"round": 1, "cohort": 4}])
    assert [row.cohort for row in lines.read()] == [3, 4]
    path.unlink()
    assert lines.read() == []
    assert lines.generation == 3


def test_a_file_that_was_written_over_in_its_place_is_read_anew(path) -> None:
    _write(path, [{"round": 0, "cohort": 1}])
    lines = GrowingLines(path, RoundRow)
    lines.read()
    _write(path, [{"round": 0, "cohort": 2}, {"round": 1, "cohort": 2}])
    assert [row.cohort for row in lines.read()] == [2, 2]
    assert lines.generation == 1


def test_damage_names_its_line_and_is_told_again(path) -> None:
    _write(path, [{"round": 0}])
    lines = GrowingLines(path, RoundRow)
    lines.read()
    with path.open("a") as file:
        file.write('\n{"round": -1}\n')
    for _ in range(2):
        with pytest.raises(FedlabError, match=r"metrics\.jsonl, line 3, key 'round'"):
            lines.read()


def test_the_end_of_a_long_file_is_read_backwards(path) -> None:
    long = "x" * 300_000
    _write(path, [{"round": 0}, {"round": 1, "weights": long}, {"round": 2, "chain": long}])
    with path.open("a") as file:
        file.write('{"round": 3, "te')
    assert [row.round for row in last_lines(path, RoundRow)] == [2, 1, 0]
    assert list(last_lines(path.with_name("none"), RoundRow)) == []


def test_a_damaged_line_at_the_end_is_named_by_its_number(path) -> None:
    _write(path, [{"round": 0}, {"round": 1}, {"round": "x"}])
    with pytest.raises(FedlabError, match="line 3, key 'round'"):
        next(last_lines(path, RoundRow))


def test_every_rounds_clients_are_found_by_bisection(tmp_path) -> None:
    path = tmp_path / "clients.jsonl"
    rows = [
        {"round": number, "client": client, "phase": "train", "note": 10.0 ** (client % 7)}
        for number in (0, 1, 2, 5, 6, 30)
        for client in range(number * 3 + 1)
    ]
    _write(path, rows)
    with path.open("a") as file:
        file.write('{"round": 31, "cli')
    for number in range(33):
        found = [row.client for row in lines_of_round(path, number)]
        assert found == [row["client"] for row in rows if row["round"] == number]


def test_clients_of_a_real_run_are_those_of_its_file(runs) -> None:
    record = RunRecord.load(runs / "digits")
    path = runs / "digits" / "clients.jsonl"
    whole = [json.loads(line) for line in path.read_text().splitlines()]
    for row in record.rounds:
        found = [(line.client, line.phase) for line in lines_of_round(path, row.round)]
        expected = [(w["client"], w["phase"]) for w in whole if w["round"] == row.round]
        assert found == expected
