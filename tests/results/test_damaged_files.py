"""Whatever a run folder's files hold, readers answer with a sentence that names the file."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.errors import FedlabError
from fedlab.results.baselines import baseline_curve, is_federating_worth_it
from fedlab.results.comparison import Comparison
from fedlab.results.reading import RunRecord
from fedlab.results.report.page import draw_each, render
from fedlab.results.report.sections import sections
from fedlab.results.report.tables import confusions_table, failure_tables, rounds_table
from tests.damaging import TRIES, places

FILES = (
    *("environment.json", "task.json", "partition.json", "confusion.json", "summary.json"),
    *("metrics.jsonl", "clients.jsonl", "baselines.jsonl"),
)
VALUES: list[Any] = [
    *(None, True, 0, -1, 1, 3, 10**30, 10**400, 1.5, 1e308, -1e308),
    *(float("nan"), float("inf"), -float("inf")),
    *("", "a", "$a$^{", "\x00\x1b[31m", "\ud800", "é" * 300, "../../x", "a\nb"),
    *([], {}, [[]], {"a": 1}, [1, 2], ["a"], [[1], [2, 3]]),
]
FRAGMENTS = [b"", b"\x00", b"\xff\xfe", b"\n", b"{", b"[" * 100_000, b'{"a":' * 5000]


@pytest.fixture(scope="module")
def damaged(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of a run of which each example damages one file."""
    return Path(shutil.copytree(finished_run, tmp_path_factory.mktemp("damaged") / "run"))


@st.composite
def mutated(draw: st.DrawFn, value: Any) -> Any:
    """Draw the value with one part of it replaced, removed or added."""
    value = copy.deepcopy(value)
    *path, last = draw(st.sampled_from(list(places(value, few=4))))
    table = value
    for key in path:
        table = table[key]
    change = draw(st.sampled_from(["replace", "replace", "replace", "remove", "add"]))
    if change == "remove":
        del table[last]
    elif change == "add" and isinstance(table, dict):
        table[draw(st.sampled_from(["x", "$y$", "../z", "round"]))] = draw(st.sampled_from(VALUES))
    else:
        table[last] = draw(st.sampled_from(VALUES))
    return value


@st.composite
def damage(draw: st.DrawFn, whole: bytes, is_lines: bool) -> bytes:
    """Draw a damaged copy of a file: cut, spoilt by other bytes, or with another value in it."""
    if draw(st.integers(0, 4)) == 0:
        at = draw(st.integers(0, len(whole)))
        rest = draw(st.sampled_from([whole[at:], b""]))
        return whole[:at] + draw(st.sampled_from(FRAGMENTS)) + rest
    if not is_lines:
        return json.dumps(draw(mutated(json.loads(whole)))).encode()
    lines = whole.splitlines()
    at = draw(st.sampled_from([0, len(lines) // 2, len(lines) - 1]))
    lines[at] = json.dumps(draw(mutated(json.loads(lines[at])))).encode()
    return b"\n".join(lines) + b"\n"


def objection(action: Callable[[], object]) -> str:
    """Return the sentence with which an action is refused; any other error is the test's."""
    try:
        action()
    except FedlabError as error:
        return str(error)
    return ""


def check_readers(folder: Path, whole: Path, name: str, drawn: bool) -> None:
    """Read the folder in every way; the only error is a sentence that names the file."""
    sentence = objection(lambda: read_everything(folder, drawn))
    if sentence:
        assert str(folder / name) in sentence
        assert sentence.isprintable()
        return
    sentence = objection(lambda: Comparison.load([whole, folder]))
    if sentence:
        assert "cannot be compared" in sentence or "no evaluated round" in sentence
        return
    comparison = Comparison.load([whole, folder])
    assert len(comparison.rows()) == 2
    assert comparison.fairness_rows()


def read_everything(folder: Path, drawn: bool) -> None:
    record = RunRecord.load(folder)
    record.client_values("evaluate", "accuracy")
    # Drawing takes seconds, and all that it draws has been checked by then.
    parts = sections(record) if drawn else []
    pictures = [picture for part in parts for picture in part.pictures]
    svgs = {p: drawn.svg for p, drawn in zip(pictures, draw_each(pictures), strict=True)}
    assert render(record, parts, svgs).startswith("<!doctype html>")
    assert len(rounds_table(record).rows) == len(record.rounds)
    assert len(failure_tables(record)) == 2
    if record.confusion:
        assert confusions_table(record.confusion).headers


@pytest.mark.parametrize("name", FILES)
def test_readers_name_the_damaged_file(name: str, damaged: Path, finished_run: Path) -> None:
    whole = (finished_run / name).read_bytes()

    @TRIES
    @given(damage(whole, name.endswith(".jsonl")))
    def holds(content: bytes) -> None:
        (damaged / name).write_bytes(content)
        check_readers(damaged, finished_run, name, drawn=False)

    try:
        holds()
    finally:
        (damaged / name).write_bytes(whole)


EXTREMES: dict[str, Callable[[Any], Any]] = {
    "no value is a number": lambda row: row | {"test": {"accuracy": None, "loss": None}},
    "a loss beyond float32": lambda row: row | {"test": {"accuracy": 0.5, "loss": 1e308}},
    "a strange metric": lambda row: row | {"test": {'../../x"><script>': float("inf")}},
    "a billion rounds": lambda row: row | {"round": row["round"] * 10_000_000, "seconds": {}},
}


@pytest.mark.parametrize("what", EXTREMES)
def test_extreme_figures_are_drawn(what: str, run: Path, finished_run: Path) -> None:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    text = "".join(json.dumps(EXTREMES[what](row)) + "\n" for row in rows)
    (run / "metrics.jsonl").write_text(text)
    check_readers(run, finished_run, "metrics.jsonl", drawn=True)


@pytest.mark.parametrize("name", [*FILES, "scenario.toml", "failures.jsonl"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "loop"])
def test_what_is_no_file_is_named(name: str, kind: str, run: Path) -> None:
    (run / name).unlink(missing_ok=True)
    if kind == "folder":
        (run / name).mkdir()
    elif kind == "pipe":
        os.mkfifo(run / name)
    else:
        (run / name).symlink_to(run / name)
    with pytest.raises(FedlabError) as caught:
        RunRecord.load(run).client_values("train", "loss")
    assert name in str(caught.value)


def test_a_byte_order_mark_is_no_damage(run: Path) -> None:
    before = RunRecord.load(run).summary
    for name in ("summary.json", "scenario.toml"):
        (run / name).write_bytes(b"\xef\xbb\xbf" + (run / name).read_bytes())
    assert RunRecord.load(run).summary == before


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('rounds = "three"', "scenario.toml, key 'rounds': input should be a valid integer"),
        ("data = 3", "scenario.toml, key 'data': "),
        ("[data]\npartition.name = [1]", "scenario.toml, key 'data.partition.name'"),
        ("a = " + "[" * 2000 + "]" * 2000, "nested too deeply"),
        ("a = " + "[" * 150 + "]" * 150, "nested too deeply"),
        ("a = 1\nb = \n", "line 2"),
    ],
)
def test_a_damaged_scenario_is_named(run: Path, text: str, sentence: str) -> None:
    (run / "scenario.toml").write_text(text)
    with pytest.raises(FedlabError, match=r"scenario\.toml") as caught:
        RunRecord.load(run)
    assert sentence in str(caught.value)


def test_a_scenario_that_is_not_utf8_is_named_with_its_line(run: Path) -> None:
    (run / "scenario.toml").write_bytes(b'rounds = 3\ntitle = "\xe9"\n')
    with pytest.raises(FedlabError, match=r"scenario\.toml, line 2: this is not UTF-8 text"):
        RunRecord.load(run)


def test_a_cut_baseline_is_left_out_and_said(run: Path) -> None:
    lines = (run / "baselines.jsonl").read_text().splitlines(keepends=True)
    whole = RunRecord.load(run)
    assert len(whole.baselines) == len(lines)
    (run / "baselines.jsonl").write_text("".join(lines[:5]) + lines[5][:30])
    record = RunRecord.load(run)
    assert record.metric is not None
    assert baseline_curve(record, "centralised", record.metric) is None
    sentence = "“centralised” baselines.jsonl holds 4 of 8 rounds"
    assert sentence in is_federating_worth_it(record).sentence


def test_a_cut_local_baseline_is_said(run: Path) -> None:
    lines = (run / "baselines.jsonl").read_text().splitlines(keepends=True)
    (run / "baselines.jsonl").write_text("".join(lines[:-3]))
    record = RunRecord.load(run)
    assert (
        "“local” baselines.jsonl holds 7 of 10 clients" in is_federating_worth_it(record).sentence
    )
