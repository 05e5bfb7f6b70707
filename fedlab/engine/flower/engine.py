"""The flower engine: Flower's own simulation, or its deployment, behind the same interface.

Flower numbers nodes at random and samples them in a random order; this engine asks every node once
for its partition and from then on speaks of clients by number, so that the same clients are sampled
with the same seeds as on every other engine. Results agree with those to float tolerance, since
replies are not added up in workers.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, ClassVar

import torch
from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.serverapp import Grid, ServerApp
from pydantic import Field

from fedlab.algorithm.setup import EngineTraits, Setup
from fedlab.data.federation import Federation
from fedlab.engine.base import Engine, Shard
from fedlab.engine.blocks import BlockResult, ClientJob, counts, report_of
from fedlab.engine.ray.capacity import gpus_here
from fedlab.engine.ray.internals import for_this_user_only
from fedlab.engine.ray.private_folder import PrivateFolder
from fedlab.engine.reports import Failure
from fedlab.engine.settings import EngineSettings
from fedlab.engine.updates import decode_reply
from fedlab.engine.worker.clientapp import client_app
from fedlab.engine.worker.of_process import worker_of
from fedlab.engine.worker.time_limit import hard_limit
from fedlab.engine.worker.worker import Worker
from fedlab.errors import FedlabError
from fedlab.own_classes import own_classes
from fedlab.process import set_torch_threads
from fedlab.scenario import Scenario, dumps
from fedlab.wire import flower_internals
from fedlab.wire.checks import BadReply, check_reply
from fedlab.wire.protocol import CONFIG, PARTITION_ID, node_of, phase_of

SEES_ALL = "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"
SECONDS_TO_START = 180.0
SECONDS_TO_TRAVEL = 60.0
"""What messages may take beyond a client's own time."""

NOT_TAKEN = "the SuperLink did not take the message, which may be too large for it"


class FlowerEngineSettings(EngineSettings):
    """Keys of ``[engine]`` with name = "flower"."""

    cpus_per_client: float = Field(1.0, gt=0, le=1024, description="what Ray reserves for a client")
    gpus_per_client: float = Field(
        0.0,
        ge=0,
        le=1024,
        description="what Ray reserves for a client, with device = 'cuda': 0.5 lets two clients at "
        "once share a card; 0: all that run at once use the first",
    )
    cpus: int | None = Field(None, ge=1, le=4096, description="CPUs that Ray may use; default: all")


class _WorkerFromText:
    """Finds the process's worker; small, since Flower pickles it with every message."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._classes = own_classes.packed(text)

    def __call__(self, context: Context, config: Mapping[str, Any]) -> Worker:
        return worker_of(self._text, phase_of(config), classes=self._classes)


class FlowerGridEngine(Engine):
    """An engine over a Grid of Flower's, whose nodes are found by their partition."""

    traits: ClassVar[EngineTraits] = EngineTraits(holds_root=False, adds_up=False)

    def __init__(
        self, settings: EngineSettings, scenario: Scenario, federation: Federation, grid: Grid
    ) -> None:
        super().__init__(settings, scenario, federation)
        set_torch_threads(settings.threads)
        self._grid = grid
        self._nodes = self._find_nodes()
        self._evaluator: Worker | None = None
        self._timeout: float | None = None

    @classmethod
    def notes(cls, setup: Setup) -> Iterator[str]:
        """Yield which keys do nothing where each client is a node of its own."""
        yield from super().notes(setup)
        engine = setup.scenario.engine
        for key in ("clients_per_block", "vectorised"):
            if getattr(engine, key) not in ("auto", False):
                yield (
                    f"engine.{key} does nothing with engine '{engine.name}', where each client is "
                    "a node of its own"
                )

    def device_models(self) -> str:
        """Return nothing: each site trains on a device of its own."""
        return ""

    def _prepare_workers(self) -> None:
        self._evaluator = None

    def _find_nodes(self) -> dict[int, int]:
        """Return the node of each client, once every client's node is there."""
        deadline = time.monotonic() + SECONDS_TO_START
        found: dict[int, int] = {}
        known: set[int] = set()
        while len(found) < len(self.federation):
            if time.monotonic() > deadline:
                raise FedlabError(
                    f"engine.name: {len(found)} of {len(self.federation)} Flower nodes came up "
                    f"within {SECONDS_TO_START:.0f} s"
                )
            new = [node for node in self._grid.get_node_ids() if node not in known]
            if not new:
                time.sleep(0.2)
                continue
            asked = [
                Message(RecordDict({CONFIG: ConfigRecord()}), node, MessageType.QUERY)
                for node in new
            ]
            for reply in self._grid.send_and_receive(asked):
                if reply.has_content():
                    client = int(reply.content.config_records[CONFIG][PARTITION_ID])  # type: ignore[arg-type]
                    found[client] = reply.metadata.src_node_id
                    known.add(reply.metadata.src_node_id)
        return found

    def _plan(self, clients: Sequence[int], combine: bool) -> list[list[int]]:
        return [list(range(len(clients)))] if clients else []

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Send messages and return the replies that arrive within ``timeout`` seconds, if given."""
        self._timeout = timeout
        try:
            return super().send_and_receive(messages)
        finally:
            self._timeout = None

    def _run_blocks(
        self, blocks: Sequence[Sequence[ClientJob]], combine: bool
    ) -> Iterator[tuple[int, BlockResult]]:
        for index, block in enumerate(blocks):
            yield index, self._send(block)

    def _send(self, block: Sequence[ClientJob]) -> BlockResult:
        clients = {self._nodes[job.client]: job.client for job in block}
        sent = [
            Message(e.message.content, self._nodes[e.client], e.message.metadata.message_type)
            for e in block
        ]
        contents = {job.client: job.message.content for job in block}
        phase = sent[0].metadata.message_type
        result = BlockResult()
        asked = {}
        for identifier, message in zip(self._push(sent), sent, strict=True):
            client = clients[message.metadata.dst_node_id]
            if identifier is None:
                result.failures.append(Failure(client, phase, NOT_TAKEN))
            else:
                asked[identifier] = client
        for reply in self._pull(set(asked)):
            client = asked.pop(reply.metadata.reply_to_message_id)
            if reply.has_error():
                result.failures.append(Failure(client, phase, reply.error.reason or "no reason"))
                continue
            report = report_of(client, phase, reply)
            try:
                if self.updates and phase == MessageType.TRAIN:
                    saved = decode_reply(self.updates, reply.content, contents[client])
                    report = replace(report, bytes_saved=saved)
                if phase != MessageType.QUERY:
                    is_training = phase == MessageType.TRAIN
                    check_reply(reply.content, contents[client], is_training)
            except BadReply as error:
                result.failures.append(Failure(client, phase, str(error)))
                continue
            result.reports.append(report)
            flower_internals.set_source(reply, node_of(client))
            if counts(reply, report):
                result.replies.append(reply)
        result.failures += [Failure(c, phase, "no answer in time") for c in asked.values()]
        return result

    def _push(self, messages: Sequence[Message]) -> list[str | None]:
        """Send messages; return their ids, None for one that was not taken."""
        return list(self._grid.push_messages(messages))

    def _pull(self, waiting: set[str]) -> Iterator[Message]:
        """Yield replies as they come, until all are there or nothing more is to be expected.

        Where a client's time is limited, some client must have answered within that time.
        """
        limit = self.settings.client_timeout
        quiet = None if limit is None else hard_limit(limit) + SECONDS_TO_TRAVEL
        start = latest = time.monotonic()
        while waiting:
            replies = list(self._grid.pull_messages(list(waiting)))
            for reply in replies:
                waiting.discard(reply.metadata.reply_to_message_id)
                yield reply
            now = time.monotonic()
            latest = now if replies else latest
            if self._timeout is not None and now - start > self._timeout:
                return
            if quiet is not None and now - latest > quiet:
                return
            if not replies:
                time.sleep(0.05)

    def _evaluate_shards(
        self, wire: torch.Tensor, shards: Sequence[Shard]
    ) -> Iterable[dict[str, Any]]:
        if self._evaluator is None:
            device = self._evaluating_device()
            self._evaluator = Worker(self.scenario, self.federation, device)
        return [self._evaluator.evaluate_rows(wire, *shard) for shard in shards]

    def _evaluating_device(self) -> str | None:
        """Return where the server evaluates; None: where the scenario says."""
        return None


class FlowerEngine(FlowerGridEngine):
    """Runs clients in Flower's stock Ray simulation, for comparison and compatibility."""

    Settings: ClassVar[type[EngineSettings]] = FlowerEngineSettings
    traits: ClassVar[EngineTraits] = EngineTraits(
        loads_own_data=True, holds_root=False, adds_up=False
    )

    @classmethod
    def objections(cls, setup: Setup) -> Iterator[str]:
        """Yield why this machine cannot run the clients; Ray would wait for a card for ever."""
        yield from super().objections(setup)
        yield from _about_cards(setup.scenario.engine)

    def __init__(
        self, settings: FlowerEngineSettings, scenario: Scenario, federation: Federation
    ) -> None:
        # Ray would hide all cards from clients that it has not dealt any.
        os.environ.setdefault(SEES_ALL, "0")
        self._over = threading.Event()
        self._ready = threading.Event()
        self._shared: list[Grid] = []
        self._error: Exception | None = None
        self._thread = threading.Thread(
            target=self._simulate, args=(settings, dumps(scenario), len(federation)), daemon=True
        )
        self._thread.start()
        self._ready.wait(SECONDS_TO_START)
        if not self._shared:
            raise FedlabError(f"Flower's simulation did not start: {self._error or 'no answer'}")
        super().__init__(settings, scenario, federation, self._shared[0])

    def _simulate(self, settings: FlowerEngineSettings, text: str, population: int) -> None:
        """Run Flower's simulation; its ServerApp lends us the grid until the engine is closed."""
        from flwr.simulation import run_simulation

        server = ServerApp()

        @server.main()
        def main(grid: Grid, context: Context) -> None:
            self._shared.append(grid)
            self._ready.set()
            self._over.wait()

        resources: dict[str, Any] = {
            "num_cpus": settings.cpus_per_client,
            "num_gpus": settings.gpus_per_client,
        }
        folder = PrivateFolder.create()
        initial: dict[str, Any] = {
            "include_dashboard": False,
            "log_to_driver": False,
            "_temp_dir": str(folder.ray),
        }
        if settings.cpus is not None:
            initial["num_cpus"] = settings.cpus
        backend: Any = {"client_resources": resources}
        import ray

        # Flower takes the Ray that this process has, if any, which knows its own token alone.
        started: Any = nullcontext({}) if ray.is_initialized() else for_this_user_only()
        try:
            with started as private:
                run_simulation(
                    server,
                    client_app(_WorkerFromText(text), nodes_keep_states=True),
                    population,
                    backend_config={**backend, "init_args": {**initial, **private}},
                )
        except Exception as error:
            self._error = error
        finally:
            self._ready.set()
            folder.remove()

    def device_models(self) -> str:
        """Return what clients are trained on."""
        return Engine.device_models(self)

    def close(self) -> None:
        """End the simulation."""
        super().close()
        self._over.set()
        self._thread.join(SECONDS_TO_START)


def _about_cards(settings: FlowerEngineSettings) -> Iterator[str]:
    """Yield what speaks against the share of a card that a client is to have."""
    share, cards = settings.gpus_per_client, gpus_here()
    if not share:
        return
    if settings.device != "cuda":
        yield (
            f"engine.gpus_per_client = {share:g}: Ray deals CUDA cards, and engine.device is "
            f"'{settings.device}'; set device = 'cuda', or gpus_per_client to 0"
        )
    elif share > cards:
        yield (
            f"engine.gpus_per_client = {share:g}: this machine has {cards} CUDA cards; set "
            f"{cards}{' or less' if cards else ''}"
        )
