"""Registries, with plug-ins of a second distribution that pip has installed into its own folder."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fedlab.errors import FedlabError
from fedlab.registry import Registry, engines

MODULES = {
    "plugged/__init__.py": "",
    "plugged/strategies.py": '''
from flwr.serverapp.strategy import FedAvg


class Damped(FedAvg):
    """Averages, then keeps a part of the weights that it sent."""

    def __init__(self, *, damping: float = 0.5, **arguments):
        super().__init__(**arguments)
        self.damping = damping

    def aggregate_train(self, server_round, replies):
        print(f"damping {self.damping}")
        return super().aggregate_train(server_round, replies)
''',
    "plugged/clients.py": '''
from fedlab.algorithm.client import ClientAlgorithm


class Patient(ClientAlgorithm):
    """Trains as usual."""
''',
    "plugged/updates.py": '''
from fedlab.algorithm.processing import Payload, UpdateProcessor


class Negated(UpdateProcessor):
    """Sends each update with its sign reversed."""

    def encode(self, update, received, generator):
        return Payload(-update)

    def decode(self, payload, received):
        return -payload.values
''',
    "plugged/raising.py": 'raise RuntimeError("no licence found\\nsecond line")',
}
ENTRY_POINTS = """
[fedlab.strategies]
damped = plugged.strategies:Damped
fedavg = plugged.strategies:Damped
raising = plugged.raising:Strategy
absent = plugged.nowhere:Strategy

[fedlab.clients]
patient = plugged.clients:Patient

[fedlab.updates]
negated = plugged.updates:Negated
"""
SCENARIO = """
rounds = 1
[data]
name = "iris"
[data.partition]
name = "iid"
clients = 3
[model]
name = "mlp"
hidden = [4]
[client]
name = "patient"
[[updates]]
name = "negated"
[engine]
name = "inline"
[strategy]
name = "{strategy}"
"""

Fedlab = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that pip has installed the distribution "plugged" into."""
    folder = tmp_path_factory.mktemp("plugged")
    wheel = folder / "plugged-1.0-py3-none-any.whl"
    files = MODULES | {
        "plugged-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n",
        "plugged-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
        "plugged-1.0.dist-info/entry_points.txt": ENTRY_POINTS,
    }
    record = "plugged-1.0.dist-info/RECORD"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr(record, "".join(f"{name},,\n" for name in [*files, record]))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    target = folder / "site"
    subprocess.run(
        [*pip, "--no-index", "--no-deps", "--target", str(target), str(wheel)], check=True
    )
    return target


@pytest.fixture
def fedlab(installed: Path, tmp_path: Path) -> Fedlab:
    """Return a function that runs ``fedlab`` in a process that finds the distribution."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = "import sys; from fedlab.cli import script; sys.argv[0] = 'fedlab'; script()"
        return subprocess.run(
            [sys.executable, "-c", command, *words],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(installed), "COLUMNS": "200"},
            capture_output=True,
            text=True,
        )

    return run


def test_plug_ins_are_listed_and_a_broken_one_is_named(
    fedlab: Fedlab,
) -> None:
    listed = fedlab("list", "strategies")
    assert listed.returncode == 0
    rows = dict(line.split(maxsplit=1) for line in listed.stdout.splitlines())
    assert rows["damped"].strip() == "Averages, then keeps a part of the weights that it sent."
    assert rows["fedavg"].startswith("FedAvg: the mean of the clients' weights")
    assert "scaffold" in rows
    assert not {"raising", "absent"} & set(rows)
    warnings = [line for line in listed.stderr.splitlines() if "left out" in line]
    assert warnings == [
        "strategy 'fedavg' of plugged is left out: the name is taken",
        "strategy 'raising' is left out: plugged cannot load it: RuntimeError: no licence found",
        "strategy 'absent' is left out: plugged cannot load it: ModuleNotFoundError: "
        "No module named 'plugged.nowhere'",
    ]


@pytest.mark.parametrize(("kind", "name"), [("clients", "patient"), ("updates", "negated")])
def test_parts_of_other_kinds_are_listed_too(fedlab: Fedlab, kind: str, name: str) -> None:
    listed = fedlab("list", kind)
    assert name in [line.split()[0] for line in listed.stdout.splitlines()]
    assert "left out" not in listed.stderr


def test_a_scenario_runs_with_the_parts_of_another_distribution(
    fedlab: Fedlab, tmp_path: Path
) -> None:
    scenario = SCENARIO.format(strategy="damped") + "damping = 0.25\n"
    (tmp_path / "scenario.toml").write_text(scenario)
    ran = fedlab("run", "scenario.toml")
    assert ran.returncode == 0, ran.stderr
    assert "damping 0.25" in ran.stdout
    (metrics,) = tmp_path.glob("runs/*/metrics.jsonl")
    assert '"round": 1' in metrics.read_text()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("raising", "RuntimeError: no licence found"),
        ("absent", "ModuleNotFoundError: No module named 'plugged.nowhere'"),
    ],
)
def test_a_part_that_cannot_be_loaded_is_refused_in_one_sentence(
    fedlab: Fedlab, tmp_path: Path, name: str, reason: str
) -> None:
    (tmp_path / "scenario.toml").write_text(SCENARIO.format(strategy=name))
    refused = fedlab("check", "scenario.toml")
    assert refused.returncode == 2
    errors = [line for line in refused.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert f"strategy '{name}': plugged cannot load it: {reason}" in errors[0]


def test_engines_come_from_a_table() -> None:
    assert engines.names() == ["deployment", "flower", "inline", "ray"]
    assert engines.get("inline").__name__ == "InlineEngine"
    # A module of the engines' package is no engine.
    with pytest.raises(FedlabError, match="'base'"):
        engines.get("base")


@pytest.mark.parametrize("name", ["no.such", "no/such", "..", ".", "", "fed avg", "Fedavg"])
def test_a_name_that_is_no_modules_is_unknown(name: str) -> None:
    registry = Registry("strategy", "strategies", "strategies")
    with pytest.raises(FedlabError, match="strategy"):
        registry.get(name)


def test_two_classes_cannot_share_a_name() -> None:
    registry = Registry("part", "parts")

    @registry.register("one", "first")
    class One:
        """The first."""

    assert registry.names() == ["first", "one"]
    assert registry.summary("one") == "The first."
    with pytest.raises(ValueError, match="two classes claim the part 'one'"):
        registry.register("one")(type("Other", (), {}))
