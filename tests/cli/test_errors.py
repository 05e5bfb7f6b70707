"""Errors as printed: one line a sentence, whatever a reason holds."""

from __future__ import annotations

import pytest

from fedlab import cli
from fedlab.errors import FedlabError, FedlabErrors, one_line
from tests.cli.conftest import Typed


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (FedlabError("it failed: first\n  second\x1b[2J\n"), ["it failed: first second [2J"]),
        (FedlabErrors(["a: one", "b: two\nlines"]), ["a: one", "b: two lines"]),
    ],
)
def test_a_sentence_is_one_line(
    error: FedlabError, lines: list[str], typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**how: object) -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    monkeypatch.setattr(cli, "_add_commands", lambda: None)
    outcome = typed("list")
    assert outcome.code == 2
    assert outcome.errors == [f"error: {line}" for line in lines]


def test_a_reader_that_is_gone_ends_a_command_quietly(
    typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**how: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(cli, "app", fail)
    monkeypatch.setattr(cli, "_add_commands", lambda: None)
    outcome = typed("list")
    assert (outcome.code, outcome.errors) == (141, [])


@pytest.mark.parametrize(
    ("text", "limit", "line"),
    [("a\n b", None, "a b"), ("a" * 9, 5, "aaaa…"), ("\u202ea", None, "a"), ("", 3, "")],
)
def test_a_text_becomes_one_line(text: str, limit: int | None, line: str) -> None:
    assert one_line(text, limit) == line
