"""The inline engine: clients run in this process, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import torch

from clients.app import client_app
from fedlab.data.federation import Federation
from fedlab.engine import flower_internals
from fedlab.engine.blocks import BlockResult, Errand, run_block
from fedlab.engine.engine import Engine, EngineSettings, client_context
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
        self._worker = Worker(scenario, federation)
        self._app = client_app(lambda context: self._worker)
        self._text = dumps(scenario)

    def _run_blocks(
        self, blocks: Sequence[Sequence[Errand]], combine: bool, timeout: float | None
    ) -> Iterator[tuple[int, BlockResult]]:
        population = len(self.federation)
        for index, block in enumerate(blocks):
            yield (
                index,
                run_block(
                    self._app,
                    [Errand(e.client, e.message, e.state.copy()) for e in block],
                    lambda errand: client_context(self._text, errand, population),
                    combine,
                ),
            )

    def _evaluate_shards(
        self, wire: torch.Tensor, shards: Sequence[tuple[int, int]]
    ) -> Iterable[dict[str, Any]]:
        return [self._worker.evaluate_rows(wire, start, stop) for start, stop in shards]
