"""The inline engine: clients run in this process, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import torch

from fedlab.data.federation import Federation
from fedlab.engine import flower_internals
from fedlab.engine.blocks import BlockResult, Errand
from fedlab.engine.engine import Engine, EngineSettings
from fedlab.engine.freed_memory import keep_freed_memory
from fedlab.engine.runner import BlockRunner
from fedlab.engine.worker import Worker
from fedlab.registry import engines
from fedlab.scenario import Scenario, dumps


@engines.register("inline")
class InlineEngine(Engine):
    """Runs clients in this process, one after the other: for debugging and small models."""

    Settings: ClassVar[type[EngineSettings]] = EngineSettings

    def __init__(
        self, settings: EngineSettings, scenario: Scenario, federation: Federation
    ) -> None:
        super().__init__(settings, scenario, federation)
        flower_internals.assume_identity()
        torch.set_num_threads(settings.threads)
        keep_freed_memory()
        self._runner = BlockRunner(Worker(scenario, federation), dumps(scenario))

    def _run_blocks(
        self, blocks: Sequence[Sequence[Errand]], combine: bool, timeout: float | None
    ) -> Iterator[tuple[int, BlockResult]]:
        for index, block in enumerate(blocks):
            errands = self._with_states(block)
            for errand in errands:
                # A client that fails keeps what it kept before.
                errand.state = errand.state.copy()
            self._watch(index, block)
            result = self._runner.run(errands, combine)
            self._watchdog.ended(index)
            yield index, result

    def shares_files(self) -> bool:
        """Return True: clients run in this process."""
        return True

    def _on_workers(self, method: str, calls: Sequence[tuple[Any, ...]]) -> None:
        for arguments in calls:
            getattr(self._runner.worker, method)(*arguments)

    def _use_features(self, paths: dict[str, str]) -> None:
        self._runner.worker.use_features(paths)

    def _evaluate_shards(
        self, wire: torch.Tensor, shards: Sequence[tuple[int, int]]
    ) -> Iterable[dict[str, Any]]:
        return [self._runner.worker.evaluate_rows(wire, start, stop) for start, stop in shards]
