"""The features of a frozen prefix, as Ray's workers compute and share them.

On one machine they are files that all workers map into their memory. On a cluster their rows travel
once to this machine, which keeps the file, and once to each node, whose workers share Ray's copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedlab.engine.features.cache import FeatureFile, opened, write_rows
from fedlab.engine.ray.pool import RayPool
from fedlab.errors import FedlabError

LONGEST_SHARD = 3600.0
"""Seconds for the features of one shard."""


class SharedFeatures:
    """What workers use in place of their data's inputs, once it is there.

    Args:
        ray: The module.
        has_files: Whether workers read and write this machine's files.
    """

    def __init__(self, ray: Any, has_files: bool) -> None:
        self._ray = ray
        self._has_files = has_files
        self._call: tuple[Any, ...] = ()

    def compute(self, pool: RayPool, file: FeatureFile, draft: Path) -> None:
        """Let the workers compute a file's rows, and write them into its draft.

        Raises:
            FedlabError: If a shard cannot be computed.
        """
        shards = file.shards()

        def call(index: int) -> tuple[str, tuple[Any, ...]]:
            if self._has_files:
                return "on_worker", ("compute_features", file.part, str(draft), *shards[index])
            return "on_worker", ("feature_rows", file.part, *shards[index])

        for index, outcome in pool.run(len(shards), call, limit_of=lambda _: LONGEST_SHARD):
            if isinstance(outcome, Exception):
                raise FedlabError(f"computing features failed: {outcome}") from outcome
            if not self._has_files:
                write_rows(str(draft), shards[index][0], outcome)

    def use(self, pool: RayPool, paths: Mapping[str, str]) -> None:
        """Let all workers, and those to come, use the features in these files."""
        if self._has_files:
            self._call = ("use_features", dict(paths))
        else:
            rows = [self._ray.put(opened(path)) for path in paths.values()]
            # As arguments of their own: Ray resolves references at this level alone.
            self._call = ("use_feature_rows", list(paths), *rows)
        pool.on_each("on_worker", *self._call)

    def give(self, worker: Any) -> None:
        """Let a new worker use what the others use."""
        if self._call:
            worker.on_worker.remote(*self._call)

    def forget(self) -> None:
        """Let workers that are prepared anew use their data's own inputs."""
        self._call = ()
