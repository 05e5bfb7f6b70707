"""The process behind a Ray actor: a worker, its ClientApp, and the round's records."""

from __future__ import annotations

import os
import signal
import tempfile
from typing import IO, TYPE_CHECKING, Any

import ray

from fedlab.streams import forgive_encodings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flwr.app import ArrayRecord, RecordDict

    from fedlab.data.federation import Federation
    from fedlab.engine.blocks import BlockResult
    from fedlab.engine.worker.block_runner import BlockRunner
    from fedlab.models.given import Given
    from fedlab.wire.mailbox import Slot

    PackedJob = tuple[int, Any, int, RecordDict]
    """Client, metadata, which of the block's contents, the client's state."""

LARGE = 1 << 25
"""Bytes of a record that is not kept from one block to the next."""


class RayWorker:
    """Runs blocks of clients and shards of evaluation in its own process.

    It comes to life before the scenario is known, and imports what takes seconds meanwhile.
    """

    def __init__(self) -> None:
        forgive_encodings()
        self._runner: BlockRunner | None = None
        self._error: Exception | None = None
        self._records: dict[Any, Any] = {}
        self._is_frozen = False

    def load(self) -> None:
        """Import what every worker needs."""
        import fedlab.engine.worker.block_runner  # noqa: F401

    def look_in(self, folders: tuple[str, ...]) -> None:
        """Look for the user's own modules in these folders."""
        from fedlab.own_modules import own_modules

        own_modules.look_in(folders)

    def prepare(
        self,
        scenario_text: str,
        federation: Federation,
        threads: int,
        crash_log: str | None = None,
        device: str | None = None,
        given: Sequence[Given | None] = (),
        classes: bytes = b"",
    ) -> None:
        """Get ready for a scenario; a failure is raised when work is asked for.

        Args:
            scenario_text: The scenario.
            federation: The data of all clients.
            threads: torch threads.
            crash_log: The file to write to before this process ends itself; None: a temporary one.
            device: Which of several devices this worker has; None: what the scenario says.
            given: The models' first weights, where this machine has no files of them.
            classes: The classes that the program itself has defined, packed.
        """
        from fedlab.engine.devices import use_alone
        from fedlab.engine.worker.block_runner import BlockRunner
        from fedlab.engine.worker.worker import Worker
        from fedlab.own_classes import own_classes
        from fedlab.process import keep_freed_memory, set_torch_threads
        from fedlab.scenario import loads
        from fedlab.wire import flower_internals

        # Ctrl-C is the run's own process's; here a KeyboardInterrupt is an error like any other.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        set_torch_threads(threads)
        keep_freed_memory()
        flower_internals.assume_identity()
        self._runner, self._error = None, None
        try:
            own_classes.unpack(classes)
            worker = Worker(loads(scenario_text), federation, device, given)
            use_alone(worker.device)
            if worker.time_limit.seconds is not None:
                worker.time_limit.end_process(_opened(crash_log))
            self._runner = BlockRunner(worker, scenario_text)
        except Exception as error:
            self._error = error

    def _ready(self) -> BlockRunner:
        from fedlab.engine.ray.outcomes import NotPrepared
        from fedlab.errors import described

        if self._error is not None:
            raise NotPrepared(described(self._error))
        if self._runner is None:
            raise RuntimeError("the worker was not given what it is to prepare")
        return self._runner

    def ping(self) -> int:
        """Answer with the process's number, as proof of life."""
        return os.getpid()

    def ready(self) -> int:
        """Answer with the process's number, as proof that it is ready for work.

        Raises:
            NotPrepared: If it cannot get ready.
        """
        self._ready()
        return os.getpid()

    def run_block(
        self,
        contents: list[dict[str, Any]],
        jobs: list[PackedJob],
        combine: bool,
        slot: Slot | None = None,
    ) -> BlockResult:
        """Run a block's clients; array records are fetched once, and kept while blocks use them.

        Large ones are let go after each block: fetching them again takes no time to speak of, and
        Ray can free those of a round that is over.

        Args:
            contents: The different messages' contents, array records as references.
            jobs: What is asked of each client.
            combine: Whether to reply with one weighted sum.
            slot: Where to leave the sum's arrays, if the engine shares memory with this worker.
        """
        from fedlab.engine.blocks import ClientJob
        from fedlab.process import freeze_heap
        from fedlab.wire import flower_internals
        from fedlab.wire.mailbox import leave

        wanted = {part for content in contents for part in content.values() if _is_reference(part)}
        self._records = {
            reference: self._records.get(reference) or _lent(ray.get(reference))
            for reference in wanted
        }
        unpacked = [self._content(content) for content in contents]
        block = [
            ClientJob(client, flower_internals.make_message(metadata, unpacked[number]), state)
            for client, metadata, number, state in jobs
        ]
        result = self._ready().run(block, combine)
        if slot is not None and result.sum is not None:
            result.left = leave(result.sum, slot)
            result.sum = None if result.left else result.sum
        self._records = {key: r for key, r in self._records.items() if not _is_large(r)}
        if not self._is_frozen:
            # What the first block has loaded stays: garbage collection need not go through it.
            freeze_heap()
            self._is_frozen = True
        return result

    def on_worker(self, method: str, *arguments: Any) -> Any:
        """Call a method of the worker."""
        return getattr(self._ready().worker, method)(*arguments)

    def evaluate_rows(self, wire: Any, start: int, stop: int, server_round: int) -> dict[str, Any]:
        """Return the metrics' sums of the weights on a shard of the test set."""
        from fedlab.arrays import in_shared_memory

        weights = in_shared_memory(wire)
        return self._ready().worker.evaluate_rows(weights, start, stop, server_round)

    def _content(self, content: dict[str, Any]) -> RecordDict:
        from flwr.app import RecordDict

        return RecordDict(
            {
                key: self._records[part] if _is_reference(part) else part
                for key, part in content.items()
            }
        )


def _lent(values: dict[str, Any]) -> ArrayRecord:
    """Return a record over arrays in Ray's object store."""
    from flwr.app import ArrayRecord

    from fedlab.wire.records import LentArray

    record = ArrayRecord()
    for name, array in values.items():
        record[name] = LentArray(array)
    return record


def _is_large(record: Any) -> bool:
    return bool(sum(array.values.nbytes for array in record.values()) > LARGE)


def _is_reference(part: Any) -> bool:
    return isinstance(part, ray.ObjectRef)


def _opened(path: str | None) -> IO[str]:
    return tempfile.TemporaryFile("w") if path is None else open(path, "w")
