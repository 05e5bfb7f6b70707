"""The ray engine: long-lived worker processes that share the data and claim blocks of clients."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch

from fedlab.algorithm.setup import Setup
from fedlab.data.federation import Federation
from fedlab.engine.base import Engine, Shard
from fedlab.engine.blocks import BlockResult, ClientJob
from fedlab.engine.devices import CPU
from fedlab.engine.features.cache import FeatureFile
from fedlab.engine.ray import capacity
from fedlab.engine.ray.capacity import workers_of
from fedlab.engine.ray.cluster import ClusterRun
from fedlab.engine.ray.features import SharedFeatures
from fedlab.engine.ray.fork_server import NO_WORDS
from fedlab.engine.ray.outcomes import WorkerLost
from fedlab.engine.ray.places import OneMachine, Places
from fedlab.engine.ray.pool import Call, RayPool
from fedlab.engine.ray.settings import RayEngineSettings
from fedlab.engine.ray.sharing import is_measured, workers_that_fit
from fedlab.engine.ray.shelf import Shelf
from fedlab.engine.ray.start import address_of, ensure_started, own_ray, start_worker
from fedlab.engine.ray.workers import WorkerPlace
from fedlab.engine.reports import Failure
from fedlab.engine.settings import EngineSettings
from fedlab.engine.totals import joined
from fedlab.engine.worker.time_limit import hard_limit
from fedlab.errors import FedlabError
from fedlab.own_classes import own_classes
from fedlab.scenario import Scenario, dumps
from fedlab.wire import flower_internals
from fedlab.wire.mailbox import Mailbox, Slot
from fedlab.wire.records import array_bytes

logger = logging.getLogger(__name__)
SINGLE, DOUBLE = 4, 8
ROOM_TO_ALIGN = 4096
SECONDS_TO_TRAVEL = 5.0
"""What messages may take beyond their clients' own time."""
LONGEST_CALL = 3600.0
"""Seconds for a shard of the test set."""


class RayEngine(Engine):
    """Runs clients in parallel in long-lived Ray workers, on one machine or a cluster."""

    Settings: ClassVar[type[EngineSettings]] = RayEngineSettings

    def __init__(
        self, settings: RayEngineSettings, scenario: Scenario, federation: Federation
    ) -> None:
        super().__init__(settings, scenario, federation)
        flower_internals.assume_identity()
        self._text = dumps(self.scenario)
        self._classes = own_classes.packed(self._text)
        address = address_of(settings)
        self._ray, early = ensure_started(address, is_forked=not settings.gpus_per_worker)
        self._mailbox = Mailbox()
        self._on_cluster = address is not None
        self._shared_features = SharedFeatures(self._ray, not self._on_cluster)
        self._cluster: ClusterRun | None = None
        self._devices: list[str] = []
        self._here: OneMachine | None = None
        self._is_to_measure = False
        self._idle_mentioned = False
        if self._on_cluster:
            options = capacity.reserved(settings)
            self._cluster = ClusterRun(
                self._ray, options, settings.workers, self.scenario, federation
            )
            self.workers = self._cluster.workers
            places: Places = self._cluster.places
        else:
            self._options = {"num_cpus": 0.0, "num_gpus": settings.gpus_per_worker}
            self._data = self._ray.put(federation)
            self._devices = capacity.devices_of(settings)
            self._is_to_measure = self._measures()
            self.workers = workers_of(settings)
            places = self._here = OneMachine(self.workers)
        self._own = None if self._on_cluster else own_ray()
        self._pool = RayPool(
            self._ray,
            early,
            places,
            self._prepared,
            self._own.folder.path if self._own else None,
            lambda: self._own.lost if self._own else None,
            not self._on_cluster,
        )

    @classmethod
    def objections(cls, setup: Setup) -> Iterator[str]:
        """Yield why this machine cannot run the workers; a cluster is asked once it is there."""
        settings = setup.scenario.engine
        if address_of(settings) is None:
            yield from list(super().objections(setup)) or capacity.objections(settings)
            return
        yield from cls.computing(setup)
        if is_measured(settings):
            yield (
                "engine.workers_per_device = 'auto' measures this machine's devices, and workers "
                "run on a cluster; set a number"
            )

    @classmethod
    def notes(cls, setup: Setup) -> Iterator[str]:
        """Yield what the workers take of this machine beyond what it has."""
        yield from super().notes(setup)
        settings = setup.scenario.engine
        if address_of(settings) is None:
            yield from capacity.notes(settings, setup.network.model.layout.size)

    def device_models(self) -> str:
        """Return what workers train on; those of a cluster are asked, once they are there."""
        if not self._on_cluster or self.settings.device == CPU.type:
            return super().device_models()
        answers = self._pool.on_each("on_worker", "device_model")
        return ", ".join(dict.fromkeys(a for a in answers if isinstance(a, str)))

    def _prepared(self, worker: Any, place: WorkerPlace) -> Any:
        """Prepare a worker, or a new one, for the scenario."""
        if self._cluster is not None:
            assert place.node is not None
            return self._prepared_at(worker, place.node, self._cluster)
        worker = worker or start_worker(self._ray, self._options)
        if self.scenario.module_folders:
            # Before the data arrives, which may be of a class of the user's own.
            worker.look_in.remote(self.scenario.module_folders)
        device = self._devices[place.slot % len(self._devices)] if self._devices else None
        threads = self.settings.threads
        worker.prepare.remote(
            self._text, self._data, threads, place.crash_log, device, classes=self._classes
        )
        self._shared_features.give(worker)
        return worker

    def _prepared_at(self, worker: Any, node: str, cluster: ClusterRun) -> Any:
        """Prepare a worker, or a new one, on a node of a cluster."""
        worker = worker or start_worker(self._ray, cluster.options_at(node))
        folders = cluster.folders_at(node)
        if folders:
            worker.look_in.remote(folders)
        text, data = cluster.text_at(node, self.scenario), cluster.data_at(node)
        threads, given = self.settings.threads, cluster.weights()
        worker.prepare.remote(text, data, threads, None, None, given, self._classes)
        self._shared_features.give(worker)
        return worker

    def _prepare_workers(self) -> None:
        self._text = dumps(self.scenario)
        self._shared_features.forget()
        self._classes = own_classes.packed(self._text)
        if self._measures():
            # A phase may take more memory than the one before it.
            self._is_to_measure = True
            self._share_devices(len(self._devices))
            self._pool.keep(self.workers)
        self._pool.prepare_again()

    def why_no_features(self) -> str:
        """Return why features are not shared: other processors give them other last bits."""
        if self._cluster is not None and not self._cluster.is_of_one_kind():
            return "nodes of the cluster have other processors than this machine"
        return ""

    def _compute_features(self, file: FeatureFile, draft: Path) -> None:
        self._shared_features.compute(self._pool, file, draft)

    def _use_features(self, paths: dict[str, str]) -> None:
        self._shared_features.use(self._pool, paths)

    def _run_blocks(
        self, blocks: Sequence[Sequence[ClientJob]], combine: bool
    ) -> Iterator[tuple[int, BlockResult]]:
        self._mention_idle(blocks)
        slots = self._slots(blocks) if combine else [None] * len(blocks)
        shelf = Shelf(self._ray)

        def call(index: int) -> Call:
            packed = shelf.block(self._with_states(blocks[index]))
            return "run_block", (*packed, combine, slots[index])

        def began(index: int) -> None:
            self._watch(index, blocks[index])

        def limit(index: int) -> float | None:
            return self._limit(len(blocks[index]))

        lost: dict[int, WorkerLost] = {}
        for index, result in self._shared_out(blocks, call, began, limit):
            self._watchdog.ended(index)
            if isinstance(result, WorkerLost):
                lost[index] = result
            else:
                yield index, _collected(blocks[index], result)
        for index, error in sorted(lost.items()):
            yield index, self._apart(blocks[index], combine, shelf, error)

    def _shared_out(
        self,
        blocks: Sequence[Sequence[ClientJob]],
        call: Callable[[int], Call],
        began: Callable[[int], None],
        limit: Callable[[int], float | None],
    ) -> Iterator[tuple[int, Any]]:
        """Yield the outcomes of blocks as workers are done with them.

        Where it is to be measured how many workers share a device, the first block is run alone.
        """
        done, is_training = 0, blocks and blocks[0][0].message.metadata.message_type == "train"
        if self._is_to_measure and is_training:
            yield from self._pool.run(1, call, began, limit)
            self._measure(len(blocks))
            done = 1
        rest = self._pool.run(
            len(blocks) - done,
            lambda index: call(index + done),
            lambda index: began(index + done),
            lambda index: limit(index + done),
        )
        for index, outcome in rest:
            yield index + done, outcome

    def _measures(self) -> bool:
        """Return whether the number of workers on this machine's accelerators is measured."""
        return is_measured(self.settings) and self._devices not in ([], [CPU.type])

    def _measure(self, blocks: int) -> None:
        """Let as many workers share the devices as fit, by what the first block has taken."""
        answers = self._pool.on_each("on_worker", "device_memory")
        self._is_to_measure = False
        measured = [answer for answer in answers if isinstance(answer, tuple)]
        if len(measured) == len(self._devices):
            self._share_devices(workers_that_fit(measured, capacity.cores_here(), blocks))

    def _share_devices(self, workers: int) -> None:
        """Let there be so many workers from now on."""
        assert self._here is not None
        self.workers = self._here.count = workers
        logger.info("%d workers share %s", workers, ", ".join(self._devices))

    def _apart(
        self, block: Sequence[ClientJob], combine: bool, shelf: Shelf, error: WorkerLost
    ) -> BlockResult:
        """Run the clients of a lost block one by one, so that the one that fails is found."""
        if len(block) == 1:
            return _failed(block, error)

        def call(index: int) -> Call:
            packed = shelf.block(self._with_states([block[index]]))
            return "run_block", (*packed, combine, None)

        outcomes = dict(self._pool.run(len(block), call, limit_of=lambda _: self._limit(1)))
        return joined([_collected([job], outcomes[i]) for i, job in enumerate(block)])

    def _limit(self, clients: int) -> float | None:
        """Return after how long a worker that runs so many clients is ended from here.

        It ends clients that hang, and itself, before that: all at once, then one by one.
        """
        seconds = self.settings.client_timeout
        if seconds is None:
            return None
        together = hard_limit(clients * seconds) if clients > 1 else 0.0
        return together + clients * hard_limit(seconds) + SECONDS_TO_TRAVEL

    def _mention_idle(self, blocks: Sequence[Sequence[ClientJob]]) -> None:
        """Say once that there are too few blocks for the workers, where smaller ones would do."""
        idle, cohort = self.workers - len(blocks), sum(map(len, blocks))
        if self._idle_mentioned or idle < 1 or cohort == len(blocks):
            return
        self._idle_mentioned = True
        key = "vectorised" if self.stacking.decision.used else "clients_per_block"
        logger.warning(
            "%d of %d workers have nothing to do: the %d clients of a round make %d blocks; "
            "engine.%s = %d gives each something, and results other last bits",
            idle,
            self.workers,
            cohort,
            len(blocks),
            key,
            max(1, cohort // self.workers),
        )

    def _slots(self, blocks: Sequence[Sequence[ClientJob]]) -> Sequence[Slot | None]:
        """Return where each block's sum may be left: replies tend to hold what messages hold."""
        if self._on_cluster or not blocks:
            return [None] * len(blocks)
        values = array_bytes(blocks[0][0].message.content) // SINGLE
        several = max(len(block) for block in blocks) > 1
        size = values * (DOUBLE if several else SINGLE) + ROOM_TO_ALIGN
        return self._mailbox.slots(len(blocks), size)

    def _evaluate_shards(
        self, wire: torch.Tensor, shards: Sequence[Shard]
    ) -> Iterable[dict[str, Any]]:
        weights = self._ray.put(wire.numpy())
        calls = self._pool.run(
            len(shards),
            lambda index: ("evaluate_rows", (weights, *shards[index])),
            limit_of=lambda _: LONGEST_CALL,
        )
        states: dict[int, Any] = dict(calls)
        for state in states.values():
            if isinstance(state, Exception):
                raise FedlabError(f"evaluation failed: {state}") from state
        return [states[index] for index in range(len(shards))]

    def keep_last_words(self, words: str) -> None:
        """Let Ray's fork server, which outlives this process, print these words."""
        if self._own is not None:
            self._own.keep(words)

    def close(self) -> None:
        """End the workers; Ray itself serves the next run until this process ends."""
        super().close()
        self.keep_last_words(NO_WORDS)
        self._pool.close()
        if self._cluster is not None:
            self._cluster.close()
        self._mailbox.close()


def _collected(block: Sequence[ClientJob], outcome: Any) -> BlockResult:
    """Return a block's result with its sum, or the failure of the client that ends workers.

    Raises:
        FedlabError: If the block met errors beside its clients' code each time it was tried.
    """
    if isinstance(outcome, WorkerLost):
        return _failed(block, outcome)
    if isinstance(outcome, Exception):
        raise outcome
    result: BlockResult = outcome
    if result.left is not None:
        result.sum = result.left.collect()
    return result


def _failed(block: Sequence[ClientJob], error: WorkerLost) -> BlockResult:
    phase = block[0].message.metadata.message_type
    return BlockResult(failures=[Failure(e.client, phase, str(error), error.trace) for e in block])
