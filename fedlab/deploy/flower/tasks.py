"""Tasks of Flower's: acquired, given their input, and ended with what came of them.

Flower starts a program for each task, which installs the run's bundle and runs what is in it. Here
a function of fedlab's own is called in its place.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Queue
from typing import Any

import httpx
from flwr.app import Context, Message
from flwr.app.error import Error
from flwr.common.config import get_fused_config_from_fab
from flwr.common.constant import ErrorCode, SubStatus
from flwr.common.serde import context_from_proto, fab_from_proto, run_from_proto
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
    PullTaskInputRequest,
    PushTaskOutputRequest,
)
from flwr.serverapp import Grid
from flwr.supercore.constant import TaskType
from flwr.supercore.heartbeat import HeartbeatSender, make_task_heartbeat_fn_http
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.logger import (
    flush_logs,
    mirror_output_to_queue,
    restore_output,
    start_log_uploader,
    stop_log_uploader,
)
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid import HttpGrid
from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message, push_task_output

logger = logging.getLogger(__name__)

ACQUIRE = "/flwr.proto.Runtime/AcquireTask"
SERVER, CLIENT = TaskType.SERVER_APP, TaskType.CLIENT_APP
ClientFunction = Callable[[Message, Context, bytes], Message]
"""Answers a message; the last argument is the run's bundle."""
ServerFunction = Callable[[Grid, Context, bytes], None]


@dataclass(frozen=True)
class Task:
    """A task that this process has acquired.

    Attributes:
        run: The run's number.
        token: What the task's requests show.
    """

    run: int
    token: str


class Tasks:
    """The tasks that wait at a SuperLink or SuperNode of this machine.

    Args:
        address: Of its Runtime interface, on the loopback address.
        secret: What only its own party's processes know.
        kind: The kind of task: ``SERVER`` or ``CLIENT``.
    """

    def __init__(self, address: str, secret: bytes, kind: TaskType) -> None:
        self._kind = kind
        self._client = RuntimeHttpClient.from_server_address(
            server_address=address,
            insecure=True,
            root_certificates=None,
            interceptors=[
                RuntimeVersionHttpInterceptor(component_name="SuperExec"),
                SuperExecAuthHttpInterceptor(
                    master_secret=secret, protected_methods=frozenset({ACQUIRE})
                ),
            ],
        )

    def acquire(self) -> Task | None:
        """Return a task that waits, or None where there is none.

        Raises:
            httpx.HTTPError: If the SuperLink or SuperNode does not answer.
        """
        request = AcquireTaskRequest(supported_task_types=[self._kind])
        response = self._client.AcquireTask(request)
        if not response.HasField("task") or not response.token:
            return None
        return Task(response.task.run_id, response.token)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def answer_message(address: str, token: str, function: ClientFunction) -> None:
    """Work on a site's task: let a function answer its message, and hand the answer over.

    What the function raises is the answer, as an error. A signal to this process passes through,
    once the task has been given back as failed.

    Args:
        address: Of the SuperNode's Runtime interface.
        token: The task's.
        function: Answers the message.

    Raises:
        httpx.HTTPError: If the SuperNode does not answer, or has given the task up.
    """
    with _runtime_client(address, token) as client, _heartbeat(client):
        message, context, _, bundle = pull_task_input(client)
        status, details = SubStatus.FAILED, "the site's process was interrupted"
        try:
            try:
                reply = function(message, context, bundle.content)
                status, details = SubStatus.COMPLETED, ""
            except Exception as error:
                details = str(error) or type(error).__name__
                logger.error("%s", details, exc_info=error)
                reason = Error(code=ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason=details)
                reply = Message(reason, reply_to=message)
            push_message(client, reply, context)
        finally:
            push_task_output(client, context, status, details)


def serve_run(
    address: str, token: str, function: ServerFunction, outcome: Callable[[BaseException], str]
) -> bool:
    """Work on a server's task: call the function of a run, and hand its log and outcome over.

    Args:
        address: Of the SuperLink's Runtime interface.
        token: The task's.
        function: Runs the rounds.
        outcome: Returns the words that a failed run ends with, and writes what the log shall have.

    Returns:
        Whether the run is complete.
    """
    grid: Any = HttpGrid(address, insecure=True, token=token)
    _give_up_when_refused(grid._retry_invoker)
    client = grid._runtime_client
    lines: Queue[str | None] = Queue()
    mirror_output_to_queue(lines)
    status, details = SubStatus.FAILED, "the run's process has failed"
    with _heartbeat(client):
        given = client.PullTaskInput(PullTaskInputRequest())
        run, bundle = run_from_proto(given.run), fab_from_proto(given.fab)
        context = context_from_proto(given.context)
        TaskIdentity.task_id, TaskIdentity.run_id = given.task_id, run.run_id
        TaskIdentity.node_id = context.node_id
        grid.set_run(run)
        uploader = start_log_uploader(lines, node_id=0, run_id=run.run_id, client=client)
        try:
            context.run_config = get_fused_config_from_fab(bundle.content, run)
            function(grid, context, bundle.content)
            status, details = SubStatus.COMPLETED, ""
        except BaseException as error:
            details = outcome(error)
        flush_logs(lines)
        stop_log_uploader(lines, uploader)
        restore_output()
        try:
            client.PushTaskOutput(PushTaskOutputRequest(sub_status=status, details=details))
        except httpx.HTTPError as error:
            # Who stops a run at once does not wait for its outcome.
            logger.warning("the run's outcome was not taken: %s", error)
    grid.close()
    return bool(status == SubStatus.COMPLETED)


@contextmanager
def _runtime_client(address: str, token: str) -> Iterator[RuntimeHttpClient]:
    client = RuntimeHttpClient.from_server_address(
        server_address=address,
        insecure=True,
        root_certificates=None,
        interceptors=[
            RuntimeVersionHttpInterceptor(component_name="flwr-clientapp"),
            RuntimeTokenHttpInterceptor(token),
        ],
    )
    try:
        yield client
    finally:
        client.close()


@contextmanager
def _heartbeat(client: RuntimeHttpClient) -> Iterator[None]:
    """Tell that a task is worked on; where nobody waits for it any more, raise SIGINT."""
    heartbeat = HeartbeatSender(make_task_heartbeat_fn_http(client))
    heartbeat.start()
    try:
        yield
    finally:
        if heartbeat.is_running:
            heartbeat.stop()


def _give_up_when_refused(invoker: Any) -> None:
    """Let requests fail whose token is no longer taken, as once their run has been stopped."""
    gives_up = invoker.should_giveup

    def check(error: Exception) -> bool:
        refused = (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)
        if isinstance(error, httpx.HTTPStatusError) and error.response.status_code in refused:
            return True
        return bool(gives_up(error))

    invoker.should_giveup = check
