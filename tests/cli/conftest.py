"""``fedlab`` as typed, in an empty folder that holds one small, right scenario."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import tomli_w

from fedlab.cli import main
from tests.shared import raw_with

IRIS = {"rounds": 2, "data": {"name": "iris"}, "model": {"hidden": [4]}}


@dataclass(frozen=True)
class Outcome:
    """What a command printed, and how it ended."""

    code: int
    out: str
    errors: list[str]


Typed = Callable[..., Outcome]
Refused = Callable[..., list[str]]


@pytest.fixture
def desk(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Return the present folder; nothing is fetched, and the cache lies elsewhere."""
    (tmp_path / "scenario.toml").write_text(tomli_w.dumps(raw_with(IRIS)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEDLAB_OFFLINE", "1")
    monkeypatch.setenv("FEDLAB_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("FEDLAB_DATA", raising=False)
    return tmp_path


@pytest.fixture
def typed(desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Return a function that types a command and returns its outcome."""

    def run(*words: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["fedlab", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return Outcome(int(stopped.value.code or 0), printed.out, printed.err.splitlines())

    return run


@pytest.fixture
def refused(desk: Path, typed: Typed) -> Refused:
    """Return a function that types a command that must be refused, and returns the sentences.

    Refused is: exit code 2, every line on standard error a sentence that begins with "error: ", no
    traceback, and not a file or folder more, fewer or other than before.
    """

    def run(*words: str | Path) -> list[str]:
        before = content(desk)
        outcome = typed(*words)
        assert outcome.code == 2, outcome
        assert outcome.errors
        assert "Traceback" not in outcome.out
        for line in outcome.errors:
            assert line.startswith("error: "), outcome.errors
        assert content(desk) == before
        return [line.removeprefix("error: ") for line in outcome.errors]

    return run


def content(folder: Path) -> dict[str, bytes | None]:
    """Return every file's bytes, and None for every folder, by path; Python's own cache aside."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts
    }
