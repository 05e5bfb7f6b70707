"""A stranger's scenario or run folder: what it names is imported when it is run, or trusted."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedlab import registry
from tests.cli.conftest import Refused, Typed

CLIENT = """
from pathlib import Path
from fedlab.algorithm.client import ClientAlgorithm
Path({marker!r}).touch()
print("imported")


class Visitor(ClientAlgorithm):
    "Trains as usual."
"""
SENTENCE = "is code outside fedlab, which is not imported here; pass --trust if you know it"


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a run of a scenario that names a module beside it."""
    import tomli_w

    from fedlab.run.execution import run
    from fedlab.run.folder import RunFolder
    from fedlab.scenario import load
    from tests.shared import raw_with

    folder = tmp_path_factory.mktemp("stranger")
    (folder / "visitor.py").write_text(CLIENT.format(marker=str(folder / "imported")))
    raw = raw_with({"rounds": 1, "data": {"name": "iris"}, "model": {"hidden": [4]}})
    raw["client"] = {"name": "visitor:Visitor"}
    (folder / "theirs.toml").write_text(tomli_w.dumps(raw))
    made = RunFolder.create(folder, "run", load(str(folder / "theirs.toml")))
    run(made)
    made.path.rename(folder / "run")
    return folder


@pytest.fixture
def marker(strangers: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file that the module writes when it is imported, which is not there yet."""
    import sys

    monkeypatch.delitem(sys.modules, "visitor", raising=False)
    (strangers / "imported").unlink(missing_ok=True)
    return strangers / "imported"


COMMANDS = {
    "check": ["check", "theirs.toml"],
    "show": ["show", "theirs.toml"],
    "data": ["data", "partition", "theirs.toml"],
    "evaluate": ["evaluate", "run"],
    "predict": ["predict", "run", "flowers.csv"],
    "export": ["export", "run"],
    "compress": ["compress", "run", "--int8"],
}


def words(command: list[str], folder: Path) -> list[str]:
    """Return a command with paths in place of the stranger's files' names."""
    own = ("theirs.toml", "run", "flowers.csv")
    return [str(folder / w) if w in own and n else w for n, w in enumerate(command)]


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_what_a_stranger_names_is_not_imported(
    command: list[str], strangers: Path, marker: Path, refused: Refused
) -> None:
    (sentence,) = refused(*words(command, strangers))
    assert f"client.name: 'visitor:Visitor' {SENTENCE}" in sentence
    assert not marker.exists()


@pytest.mark.parametrize("name", ["check", "evaluate"])
def test_with_trust_it_is_imported(name: str, strangers: Path, marker: Path, typed: Typed) -> None:
    outcome = typed(*words(COMMANDS[name], strangers), "--trust")
    assert outcome.code == 0, outcome
    assert marker.exists()


def test_a_run_imports_it_and_names_it(strangers: Path, marker: Path, typed: Typed) -> None:
    outcome = typed("run", strangers / "theirs.toml", "--json")
    assert outcome.code == 0, outcome
    assert marker.exists()
    assert any(
        line.startswith("Own code    visitor:Visitor, ") and line.endswith("visitor.py")
        for line in outcome.errors
    )
    assert outcome.out.startswith('{"round": 0')
    assert "imported" in outcome.errors


def test_reports_of_a_strangers_run_import_nothing(
    strangers: Path, marker: Path, typed: Typed
) -> None:
    assert typed("report", strangers / "run").code == 0
    plot = strangers / "plot.png"
    assert typed("compare", strangers / "run", strangers / "run", "-o", plot).code == 0
    assert typed("list", "clients").code == 0
    assert not marker.exists()


def test_a_task_file_names_no_code_to_import(
    strangers: Path, marker: Path, tmp_path: Path, refused: Refused
) -> None:
    import json
    import shutil

    folder = Path(shutil.copytree(strangers / "run", tmp_path / "copied"))
    text = (folder / "scenario.toml").read_text()
    (folder / "scenario.toml").write_text(text.replace("visitor:Visitor", "supervised"))
    task = json.loads((folder / "task.json").read_text())
    (folder / "task.json").write_text(json.dumps(task | {"metrics": "visitor:Visitor"}))
    columns = task["encoding"]["features"]["columns"]
    (folder / "flowers.csv").write_text(",".join([*columns, "label"]) + "\n1,2,3,4,setosa\n")
    (sentence,) = refused("evaluate", folder, "--data", folder / "flowers.csv")
    assert SENTENCE in sentence
    assert not marker.exists()


def test_the_registries_own_names_need_no_trust(typed: Typed) -> None:
    assert typed("check", "scenario.toml").code == 0
    assert typed("show", "client", "fedprox").code == 0
    assert registry.clients.get("fedprox") not in registry.own_classes()
