"""Checkpoints: all that a run needs to continue, written to a temporary name and renamed.

A checkpoint is a folder: ``arrays.safetensors`` holds every array, ``state.json`` the rest, with
``{"array": key}`` where an array belongs. Nothing is pickled. What clients keep stands in files of
its own below ``clients``, which never change: a checkpoint names those that hold the states of its
round, and a file goes when no checkpoint names it any more. So do the weights of the best round so
far, below ``best`` (:mod:`fedlab.run.best`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from fedlab.errors import FedlabError
from fedlab.files import replacing
from fedlab.wire.archive import Arrays, pack, unpack, write_arrays

KEPT = 2
ARRAYS, STATE, CLIENTS, BEST = "arrays.safetensors", "state.json", "clients", "best"


@dataclass
class Checkpoint:
    """The state of a run after a round.

    Attributes:
        round: The round that is done; 0 before the first.
        weights: (wire_size,) the global weights.
        strategy: The strategy's state.
        clients: Names of the files that hold what clients keep.
        record: The round's line of ``metrics.jsonl``.
        extra: State of what watches the run (early stopping, totals).
        updates: What each update processor keeps on the server.
        scenario: The content of the scenario that led here; empty in those of an older fedlab.
        downlink: What clients have of the weights, where their change is compressed.
    """

    round: int
    weights: np.ndarray[Any, Any]
    strategy: dict[str, Any] = field(default_factory=dict)
    clients: tuple[str, ...] = ()
    record: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    updates: list[dict[str, Any]] = field(default_factory=list)
    scenario: dict[str, Any] = field(default_factory=dict)
    downlink: dict[str, Any] = field(default_factory=dict)


def path_of(folder: Path, number: int) -> Path:
    """Return the folder of a round's checkpoint."""
    return folder / f"round-{number:05d}"


def save(
    folder: Path, checkpoint: Checkpoint, keep: int | None = KEPT, always: int | None = None
) -> None:
    """Write a checkpoint below ``folder`` and drop all but the last ones.

    Args:
        folder: The folder of checkpoints.
        checkpoint: The checkpoint.
        keep: How many stay; None: all.
        always: The round of one that stays in any case.
    """
    arrays: Arrays = {}
    content = {
        "round": checkpoint.round,
        "weights": pack(checkpoint.weights, arrays),
        "strategy": pack(checkpoint.strategy, arrays),
        "clients": list(checkpoint.clients),
        "record": checkpoint.record,
        "extra": checkpoint.extra,
        "updates": pack(checkpoint.updates, arrays),
        "scenario": checkpoint.scenario,
        "downlink": pack(checkpoint.downlink, arrays),
    }
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(path_of(folder, checkpoint.round)) as draft:
        draft.mkdir()
        write_arrays(draft / ARRAYS, arrays)
        with (draft / STATE).open("w", encoding="utf-8") as file:
            file.write(json.dumps(content))
            file.flush()
            os.fsync(file.fileno())
    for number, old in _all(folder)[:-keep] if keep is not None else ():
        if number != always:
            shutil.rmtree(old, ignore_errors=True)
    _drop_unnamed(folder)


def _drop_unnamed(folder: Path) -> None:
    """Remove the files of clients' states that no checkpoint names."""
    if not (folder / CLIENTS).is_dir():
        return
    named: set[str] = set()
    try:
        for _, path in _all(folder):
            named.update(json.loads((path / STATE).read_text(encoding="utf-8"))["clients"])
    except (OSError, ValueError, KeyError):
        return  # a damaged checkpoint may name any of them
    for path in (folder / CLIENTS).iterdir():
        if path.name not in named:
            with suppress(OSError):
                path.unlink()


def extras(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield what each checkpoint below ``folder`` holds of what watches the run.

    Raises:
        OSError, ValueError, KeyError: If one of them is damaged.
    """
    for _, path in _all(folder):
        yield json.loads((path / STATE).read_text(encoding="utf-8"))["extra"]


def newest(folder: Path) -> tuple[int, Path] | None:
    """Return the newest checkpoint's round and folder, or None where there is none."""
    known = _all(folder)
    return known[-1] if known else None


def load_latest(folder: Path, until: int | None = None) -> Checkpoint | None:
    """Return the newest checkpoint below ``folder``, or None where there is none.

    Args:
        folder: The folder of checkpoints.
        until: The last round that counts; None: all do.

    Raises:
        FedlabError: If the newest one cannot be read.
    """
    known = [path for number, path in _all(folder) if until is None or number <= until]
    if not known:
        return None
    path = known[-1]
    try:
        return _load(path)
    except Exception as error:
        # Whatever a damaged file leads to: a missing key, a wrong type, a tensor cut off.
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise FedlabError(
            f"checkpoint {path} cannot be read ({reason}); remove that folder to resume from the "
            "one before"
        ) from error


def _load(path: Path) -> Checkpoint:
    arrays = load_file(path / ARRAYS)
    content = json.loads((path / STATE).read_text(encoding="utf-8"))
    return Checkpoint(
        content["round"],
        unpack(content["weights"], arrays.__getitem__),
        unpack(content["strategy"], arrays.__getitem__),
        tuple(content["clients"]),
        content["record"],
        content["extra"],
        # Runs older than update processors have none.
        unpack(content.get("updates", []), arrays.__getitem__),
        content.get("scenario", {}),
        unpack(content.get("downlink", {"dict": {}}), arrays.__getitem__),
    )


def _all(folder: Path) -> list[tuple[int, Path]]:
    """Return the whole checkpoints below ``folder`` by round."""
    if not folder.is_dir():
        return []
    matches = ((re.fullmatch(r"round-(\d+)", path.name), path) for path in folder.iterdir())
    return sorted((int(match[1]), path) for match, path in matches if match)
