"""What unlearning has come to: ``unlearning.json``, and its tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import Field, JsonValue

from fedlab.metrics.names import headline, metric_name
from fedlab.metrics.quantities import NBSP
from fedlab.results.rows import Count, Metrics, RoundNumber, Row, Seconds
from fedlab.results.text_tables import TextTable

ORIGINAL, ORACLE = "original", "retrain"
"""Names of the run's own model, and of the one that has never seen the forgotten clients."""
SUCCESS = "attack_success"


class CostRow(Row):
    """What training took, evaluation apart."""

    rounds: Count = 0
    trainings: Count = 0
    steps: Count = 0
    bytes: Count = 0
    seconds: Seconds = 0.0


class ModelRow(Row):
    """A model of ``unlearning.json``.

    Attributes:
        name: "original", or the method.
        settings: The method's keys.
        test: Metrics on the server's test set.
        forgotten: Metrics on what the forgotten clients trained on.
        against: How near it is to the oracle: distance of all weights, agreement of predictions on
            the test set, and divergence KL(oracle ‖ model) there, in nats.
        cost: What the method took.
        past: What it took to have again what a server that unlearns would have kept.
        figures: Further figures of the method's own.
    """

    name: str
    settings: dict[str, JsonValue] = Field(default_factory=dict)
    test: Metrics = Field(default_factory=dict)
    forgotten: Metrics = Field(default_factory=dict)
    against: Metrics = Field(default_factory=dict)
    cost: CostRow = CostRow()
    past: CostRow = CostRow()
    figures: Metrics = Field(default_factory=dict)


class UnlearningFile(Row):
    """``unlearning.json``: the run's own model, and what each method has made of it."""

    of: str
    clients: list[Count]
    rounds: RoundNumber
    models: list[ModelRow]


def tables_of(found: UnlearningFile) -> tuple[TextTable, TextTable]:
    """Return what the models know, and what they took."""
    return _knowledge(found), _costs(found)


def _knowledge(found: UnlearningFile) -> TextTable:
    names = [name for model in found.models for name in model.test]
    metric = headline(names)
    own = headline([name for model in found.models for name in model.forgotten])
    columns: list[tuple[str, Callable[[ModelRow], str]]] = []
    if metric is not None:
        columns.append((f"test {metric.label}", lambda m: _text(m.test, metric.name)))
    if SUCCESS in names:
        columns.append(("backdoor", lambda m: _text(m.test, SUCCESS)))
    if own is not None:
        columns.append((f"forgotten {own.label}", lambda m: _text(m.forgotten, own.name)))
    columns += [
        ("loss", lambda m: _text(m.forgotten, "loss")),
        ("membership", lambda m: _number(m.forgotten, "membership", ".3f")),
    ]
    if any(model.against for model in found.models):
        columns += [
            ("distance", lambda m: _number(m.against, "distance", ".3g")),
            ("agreement", lambda m: _share(m.against, "agreement")),
            ("divergence", lambda m: _number(m.against, "divergence", ".3g")),
        ]
    title = f"What the models know without {_clients(found.clients)}"
    return _table(title, found.models, columns)


def _costs(found: UnlearningFile) -> TextTable:
    columns: list[tuple[str, Callable[[ModelRow], str]]] = [
        ("rounds", lambda m: str(m.cost.rounds)),
        ("trainings", lambda m: str(m.cost.trainings)),
        ("local steps", lambda m: str(m.cost.steps)),
        ("moved", lambda m: f"{m.cost.bytes / 1e6:.2f}{NBSP}MB"),
        ("seconds", lambda m: f"{m.cost.seconds:.2f}"),
        ("past again", lambda m: f"{m.past.seconds:.2f}"),
    ]
    made = [model for model in found.models if model.name != ORIGINAL]
    return _table("What they took, in seconds of training and aggregation", made, columns)


def _table(
    title: str,
    models: Sequence[ModelRow],
    columns: Sequence[tuple[str, Callable[[ModelRow], str]]],
) -> TextTable:
    rows = [[model.name, *(cell(model) for _, cell in columns)] for model in models]
    return TextTable(title, ["model", *(header for header, _ in columns)], rows)


def _text(metrics: Metrics, name: str) -> str:
    return metric_name(name).text(metrics[name]) if name in metrics else "–"


def _number(metrics: Metrics, name: str, form: str) -> str:
    return f"{metrics[name]:{form}}" if name in metrics else "–"


def _share(metrics: Metrics, name: str) -> str:
    return f"{100 * metrics[name]:.1f}{NBSP}%" if name in metrics else "–"


def _clients(clients: Sequence[int]) -> str:
    several = "s" if len(clients) > 1 else ""
    return f"client{several} {', '.join(map(str, clients))}"
