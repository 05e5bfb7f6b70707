"""Whatever is in a file of text, it is read, or one sentence names the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fedlab.errors import FedlabError
from fedlab.registry import datasets

ROWS = [f"2024-01-{1 + n:02},{n},some words {n},{'up' if n % 2 else 'down'}" for n in range(20)]
CSV = "day,load,text,label\n" + "\n".join(ROWS) + "\n"
TS = "@classLabel true up down\n@data\n" + "1,2,3:up\n4,?,6:down\n" * 3
ODD = st.sampled_from(
    [
        '"',
        ",",
        "\n",
        "\r",
        ":",
        "nan",
        "",
        " ",
        "1e999",
        "\x00",
        "\ufeff",
        "\u2028",
        "\udce9",
        "9" * 400,
    ]
)
CHANGES = st.lists(st.tuples(st.integers(0, 700), st.integers(0, 3), ODD), min_size=1, max_size=4)
FREELY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def changed(text: str, changes: list[tuple[int, int, str]]) -> bytes:
    """Return the bytes of a text in which some places are replaced."""
    for place, length, odd in changes:
        place %= len(text) + 1
        text = text[:place] + odd + text[place + length :]
    return text.encode("utf-8", "surrogateescape")


def said(file: Path, name: str, **keys: object) -> str:
    """Return what is said of a data set in a file, or the file's name if it is read."""
    source = datasets.get(name)
    try:
        data = source(source.Settings(name=name, **keys)).load(0)
    except FedlabError as error:
        return str(error)
    assert data.train.inputs.isfinite().all()
    return file.name


def check(file: Path, name: str, **keys: object) -> None:
    """Check that a file is read, or refused in one line that names it."""
    sentence = said(file, name, **keys)
    assert "\n" not in sentence
    assert file.name in sentence or "data.test_fraction" in sentence


@pytest.mark.parametrize("on_error", ["refuse", "skip"])
@given(changes=CHANGES)
@FREELY
def test_a_damaged_table_of_texts(tmp_path: Path, on_error: str, changes) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(changed(CSV, changes))
    check(path, "text-classification", path=str(path), on_error=on_error)


@given(changes=CHANGES)
@FREELY
def test_a_damaged_series(tmp_path: Path, changes) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(changed(CSV, changes))
    check(path, "series-csv", path=str(path), columns=["load"], time="day", window=2)
    check(path, "series-csv", path=str(path), columns=["load"], group="label", window=2)


@given(changes=CHANGES)
@example(changes=[(11, 0, "\n")])
@example(changes=[(0, 11, "@timestamps\n@classLabel")])
@FREELY
def test_a_damaged_ts_file(tmp_path: Path, changes) -> None:
    path = tmp_path / "x.ts"
    path.write_bytes(changed(TS, changes))
    check(path, "ts-files", train=str(path), test=str(path))
