"""The inline engine: clients run in this process, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch

from fedlab.data.federation import Federation
from fedlab.engine.base import Engine, Shard
from fedlab.engine.blocks import BlockResult, ClientJob
from fedlab.engine.features.cache import FeatureFile
from fedlab.engine.settings import EngineSettings
from fedlab.engine.worker.block_runner import BlockRunner
from fedlab.engine.worker.worker import Worker
from fedlab.process import keep_freed_memory, set_torch_threads
from fedlab.scenario import Scenario, dumps
from fedlab.wire import flower_internals


class InlineEngine(Engine):
    """Runs clients in this process, one after the other: for debugging and small models."""

    Settings: ClassVar[type[EngineSettings]] = EngineSettings

    def __init__(
        self, settings: EngineSettings, scenario: Scenario, federation: Federation
    ) -> None:
        super().__init__(settings, scenario, federation)
        flower_internals.assume_identity()
        set_torch_threads(settings.threads)
        keep_freed_memory()
        self._runner = BlockRunner(Worker(self.scenario, federation), dumps(self.scenario))

    @property
    def worker(self) -> Worker:
        """Return what runs clients."""
        return self._runner.worker

    def _prepare_workers(self) -> None:
        worker = Worker(self.scenario, self.federation)
        self._runner = BlockRunner(worker, dumps(self.scenario))

    def _run_blocks(
        self, blocks: Sequence[Sequence[ClientJob]], combine: bool
    ) -> Iterator[tuple[int, BlockResult]]:
        for index, block in enumerate(blocks):
            jobs = self._with_states(block)
            for job in jobs:
                # A client that fails keeps what it kept before.
                job.state = job.state.copy()
            self._watch(index, block)
            result = self._runner.run(jobs, combine)
            self._watchdog.ended(index)
            yield index, result

    def why_no_features(self) -> str:
        """Return nothing: clients run in this process."""
        return ""

    def _compute_features(self, file: FeatureFile, draft: Path) -> None:
        for rows in file.shards():
            self._runner.worker.compute_features(file.part, str(draft), *rows)

    def _use_features(self, paths: dict[str, str]) -> None:
        self._runner.worker.use_features(paths)

    def _evaluate_shards(
        self, wire: torch.Tensor, shards: Sequence[Shard]
    ) -> Iterable[dict[str, Any]]:
        return [self._runner.worker.evaluate_rows(wire, *shard) for shard in shards]
