"""The deployment engine: clients are sites, which reach the server through Flower's SuperLink."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from flwr.app import ConfigRecord, Message
from flwr.serverapp import Grid
from pydantic import Field

from fedlab.algorithm.setup import EngineTraits, Setup
from fedlab.data.federation import Federation
from fedlab.engine import batch_size
from fedlab.engine.blocks import BlockResult, ClientJob
from fedlab.engine.devices import CPU, here
from fedlab.engine.flower.engine import FlowerGridEngine
from fedlab.engine.flower.patience import Deadline, PatientGrid
from fedlab.engine.flower.sites import LONGEST_PAUSE, Sites
from fedlab.engine.reports import Failure
from fedlab.engine.settings import EngineSettings
from fedlab.engine.worker.local_site import pooled_as_text
from fedlab.errors import FedlabError, FedlabErrors
from fedlab.files import DEPLOYED
from fedlab.models.network import Network
from fedlab.scenario import Scenario
from fedlab.scenario.site_data import Pooled, is_of_sites
from fedlab.wire.protocol import FEDERATION, POOLED, RUN_KEY

logger = logging.getLogger(__name__)

SHORTEST_PAUSE, PAUSE_SHARE = 0.05, 0.05
"""Between two looks for replies: seconds, and a share of the time since the latest."""


class DeploymentSettings(EngineSettings):
    """Keys of ``[engine]`` with name = "deployment"."""

    sites_timeout: float = Field(
        600.0,
        gt=0,
        le=10**7,
        description="seconds that the server waits for sites: for all of them before the first "
        "round, and later for as many as evaluation.minimum_replies says",
    )
    reply_timeout: float = Field(
        3600.0,
        gt=0,
        le=10**7,
        description="seconds that a site may take to answer, its way included; one that takes "
        "longer has failed in this round (client_timeout stops it at the site)",
    )
    superlink_timeout: float = Field(
        60.0,
        gt=0,
        le=10**6,
        description="seconds without a sign of the SuperLink, twice over, after which the run ends",
    )


@dataclass(frozen=True)
class Connection:
    """How a run reaches its sites.

    Attributes:
        grid: The grid.
        sites: The sites, all of which are there.
        run: The key under which sites keep what they keep of this run.
        pooled: What all sites say together.
    """

    grid: Grid
    sites: Sites
    run: str
    pooled: Pooled


class DeploymentEngine(FlowerGridEngine):
    """Real sites that train where their data are: what 'fedlab deploy run' gives a scenario."""

    Settings: ClassVar[type[EngineSettings]] = DeploymentSettings
    traits: ClassVar[EngineTraits] = EngineTraits(
        loads_own_data=True, holds_root=False, adds_up=False, is_deployed=True
    )

    def __init__(
        self,
        settings: DeploymentSettings,
        scenario: Scenario,
        federation: Federation,
        connection: Connection | None = None,
    ) -> None:
        if connection is None:
            raise FedlabError(
                f"engine.name: '{DEPLOYED}' trains at sites, which 'fedlab deploy run' reaches; a "
                "simulation on this machine has another engine (--set engine.name=ray)"
            )
        self._deployed = settings
        self._connection = connection
        self._patient = PatientGrid(connection.grid, settings.superlink_timeout)
        super().__init__(settings, scenario, federation, connection.grid)
        self.workers = len(federation)

    @classmethod
    def objections(cls, setup: Setup) -> Iterator[str]:
        """Yield what sites cannot do; which device each has, is its own matter."""
        yield from cls.computing(setup)
        yield from undeployable(setup.scenario)

    def describe(self) -> str:
        """Return what runs clients, in a few words."""
        return described_as(self.workers)

    def settle(self, network: Network) -> None:
        """Check that all sites have the server's model, before the first round."""
        if self.scenario.phase is None or self.scenario.phase.number == 0:
            self._connection.sites.check_layout(network.model.layout.fingerprint)
        super().settle(network)

    def _evaluating_device(self) -> str | None:
        """Return where the server evaluates: as its sites train, where this machine can."""
        return CPU.type if here(self.settings.device) is None else None

    def _find_nodes(self) -> dict[int, int]:
        return self._connection.sites.look()

    def _send(self, block: Sequence[ClientJob]) -> BlockResult:
        """Send a block's messages to the sites that are connected, and wait for their replies."""
        self._nodes = self._wait_for_enough(block)
        here = [job for job in block if job.client in self._nodes]
        phase = block[0].message.metadata.message_type
        missing = [
            Failure(job.client, phase, "it is not connected")
            for job in block
            if job.client not in self._nodes
        ]
        for job in here:
            job.message.content[FEDERATION] = ConfigRecord(
                {RUN_KEY: self._connection.run, POOLED: pooled_as_text(self._connection.pooled)}
            )
        result = super()._send(here) if here else BlockResult()
        result.failures = [
            Failure(f.client, f.phase, f"{self._connection.sites.name(f.client)}: {f.reason}")
            for f in (*missing, *result.failures)
        ]
        for failure in result.failures:
            logger.warning("failed to %s: %s", failure.phase, failure.reason)
        return result

    def _wait_for_enough(self, block: Sequence[ClientJob]) -> dict[int, int]:
        """Return the nodes of the sites that are connected, once there are enough for the round."""
        wanted = min(self.scenario.evaluation.minimum_replies, len(block))
        deadline = Deadline(self._deployed.sites_timeout)
        is_told = False
        while True:
            nodes = self._connection.sites.look()
            if sum(job.client in nodes for job in block) >= wanted or deadline.is_over:
                return nodes
            if not is_told:
                logger.warning("waiting for sites: %d are needed", wanted)
                is_told = True
            time.sleep(LONGEST_PAUSE)

    def _push(self, messages: Sequence[Message]) -> list[str | None]:
        return self._patient.push(messages)

    def _pull(self, waiting: set[str]) -> Iterator[Message]:
        """Yield replies as they come, until all are there or the time is over."""
        limit = self._deployed.reply_timeout
        deadline = Deadline(limit if self._timeout is None else min(limit, self._timeout))
        latest = time.monotonic()
        while waiting:
            replies = self._patient.pull(waiting)
            latest = time.monotonic() if replies else latest
            for reply in replies:
                waiting.discard(reply.metadata.reply_to_message_id)
                yield reply
            if not waiting or deadline.is_over:
                return
            # Of the time that a site takes, this much is lost at most.
            pause = PAUSE_SHARE * (time.monotonic() - latest)
            time.sleep(min(max(pause, SHORTEST_PAUSE), LONGEST_PAUSE))


def described_as(sites: int) -> str:
    """Return what runs the clients of a deployment, in a few words."""
    return f"flower deployment × {sites} sites"


def deployed(scenario: Scenario) -> Scenario:
    """Return a scenario as it is deployed: with this engine, and its own engine's common keys."""
    if isinstance(scenario.engine, DeploymentSettings):
        return scenario
    common = set(EngineSettings.model_fields) - {"name"}
    kept: dict[str, Any] = {key: getattr(scenario.engine, key) for key in common}
    engine = DeploymentSettings(name=DEPLOYED, **kept)
    return scenario.model_copy(update={"engine": engine})


def undeployable(scenario: Scenario) -> Iterator[str]:
    """Yield what of a scenario no deployment can do, a sentence each."""
    attack, data = scenario.attack, scenario.data
    if attack is not None and is_of_sites(scenario):
        yield (
            f"attack.name: '{attack.name}' is simulated, and real sites attack nobody on request; "
            "leave the table out, or simulate the deployment (data.site_files)"
        )
    if data.partition.name == "virtual" or data.name == "synthetic-population":
        yield (
            "data: virtual clients are made as they are sampled, and a deployment has a site for "
            "each; take a partition with as many clients as there are sites"
        )
    if scenario.evaluation.baselines:
        yield (
            "evaluation.baselines: they train on all clients' examples at the server, which has "
            "none of them; leave the key out, or run them in a simulation"
        )
    if batch_size.is_open(scenario):
        yield (
            "client.batch_size: 'auto' is found on the machine that trains, and sites have "
            "different ones; name a number"
        )


def check_deployable(scenario: Scenario) -> None:
    """Check that a deployment can do what a scenario asks for.

    Raises:
        FedlabErrors: With what it cannot do.
    """
    problems = list(undeployable(scenario))
    if problems:
        raise FedlabErrors(problems)
