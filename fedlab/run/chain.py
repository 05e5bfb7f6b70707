"""A chain of digests through a run: what it began with, and each round's weights and figures.

A line of ``metrics.jsonl`` holds the SHA-256 of the round's global weights, and a link: the SHA-256
of the link before, those weights and the line's figures, seconds apart. The first link begins with
the scenario, the data and fedlab's source. A figure that is changed later breaks every link after
it; who makes up a whole chain is found out by running a round again (:mod:`fedlab.run.verify`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Any

from fedlab import files
from fedlab.engine.node_host import host_class
from fedlab.run.callbacks import Callback, RoundOutcome, RunView
from fedlab.run.folder import RunFolder, strict_json, weights_digest
from fedlab.scenario import Scenario
from fedlab.scenario.changes import MAY_CHANGE, content_of, leaves
from fedlab.scenario.paths import path_keys

WEIGHTS, LINK, SECONDS = "weights", "chain", "seconds"
"""Keys of a line; seconds are another machine's in every run."""


class Chain(Callback):
    """Adds the digest of its weights, and a link, to each round's line.

    Args:
        folder: The run folder.
    """

    name = "chain"

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._link = ""
        self._is_whole = True

    def started(self, run: RunView) -> None:
        """Begin the chain; a run of an older fedlab that goes on has none."""
        if run.round or self._link:
            self._is_whole = bool(self._link)
            return
        self._link = first_link(self._folder, source_digest())

    def round_ended(self, run: RunView, outcome: RoundOutcome) -> None:
        """Add the round's link."""
        digest = weights_digest(run.weights.numpy())
        outcome.record[WEIGHTS] = digest
        if self._is_whole:
            self._link = next_link(self._link, outcome.record)
            outcome.record[LINK] = self._link

    def state(self) -> dict[str, Any]:
        """Return the newest link."""
        return {LINK: self._link}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue the chain."""
        self._link = state[LINK]


@cache
def source_digest() -> str:
    """Return a digest of fedlab's own source, its strategies and clients."""
    return str(host_class()().facts()["fedlab"])


def first_link(folder: RunFolder, source: str) -> str:
    """Return what a chain begins with: what the run learns, from which data, by which fedlab.

    Args:
        folder: The run folder, described.
        source: The digest of fedlab's source.
    """
    parts = [strict_json(settled(folder.scenario)), source]
    for name in (files.TASK, files.DATA, files.PARTITION):
        path = folder.path / name
        parts.append(path.read_text(encoding="utf-8") if path.is_file() else "")
    return _digest(*parts)


def settled(scenario: Scenario) -> dict[str, Any]:
    """Return what a scenario says of the results: what may change within a run is left out."""
    found = leaves(content_of(scenario))
    paths = set(path_keys(scenario))
    free = tuple(f"{key}." for key in MAY_CHANGE)
    return {
        key: value
        for key, value in sorted(found.items())
        if key not in paths and not f"{key}.".startswith(free)
    }


def next_link(link: str, record: Mapping[str, Any]) -> str:
    """Return the link that follows another.

    Args:
        link: The one before.
        record: The round's line, with the digest of its weights.
    """
    figures = {key: value for key, value in record.items() if key not in (SECONDS, LINK)}
    return _digest(link, strict_json(dict(sorted(figures.items()))))


def _digest(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()
