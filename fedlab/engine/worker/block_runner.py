"""Running blocks of clients in one process: by the ClientApp or, for a sum, without messages."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from flwr.app import Context, MessageType, RecordDict

from fedlab.engine.blocks import BlockResult, ClientJob, counts, report_of
from fedlab.engine.reports import Failure, Report
from fedlab.engine.totals import settle
from fedlab.engine.worker.clientapp import client_app, mods_of
from fedlab.engine.worker.messages import (
    Decoder,
    assignment,
    keep,
    kept_state,
    sent_arrays,
    weights_key,
)
from fedlab.engine.worker.worker import Worker
from fedlab.errors import FedlabError
from fedlab.training.task import Assignment, Update
from fedlab.wire import flower_internals
from fedlab.wire.checks import check_reply
from fedlab.wire.forms import Tally
from fedlab.wire.protocol import (
    METRICS,
    NUM_PARTITIONS,
    PARTITION_ID,
    WEIGHTS,
    client_of,
    node_of,
    own_weight,
)
from fedlab.wire.sums import contribution


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

    def run(self, jobs: Sequence[ClientJob], combine: bool) -> BlockResult:
        """Run a block's clients.

        Args:
            jobs: What is asked of each client; their states are changed in place.
            combine: Whether to reply with one weighted sum instead of one reply a client.
        """
        training = jobs[0].message.metadata.message_type == "train"
        if combine and training and not mods_of(self.worker):
            return self._run_summed(jobs)
        result = BlockResult()
        for job in jobs:
            self._run_client(job, result)
        if combine and result.replies:
            tally = Tally()
            for reply in result.replies:
                client = client_of(reply.metadata.src_node_id)
                tally.add(client, *contribution(reply.content))
            result.replies = []
            settle(tally, result)
        return result

    def _run_client(self, job: ClientJob, result: BlockResult) -> None:
        phase = job.message.metadata.message_type
        start = time.perf_counter()
        try:
            context = self._context(job)
            reply = self._app(job.message, context)
            if reply.has_error():
                raise RuntimeError(reply.error.reason)
            if phase != MessageType.QUERY:
                check_reply(reply.content, job.message.content, phase == "train")
        except Exception as error:
            result.failures.append(_failure(job.client, phase, error))
            return
        result.reports.append(report_of(job.client, phase, reply, time.perf_counter() - start))
        result.states[job.client] = context.state
        if counts(reply, result.reports[-1]):
            result.replies.append(reply)

    def _context(self, job: ClientJob) -> Context:
        return Context(
            run_id=flower_internals.RUN_ID,
            node_id=node_of(job.client),
            node_config={
                PARTITION_ID: job.client,
                NUM_PARTITIONS: len(self.worker.federation),
            },
            state=job.state,
            run_config={"scenario": self._text},
        )

    def _run_summed(self, jobs: Sequence[ClientJob]) -> BlockResult:
        result, tally = BlockResult(), Tally()
        by_client = {job.client: job for job in jobs}
        asked = list(self._assignments(jobs, result))
        own = {a.client: own_weight(a.config) for a in asked}
        contents = {id(c): c for c in (by_client[a.client].message.content for a in asked)}
        keys = {number: weights_key(content) for number, content in contents.items()}
        for client, outcome in self.worker.train_block(asked):
            job = by_client[client]
            try:
                if isinstance(outcome, Exception):
                    raise outcome
                arrays = sent_arrays(outcome, keys[id(job.message.content)])
                weight = own[client] or outcome.examples
                self._add(job, outcome, arrays, weight, result, tally)
            except Exception as error:
                result.failures.append(_failure(client, "train", error))
        settle(tally, result)
        return result

    def _assignments(self, jobs: Sequence[ClientJob], result: BlockResult) -> Iterator[Assignment]:
        """Yield what is asked of each client; what several are sent is decoded once."""
        decoded: dict[int, Assignment] = {}
        for job in jobs:
            content = job.message.content
            try:
                if id(content) not in decoded:
                    decoded[id(content)] = assignment(
                        self.worker, self._decode, job.client, content, RecordDict()
                    )
                yield replace(decoded[id(content)], client=job.client, state=kept_state(job.state))
            except Exception as error:
                result.failures.append(_failure(job.client, "train", error))

    def _add(
        self,
        job: ClientJob,
        update: Update,
        arrays: Mapping[str, np.ndarray[Any, Any]],
        weight: float,
        result: BlockResult,
        tally: Tally,
    ) -> None:
        keep(job.state, update.state)
        size = sum(array.nbytes for array in arrays.values())
        report = Report(job.client, "train", update.examples, dict(update.metrics), size)
        if update.examples:
            tally.add(
                job.client,
                weight,
                {(key, WEIGHTS): array for key, array in arrays.items()},
                {(METRICS, name): float(value) for name, value in update.metrics.items()},
            )
        result.states[job.client] = job.state
        result.reports.append(report)


def _failure(client: int, phase: str, error: Exception) -> Failure:
    reason = str(error) if isinstance(error, FedlabError) else f"{type(error).__name__}: {error}"
    trace = "".join(traceback.format_exception(error))
    return Failure(client, phase, reason, trace)
