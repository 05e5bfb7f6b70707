"""What nodes lack is said in a clause, and the user's modules are collected to travel."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cloudpickle
import pytest

from fedlab.engine.node_host import host_class
from fedlab.engine.ray import preflight
from fedlab.engine.ray.preflight import Preflight, lacking, module_files
from fedlab.errors import FedlabError

HERE = {"Python": "3.11", "torch": "2.9", "numpy": "2.1", "flwr": "1.2", "fedlab": "abc"}


@pytest.mark.parametrize(
    ("differs", "said"),
    [
        ({}, ""),
        ({"fedlab": ""}, "fedlab is not installed there; install the same version as here"),
        ({"fedlab": "xyz"}, "its fedlab is another (source xyz, and abc here)"),
        ({"torch": "2.8"}, "it has torch 2.8, and this machine 2.9; install the same"),
        ({"flwr": ""}, "it has no flwr, and this machine 1.2; install the same"),
        ({"Python": "3.12"}, "it has Python 3.12, and this machine 3.11; install the same"),
    ],
)
def test_what_a_node_lacks_is_one_clause(differs: dict[str, str], said: str) -> None:
    found = lacking(HERE | differs, HERE)
    assert found.startswith(said)
    assert bool(found) == bool(said)


def test_a_nodes_host_travels_as_code_and_knows_this_machine() -> None:
    pickled = cloudpickle.dumps(host_class())
    facts = cloudpickle.loads(pickled)().facts()
    assert lacking(facts, host_class()().facts()) == ""
    assert all(facts.values())


def test_an_empty_folder_of_that_name_is_not_fedlab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fedlab").mkdir()
    found = PathFinder.find_spec("fedlab", [str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    assert host_class()().facts()["fedlab"] == ""


def test_modules_are_files_of_python_and_packages_and_nothing_else(tmp_path: Path) -> None:
    for name in ("mine.py", "part/__init__.py", "part/deep/x.py", "runs/no.py", "data.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    files = module_files(tmp_path)
    assert sorted(files) == ["mine.py", "part/__init__.py", "part/deep/x.py"]
    assert files["mine.py"] == b"mine.py"


def test_a_folder_of_too_many_modules_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text("x = 1")
    monkeypatch.setattr(preflight, "MOST_MODULE_BYTES", 2)
    with pytest.raises(FedlabError, match="a folder of their own"):
        module_files(tmp_path)


def test_modules_that_arrive_are_unpacked_once_by_what_they_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDLAB_CACHE", str(tmp_path / "cache"))
    host = host_class()()
    files = {"mine.py": b"x = 1", "part/__init__.py": b""}
    (folder,) = host.unpack([files])
    assert module_files(Path(folder)) == files
    assert host.unpack([files, {"mine.py": b"x = 2"}])[0] == folder
    assert len(list((tmp_path / "cache" / "modules").iterdir())) == 2


class ActorDied(Exception):
    pass


def ray_that_answers(answers: Iterator[Any]) -> Any:
    """Return what stands for the module: actors answer by these, one after the other."""
    host = SimpleNamespace(facts=SimpleNamespace(remote=lambda: object()))

    def get(reference: object) -> Any:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return SimpleNamespace(
        remote=lambda kind: SimpleNamespace(
            options=lambda **pinned: SimpleNamespace(remote=lambda: host)
        ),
        wait=lambda references, **options: (references, []),
        get=get,
        exceptions=SimpleNamespace(RayActorError=ActorDied),
    )


@pytest.mark.parametrize(("deaths", "said"), [(2, ""), (3, "it cannot say what it has")])
def test_a_node_whose_actor_is_lost_is_asked_again_and_not_for_ever(deaths: int, said: str) -> None:
    answers = iter([*[ActorDied("its node has died")] * deaths, host_class()().facts()])
    looked = Preflight(ray_that_answers(answers), (), lambda folders: None)
    looked.begin("a" * 56, "node a")
    (found,) = looked.findings().values()
    assert found.startswith(said)
    assert bool(found) == bool(said)
