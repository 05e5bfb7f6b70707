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
from functools import cached_property, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from fedlab import __version__, files
from fedlab.errors import FedlabError
from fedlab.files import replacing, without_home
from fedlab.results.parsing import read_object
from fedlab.results.rows import ForkFile
from fedlab.run import checkpoint
from fedlab.run.lines import readable_lines, up_to_round, whole_lines
from fedlab.run.lock import FolderLock
from fedlab.scenario import Scenario, dumps, load_resolved
from fedlab.scenario.changes import content_of

_AT_THE_START = {
    files.SCENARIO,
    files.ENVIRONMENT,
    files.DEPLOYMENT,
    files.LOCK,
    files.LOCK_HOLDER,
}
PACKAGES = ("flwr", "ray", "torch", "torchvision", "timm", "numpy", "flwr-datasets")


class RunFolder:
    """A run folder on disk.

    Attributes:
        path: The folder.
        scenario: The resolved scenario.
        written: The one in ``scenario.toml``, where the run goes on with another.
        lock: Keeps other processes from writing to it.
    """

    def __init__(
        self,
        path: Path,
        scenario: Scenario,
        made: Sequence[Path] = (),
        written: Scenario | None = None,
    ) -> None:
        self.path = path
        self.scenario = scenario
        self.written = written or scenario
        self._made = made
        self.lock = FolderLock(path)

    @classmethod
    def create(cls, parent: Path, name: str, scenario: Scenario) -> RunFolder:
        """Make a new folder below ``parent``, named after the scenario and the time.

        Raises:
            FedlabError: If it cannot be made.
        """
        stamp = time.strftime("%Y%m%d-%H%M%S")
        return cls._made_in(parent, lambda: _fresh(parent, f"{name}-{stamp}"), scenario)

    @classmethod
    def create_at(cls, path: Path, scenario: Scenario) -> RunFolder:
        """Make a new folder of exactly this path.

        Raises:
            FedlabError: If something is there already, or it cannot be made.
        """

        def make() -> Path:
            try:
                path.mkdir()
            except FileExistsError as error:
                if not path.is_dir() or any(path.iterdir()):
                    raise FedlabError(
                        f"{path} is there already; name a folder that is not"
                    ) from error
            return path

        return cls._made_in(path.parent, make, scenario)

    @classmethod
    def at(cls, path: Path, scenario: Scenario, engine_may_differ: bool = False) -> RunFolder:
        """Return the run folder of exactly this path, a new one where there is none.

        Args:
            path: The folder.
            scenario: What is run there.
            engine_may_differ: Whether a run that is there may go on with the engine that it has.

        Raises:
            FedlabError: If it holds a run of another scenario, or cannot be made.
        """
        if not path.exists():
            return cls.create_at(path, scenario)
        found = cls.open(path)
        own = found.scenario
        if engine_may_differ:
            own = own.model_copy(update={"engine": scenario.engine})
        if dumps(own) != dumps(scenario):
            raise FedlabError(
                f"{path} holds a run of another scenario than is asked for; name another "
                "--output, or remove it"
            )
        return found

    @classmethod
    def _made_in(cls, parent: Path, make: Callable[[], Path], scenario: Scenario) -> RunFolder:
        made = [path for path in (parent, *parent.parents) if not path.exists()]
        try:
            parent.mkdir(parents=True, exist_ok=True)
            path = make()
        except OSError as error:
            raise FedlabError(
                f"the run folder cannot be made in {parent}: {error.strerror or error}"
            ) from error
        folder = cls(path, scenario, [path, *made])
        try:
            folder.write_text(files.SCENARIO, dumps(scenario))
            folder.write_json(files.ENVIRONMENT, environment())
        except FedlabError:
            folder.discard()
            raise
        return folder

    def settle(self, scenario: Scenario) -> None:
        """Write the scenario of a run that begins, where "auto" in it was found to be a number."""
        if scenario.client != self.scenario.client or scenario.phases != self.scenario.phases:
            self.write_text(files.SCENARIO, dumps(scenario))
            self.scenario = self.written = scenario

    def discard(self) -> None:
        """Remove what :meth:`create` made, unless the run has begun: then nothing is removed."""
        if not self._made or {p.name for p in self.path.iterdir()} - _AT_THE_START:
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
        return cls(path, load_resolved(files.scenario_of(path)))

    @property
    def checkpoints(self) -> Path:
        """Return the folder of checkpoints."""
        return self.path / files.CHECKPOINTS

    @property
    def client_states(self) -> Path:
        """Return the folder of the files in which checkpoints keep clients' states."""
        return self.checkpoints / checkpoint.CLIENTS

    @property
    def best_weights(self) -> Path:
        """Return the folder of the best rounds' weights that checkpoints name."""
        return self.checkpoints / checkpoint.BEST

    def latest(self) -> checkpoint.Checkpoint | None:
        """Return the newest checkpoint."""
        return checkpoint.load_latest(self.checkpoints)

    def save(self, state: checkpoint.Checkpoint) -> None:
        """Write a checkpoint at once or not at all."""
        state.scenario = content_of(self.scenario)
        with self.writing(self.checkpoints):
            keep = self.scenario.keep_checkpoints
            most = None if keep == "all" else keep
            checkpoint.save(self.checkpoints, state, most, self.fork_round)

    @cached_property
    def fork_round(self) -> int | None:
        """Return the round of another run that this one goes on from; None where it began anew."""
        found = read_object(self.path / files.FORK, ForkFile)
        return found.round if found is not None else None

    def rewind(self, saved: checkpoint.Checkpoint) -> None:
        """Drop every line that came after the checkpoint, so that the run can go on from it.

        Of baselines, which come at the end, what can be read is kept: they are completed.

        Raises:
            FedlabError: If a line that came before is damaged.
        """
        for name in (files.CLIENTS, files.FAILURES, files.METRICS):
            path = self.path / name
            if path.exists():
                self.replace(name, partial(_write_lines, lines=up_to_round(path, saved.round)))
        path = self.path / files.BASELINES
        if path.exists():
            self.replace(files.BASELINES, partial(_write_lines, lines=readable_lines(path)))
        if all(line["round"] < saved.round for line in self.lines(files.METRICS)):
            self.append(files.METRICS, [saved.record])

    def forget_end(self) -> None:
        """Remove what an earlier end of the run left: the run goes on, and it is of an end no more.

        The weights of that end are in the checkpoint.
        """
        for name in (files.SUMMARY, files.CONFUSION, files.MODEL, files.BEST):
            self.remove(name)

    def remove(self, name: str) -> None:
        """Remove a file, where there is one."""
        with self.writing(self.path / name):
            (self.path / name).unlink(missing_ok=True)

    def lines(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield the whole lines of a ``.jsonl`` file; a half-written last one is left out.

        Raises:
            FedlabError: If a whole line is no JSON object.
        """
        return whole_lines(self.path / name)

    def write_lines(self, name: str, lines: Iterable[dict[str, Any]]) -> None:
        """Write a ``.jsonl`` file at once or not at all."""
        self.write_text(name, "".join(strict_json(line) + "\n" for line in lines))

    def note(self, notes: Sequence[str]) -> None:
        """Keep what the user was told before the first round."""
        if notes or (self.path / files.NOTES).exists():
            self.write_json(files.NOTES, {"notes": list(notes)})

    def append(self, name: str, lines: Iterable[dict[str, Any]]) -> None:
        """Add lines to a ``.jsonl`` file."""
        path = self.path / name
        with self.writing(path), path.open("a", encoding="utf-8") as file:
            file.writelines(strict_json(line) + "\n" for line in lines)

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file at once or not at all."""
        self.write_text(name, strict_json(content, indent=1) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Write a text file at once or not at all."""
        self.replace(name, lambda path: path.write_text(text, encoding="utf-8"))

    def replace(self, name: str, write: Callable[[Path], object]) -> None:
        """Let ``write`` write a file under a temporary name, then rename it."""
        final = self.path / name
        with self.writing(final), replacing(final) as draft:
            write(draft)

    @contextmanager
    def writing(self, path: Path) -> Iterator[None]:
        """Tell in one sentence which file cannot be written, and how to go on.

        Raises:
            FedlabError: If the disk is full, or the file may not be written.
        """
        try:
            yield
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise FedlabError(f"{path} cannot be written: {reason}{self.resume_hint()}") from error

    def resume_hint(self) -> str:
        """Return what ends a sentence about what stopped a run: how to go on with it."""
        saved = checkpoint.newest(self.checkpoints)
        if saved is None:
            return ""
        return (
            f"; round {saved[0]} is saved; '{self.resume_command}' goes on from there once that is "
            "mended"
        )

    @property
    def is_deployed(self) -> bool:
        """Return whether the run's clients are sites elsewhere, which train on their own data."""
        return bool(self.scenario.engine.name == files.DEPLOYED)

    @property
    def resume_command(self) -> str:
        """Return what continues the run."""
        if self.is_deployed:
            return f"fedlab deploy run --resume {self.path}"
        return f"fedlab resume {self.path}"


def _write_lines(path: Path, lines: Iterable[bytes]) -> None:
    with path.open("wb") as file:
        file.writelines(lines)


def strict_json(content: Any, indent: int | None = None) -> str:
    """Return JSON that every parser reads: what is not a finite number becomes null."""
    try:
        return json.dumps(content, indent=indent, allow_nan=False)
    except ValueError:  # to look for such numbers in Python first takes four times as long
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
        "command": [without_home(word) for word in sys.argv],
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
