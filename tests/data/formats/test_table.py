import pytest

from fedlab.data.formats.columns import read_table
from fedlab.data.formats.table import is_missing, read_rows
from fedlab.errors import FedlabError


def write(tmp_path, text: str):
    path = tmp_path / "x.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_wanted_columns_are_read_whatever_their_order(tmp_path):
    table = read_table(write(tmp_path, '\ufeffb,a,c\n1,"x, y",3\n4,z,6\n'), ["a", "b"], "data.path")
    assert table.columns == {"a": ["x, y", "z"], "b": ["1", "4"], "c": ["3", "6"]}
    assert table.lines == [2, 3]


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
    path.write_bytes(b"\x00\x01\x80\xff")
    with pytest.raises(FedlabError, match=r"x\.csv, line 1: there is a zero byte"):
        read_table(path, ["a"], "data.path")


@pytest.mark.parametrize("text", ["x", "", "nan", "inf"])
def test_what_is_no_number_is_named_by_its_line(tmp_path, text):
    table = read_table(write(tmp_path, f'load,note\n1.5,"two\nlines"\n{text},b\n'), [], "data.path")
    with pytest.raises(FedlabError, match=rf"x\.csv, line 4, column 'load': '{text}' is not a num"):
        table.numbers("load")


def test_lines_are_those_of_the_file_whatever_is_quoted(tmp_path):
    rows = read_rows(write(tmp_path, 'a\r\n"1\r\n2\r\n3"\r\n\r\n4\r\n'))
    assert [(row.line, row.fields) for row in rows] == [
        (1, ["a"]),
        (2, ["1\r\n2\r\n3"]),
        (6, ["4"]),
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("text,label,label\nx,y,z\n", r"two columns are called 'label' \(columns 2 and 3"),
        ("text,label\nx,y\ntext,label\nz,y\n", "line 3: this row is the header once more"),
        ("text,label,more,more\nx,y,z,z\n", "line 1: two columns are called 'more'"),
        ("text,label\nx, y,z\n", "line 2: this row has too many fields: 3, and the header has 2"),
        ('text,label\nx,y\n"open,y\nz,y\n', "line 3: this row is not CSV"),
        ('text,label\n"a "b" c",y\n', "line 2: this row is not CSV"),
        ("text,label\nx,y\nx,\0\n", "line 3: there is a zero byte"),
    ],
)
def test_what_would_be_read_wrongly_is_refused(tmp_path, text, sentence):
    with pytest.raises(FedlabError, match=rf"data\.path: .*x\.csv.*{sentence}"):
        read_table(write(tmp_path, text), ["text", "label"], "data.path")


def test_commas_at_the_end_of_rows_and_long_fields_are_harmless(tmp_path):
    table = read_table(write(tmp_path, f"a,b\n1,{'x' * 200_000},,\n"), ["b"], "data.path")
    assert len(table.of("b")[0]) == 200_000


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a,b\ncaf\xe9,2\n", r"line 2 is not UTF-8 \(byte 0xe9, 'é' in Windows-1252\)"),
        ("a,b\n1,2\n".encode("utf-16"), "it is UTF-16 text; save it as UTF-8"),
        ("a,b\n1,2\n".encode("utf-16-le"), "line 1 holds a zero byte"),
    ],
)
def test_another_encoding_than_utf8_is_named(tmp_path, content, sentence):
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(FedlabError, match=sentence):
        read_rows(path)


def test_words_for_a_missing_value_count_in_any_case_and_can_be_chosen():
    missing = is_missing(["NA", "null"])
    assert [missing(field) for field in ("", "  ", "na", " NULL ", "nan", "Nadia")] == [
        True,
        True,
        True,
        True,
        False,
        False,
    ]
