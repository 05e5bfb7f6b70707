"""A grid whose nodes are in this process, with faults on demand, as tests of deployments use it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from flwr.app import Context, Error, Message, MessageType, RecordDict

from fedlab.engine.worker.clientapp import app
from fedlab.wire import flower_internals

NODE = 1000
"""The id of the first node; Flower's own are random."""


class Nodes:
    """Nodes of a deployment, each of which answers as soon as it is sent something.

    Args:
        scenario: The scenario as text, which a Flower run's configuration carries.
        sites: The file of each site; None for one that takes its part of the scenario's data.

    Attributes:
        gone: Numbers of the sites that are not connected.
        silent: Numbers of the sites that never answer training and evaluation.
        spoil: Changes a reply of a site, given its number and the reply.
        seen: What was sent: the site's number and the message.
    """

    def __init__(self, scenario: str, sites: Iterable[Path | None]) -> None:
        flower_internals.assume_identity()
        files = list(sites)
        self.contexts = {
            NODE + number: self._context(NODE + number, number, len(files), path, scenario)
            for number, path in enumerate(files)
        }
        self.gone: set[int] = set()
        self.silent: set[int] = set()
        self.spoil: Callable[[int, Message], Message] = lambda number, reply: reply
        self.before: Callable[[int, Message], None] = lambda number, message: None
        self.seen: list[tuple[int, Message]] = []
        self._replies: dict[str, Message] = {}
        self._count = 0

    @staticmethod
    def _context(node: int, number: int, count: int, path: Path | None, text: str) -> Context:
        own = {} if path is None else {"site": str(path)}
        config: Any = {"partition-id": number, "num-partitions": count, **own}
        return Context(1, node, config, RecordDict(), {"scenario": text})

    def get_node_ids(self) -> Iterable[int]:
        return [node for node in self.contexts if node - NODE not in self.gone]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        identifiers = []
        for message in messages:
            self._count += 1
            identifier = f"message-{self._count}"
            flower_internals.set_message_id(message, identifier)
            identifiers.append(identifier)
            number = message.metadata.dst_node_id - NODE
            self.seen.append((number, message))
            self.before(number, message)
            if number in self.gone:
                continue
            if number in self.silent and message.metadata.message_type != MessageType.QUERY:
                continue
            self._replies[identifier] = self.spoil(number, self._answer(message))
        return identifiers

    def _answer(self, message: Message) -> Message:
        try:
            return app(message, self.contexts[message.metadata.dst_node_id])
        except Exception as error:
            return Message(Error(2, f"{type(error)}:<'{error}'>"), reply_to=message)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return [self._replies.pop(i) for i in list(message_ids) if i in self._replies]

    def set_run(self, run: object) -> None:
        """Take what Flower's ServerApp sets."""

    def restart(self) -> None:
        """Let all SuperNodes forget what they had in memory."""
        for context in self.contexts.values():
            context.state = RecordDict()
