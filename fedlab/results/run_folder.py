"""Writing a run folder as the run goes (docs/run-folder.md says what is in it)."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from fedlab import __version__
from fedlab.errors import FedlabError
from fedlab.scenario import Scenario, dumps, loads
from fedlab.server import checkpoint
from fedlab.server.callbacks import Callback, RoundOutcome
from fedlab.server.rounds import Rounds

PACKAGES = ("flwr", "ray", "torch", "torchvision", "timm", "numpy", "torchmetrics", "flwr-datasets")


class RunFolder:
    """A run folder on disk.

    Attributes:
        path: The folder.
        scenario: The resolved scenario.
    """

    def __init__(self, path: Path, scenario: Scenario) -> None:
        self.path = path
        self.scenario = scenario

    @classmethod
    def create(cls, parent: Path, name: str, scenario: Scenario) -> RunFolder:
        """Make a new folder below ``parent``, named after the scenario and the time.

        Raises:
            FedlabError: If it cannot be made.
        """
        stamp = time.strftime("%Y%m%d-%H%M%S")
        try:
            parent.mkdir(parents=True, exist_ok=True)
            path = _fresh(parent, f"{name}-{stamp}")
        except OSError as error:
            raise FedlabError(f"the run folder cannot be made in {parent}: {error}") from error
        folder = cls(path, scenario)
        folder.write_text("scenario.toml", dumps(scenario))
        folder.write_json("environment.json", environment())
        return folder

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Return the run folder at ``path``.

        Raises:
            FedlabError: If it is not one.
        """
        scenario_file = path / "scenario.toml"
        if not scenario_file.is_file():
            raise FedlabError(f"{path} is not a run folder: it has no scenario.toml")
        return cls(path, loads(scenario_file.read_text(), str(scenario_file)))

    @property
    def checkpoints(self) -> Path:
        """Return the folder of checkpoints."""
        return self.path / "checkpoints"

    def latest(self) -> checkpoint.Checkpoint | None:
        """Return the newest checkpoint."""
        return checkpoint.load_latest(self.checkpoints)

    def rewind(self, saved: checkpoint.Checkpoint) -> None:
        """Drop every line that came after the checkpoint, so that the run can go on from it."""
        for name in ("clients.jsonl", "failures.jsonl", "metrics.jsonl"):
            kept = [line for line in self.lines(name) if line["round"] <= saved.round]
            if name == "metrics.jsonl" and (not kept or kept[-1]["round"] < saved.round):
                kept.append(saved.record)
            if kept or (self.path / name).exists():
                self.write_text(name, "".join(strict_json(line) + "\n" for line in kept))

    def lines(self, name: str) -> Iterable[dict[str, Any]]:
        """Yield the whole lines of a ``.jsonl`` file; a half-written last one is left out."""
        path = self.path / name
        if not path.exists():
            return
        with path.open() as file:
            for line in file:
                if line.endswith("\n"):
                    yield json.loads(line)

    def append(self, name: str, lines: Iterable[dict[str, Any]]) -> None:
        """Add lines to a ``.jsonl`` file."""
        with (self.path / name).open("a") as file:
            file.writelines(strict_json(line) + "\n" for line in lines)

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file at once or not at all."""
        self.write_text(name, strict_json(content, indent=1) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Write a text file at once or not at all."""
        self.replace(name, lambda path: path.write_text(text))

    def replace(self, name: str, write: Callable[[Path], object]) -> None:
        """Let ``write`` write a file under a temporary name, then rename it."""
        final = self.path / name
        temporary = final.with_name(f".{final.name}.part")
        write(temporary)
        os.replace(temporary, final)


class Recorder(Callback):
    """Writes every round's lines and checkpoint.

    The order makes a killed process harmless: clients' lines, then the checkpoint (with the round's
    line in it), then the line itself; resuming drops what is newer than the checkpoint.
    """

    name = "recorder"

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._seconds = 0.0

    def round_ended(self, rounds: Rounds, outcome: RoundOutcome) -> None:
        """Write the round."""
        number = outcome.round
        self._folder.append(
            "clients.jsonl",
            (
                {
                    "round": number,
                    "client": report.client,
                    "phase": report.phase,
                    "examples": report.examples,
                    **{key.removeprefix("train_"): v for key, v in report.metrics.items()},
                }
                for report in outcome.reports
            ),
        )
        self._folder.append(
            "failures.jsonl", ({"round": number, **vars(failure)} for failure in outcome.failures)
        )
        self._seconds += outcome.record.get("seconds", {}).get("total", 0.0)
        start = time.perf_counter()
        checkpoint.save(self._folder.checkpoints, rounds.checkpoint(outcome.record))
        if "seconds" in outcome.record:
            outcome.record["seconds"]["checkpoint"] = time.perf_counter() - start
        self._folder.append("metrics.jsonl", [outcome.record])

    def state(self) -> dict[str, Any]:
        """Return the seconds that rounds took so far."""
        return {"seconds": self._seconds}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on counting."""
        self._seconds = state["seconds"]


def strict_json(content: Any, indent: int | None = None) -> str:
    """Return JSON that every parser reads: what is not a finite number becomes null."""
    return json.dumps(_finite(content), indent=indent, allow_nan=False)


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


def weights_digest(weights: np.ndarray[Any, Any]) -> str:
    """Return the SHA-256 of a weight vector."""
    return hashlib.sha256(np.ascontiguousarray(weights).tobytes()).hexdigest()


def environment() -> dict[str, Any]:
    """Return what a reader needs to know of the machine and the packages."""
    packages = {}
    for package in PACKAGES:
        try:
            packages[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "fedlab": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "packages": packages,
        "command": sys.argv,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _fresh(parent: Path, name: str) -> Path:
    for number in range(1, 1000):
        path = parent / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise FedlabError(f"{parent} already has a thousand runs called {name}")
