"""Predictions stream: what cannot be read is named, what is read is written row by row."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fedlab.errors import FedlabError
from fedlab.use.loading import Trained, load_trained
from fedlab.use.predict import BATCH, Ranked, Unread, predict
from fedlab.use.prediction_files import write
from fedlab.use.readers.image import Pictures


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that puts bytes on standard input."""

    def put(content: bytes) -> None:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))

    return put


def test_csv_has_a_row_for_each_input_and_names_what_cannot_be_read(
    digits: Trained, digit_pictures: Path
) -> None:
    files = sorted(digit_pictures.glob("*/*.png"))[:3]
    files[1].write_bytes(b"")
    stream = io.StringIO()
    found = predict(digits, list(map(str, files)), top=2, on_error="skip")
    assert write(found, stream, "csv", digits.task, 2) == 1
    header, *rows = csv.reader(io.StringIO(stream.getvalue()))
    assert ",".join(header) == "input,row,class_1,probability_1,class_2,probability_2,error"
    assert [row[0] for row in rows] == list(map(str, files))
    assert rows[1][2:6] == [""] * 4
    assert "the file is empty" in rows[1][6]
    assert rows[0][2] in digits.task.labels
    assert 0 < float(rows[0][5]) <= float(rows[0][3]) <= 1


def test_a_row_of_a_table_that_cannot_be_read_is_named_by_its_number(
    iris_run: Path, tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("1,2,3,4\n1,2,x,4\n4,3,2,1\n")
    stream = io.StringIO()
    trained = load_trained(iris_run)
    write(predict(trained, [str(path)], on_error="skip"), stream, "json", trained.task, 3)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["row"] for line in lines] == [1, 2, 3]
    assert lines[1]["error"].endswith("line 2: 'x' is not a number")
    assert len(lines[2]["classes"]) == 3


def test_numbers_are_a_column_each(forecast_run: Path, ramp: Path) -> None:
    trained, stream = load_trained(forecast_run), io.StringIO()
    write(predict(trained, [str(ramp)]), stream, "csv", trained.task, 3)
    header, row = csv.reader(io.StringIO(stream.getvalue()))
    assert header == ["input", "row", "level + 1", "error"]
    assert row[1] == "193 to 200"
    assert 1100 < float(row[2]) < 1300


def test_inputs_are_read_as_predictions_are_asked_for(
    digits: Trained, digit_pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    original = Pictures.load

    def counted(reader: Pictures, path: Path) -> Any:
        read.append(path)
        return original(reader, path)

    monkeypatch.setattr(Pictures, "load", counted)
    found: Iterator[Any] = predict(digits, [str(digit_pictures)])
    next(found)
    assert len(read) == BATCH


def test_what_comes_before_an_input_that_is_refused_is_predicted(
    digits: Trained, digit_pictures: Path
) -> None:
    file = next(digit_pictures.glob("*/*.png"))
    found = predict(digits, [str(file), "absent.png"])
    assert isinstance(next(found), Ranked)
    with pytest.raises(FedlabError, match=r"absent\.png; '--on-error skip' predicts the others"):
        next(found)


def test_standard_input_names_pictures_or_is_one(
    digits: Trained, digit_pictures: Path, typed: Any
) -> None:
    files = sorted(digit_pictures.glob("*/*.png"))[:2]
    wanted = [row.classes for row in predict(digits, list(map(str, files))) if row]
    typed("".join(f"{file}\r\n" for file in files).encode())
    assert [row.classes for row in predict(digits, ["-"])] == wanted
    typed(files[0].read_bytes())
    (row,) = predict(digits, ["-"])
    assert row.input == "standard input"
    assert dict(row.classes) == pytest.approx(dict(wanted[0]), abs=1e-6)
    typed(b"\x89PNG\r\n\x1a\n\0")
    (row,) = predict(digits, ["-"], on_error="skip")
    assert isinstance(row, Unread)
    assert row.error.startswith("standard input is not a")
    typed(b"")
    with pytest.raises(FedlabError, match="standard input is empty"):
        list(predict(digits, ["-"]))


def test_standard_input_holds_rows_or_a_text_a_line(
    iris_run: Path, texts_run: Path, typed: Any
) -> None:
    typed(b"5.1,3.5,1.4,0.2\n6.7,3.0,5.2,2.3\n")
    first, second = predict(load_trained(iris_run), ["-"])
    assert (first.input, first.row, second.row) == ("standard input", 1, 2)
    assert (first.classes[0][0], second.classes[0][0]) != ("virginica", "setosa")
    typed(b"1,2\n")
    with pytest.raises(FedlabError, match="standard input has 2 columns, and the network takes 4"):
        list(predict(load_trained(iris_run), ["-"]))
    typed(b"goals and match\n\nrain and wind\n")
    found = list(predict(load_trained(texts_run), ["-"]))
    assert [row.row for row in found] == [1, 2]
    assert [row.classes[0][0] for row in found] == ["sport", "weather"]
