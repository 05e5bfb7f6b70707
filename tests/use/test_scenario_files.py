"""Scenarios are written to files that are not there yet."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from fedlab.errors import FedlabError
from fedlab.use.scenario_files import unused, write_scenario


def test_a_scenario_stands_below_what_is_said_of_it_in_comments(tmp_path: Path) -> None:
    write_scenario(tmp_path / "x.toml", {"rounds": 3}, ["two\nlines", "more"])
    text = (tmp_path / "x.toml").read_text()
    assert text.startswith("# two lines\n# more\n")
    assert tomllib.loads(text) == {"rounds": 3}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("x.txt", "x.txt should end in .toml"),
        ("there.toml", "there.toml is there already; name another file, or run it with"),
        ("folder.toml", "folder.toml is a folder; name a file"),
        ("no/x.toml", "there is no folder"),
    ],
)
def test_what_cannot_be_written_is_refused_by_the_option(
    tmp_path: Path, name: str, sentence: str
) -> None:
    (tmp_path / "there.toml").write_text("rounds = 1")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(FedlabError, match=rf"^--output: .*{sentence}"):
        write_scenario(tmp_path / name, {"rounds": 3}, [])
    assert (tmp_path / "there.toml").read_text() == "rounds = 1"


def test_an_unused_name_is_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert unused("x") == Path("x.toml")
    Path("x.toml").write_text("")
    Path("x-2.toml").symlink_to("nowhere")
    assert unused("x") == Path("x-3.toml")
