"""Writing a run folder as the run goes (docs/run-folder.md says what is in it)."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from fedlab import __version__
from fedlab.errors import FedlabError
from fedlab.results.lock import NAME as LOCK
from fedlab.results.lock import FolderLock
from fedlab.scenario import Scenario, dumps, load_resolved
from fedlab.server import checkpoint
from fedlab.server.callbacks import Callback, RoundOutcome
from fedlab.server.rounds import Rounds

PACKAGES = ("flwr", "ray", "torch", "torchvision", "timm", "numpy", "flwr-datasets")
SCENARIO, ENVIRONMENT = "scenario.toml", "environment.json"


class RunFolder:
    """A run folder on disk.

    Attributes:
        path: The folder.
        scenario: The resolved scenario.
        lock: Keeps other processes from writing to it.
    """

    def __init__(self, path: Path, scenario: Scenario, made: Sequence[Path] = ()) -> None:
        self.path = path
        self.scenario = scenario
        self._made = made
        self.lock = FolderLock(path)

    @classmethod
    def create(cls, parent: Path, name: str, scenario: Scenario) -> RunFolder:
        """Make a new folder below ``parent``, named after the scenario and the time.

        Raises:
            FedlabError: If it cannot be made.
        """
        stamp = time.strftime("%Y%m%d-%H%M%S")
        made = [path for path in (parent, *parent.parents) if not path.exists()]
        try:
            parent.mkdir(parents=True, exist_ok=True)
            path = _fresh(parent, f"{name}-{stamp}")
        except OSError as error:
            raise FedlabError(
                f"the run folder cannot be made in {parent}: {error.strerror or error}"
            ) from error
        folder = cls(path, scenario, [path, *made])
        try:
            folder.write_text(SCENARIO, dumps(scenario))
            folder.write_json(ENVIRONMENT, environment())
        except FedlabError:
            folder.discard()
            raise
        return folder

    def discard(self) -> None:
        """Remove what :meth:`create` made, unless the run has begun: then nothing is removed."""
        if not self._made or {p.name for p in self.path.iterdir()} - {SCENARIO, ENVIRONMENT, LOCK}:
            return
        shutil.rmtree(self.path)
        with suppress(OSError):  # another run may stand in the folder above by now
            for folder in self._made[1:]:
                folder.rmdir()

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Return the run folder at ``path``.

        Raises:
            FedlabError: If it is not one.
        """
        scenario_file = path / SCENARIO
        if not scenario_file.is_file():
            raise FedlabError(f"{path} is not a run folder: it has no scenario.toml")
        return cls(path, load_resolved(scenario_file))

    @property
    def checkpoints(self) -> Path:
        """Return the folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def client_states(self) -> Path:
        """Return the folder of the files in which checkpoints keep clients' states."""
        return self.checkpoints / checkpoint.CLIENTS

    def latest(self) -> checkpoint.Checkpoint | None:
        """Return the newest checkpoint."""
        return checkpoint.load_latest(self.checkpoints)

    def save(self, state: checkpoint.Checkpoint) -> None:
        """Write a checkpoint at once or not at all."""
        with self._writing(self.checkpoints):
            checkpoint.save(self.checkpoints, state)

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
        path = self.path / name
        with self._writing(path), path.open("a") as file:
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
        with self._writing(final):
            try:
                write(temporary)
                os.replace(temporary, final)
            finally:
                temporary.unlink(missing_ok=True)

    @contextmanager
    def _writing(self, path: Path) -> Iterator[None]:
        """Tell in one sentence which file cannot be written, and how to go on.

        Raises:
            FedlabError: If the disk is full, or the file may not be written.
        """
        try:
            yield
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise FedlabError(f"{path} cannot be written: {reason}{self.way_on()}") from error

    def way_on(self) -> str:
        """Return what ends a sentence about what stopped a run: how to go on with it."""
        saved = checkpoint.newest(self.checkpoints)
        if saved is None:
            return ""
        return (
            f"; round {saved[0]} is saved; 'fedlab resume {self.path}' goes on from there once "
            "that is mended"
        )


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
        self._append_failures(outcome)
        self._seconds += outcome.record.get("seconds", {}).get("total", 0.0)
        start = time.perf_counter()
        self._folder.save(rounds.checkpoint(outcome.record))
        if "seconds" in outcome.record:
            outcome.record["seconds"]["checkpoint"] = time.perf_counter() - start
        self._folder.append("metrics.jsonl", [outcome.record])

    def round_failed(self, outcome: RoundOutcome) -> None:
        """Write why clients failed; resuming drops these lines and tries the round again."""
        self._append_failures(outcome)

    def _append_failures(self, outcome: RoundOutcome) -> None:
        lines = ({"round": outcome.round, **vars(failure)} for failure in outcome.failures)
        self._folder.append("failures.jsonl", lines)

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
    return hashlib.sha256(np.ascontiguousarray(weights).data).hexdigest()


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
