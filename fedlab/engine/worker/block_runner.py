"""Running blocks of clients in one process: by the ClientApp or, for a sum, without messages."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from flwr.app import Context, MessageType, RecordDict

from fedlab.engine.blocks import BlockResult, ClientJob, counts, report_of
from fedlab.engine.reports import Failure, Report
from fedlab.engine.totals import settle
from fedlab.engine.updates import decode_reply
from fedlab.engine.worker.clientapp import client_app
from fedlab.engine.worker.contained import SharedChanged
from fedlab.engine.worker.messages import (
    Decoder,
    assignment,
    keep,
    kept_state,
    sent_arrays,
    sent_vectors,
    weights_key,
)
from fedlab.engine.worker.worker import Worker
from fedlab.errors import described
from fedlab.training.task import Assignment, Update
from fedlab.wire import flower_internals
from fedlab.wire.checks import check_reply
from fedlab.wire.device_sums import SumOnDevice
from fedlab.wire.digest import digest_of
from fedlab.wire.forms import Tally
from fedlab.wire.protocol import (
    METRICS,
    NUM_PARTITIONS,
    PARTITION_ID,
    WEIGHTS,
    node_of,
    own_weight,
)
from fedlab.wire.sums import WeightedSum

LONGEST_TRACE = 20_000


class BlockRunner:
    """A worker and its ClientApp.

    Where a strategy takes a mean, updates are added up as they are, without a message for each.
    """

    def __init__(self, worker: Worker, scenario_text: str) -> None:
        self.worker = worker
        self._text = scenario_text
        self._app = client_app(lambda context, config: worker)
        self._decode = Decoder()

    def run(self, jobs: Sequence[ClientJob], combine: bool) -> BlockResult:
        """Run a block's clients.

        Args:
            jobs: What is asked of each client; their states are changed in place.
            combine: Whether to reply with one weighted sum instead of one reply a client.
        """
        training = jobs[0].message.metadata.message_type == "train"
        if combine and training:
            return self._run_summed(jobs)
        result = BlockResult()
        for job in jobs:
            self._run_client(job, result)
        return result

    def _run_client(self, job: ClientJob, result: BlockResult) -> None:
        phase = job.message.metadata.message_type
        start = time.perf_counter()
        try:
            context = self._context(job)
            reply = self._app(job.message, context)
            if reply.has_error():
                raise RuntimeError(reply.error.reason)
            report = report_of(job.client, phase, reply, time.perf_counter() - start)
            if self.worker.updates and phase == MessageType.TRAIN:
                saved = decode_reply(self.worker.updates, reply.content, job.message.content)
                report = replace(report, bytes_saved=saved)
            if phase != MessageType.QUERY:
                check_reply(reply.content, job.message.content, phase == MessageType.TRAIN)
        except SharedChanged:
            raise
        except Exception as error:
            result.failures.append(_failure(job.client, phase, error))
            return
        result.reports.append(report)
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
        result = BlockResult()
        tally = Tally(SumOnDevice if self.worker.sums_on_device else WeightedSum)
        by_client = {job.client: job for job in jobs}
        asked = list(self._assignments(jobs, result))
        by_number = {a.client: a for a in asked}
        contents = {id(c): c for c in (by_client[a.client].message.content for a in asked)}
        keys = {number: weights_key(content) for number, content in contents.items()}
        for client, outcome in self.worker.train_block(asked):
            job = by_client[client]
            try:
                if isinstance(outcome, Exception):
                    raise outcome
                key = keys[id(job.message.content)]
                self._add(job, by_number[client], outcome, key, result, tally)
            except SharedChanged:
                raise
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
        asked: Assignment,
        update: Update,
        key: str,
        result: BlockResult,
        tally: Tally,
    ) -> None:
        """Add an update to the sum, decoded unless sums are decoded; ``key`` is the weights'."""
        sent: Any = sent_vectors if self.worker.sums_on_device else sent_arrays
        arrays, saved, chain = sent(update, key), 0, self.worker.updates
        size = sum(array.nbytes for array in arrays.values())
        digest = None if self.worker.sums_on_device else digest_of(arrays)
        if update.encoded is not None:
            saved = chain.saved(update.encoded)
            if not chain.decodes_sums:
                weights = chain.decode(update.encoded, asked)
                arrays = sent_arrays(replace(update, weights=weights, encoded=None), key)
        keep(job.state, update.state)
        metrics = dict(update.metrics)
        report = Report(job.client, "train", update.examples, metrics, size, saved, digest)
        if update.examples:
            tally.add(
                job.client,
                own_weight(asked.config) or update.examples,
                {(key, WEIGHTS): array for key, array in arrays.items()},
                {(METRICS, name): float(value) for name, value in update.metrics.items()},
            )
        result.states[job.client] = job.state
        result.reports.append(report)


def _failure(client: int, phase: str, error: Exception) -> Failure:
    try:
        trace = "".join(traceback.format_exception(error))
    except Exception:  # an exception of the client's own may raise in whatever is asked of it
        trace = "".join(traceback.format_tb(error.__traceback__))
    trace = trace.encode(errors="backslashreplace").decode()[-LONGEST_TRACE:]
    return Failure(client, phase, described(error), trace)
