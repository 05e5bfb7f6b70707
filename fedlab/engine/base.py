"""What every engine is: a Flower Grid that knows its clients by number.

The seam is Flower's public ``Grid``: a strategy talks to it and does not know what stands behind.
The rounds loop uses :meth:`Engine.exchange`, which also returns what strategies do not see.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from fedlab.algorithm.setup import EngineTraits, Setup, raised
from fedlab.algorithm.update_chain import UpdateChain
from fedlab.data.federation import Federation
from fedlab.engine import devices, numerics, pieces
from fedlab.engine.blocks import BlockResult, ClientJob, plan
from fedlab.engine.client_states import ClientStates
from fedlab.engine.features.cache import CannotCache, FeatureFile, plan_features, split_network
from fedlab.engine.probe import Probe, probe_of
from fedlab.engine.reports import Decision, Exchange, Progress
from fedlab.engine.settings import EngineSettings
from fedlab.engine.stacked.decision import Stacking, stacking_of
from fedlab.engine.totals import OrderedTotal, drop_odd
from fedlab.engine.updates import decode_reply
from fedlab.engine.watchdog import Watchdog
from fedlab.metrics.evaluation import Evaluation
from fedlab.models.checkpointing import blocks_of
from fedlab.models.network import Network
from fedlab.scenario import Scenario
from fedlab.scenario.parts import adversary_of, update_chain
from fedlab.scenario.phases import phases_of
from fedlab.wire import flower_internals
from fedlab.wire.protocol import FIRST_NODE, LENGTHS_DIFFER, client_of
from fedlab.wire.records import array_bytes, config_of

logger = logging.getLogger(__name__)
ROWS_PER_SHARD = 1024
Shard = tuple[int, int, int]
"""Of the test set: its first row, that after its last, and the round that it is looked at in."""


class Engine(Grid):
    """A Grid over the clients of one federation.

    A node's id is its client's number plus ``FIRST_NODE`` (Flower keeps 0 and 1 for itself), so
    that ids, sampling and the order of replies are the same in every run.

    Attributes:
        states: What clients keep between rounds, for those that have kept anything.
        scenario: What is run: of several phases, the present one.
        workers: How many processes run clients.
        adversary: Which clients attack, and how; None where nobody does.
        updates: What happens to updates on their way; :meth:`settle` sets it.
        stacking: Whether and how clients are trained at once; :meth:`settle` sets it.
        features: Whether the features of a frozen prefix are cached; :meth:`settle` sets it.
        traits: What the engine says of itself.
    """

    workers: int = 1
    traits: ClassVar[EngineTraits] = EngineTraits()

    def __init__(
        self, settings: EngineSettings, scenario: Scenario, federation: Federation
    ) -> None:
        self.settings = settings
        self.scenario = phases_of(scenario)[0]
        self.federation = federation
        self.states = ClientStates()
        self.adversary = adversary_of(scenario, len(federation))
        self.stacking = Stacking(Decision.against("not decided yet"))
        self.features = Decision.against("not decided yet")
        self.updates: UpdateChain | None = None
        wanted = probe_of(scenario, federation)
        self._probe = Probe(wanted, scenario, federation) if wanted else None
        self._network: Network | None = None
        self._watchdog = Watchdog(client_timeout=settings.client_timeout)
        self._run = flower_internals.empty_run()
        self._answered: dict[str, Message] = {}

    @classmethod
    def objections(cls, setup: Setup) -> Iterator[str]:
        """Yield a sentence for each reason why this machine cannot run the scenario's clients.

        Args:
            setup: All parts of the run.
        """
        yield from raised(lambda: devices.resolved(setup.scenario.engine.device))
        yield from cls.computing(setup)

    @classmethod
    def computing(cls, setup: Setup) -> Iterator[str]:
        """Yield why clients cannot be computed as ``[engine]`` wants them, on whichever machine.

        Args:
            setup: All parts of the run.
        """
        yield from numerics.objections(setup)
        yield from pieces.objections(setup)
        yield from cls._checkpointing(setup)

    @classmethod
    def _checkpointing(cls, setup: Setup) -> Iterator[str]:
        """Tell whether the network has blocks that can be computed again."""
        wanted = setup.scenario.engine.checkpointing
        if wanted and setup.scenario.engine.compile:
            yield (
                "engine.checkpointing: a compiled network decides by itself what it computes "
                "again; leave out engine.checkpointing or engine.compile"
            )
        if wanted and not blocks_of(setup.network):
            yield (
                f"engine.checkpointing: '{setup.scenario.model.name}' has no blocks that could be "
                "computed again; leave the key out"
            )

    @classmethod
    def notes(cls, setup: Setup) -> Iterator[str]:
        """Yield what the user should know of how clients are run, a sentence each.

        Args:
            setup: All parts of the run.
        """
        settings = setup.scenario.engine
        if not settings.deterministic and devices.may_be_accelerated(settings.device):
            yield "bits may differ between runs: engine.deterministic is false"
        yield from numerics.notes(setup)
        looks = setup.algorithm.overrides("batch_terms") or setup.algorithm.couples_examples
        if settings.compile and looks:
            yield (
                f"engine.compile: client '{setup.scenario.client.name}' looks into the network "
                "while it trains, which is then computed as it is written; evaluation is compiled"
            )
        yield from pieces.notes(setup)

    def describe(self) -> str:
        """Return what runs clients, in a few words."""
        return f"{self.settings.name} × {self.workers}"

    def device_models(self) -> str:
        """Return what clients are trained on ("NVIDIA A100 (cuda)"), or "" where sites differ."""
        return devices.models_of(self.settings.device)

    def settle(self, network: Network) -> None:
        """Decide how clients are trained: on cached features or not, stacked or not.

        Args:
            network: The server's copy of the model.
        """
        self._network = network
        self.updates = update_chain(self.scenario, network.model.layout)
        reason = self.why_no_features()
        self.features = Decision.against(reason) if reason else self._cache_features(network)
        task, kind = self.federation.dataset.task, devices.kind_of(self.settings.device)
        self.stacking = stacking_of(self.scenario, network, task, kind)
        logger.info("feature cache: %s", self.features)
        logger.info("vectorised clients: %s", self.stacking.decision)

    def begin_phase(self, scenario: Scenario, network: Network, keep_states: bool) -> None:
        """Go on with another phase of the run.

        Args:
            scenario: The phase.
            network: The server's copy of the model, as the phase has it.
            keep_states: Whether what clients and update processors keep still fits the models.
        """
        self.scenario = scenario
        self._watchdog.begin_phase()
        kept = self.updates.state_dict() if self.updates and keep_states else []
        if not keep_states:
            self.states.forget()
        self._prepare_workers()
        self.settle(network)
        if self.updates and kept:
            self.updates.load_state_dict(kept)

    def _prepare_workers(self) -> None:
        """Let every worker work on the present scenario."""

    def _cache_features(self, network: Network) -> Decision:
        """Compute the features of a frozen prefix, where that pays; return whether it does."""
        if self.settings.feature_cache is False:
            return Decision.against("engine.feature_cache is false")
        if self.adversary is not None and self.adversary.attack.changes_inputs:
            return Decision.against("an attack changes inputs")
        try:
            files = plan_features(self.scenario, network, self.federation)
            parts, _ = split_network(self.scenario, network, self.federation)
        except CannotCache as error:
            return Decision.against(str(error))
        for file in files:
            if not file.path.exists():
                draft = file.begin()
                self._compute_features(file, draft)
                file.finish()
        self._use_features({file.part: str(file.path) for file in files})
        network.model.body = parts.rest
        return Decision(True)

    def why_no_features(self) -> str:
        """Return why clients cannot share features that are computed once; "" where they can."""
        return "this engine does not share files with its clients"

    def _compute_features(self, file: FeatureFile, draft: Path) -> None:
        """Let workers compute a file's rows, and write them into its draft."""
        raise NotImplementedError

    def _use_features(self, paths: dict[str, str]) -> None:
        """Let every worker use the features in these files, by part of the data set."""
        raise NotImplementedError

    def exchange(
        self,
        messages: Iterable[Message],
        *,
        combine: bool = False,
        progress: Progress | None = None,
    ) -> Exchange:
        """Send messages, run the clients, and return replies and reports.

        Args:
            messages: One per client.
            combine: Whether workers add up their clients' replies, so that one reply, their
                weighted mean, is the result.
            progress: Called with the reports of each block that is done.
        """
        sent = list(messages)
        clients = [client_of(message.metadata.dst_node_id) for message in sent]
        blocks = [
            [self._job(clients[i], sent[i]) for i in block]
            for block in self._plan(clients, combine)
        ]
        total = OrderedTotal()
        results: list[BlockResult] = []
        with self._watchdog.watching(sent):
            for index, result in self._run_blocks(blocks, combine):
                results.append(result)
                total.add(index, result)
                if progress is not None:
                    progress(result.reports)
        drop_odd(results, total.tally, _lengths_differ(sent))
        exchange = self._collect(results)
        combined = total.tally.total
        if combined is not None:
            content = combined.mean()
            if self.updates is not None and self.updates.decodes_sums:
                decode_reply(self.updates, content, sent[0].content, is_mean=True)
            exchange.replies = [Message(content, reply_to=sent[0])]
        contents = {id(message.content): message.content for message in sent}
        sizes = {number: array_bytes(content) for number, content in contents.items()}
        exchange.bytes_down = sum(sizes[id(message.content)] for message in sent)
        return exchange

    def _plan(self, clients: Sequence[int], combine: bool) -> list[list[int]]:
        wanted = self.settings.clients_per_block
        stacked = self.stacking.length(len(clients)) if combine else 0
        return plan(clients, self._size, stacked or (0 if wanted == "auto" else wanted))

    def block_of(self, client: int, cohort: Sequence[int]) -> list[int]:
        """Return the clients, itself included, that a client of a cohort is trained with."""
        blocks = [[cohort[i] for i in block] for block in self._plan(cohort, True)]
        return next(block for block in blocks if client in block)

    def _size(self, client: int) -> int:
        """Return how many examples a client holds; the server's own count as none."""
        is_root = client == len(self.federation) and self.federation.root_examples
        return 0 if is_root else self.federation.size(client)

    def _watch(self, index: int, block: Sequence[ClientJob]) -> None:
        """Tell the watchdog that a block's clients are running."""
        clients = [job.client for job in block]
        self._watchdog.began(index, clients, sum(map(self._size, clients)))

    def _job(self, client: int, message: Message) -> ClientJob:
        flower_internals.set_message_id(message, f"{message.metadata.message_type}-{client}")
        return ClientJob(client, message)

    def _with_states(self, block: Sequence[ClientJob]) -> list[ClientJob]:
        """Return a block's jobs with their clients' states, right before they are run."""
        return [replace(job, state=self.states.get(job.client)) for job in block]

    def _collect(self, results: Sequence[BlockResult]) -> Exchange:
        exchange = Exchange()
        for result in results:
            exchange.replies += result.replies
            exchange.reports += result.reports
            exchange.failures += result.failures
            for client, state in result.states.items():
                self.states.put(client, state)
        exchange.replies.sort(key=lambda reply: reply.metadata.src_node_id)
        exchange.reports.sort(key=lambda report: report.client)
        exchange.failures.sort(key=lambda failure: failure.client)
        exchange.bytes_up = sum(report.bytes_up for report in exchange.reports)
        exchange.bytes_saved = sum(report.bytes_saved for report in exchange.reports)
        return exchange

    def evaluate(self, wire: torch.Tensor, server_round: int = 0) -> Evaluation:
        """Return the metrics of the weights on the server's test set.

        The test set is cut into shards of fixed size, added up in order. Where representations are
        probed, the server's own network does that.

        Args:
            wire: The weights.
            server_round: The round whose test set is meant, where shifts change with the rounds;
                0: as before the first.
        """
        test = self.federation.dataset.test
        shards = [
            (start, min(start + ROWS_PER_SHARD, len(test)), server_round)
            for start in range(0, len(test), ROWS_PER_SHARD)
        ]
        evaluation = Evaluation(self.federation.dataset.task)
        for state in self._evaluate_shards(wire, shards):
            evaluation.merge(state)
        if self._probe is not None:
            assert self._network is not None
            evaluation.note(self._probe.measured(self._network, wire))
        return evaluation

    @abstractmethod
    def _run_blocks(
        self, blocks: Sequence[Sequence[ClientJob]], combine: bool
    ) -> Iterable[tuple[int, BlockResult]]:
        """Run blocks; yield each one's number and result as it is done."""

    @abstractmethod
    def _evaluate_shards(
        self, wire: torch.Tensor, shards: Sequence[Shard]
    ) -> Iterable[dict[str, Any]]:
        """Return the metrics' sums of each shard of the test set, in order."""

    def keep_last_words(self, words: str) -> None:
        """Let these words be printed, should this process end without a word of its own.

        Where no other process could print them, nobody does.
        """

    def close(self) -> None:
        """End the engine's processes and threads."""
        self._watchdog.close()

    def set_run(self, run: Any) -> None:
        """Set the run, as Flower's interface wants."""
        self._run = run

    @property
    def run(self) -> Any:
        """Return the run, as Flower's interface wants."""
        return self._run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Return a new message to a node."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """Return the ids of all clients' nodes."""
        return range(FIRST_NODE, FIRST_NODE + len(self.federation))

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Send messages and return one reply per client that answered.

        Args:
            messages: One per client.
            timeout: Part of Flower's interface, and ignored: this waits for all clients. The limit
                for one client is ``engine.client_timeout``.
        """
        return self.exchange(messages).replies

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Run the messages' clients; their replies wait to be pulled."""
        sent = list(messages)
        for reply in self.exchange(sent).replies:
            self._answered[reply.metadata.reply_to_message_id] = reply
        return [message.metadata.message_id for message in sent]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies to pushed messages."""
        return [self._answered.pop(i) for i in message_ids if i in self._answered]


def _lengths_differ(sent: Sequence[Message]) -> bool:
    """Return whether clients may send vectors of any length beside their weights."""
    return bool(sent) and bool(config_of(sent[0].content).get(LENGTHS_DIFFER, False))
