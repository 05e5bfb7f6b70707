"""A relative path is looked up beside the file in which it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedlab.scenario import dumps, load, loads
from fedlab.scenario.paths import make_absolute, path_keys
from fedlab.settings import FilePath, Settings

TEXTS = """
rounds = 1
[data]
name = "text-classification"
path = "texts.csv"
[data.partition]
name = "iid"
clients = 2
[model]
name = "textgenrnn"
personal = "all"
pretrained = "weights.pt"
[[model.others]]
name = "textgenrnn"
pretrained = "../others.pt"
[[model.others]]
name = "textgenrnn"
pretrained = "package"
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a scenario in it; the current folder is another."""
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "text.toml").write_text(TEXTS)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "project"


def test_a_path_is_beside_the_file_that_names_it(project: Path) -> None:
    scenario: Any = load("../project/text.toml")
    assert scenario.data.path == str(project / "texts.csv")
    assert scenario.model.pretrained == str(project / "weights.pt")
    first, second = scenario.model.others
    assert (first.pretrained, second.pretrained) == (str(project.parent / "others.pt"), "package")


def test_a_path_of_an_extended_file_is_beside_that_file(project: Path) -> None:
    Path("mine.toml").write_text('extends = "../project/text.toml"\nmodel.pretrained = "mine.pt"')
    scenario: Any = load("mine.toml")
    assert scenario.data.path == str(project / "texts.csv")
    assert scenario.model.pretrained == str(Path.cwd() / "mine.pt")


def test_a_path_of_the_command_line_is_in_the_current_folder(project: Path) -> None:
    scenario: Any = load(str(project / "text.toml"), ["data.path=there/t.csv"])
    assert scenario.data.path == str(Path.cwd() / "there" / "t.csv")


def test_the_home_folder_is_put_in(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    scenario: Any = load(str(project / "text.toml"), ["data.path=~/t.csv"])
    assert scenario.data.path == "/home/somebody/t.csv"


def test_what_is_no_path_stays(project: Path) -> None:
    scenario: Any = load(str(project / "text.toml"), ["model.pretrained=package"])
    assert scenario.model.pretrained == "package"
    scenario = load(str(project / "text.toml"), ["model.pretrained=false"])
    assert scenario.model.pretrained is False


def test_a_written_scenario_means_the_same_from_anywhere(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = dumps(load(str(project / "text.toml")))
    monkeypatch.chdir("/")
    assert dumps(loads(written)) == written


def test_the_keys_that_hold_paths_are_known(project: Path) -> None:
    keys = set(path_keys(load(str(project / "text.toml"))))
    others = {f"model.others.{number}.pretrained" for number in (0, 1)}
    assert keys == {"data.path", "data.tokens", "model.pretrained", *others}


def test_any_settings_class_may_have_paths(tmp_path: Path) -> None:
    class Inner(Settings):
        several: tuple[FilePath, ...] = ()

    class Outer(Settings):
        one: FilePath | None = None
        inner: Inner = Inner()

    raw: dict[str, Any] = {"one": "a", "inner": {"several": ["b", "/c"]}}
    make_absolute(raw, Outer, lambda key: tmp_path / key)
    assert raw["one"] == f"{tmp_path}/one/a"
    assert raw["inner"]["several"] == [f"{tmp_path}/inner.several/b", "/c"]
