from pathlib import Path

import pytest

from fedlab.data.formats.table import read_numbers, read_table
from fedlab.errors import FedlabError


def write(tmp_path, text: str):
    path = tmp_path / "x.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_wanted_columns_are_read_whatever_their_order(tmp_path):
    table = read_table(write(tmp_path, '\ufeffb,a,c\n1,"x, y",3\n4,z,6\n'), ["a", "b"], "data.path")
    assert table == {"a": ["x, y", "z"], "b": ["1", "4"]}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("text,lable\nx,y\n", r"unknown column 'label'\. Did you mean 'lable'\?"),
        ("text,label\n", "a header and no rows"),
        ("text,label\nx,y\nz\n", "line 3: this row has too few fields"),
        ("", "is empty"),
    ],
)
def test_a_bad_table_is_reported_with_its_place(tmp_path, text, sentence):
    with pytest.raises(FedlabError, match=rf"data\.path: .*x\.csv.*{sentence}"):
        read_table(write(tmp_path, text), ["text", "label"], "data.path")


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(FedlabError, match=r"x\.csv cannot be read"):
        read_table(path, ["a"], "data.path")


@pytest.mark.parametrize("text", ["x", "", "nan", "inf"])
def test_what_is_no_number_is_named(text):
    with pytest.raises(FedlabError, match=f"row 2 below the header, column 'load': '{text}'"):
        read_numbers(["1.5", text], Path("x.csv"), "load")
