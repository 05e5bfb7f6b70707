"""What a run has on a cluster: places for workers, and what the workers of each node are given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedlab.data.content import content_of
from fedlab.data.federation import Federation
from fedlab.data.virtual import GeneratedExamples
from fedlab.engine.ray.nodes import Cluster
from fedlab.engine.ray.preflight import Preflight, pinned
from fedlab.models.network import first_weights
from fedlab.scenario import Scenario, dumps

LARGE = 64 << 20
"""Bytes of examples that are looked for on each node before they travel."""


class ClusterRun:
    """What a run has on a cluster.

    Args:
        ray: The module.
        options: What Ray reserves for a worker.
        workers: How many there shall be; None: as many as fit.
        scenario: What is run.
        federation: Its data.

    Attributes:
        places: Where workers may run.
        workers: How many there are at the start.

    Raises:
        FedlabError: If no node can run clients, or not so many workers fit.
    """

    def __init__(
        self,
        ray: Any,
        options: Mapping[str, float],
        workers: int | None,
        scenario: Scenario,
        federation: Federation,
    ) -> None:
        self._ray = ray
        self._options = dict(options)
        self._federation = federation
        self._scenario = scenario
        self._travelling: Any = None
        self._weights: Any = None
        self._content: Any = None
        self._preflight = Preflight(ray, scenario.module_folders or (), self._question)
        self.places = Cluster(ray, options, workers, self._preflight, _home(ray))
        try:
            self.workers = self.places.settle()
        except BaseException:
            self.places.close()
            raise

    def options_at(self, node: str) -> dict[str, Any]:
        """Return how Ray starts a worker on a node."""
        return {**self._options, **pinned(node)}

    def is_of_one_kind(self) -> bool:
        """Return whether all nodes that were looked at have this machine's processor."""
        return not self._preflight.has_other_processors

    def folders_at(self, node: str) -> tuple[str, ...]:
        """Return where the user's own modules are on a node."""
        return self._preflight.of(node).folders

    def text_at(self, node: str, scenario: Scenario) -> str:
        """Return a scenario as a node reads it: its own modules are elsewhere there."""
        return _text(scenario, self.folders_at(node))

    def data_at(self, node: str) -> Any:
        """Return a reference to the federation's data, those of the node or those that travel."""
        own = self._preflight.of(node).data
        return self._data() if own is None else own

    def weights(self) -> Any:
        """Return a reference to the models' first weights, which nodes may have no files of."""
        if self._weights is None:
            scenario, task = self._scenario, self._federation.dataset.task
            given = first_weights(scenario.model, task, scenario.seed)
            self._weights = self._ray.put(given)
        return self._weights

    def _data(self) -> Any:
        """Return a reference to the data that travel, in memory: nodes may lack the files."""
        if self._travelling is None:
            self._travelling = self._ray.put(self._federation.in_memory())
        return self._travelling

    def _question(self, folders: tuple[str, ...]) -> tuple[str, Any] | None:
        """Return what a node is asked for data: only large ones are worth it."""
        if size_of(self._federation) < LARGE:
            return None
        if self._content is None:
            self._content = content_of(self._federation)
        return _text(self._scenario, folders), self._content

    def close(self) -> None:
        """End what runs on the nodes beside workers."""
        self.places.close()
        self._preflight.close()


def size_of(federation: Federation) -> int:
    """Return how many bytes the inputs of a federation's examples take in memory."""
    parts = (federation.dataset.train, federation.dataset.test, federation.public)
    return sum(
        len(part) * part.inputs_at(slice(1)).nbytes
        for part in parts
        if part is not None and len(part) and not isinstance(part, GeneratedExamples)
    )


def _text(scenario: Scenario, folders: tuple[str, ...]) -> str:
    return dumps(scenario.model_copy(update={"module_folders": folders or None}))


def _home(ray: Any) -> str | None:
    """Return the node that this process is attached to; None: it is outside the cluster."""
    if ray.util.client.ray.is_connected():
        return None
    return str(ray.get_runtime_context().get_node_id())
