"""Every key and number of a message, on one page.

A training message carries ArrayRecords, the first of which holds the weights and each further one a
vector under its own key, and a ConfigRecord of values. A reply carries ArrayRecords in the same way
and a MetricRecord of numbers. Nodes are numbered by their clients.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FIRST_NODE = 2
"""The node id of client 0: Flower keeps 0 and 1 for itself."""

WEIGHTS = "weights"
"""Array key in every ArrayRecord: the one vector that it holds."""
ARRAYS, CONFIG = "arrays", "config"
"""Record keys of the weights and of the values in a message, as Flower's FedAvg has them."""
METRICS = "metrics"
"""Record key of a reply's numbers."""
CLIENT_STATE = "client-state"
"""Record key of what a client keeps, in its context."""
KEPT_WITH = "kept-with"
"""Record key of the layout with which a node of Flower's kept what it keeps."""
PARTITION_ID, NUM_PARTITIONS = "partition-id", "num-partitions"
"""Keys of a node's configuration: which client it is, of how many."""

SCENARIO, FOLDER, RESUME = "scenario", "folder", "resume"
"""Keys of a Flower run's configuration: the scenario's text or name, the run folder, empty for a
new one, and whether it goes on there."""

ROUND = "server-round"
"""Config key: the round, from 1."""
LAYOUT = "layout"
"""Config key: the fingerprint of the server's layout."""
PHASE = "phase"
"""Config key: the number of the run's phase, from 0, where it has several."""
LOCAL_EPOCHS = "local-epochs"
"""Config key: how many epochs a client has time for, where they are fewer than the scenario's."""
SQUARED_CHANGE = "squared-change"
"""Config key of a server that wants ‖y − x‖² of the parameters, as metric ``squared_change``.

The worker adds it, whatever the client algorithm does to what it sends.
"""
LENGTHS_DIFFER = "lengths-differ"
"""Config key of a server whose clients send vectors of as many numbers as they have examples."""
WEIGHTING = "weighting"
"""Config key: "examples", or "clients" where each client weighs 1 in a mean."""

SITE = "site"
"""Key of a node's configuration: the site's file, where the site brings its own data."""
ASK, ANSWER = "ask", "answer"
"""Config keys of a query: what is asked, one of the two below, and the answer, as JSON."""
INTRODUCTION, STATISTICS_OF_SITE = "introduction", "statistics"
"""What a site is asked before the first round: what it is and holds, and sums over its rows."""
FEDERATION = "federation"
"""Record key of what every message of a deployment carries, the two values below."""
RUN_KEY, POOLED = "run", "pooled"
"""Config keys: which run a message belongs to, under which a site keeps its state, and what all
sites say together of their training rows, as JSON."""

UPDATE = "update"
"""What begins the keys of update processors, in every record and in what clients keep."""
STATISTICS = f"{UPDATE}.statistics"
"""Record key of the running statistics, which are not processed with the weights."""

EXAMPLES = "num-examples"
"""Metric: how many examples a reply stands for."""
WEIGHT = "weight"
"""Metric: a reply's weight in a mean, where it is not its number of examples."""


def node_of(client: int) -> int:
    """Return the id of a client's node."""
    return client + FIRST_NODE


def client_of(node: int) -> int:
    """Return the number of a node's client."""
    return node - FIRST_NODE


def update_key(number: int, name: str) -> str:
    """Return the key of what update processor ``number``, from 0, calls ``name``."""
    return f"{UPDATE}.{number}.{name}"


def phase_of(config: Mapping[str, Any]) -> int:
    """Return which of the run's phases a message belongs to."""
    return int(config.get(PHASE, 0))


def own_weight(config: Mapping[str, Any]) -> float | None:
    """Return what a client weighs in a mean, or None where it is its number of examples."""
    return 1.0 if config.get(WEIGHTING) == "clients" else None
