import numpy as np
import pytest

from fedlab.data.formats.ts import read_ts
from fedlab.errors import FedlabError

HEADER = "# comment\n@problemName x\n@timeStamps false\n@classLabel true up down\n@data\n"


def write(tmp_path, text: str):
    path = tmp_path / "x_TRAIN.ts"
    path.write_text(text)
    return path


def test_channels_lengths_missing_values_and_classes_are_read(tmp_path):
    content = read_ts(write(tmp_path, HEADER + "1,2,3:4,5,6:down\n\n7,?:8,9:up\n"))
    assert content.classes == ("up", "down")
    assert content.labels == ["down", "up"]
    assert content.channels == 2
    np.testing.assert_array_equal(content.series[0], [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_array_equal(content.series[1], [[7, 8], [np.nan, 9]])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("no header\n1,2:up\n", "no line '@data'"),
        (HEADER, "holds no series"),
        (HEADER + "1,x:up\n", r"line 6: 'x' is not a number"),
        (HEADER + "1,2:3:up\n", "line 6: the channels have different lengths"),
        (HEADER + "1,2:sideways\n", "line 6: 'sideways' is not a class"),
        (HEADER + "1,2:\n", "line 6: there is no class"),
        (HEADER + "1,2\n", "line 6: a colon stands before the class"),
        (HEADER + "1,inf:up\n", "line 6: 'inf' is not a finite number"),
        (HEADER + "1,1e39:up\n", "line 6: '1e39' is not a finite number"),
        (HEADER + "1\x0c,2:up\n1,x:up\n", "line 7: 'x' is not a number"),
        (HEADER.replace("up down", "up down up") + "1:up\n", "the class 'up' more than once"),
        (HEADER + "1,2:up\n1:2:up\n", "different numbers of channels"),
        (HEADER.replace("false", "true") + "1:up\n", "time stamps"),
        (HEADER.replace("@classLabel true up down", "@classLabel false"), "names no classes"),
    ],
)
def test_what_breaks_the_format_is_reported_with_its_place(tmp_path, text, sentence):
    with pytest.raises(FedlabError, match=f"x_TRAIN.ts.*{sentence}"):
        read_ts(write(tmp_path, text))


def test_a_mark_before_the_header_is_passed_over(tmp_path):
    path = tmp_path / "x_TRAIN.ts"
    path.write_bytes(("\ufeff@classLabel true up down\r\n@data\r\n1,NaN:up\r\n").encode())
    content = read_ts(path)
    assert content.labels == ["up"]
    assert np.isnan(content.series[0][1, 0])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FedlabError, match=r"nowhere\.ts cannot be read"):
        read_ts(tmp_path / "nowhere.ts")
