"""The sites of a deployment: who is there, what each says of itself, and whether that will do."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence

from flwr.app import ConfigRecord, Message, MessageType, RecordDict

from fedlab.engine.flower.patience import Deadline, PatientGrid
from fedlab.engine.worker.introduction import Introduction, facts, read_introduction
from fedlab.engine.worker.local_site import pooled_from
from fedlab.errors import FedlabError, FedlabErrors, one_line
from fedlab.scenario.site_data import Pooled
from fedlab.wire.protocol import ANSWER, ASK, CONFIG, INTRODUCTION, STATISTICS_OF_SITE
from fedlab.wire.records import config_of

logger = logging.getLogger(__name__)

PAUSE = 0.2
"""Seconds between two looks at the grid, at first."""
LONGEST_PAUSE = 1.0
MOST_SHOWN = 20
MUST_AGREE = ("fedlab", "flwr")
"""Of what figures depend on: a site with another one is refused."""


class Sites:
    """The nodes of a grid, by the client that each is.

    Args:
        grid: The grid.
        expected: How many sites there are.
        patience: Seconds to wait for sites, and for their answers to questions.

    Attributes:
        known: What each site says of itself, by client.
    """

    def __init__(self, grid: PatientGrid, expected: int, patience: float) -> None:
        self.known: dict[int, Introduction] = {}
        self._grid = grid
        self._expected = expected
        self._patience = patience
        self._nodes: dict[int, int] = {}
        self._refused: dict[int, str] = {}
        self._asked: dict[str, int] = {}
        self._is_complete = False

    def name(self, client: int) -> str:
        """Return what a site is called in messages: by its name, where it says so, or number."""
        known = self.known.get(client)
        return f"site '{known.name}'" if known is not None and known.name else f"site {client}"

    def wait(self) -> None:
        """Wait until all sites are there, and check that each can take part.

        Raises:
            FedlabError: If not all come in time, or with what differs at each that cannot.
        """
        deadline = Deadline(self._patience)
        while len(self._nodes) + len(self._refused) < self._expected:
            self.look()
            if len(self._nodes) + len(self._refused) >= self._expected:
                break
            if deadline.is_over:
                raise FedlabErrors([self._missing(), *self._objections()])
            time.sleep(PAUSE)
        objections = list(self._objections())
        if objections:
            raise FedlabErrors(objections)
        self._is_complete = True

    def __str__(self) -> str:
        known = [f"{self.name(k)}: {said.held:,}" for k, said in sorted(self.known.items())]
        more = f"; and {len(known) - MOST_SHOWN} more" if len(known) > MOST_SHOWN else ""
        return f"{'; '.join(known[:MOST_SHOWN])}{more} (examples)"

    def _missing(self) -> str:
        gone = [str(k) for k in range(self._expected) if k not in self._nodes]
        shown = ", ".join(gone[:10]) + (", ..." if len(gone) > 10 else "")
        return (
            f"{len(self._nodes)} of {self._expected} sites are there after {self._patience:.0f} s "
            f"(engine.sites_timeout); missing by number (partition-id): {shown}"
        )

    def _objections(self) -> Iterator[str]:
        yield from self._refused.values()
        for client, said in sorted(self.known.items()):
            for difference in self._differences(said):
                yield f"{self.name(client)}: {difference}"

    def _differences(self, said: Introduction) -> Iterator[str]:
        here = facts()
        for name in MUST_AGREE:
            if said.facts.get(name) != here[name]:
                there = said.facts.get(name) or "none"
                of = f"source {there}" if name == "fedlab" else there
                mine = f"source {here[name]}" if name == "fedlab" else here[name]
                yield f"it has another {name} ({of}, and {mine} here); install the same"
        if said.clients not in (0, self._expected):
            yield (
                f"it was started as one of {said.clients} sites (num-partitions), and the scenario "
                f"has {self._expected}"
            )
        yield from said.differences

    def notes(self) -> Iterator[str]:
        """Yield what may change the last digits of figures at some site."""
        here = facts()
        for client, said in sorted(self.known.items()):
            others = [
                f"{name} {said.facts[name]} ({here[name]} here)"
                for name in ("Python", "torch", "numpy")
                if said.facts.get(name, here[name]) != here[name]
            ]
            if others:
                yield (
                    f"{self.name(client)} has {', '.join(others)}: its figures may differ in their "
                    "last digits from those of the same code here"
                )

    def check_layout(self, fingerprint: str) -> None:
        """Check that all sites' models are the server's.

        Raises:
            FedlabErrors: With those that are not.
        """
        wrong = [
            f"{self.name(client)}: its model is another ({said.layout}, and {fingerprint} here); "
            "its libraries of models may be"
            for client, said in sorted(self.known.items())
            if said.layout and said.layout != fingerprint
        ]
        if wrong:
            raise FedlabErrors(wrong)

    def look(self) -> dict[int, int]:
        """Return the nodes of the sites that are connected, by client; new ones are asked first."""
        present = set(self._grid.nodes())
        for client, node in list(self._nodes.items()):
            if node not in present:
                del self._nodes[client]
                logger.warning("%s is not connected any more", self.name(client))
        self._refused = {node: r for node, r in self._refused.items() if node in present}
        self._asked = {i: node for i, node in self._asked.items() if node in present}
        self._ask(present - {*self._nodes.values(), *self._refused, *self._asked.values()})
        for reply in self._grid.pull(self._asked) if self._asked else ():
            if reply.metadata.reply_to_message_id in self._asked:
                self._take(self._asked.pop(reply.metadata.reply_to_message_id), reply)
        return dict(self._nodes)

    def _ask(self, nodes: set[int]) -> None:
        if not nodes:
            return
        ordered = sorted(nodes)
        messages = [question(node, INTRODUCTION) for node in ordered]
        for identifier, node in zip(self._grid.push(messages), ordered, strict=True):
            if identifier is not None:
                self._asked[identifier] = node

    def _take(self, node: int, reply: Message) -> None:
        """Take a node's introduction; one that cannot take part is refused, and said so."""
        try:
            said = read_introduction(answer_in(reply))
        except FedlabError as error:
            self._refused[node] = f"a site (node {node}) cannot take part: {error}"
        else:
            self._refused.pop(node, None)
            self._accept(node, said)
        if node in self._refused:
            logger.warning(self._refused[node])

    def _accept(self, node: int, said: Introduction) -> None:
        client, before = said.client, self.known.get(said.client)
        if client >= self._expected:
            self._refused[node] = (
                f"a site is number {client} (partition-id), and the scenario has "
                f"{self._expected}, counted from 0"
            )
        elif client in self._nodes:
            self._refused[node] = (
                f"two sites are number {client} (partition-id); give each a number of its own"
            )
        elif self._is_complete and before is not None:
            self._welcome_back(node, said, before)
        else:
            self._nodes[client], self.known[client] = node, said

    def _welcome_back(self, node: int, said: Introduction, before: Introduction) -> None:
        """Let a site that was there before the first round go on, if it is still the same."""
        problems = list(self._differences(said))
        for name, what in (("layout", "model"), ("held", "number of examples")):
            if getattr(said, name) != getattr(before, name):
                problems.append(f"its {what} is not what it was before the first round")
        if problems:
            name = self.name(said.client)
            self._refused[node] = f"{name} is back and not used: {'; '.join(problems)}"
            return
        self._nodes[said.client] = node
        logger.info("%s is back", self.name(said.client))

    def statistics(self) -> list[Pooled]:
        """Return what each site says of its training rows, in the order of the sites.

        Raises:
            FedlabError: If one does not say it in time.
        """
        clients = sorted(self._nodes)
        nodes = [self._nodes[client] for client in clients]
        messages = [question(node, STATISTICS_OF_SITE) for node in nodes]
        waiting = dict(zip(self._grid.push(messages), clients, strict=True))
        found: dict[int, Pooled] = {}
        deadline = Deadline(self._patience)
        while len(found) < len(clients):
            for reply in self._grid.pull([i for i in waiting if i is not None]):
                client = waiting.pop(reply.metadata.reply_to_message_id)
                try:
                    found[client] = pooled_from(answer_in(reply))
                except FedlabError as error:
                    raise FedlabError(f"{self.name(client)}: {error}") from error
            if len(found) < len(clients) and deadline.is_over:
                late = ", ".join(self.name(c) for c in clients if c not in found)
                raise FedlabError(
                    f"no statistics of {late} within {self._patience:.0f} s (engine.sites_timeout)"
                )
            time.sleep(PAUSE if len(found) < len(clients) else 0)
        return [found[client] for client in clients]


def question(node: int, asked: str) -> Message:
    """Return a question to a node."""
    content = RecordDict({CONFIG: ConfigRecord({ASK: asked})})
    return Message(content, node, MessageType.QUERY)


def answer_in(reply: Message) -> str:
    """Return what a node answered.

    Raises:
        FedlabError: If it could not.
    """
    if reply.has_error():
        raise FedlabError(one_line(reply.error.reason or "no reason", 300))
    said = config_of(reply.content).get(ANSWER)
    if not isinstance(said, str):
        raise FedlabError("it answers no questions; it may have another fedlab")
    return said


def sizes_of(known: dict[int, Introduction], clients: int) -> tuple[Sequence[int], Sequence[int]]:
    """Return how many examples each site holds, and how many it has set apart itself."""
    held = [known[client].held for client in range(clients)]
    return held, [known[client].tested for client in range(clients)]
