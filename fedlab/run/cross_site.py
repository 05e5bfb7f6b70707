"""Every client's model on every client's own test part: who learnt what others need.

The last round is reached again; each client of its cohort trains, and what it then has (its
weights, and what stays with it) is evaluated on the test part, else the validation part, of all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fedlab import files
from fedlab.engine.inline import InlineEngine
from fedlab.errors import FedlabError
from fedlab.metrics.names import headline
from fedlab.results.rows import CrossSite
from fedlab.run import checkpoint
from fedlab.run.folder import RunFolder
from fedlab.run.replay import asked_of, reached
from fedlab.training.task import Assignment
from fedlab.wire.protocol import client_of

MOST = 30
"""Clients, of which each is evaluated on each."""
Progress = Callable[[str], None]


def cross_site(folder: RunFolder, tell: Progress = lambda sentence: None) -> CrossSite:
    """Return what every client's model reaches on every client's own part.

    Args:
        folder: The run folder.
        tell: Takes sentences on what is under way.

    Raises:
        FedlabError: If the run cannot be repeated here, or its clients hold nothing to test on.
    """
    done = checkpoint.newest(folder.checkpoints)
    if done is None or done[0] < 1:
        raise FedlabError(f"{folder.path} has no round in which clients have trained")
    number = done[0]
    with reached(folder, number, tell) as (simulation, _, messages):
        engine = simulation.engine
        assert isinstance(engine, InlineEngine)
        clients = sorted(client_of(m.metadata.dst_node_id) for m in messages)[:MOST]
        asked = asked_of(simulation, messages, clients)
        held = {c: len(simulation.federation.evaluation_examples(c)) for c in clients}
        if not any(held.values()):
            raise FedlabError(
                f"{folder.path}: no client has a test or validation part of its own; set "
                "data.client_test or data.validation"
            )
        whole = [_measured(engine, asked, client, asked[client]) for client in clients]
        matrix = []
        for client in clients:
            tell(f"client {client} trains, and is evaluated on {len(clients)} clients' parts")
            update = engine.worker.train(asked[client])
            own = replace(asked[client], wire=update.weights, state=update.state)
            matrix.append([_measured(engine, asked, other, own) for other in clients])
    metric = headline(next(found for found in whole if found))
    assert metric is not None
    return CrossSite(
        round=number,
        metric=metric.name,
        clients=clients,
        whole=[found.get(metric.name) for found in whole],
        matrix=[[found.get(metric.name) for found in row] for row in matrix],
    )


def _measured(
    engine: InlineEngine, asked: dict[int, Assignment], client: int, model: Assignment
) -> dict[str, float]:
    """Return what a model reaches on a client's part; nothing where that has none."""
    placed = replace(asked[client], wire=model.wire, state=model.state)
    return engine.worker.evaluate(placed)[1]


def write(folder: RunFolder, found: CrossSite) -> None:
    """Keep the matrix in the run folder, where the report finds it."""
    folder.write_json(files.CROSS_SITE, found.model_dump(mode="json"))
