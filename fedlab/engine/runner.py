"""Running blocks of clients in one process: by the ClientApp or, for a sum, without messages."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from flwr.app import Context, MessageType, RecordDict

from clients.app import (
    METRICS,
    WEIGHTS,
    Decoder,
    assignment,
    client_app,
    keep,
    kept_state,
    mods_of,
    sent_arrays,
    weights_key,
)
from fedlab.engine import flower_internals
from fedlab.engine.blocks import FIRST_NODE, BlockResult, Errand, Failure, Report, counts, report_of
from fedlab.engine.replies import check_reply
from fedlab.engine.sums import contribution, own_weight
from fedlab.engine.tally import Tally, settle
from fedlab.engine.worker import Worker
from fedlab.errors import FedlabError
from fedlab.training.task import Assignment, Update


class BlockRunner:
    """A worker and its ClientApp.

    Where a strategy takes a mean and no mod stands between messages and the client algorithm,
    updates are added up as they are, without a message for each.
    """

    def __init__(self, worker: Worker, scenario_text: str) -> None:
        self.worker = worker
        self._text = scenario_text
        self._app = client_app(lambda context: worker)
        self._decode = Decoder()

    def run(self, errands: Sequence[Errand], combine: bool) -> BlockResult:
        """Run a block's clients.

        Args:
            errands: What is asked of each client; their states are changed in place.
            combine: Whether to reply with one weighted sum instead of one reply a client.
        """
        training = errands[0].message.metadata.message_type == "train"
        if combine and training and not mods_of(self.worker):
            return self._run_summed(errands)
        result = BlockResult()
        for errand in errands:
            self._run_client(errand, result)
        if combine and result.replies:
            tally = Tally()
            for reply in result.replies:
                client = reply.metadata.src_node_id - FIRST_NODE
                tally.add(client, *contribution(reply.content))
            result.replies = []
            settle(tally, result)
        return result

    def _run_client(self, errand: Errand, result: BlockResult) -> None:
        phase = errand.message.metadata.message_type
        start = time.perf_counter()
        try:
            context = self._context(errand)
            reply = self._app(errand.message, context)
            if reply.has_error():
                raise RuntimeError(reply.error.reason)
            if phase != MessageType.QUERY:
                check_reply(reply.content, errand.message.content, phase == "train")
        except Exception as error:
            result.failures.append(_failure(errand.client, phase, error))
            return
        result.reports.append(report_of(errand.client, phase, reply, time.perf_counter() - start))
        result.states[errand.client] = context.state
        if counts(reply, result.reports[-1]):
            result.replies.append(reply)

    def _context(self, errand: Errand) -> Context:
        return Context(
            run_id=flower_internals.RUN_ID,
            node_id=errand.client + FIRST_NODE,
            node_config={
                "partition-id": errand.client,
                "num-partitions": len(self.worker.federation),
            },
            state=errand.state,
            run_config={"scenario": self._text},
        )

    def _run_summed(self, errands: Sequence[Errand]) -> BlockResult:
        result, tally = BlockResult(), Tally()
        by_client = {errand.client: errand for errand in errands}
        asked = list(self._assignments(errands, result))
        own = {a.client: own_weight(a.config) for a in asked}
        contents = {id(c): c for c in (by_client[a.client].message.content for a in asked)}
        keys = {number: weights_key(content) for number, content in contents.items()}
        for client, outcome in self.worker.train_block(asked):
            errand = by_client[client]
            try:
                if isinstance(outcome, Exception):
                    raise outcome
                arrays = sent_arrays(outcome, keys[id(errand.message.content)])
                weight = own[client] or outcome.examples
                self._add(errand, outcome, arrays, weight, result, tally)
            except Exception as error:
                result.failures.append(_failure(client, "train", error))
        settle(tally, result)
        return result

    def _assignments(self, errands: Sequence[Errand], result: BlockResult) -> Iterator[Assignment]:
        """Yield what is asked of each client; what several are sent is decoded once."""
        decoded: dict[int, Assignment] = {}
        for errand in errands:
            content = errand.message.content
            try:
                if id(content) not in decoded:
                    decoded[id(content)] = assignment(
                        self.worker, self._decode, errand.client, content, RecordDict()
                    )
                yield replace(
                    decoded[id(content)], client=errand.client, state=kept_state(errand.state)
                )
            except Exception as error:
                result.failures.append(_failure(errand.client, "train", error))

    def _add(
        self,
        errand: Errand,
        update: Update,
        arrays: Mapping[str, np.ndarray[Any, Any]],
        weight: float,
        result: BlockResult,
        tally: Tally,
    ) -> None:
        keep(errand.state, update.state)
        size = sum(array.nbytes for array in arrays.values())
        report = Report(errand.client, "train", update.examples, dict(update.metrics), size)
        if update.examples:
            tally.add(
                errand.client,
                weight,
                {(key, WEIGHTS): array for key, array in arrays.items()},
                {(METRICS, name): float(value) for name, value in update.metrics.items()},
            )
        result.states[errand.client] = errand.state
        result.reports.append(report)


def _failure(client: int, phase: str, error: Exception) -> Failure:
    reason = str(error) if isinstance(error, FedlabError) else f"{type(error).__name__}: {error}"
    trace = "".join(traceback.format_exception(error))
    return Failure(client, phase, reason, trace)
