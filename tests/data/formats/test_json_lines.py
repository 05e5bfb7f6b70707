"""Files of JSON objects as columns of text."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedlab.data.formats.json_lines import read_json_lines
from fedlab.errors import FedlabError


def columns(path: Path, text: str) -> dict[str, list[str]]:
    file = path / "rows.jsonl"
    file.write_text(text, encoding="utf-8")
    return read_json_lines(file)[0]


def test_what_an_object_within_a_row_holds_has_columns_of_its_own(tmp_path: Path) -> None:
    rows = (
        '{"text": "a", "shop": {"city": "Ulm", "at": {"north": 48.4}}}\n'
        '{"text": "b", "shop": null}\n'
        '{"text": "c", "shop": {"city": "Bonn"}, "open": true}\n'
    )
    assert columns(tmp_path, rows) == {
        "text": ["a", "b", "c"],
        "shop.city": ["Ulm", "", "Bonn"],
        "shop.at.north": ["48.4", "", ""],
        "open": ["", "", "true"],
    }


def test_a_key_that_holds_text_beside_objects_keeps_its_column(tmp_path: Path) -> None:
    rows = '{"shop": "Ulm"}\n{"shop": {"city": "Bonn"}}\n'
    assert columns(tmp_path, rows) == {"shop": ["Ulm", ""], "shop.city": ["", "Bonn"]}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a": 1}\n{"a": {"b": [1]}}\n', "line 2, key 'a.b': a list stands where"),
        ('{"a.b": 1, "a": {"b": 2}}\n', "line 1: two of its keys name the column 'a.b'"),
        ('{"a":' * 30 + "1" + "}" * 30, "line 1: its objects are nested too deep"),
    ],
)
def test_what_is_no_column_is_named_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(FedlabError, match=says):
        columns(tmp_path, text)
