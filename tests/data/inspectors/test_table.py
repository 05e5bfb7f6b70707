"""What a user's table holds: columns, gaps, candidates for target and client, a start."""

import numpy as np
import pytest

from fedlab.data.inspection import Contents, inspect
from fedlab.data.inspectors.table import TableFiles


def rows(count: int = 60) -> list[str]:
    draw = np.random.default_rng(1)
    return [
        f"{n},{draw.normal():.3f},{'ab'[n % 2]},{'x' if n % 9 else '?'},"
        f"{['north', 'south', 'west'][n % 3]},{int(draw.random() < 0.4)}"
        for n in range(count)
    ]


HEADER = "id,pressure,kind,note,hospital,diagnosis"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("\n".join([HEADER, *rows()]) + "\n")
    return path


def test_columns_gaps_target_and_client_are_recognised(table):
    found = inspect(table)
    assert (found.kind, found.examples) == ("table", 60)
    facts = dict(found.facts)
    assert facts["missing values"] == "note 7"
    assert facts["target"] == "probably diagnosis"
    assert facts["clients by"] == "probably hospital"
    assert found.sites == {"north": 20, "south": 20, "west": 20}
    assert set(found.classes) == {"0", "1"}
    assert found.details["columns"]["kind"]["kind"] == "category"
    assert any("'id' is no input: it numbers the rows" in note for note in found.notes)
    assert found.scenario["data"] == {
        "name": "table",
        "path": str(table),
        "target": "diagnosis",
        "clients_by": "hospital",
    }


def test_a_folder_of_tables_has_a_client_in_each_file(tmp_path):
    for name in ("a", "b"):
        lines = [line.rsplit(",", 2) for line in rows(30)]
        text = "\n".join(f"{first};{ill}" for first, _, ill in lines)
        (tmp_path / f"{name}.csv").write_text(f"one;y\n{text}\n")
    found = inspect(tmp_path)
    assert found.sites == {"a": 30, "b": 30}
    assert found.scenario["data"]["clients_by"] == "file"
    assert found.scenario["data"]["target"] == "y"


def test_a_mistake_in_a_column_is_a_note_with_its_line(table):
    lines = table.read_text().splitlines()
    lines[4] = lines[4].replace(lines[4].split(",")[1], "12O")
    table.write_text("\n".join(lines))
    found = inspect(table)
    assert any("line 5, column 'pressure': '12O' is not a number" in note for note in found.notes)


def test_numbers_are_a_target_without_classes(tmp_path):
    path = tmp_path / "houses.csv"
    draw = np.random.default_rng(0)
    path.write_text("size,price\n" + "".join(f"{n},{draw.normal():.4f}\n" for n in range(40)))
    found = inspect(path)
    assert found.scenario["data"]["target"] == "price"
    assert found.classes == {}


def test_a_table_claims_half_of_what_others_may_know_better(table, tmp_path):
    assert TableFiles().claim(Contents(table)) == 0.5
    (tmp_path / "picture.png").write_bytes(b"x")
    assert TableFiles().claim(Contents(tmp_path)) == 0.25


def test_a_column_that_looks_like_numbers_with_a_unit_is_noted(tmp_path):
    path = tmp_path / "own.csv"
    lines = [f'"${row},250",{row % 3},{row % 2}' for row in range(40)]
    path.write_text("\n".join(["cost,a,y", *lines]) + "\n")
    assert any(
        "'cost' is taken for words: values such as '$0,250'" in n for n in inspect(path).notes
    )


def test_a_column_that_not_all_files_have_is_dropped_by_the_scenario(tmp_path):
    for name, column in (("north", "dose"), ("south", "Dose")):
        lines = [f"{row % 5},{row % 7},{row % 2}" for row in range(30)]
        (tmp_path / f"{name}.csv").write_text("\n".join([f"age,{column},y", *lines]) + "\n")
    found = inspect(tmp_path)
    assert found.scenario["data"]["drop"] == ["Dose", "dose"]
    assert any("not all files have" in note for note in found.notes)


def test_a_question_mark_does_not_hide_the_name_of_a_target(tmp_path):
    lines = [f"{row * 997},{row % 2},{row % 5}" for row in range(40)]
    (tmp_path / "own.csv").write_text("\n".join(["income,Churned?,age", *lines]) + "\n")
    assert inspect(tmp_path / "own.csv").scenario["data"]["target"] == "Churned?"
