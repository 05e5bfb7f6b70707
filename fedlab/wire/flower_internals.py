"""The only file that touches what Flower does not make public; its test fails when Flower moves it.

``Message(...)`` reads a process-global identity of the running task, and message ids are set by
Flower's SuperLink, which our engines do without.
"""

from __future__ import annotations

from flwr.app import Message
from flwr.app.message import make_message
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

__all__ = [
    "RUN_ID",
    "SERVER_NODE",
    "Run",
    "assume_identity",
    "empty_run",
    "make_message",
    "set_message_id",
    "set_source",
]

RUN_ID = 1
SERVER_NODE = 1


def assume_identity(node: int = SERVER_NODE) -> None:
    """Allow this process to create messages as ``node``."""
    TaskIdentity.run_id = RUN_ID
    TaskIdentity.node_id = node
    TaskIdentity.task_id = 1


def set_message_id(message: Message, message_id: str) -> None:
    """Give a message the id that replies to it will name."""
    message.metadata.__dict__["_message_id"] = message_id


def empty_run() -> Run:
    """Return a run as Flower's Grid interface wants one."""
    return Run.create_empty(RUN_ID)


def set_source(message: Message, node: int) -> None:
    """Let a reply come from ``node``, so that replies can be distinguished by client."""
    message.metadata.__dict__["_src_node_id"] = node
