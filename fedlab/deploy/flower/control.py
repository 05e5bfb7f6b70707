"""Flower's Control interface, for the server's own user: runs and sites."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import TracebackType
from typing import Any, Self

import httpx
from flwr.common.serde import user_config_to_proto
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
    StreamLogsRequest,
    UnregisterNodeRequest,
)
from flwr.proto.fab_pb2 import Fab
from flwr.supercore.control.control_http_client import ControlHttpClient

from fedlab.deploy.guard import SECRET_HEADER
from fedlab.errors import FedlabError

FINISHED, COMPLETED, ONLINE = "finished", "completed", "online"


@dataclass(frozen=True)
class Site:
    """A site, as the server knows it.

    Attributes:
        node: Flower's number of it.
        name: Its name.
        key: Its public key, as Flower registers it.
        is_online: Whether it has been heard of lately.
        seen: When it last became active, or an empty text.
    """

    node: int
    name: str
    key: bytes
    is_online: bool
    seen: str


@dataclass(frozen=True)
class RunStatus:
    """A run, as the server knows it.

    Attributes:
        run: Flower's number of it.
        status: ``pending``, ``starting``, ``running`` or ``finished``.
        outcome: Of a finished one: ``completed``, ``failed`` or ``stopped``.
        details: Words that it ended with.
        began: When it was submitted.
    """

    run: int
    status: str
    outcome: str
    details: str
    began: str

    @property
    def is_finished(self) -> bool:
        """Return whether it has ended."""
        return self.status == FINISHED

    @property
    def is_complete(self) -> bool:
        """Return whether it has ended with all that it was to do."""
        return self.is_finished and self.outcome == COMPLETED


class _Secret:
    """Shows the secret with each request."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def intercept(self, context: Any, call_next: Any) -> httpx.Response:
        context.request.headers[SECRET_HEADER] = self._secret
        response: httpx.Response = call_next(context)
        return response


class Control:
    """The Control interface of a SuperLink of this machine; use it as a context manager.

    Args:
        address: Of the private port.
        secret: What it asks for.
    """

    def __init__(self, address: str, secret: str) -> None:
        self._client = ControlHttpClient.from_server_address(
            address, insecure=True, root_certificates=None, interceptors=[_Secret(secret)]
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._client.close()

    def start_run(self, bundle: bytes, configuration: Mapping[str, Any]) -> int:
        """Submit a run; return its number.

        Raises:
            FedlabError: If the SuperLink does not take it.
        """
        request = StartRunRequest(
            fab=Fab(hash_str=sha256(bundle).hexdigest(), content=bundle),
            override_config=user_config_to_proto(dict(configuration)),
        )
        try:
            response = self._client.StartRun(request)
        except httpx.HTTPStatusError as error:
            raise FedlabError(f"the server refuses the run: {reason_of(error)}") from error
        return int(response.run_id)

    def stop_run(self, run: int) -> None:
        """Stop a run at once, unless it has ended."""
        try:
            self._client.StopRun(StopRunRequest(run_id=run))
        except httpx.HTTPStatusError as error:
            if not self.run(run).is_finished:
                raise FedlabError(f"run {run} cannot be stopped: {reason_of(error)}") from error

    def log_of(self, run: int, since: float = 0.0) -> Iterator[tuple[str, float]]:
        """Yield a run's log as it comes, until it has ended.

        Args:
            run: The run.
            since: The time of the last part that need not come again.

        Yields:
            A part, and its time.
        """
        request = StreamLogsRequest(run_id=run, after_timestamp=since)
        for part in self._client.StreamLogs(request):
            yield part.log_output, part.latest_timestamp

    def runs(self) -> list[RunStatus]:
        """Return the newest runs, the oldest of them first."""
        found = self._client.ListRuns(ListRunsRequest()).run_dict
        return sorted((_status(found[run]) for run in found), key=lambda status: status.began)

    def run(self, run: int) -> RunStatus:
        """Return what has become of a run.

        Raises:
            FedlabError: If there is no such run.
        """
        try:
            found = self._client.ListRuns(ListRunsRequest(run_id=run)).run_dict
        except httpx.HTTPStatusError as error:
            raise FedlabError(f"the server has no run {run}") from error
        return _status(found[run])

    def sites(self) -> list[Site]:
        """Return all sites, sorted by name."""
        nodes = self._client.ListNodes(ListNodesRequest()).nodes_info
        found = [
            Site(n.node_id, n.name, n.public_key, n.status == ONLINE, n.last_activated_at)
            for n in nodes
            if not n.unregistered_at
        ]
        return sorted(found, key=lambda site: site.name)

    def register(self, name: str, key: bytes) -> None:
        """Let a site take part."""
        self._client.RegisterNode(RegisterNodeRequest(public_key=key, name=name))

    def unregister(self, site: Site) -> None:
        """Let a site take part no more."""
        self._client.UnregisterNode(UnregisterNodeRequest(node_id=site.node))


def reason_of(error: httpx.HTTPStatusError) -> str:
    """Return what a SuperLink says about a request that it refuses."""
    try:
        content = json.loads(error.response.text)
        return str(content.get("extra") or content.get("detail") or error)
    except (ValueError, AttributeError):
        return str(error)


def _status(run: Any) -> RunStatus:
    return RunStatus(
        run.run_id,
        run.status.status,
        run.status.sub_status,
        run.status.details,
        run.pending_at,
    )
