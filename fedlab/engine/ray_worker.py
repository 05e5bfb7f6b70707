"""The process behind a Ray actor: a worker, its ClientApp, and the round's records."""

from __future__ import annotations

import os
from typing import Any

import ray
import torch
from flwr.app import RecordDict

from clients.app import client_app
from fedlab.data.federation import Federation
from fedlab.engine import flower_internals
from fedlab.engine.blocks import BlockResult, Errand, run_block
from fedlab.engine.engine import client_context
from fedlab.engine.worker import Worker
from fedlab.scenario import loads


class RayWorker:
    """Runs blocks of clients and shards of evaluation in its own process."""

    def __init__(self, scenario_text: str, federation: Federation, threads: int) -> None:
        torch.set_num_threads(threads)
        flower_internals.assume_identity()
        self._text = scenario_text
        self._population = len(federation)
        self._worker = Worker(loads(scenario_text), federation)
        self._app = client_app(lambda context: self._worker)
        self._records: dict[Any, Any] = {}

    def ping(self) -> int:
        """Answer with the process's number, as proof of life."""
        return os.getpid()

    def run_block(self, errands: list[tuple[Any, ...]], combine: bool) -> BlockResult:
        """Run a block's clients; array records are fetched once, and kept while blocks use them."""
        wanted = {
            part for _, _, content, _ in errands for part in content.values() if _is_reference(part)
        }
        self._records = {
            reference: self._records.get(reference) or ray.get(reference) for reference in wanted
        }
        block = [self._errand(*errand) for errand in errands]
        return run_block(
            self._app,
            block,
            lambda errand: client_context(self._text, errand, self._population),
            combine,
        )

    def evaluate_rows(self, wire: Any, start: int, stop: int) -> dict[str, Any]:
        """Return the metrics' sums of the weights on a shard of the test set."""
        return self._worker.evaluate_rows(torch.tensor(wire), start, stop)

    def _errand(self, client: int, metadata: Any, content: Any, state: RecordDict) -> Errand:
        records = RecordDict(
            {
                key: self._records[part] if _is_reference(part) else part
                for key, part in content.items()
            }
        )
        return Errand(client, flower_internals.make_message(metadata, records), state)


def _is_reference(part: Any) -> bool:
    return isinstance(part, ray.ObjectRef)
