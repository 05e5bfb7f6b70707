"""Files written whole or not at all, and the names of those in a run folder."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedlab.errors import FedlabError

# What a run folder holds (docs/run-folder.md).
SCENARIO = "scenario.toml"
ENVIRONMENT = "environment.json"
PARTITION = "partition.json"
ATTACK = "attack.json"
TASK = "task.json"
DATA = "data.json"
DEPLOYMENT = "deployment.json"
NOTES = "notes.json"
CHANGES = "changes.json"
FORK = "fork.json"
METRICS = "metrics.jsonl"
CLIENTS = "clients.jsonl"
FAILURES = "failures.jsonl"
BASELINES = "baselines.jsonl"
CONFUSION = "confusion.json"
CROSS_SITE = "cross-site.json"
SUMMARY = "summary.json"
ERROR = "error.txt"
CROSSVAL = "crossval.json"
UNLEARNED = "unlearned.json"
MODEL = "model.safetensors"
BEST = "best.safetensors"
REPORT = "report.html"
SHARED_REPORT = "report-shared.html"
PLOTS = "plots"
TENSORBOARD = "tensorboard"
CHECKPOINTS = "checkpoints"
# What unlearning compares.
UNLEARNING = "unlearning.json"
# What a sweep's folder holds.
SWEEP = "sweep.json"
SWEEP_DESCRIPTION = "sweep.toml"
SWEEP_RUNS = "runs"
SWEEP_STUDY = "search.db"
SWEEP_LOG = "processes.log"
DEPLOYED = "deployment"
"""The engine of a run whose clients are sites elsewhere."""
LOCK, LOCK_HOLDER = ".lock", ".lock-holder"
MOST_NAMED = 3
"""Run folders that a sentence names."""


def scenario_of(run: Path) -> Path:
    """Return the scenario's file of a run folder.

    Raises:
        FedlabError: If it is none; the sentence names run folders within, as a sweep has them.
    """
    if not run.exists():
        raise FedlabError(f"there is no run folder {run}")
    found = run / SCENARIO
    if found.is_file():
        return found
    if run.is_file():
        of_run = (run.parent / SCENARIO).is_file()
        of = f"a file of the run folder {run.parent}" if of_run else "a file"
        raise FedlabError(f"{run} is not a run folder, but {of}")
    within = _runs_within(run)
    more = f" and {len(within) - MOST_NAMED} more" if len(within) > MOST_NAMED else ""
    named = ", ".join(map(str, within[:MOST_NAMED]))
    are = "; run folders within: " if within else ""
    raise FedlabError(f"{run} is not a run folder: it has no {SCENARIO}{are}{named}{more}")


def _runs_within(folder: Path) -> list[Path]:
    try:
        below = [path for place in (folder, folder / SWEEP_RUNS) for path in place.glob("*")]
        return sorted(path for path in below if (path / SCENARIO).is_file())
    except OSError:  # not ours to read
        return []


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, and rename it to ``path`` after the block.

    The block may write a file there or make a folder. Where it raises, nothing is left of either,
    and what stood at ``path`` still does.

    Raises:
        OSError: If it cannot be renamed.

    Example:
        >>> with replacing(Path("figures.txt")) as draft:
        ...     written = draft.write_text("1 2 3")
        >>> Path("figures.txt").read_text()
        '1 2 3'
    """
    temporary = path.with_name(f".{path.name}.part")
    _remove(temporary)
    try:
        yield temporary
        if path.is_dir() and temporary.is_dir():
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        _remove(temporary)


def check_replaceable(path: Path, key: str) -> None:
    """Check that a file can be written at ``path`` and takes the place of a file at most.

    A link, a device or a pipe is never replaced, and no folder is made for it.

    Args:
        path: Where.
        key: What names it, for the message: an option of the command line.

    Raises:
        FedlabError: If something else is there, or the folder is not.
    """
    if path.is_symlink():
        raise FedlabError(f"{key}: {path} is a link to {os.readlink(path)}; name a file")
    if path.is_dir():
        raise FedlabError(f"{key}: {path} is a folder; name a file")
    if path.exists() and not path.is_file():
        raise FedlabError(f"{key}: {path} is no regular file, and is not replaced")
    if not path.parent.is_dir():
        raise FedlabError(f"{key}: {path} cannot be written: there is no folder {path.parent}")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        FedlabError: If it cannot be written; then nothing is left of it.
    """
    try:
        with replacing(path) as draft:
            draft.write_bytes(content)
    except OSError as error:
        raise FedlabError(f"{path} cannot be written: {error.strerror or error}") from error


def without_home(text: str) -> str:
    """Return a text with paths from the home folder on (``~/runs``), and without the user's name.

    Elsewhere in a path (``/media/ada/data``) the name of the user becomes ``USER``.
    """
    home = os.path.expanduser("~")
    if len(home) > 1:
        text = re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text)
    names = {os.path.basename(home), os.environ.get("USER", ""), os.environ.get("LOGNAME", "")}
    for name in names - {"", "~"}:
        text = re.sub(rf"(?<=[/\\]){re.escape(name)}(?=[/\\])", "USER", text)
    return text


def _remove(path: Path) -> None:
    """Remove what a killed process, or a failed block, left behind."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        try:
            path.unlink(missing_ok=True)
        except OSError:  # the folder is not there, or may not be written: the block will raise
            return
