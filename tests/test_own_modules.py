"""Modules beside a scenario: found, told apart from installed ones, and their errors placed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fedlab import own_modules as room
from fedlab.errors import FedlabError
from fedlab.own_modules import OwnModules, class_at
from fedlab.registry import clients
from fedlab.run.simulation import Simulation
from fedlab.scenario import dumps, load, loads
from tests.shared import raw_with

CLIENT = """
from fedlab.algorithm.client import ClientAlgorithm


class Patient(ClientAlgorithm):
    '''Trains as usual.'''

    said = "{}"
"""


@pytest.fixture(autouse=True)
def finder(monkeypatch: pytest.MonkeyPatch) -> OwnModules:
    """Return a finder of this test's own, in place of the process's."""
    found = OwnModules()
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, found])
    monkeypatch.setattr(room, "own_modules", found)
    for module in ("fedlab.scenario.loading", "fedlab.run.simulation"):
        monkeypatch.setattr(f"{module}.own_modules", found)
    before = set(sys.modules)
    yield found
    found.look_in(())
    for name in set(sys.modules) - before:
        if name.startswith(("patient", "sibling")):
            del sys.modules[name]


def scenario_in(folder: Path, name: str = "patient:Patient", **changes: object) -> Path:
    """Write a scenario into a folder, and return its file."""
    import tomli_w

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "scenario.toml"
    path.write_text(tomli_w.dumps(raw_with({"client": {"name": name}}, **changes)))
    return path


def said(name: str = "patient:Patient") -> str:
    return str(clients.get(name).said)


def test_a_module_beside_the_scenario_is_found_and_recorded(tmp_path: Path) -> None:
    path = scenario_in(tmp_path)
    (tmp_path / "patient.py").write_text(CLIENT.format("beside"))
    scenario = load(str(path))
    assert scenario.module_folders == (str(tmp_path),)
    assert said() == "beside"


def test_the_folder_of_an_extended_scenario_is_looked_in(tmp_path: Path) -> None:
    scenario_in(tmp_path / "base")
    (tmp_path / "base" / "patient.py").write_text(CLIENT.format("base"))
    (tmp_path / "own.toml").write_text('extends = "base/scenario.toml"')
    assert load(str(tmp_path / "own.toml")).module_folders == (str(tmp_path / "base"),)


def test_beside_the_scenario_comes_before_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    path = scenario_in(there)
    here.mkdir()
    monkeypatch.chdir(here)
    (here / "patient.py").write_text(CLIENT.format("here"))
    load(str(path))
    assert said() == "here"
    (there / "patient.py").write_text(CLIENT.format("there"))
    assert load(str(path)).module_folders == (str(there),)
    assert said() == "there"


def test_a_written_scenario_finds_its_modules_from_anywhere(tmp_path: Path) -> None:
    path = scenario_in(tmp_path)
    (tmp_path / "patient.py").write_text(CLIENT.format("beside"))
    text = dumps(load(str(path)))
    assert loads(text).module_folders == (str(tmp_path),)
    assert said() == "beside"


def test_two_scenarios_in_a_process_keep_their_modules_apart(tmp_path: Path) -> None:
    scenarios = {}
    for name in ("one", "two"):
        path = scenario_in(tmp_path / name)
        (path.parent / "patient.py").write_text("import sibling\n" + CLIENT.format(name))
        (path.parent / "sibling.py").write_text("")
        scenarios[name] = load(str(path))
    for name, scenario in scenarios.items():
        with Simulation(scenario):
            assert said() == name
            assert Path(sys.modules["sibling"].__file__ or "").parent.name == name


def test_a_module_imports_its_neighbours_also_later(tmp_path: Path) -> None:
    path = scenario_in(tmp_path)
    (tmp_path / "patient.py").write_text("import sibling\n" + CLIENT.format("beside"))
    (tmp_path / "sibling.py").write_text("def later():\n    import sibling_of_sibling\n")
    (tmp_path / "sibling_of_sibling.py").write_text("")
    load(str(path))
    sys.modules["sibling"].later()
    assert "sibling_of_sibling" in sys.modules


def test_a_folder_is_a_package_where_a_scenario_says_so(tmp_path: Path) -> None:
    (tmp_path / "patients").mkdir()
    (tmp_path / "patients" / "one.py").write_text(CLIENT.format("inside"))
    path = scenario_in(tmp_path, "patients.one:Patient")
    assert load(str(path)).module_folders == (str(tmp_path),)


@pytest.mark.parametrize("name", ["random", "json", "clients", "strategies"])
def test_no_file_takes_the_place_of_pythons_or_fedlabs_own(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.py").write_text("raise RuntimeError\n")
    (tmp_path / "patient.py").write_text(f"import {name}\n" + CLIENT.format("beside"))
    load(str(scenario_in(tmp_path)))
    with pytest.raises(FedlabError, match=f"{name}.py in .* own: give it another"):
        load(str(scenario_in(tmp_path, f"{name}:Patient")))


def test_other_imports_never_come_from_the_scenarios_folder(tmp_path: Path) -> None:
    (tmp_path / "sibling.py").write_text("")
    load(str(scenario_in(tmp_path, "supervised")))
    with pytest.raises(ModuleNotFoundError):
        __import__("sibling")


def test_the_name_of_an_installed_module_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text(CLIENT.format("beside"))
    with pytest.raises(FedlabError, match=r"'numpy' in .* installed and in use"):
        load(str(scenario_in(tmp_path, "numpy:Patient")))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x = 1\ndef broken(:\n", r"SyntaxError: invalid syntax \(.*patient.py, line 2\)"),
        ("\nimport nowhere_at_all", r"no module 'nowhere_at_all' to import \(.*py, line 2\)"),
        ("import json\njson.foo", r"'json' has no attribute 'foo' \(.*patient.py, line 2\)"),
        ("from json import foo", r"cannot import name 'foo'.*patient.py, line 1\)"),
        ("import sys\n\nsys.exit(1)", r"SystemExit: 1 \(.*patient.py, line 3\)"),
        ("class Pateint: pass", r"module 'patient' has no 'Patient'. Did you mean 'Pateint'\?"),
        ("Patient = 1", "this is not a class"),
    ],
)
def test_an_error_in_a_module_says_its_file_and_line(
    tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "patient.py").write_text(content)
    with pytest.raises(FedlabError, match=message) as refused:
        load(str(scenario_in(tmp_path)))
    assert "\n" not in str(refused.value)


def test_a_recorded_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    path = scenario_in(tmp_path, module_folders=[gone])
    with pytest.raises(FedlabError, match=r"no module 'patient' to import; the folder .*gone is"):
        load(str(path))


def test_where_a_missing_module_was_looked_for_is_said(tmp_path: Path) -> None:
    with pytest.raises(FedlabError) as refused:
        load(str(scenario_in(tmp_path)))
    assert f"it is looked for in {tmp_path} and {Path.cwd()} and Python's path" in str(
        refused.value
    )


@pytest.mark.parametrize("name", [":", "patient:", ":Patient", ".a:B", "a..b:C", "a:B:C", "a b:C"])
def test_what_is_no_path_of_a_class_is_refused(name: str) -> None:
    with pytest.raises(FedlabError, match="write it as module:Class"):
        class_at(name)


def test_ray_workers_find_the_modules_too(tmp_path: Path) -> None:
    path = scenario_in(tmp_path / "own", engine='name = "ray"\nworkers = 1', rounds=1)
    (path.parent / "patient.py").write_text(CLIENT.format("beside"))
    command = "import sys; from fedlab.cli import script; sys.argv[0] = 'fedlab'; script()"
    ran = subprocess.run(
        [sys.executable, "-P", "-c", command, "run", str(path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    assert list(tmp_path.glob("runs/*/summary.json"))
