"""Baselines on the same budget: is federating worth it?

``centralised``: one model on the pooled data, the upper bound. ``local``: each client alone, the
lower bound. ``random``: the same federated run without pretrained weights. Each is an ordinary run
of a scenario that differs from the federated one in one respect.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, RecordDict

from fedlab import registry, seeding
from fedlab.algorithm.client import ClientSettings
from fedlab.algorithm.strategy import cohort_size
from fedlab.data.federation import Federation
from fedlab.data.partition import Partition
from fedlab.engine.reports import Exchange
from fedlab.files import BASELINES
from fedlab.results.baselines import LOCAL_CLIENTS
from fedlab.run.callbacks import Callback, RoundOutcome, RunView
from fedlab.run.folder import RunFolder
from fedlab.run.same_data import check_data, population_of
from fedlab.run.simulation import Simulation
from fedlab.scenario import Scenario
from fedlab.scenario.parts import load_federation
from fedlab.wire.protocol import ARRAYS, CONFIG, ROUND, WEIGHTS, node_of

NOT_ALONE = {"early_stopping": None, "stragglers": None}

Line = dict[str, Any]


def run_baselines(folder: RunFolder, callbacks: Sequence[Callback]) -> None:
    """Run the baselines that the scenario asks for and that the folder does not hold whole.

    A baseline's lines are written when it has ended. Callbacks are given each line as it comes.

    Raises:
        FedlabError: If the data are not those of the run any more, or a file is damaged.
    """
    known = list(folder.lines(BASELINES))
    asked = [n for n in folder.scenario.evaluation.baselines if not _is_whole(n, known, folder)]
    if not asked:
        return
    scenario = _on_our_engine(folder.scenario)
    federation = load_federation(scenario)
    check_data(folder, federation)
    known = [line for line in known if line.get("baseline") not in asked]
    runners = {"centralised": _centralised, "local": _local, "random": _random}
    for name in asked:
        for line in runners[name](scenario, federation):
            known.append({"baseline": name, **line})
            for callback in callbacks:
                callback.baseline(name, known[-1])
        folder.write_lines(BASELINES, known)


def _is_whole(name: str, known: Sequence[Line], folder: RunFolder) -> bool:
    """Return whether the folder holds all of a baseline's lines, and not only the first ones."""
    lines = [line for line in known if line.get("baseline") == name]
    if name == "local":
        clients = {line.get("client") for line in lines}
        return bool(lines) and len(clients) >= min(population_of(folder), LOCAL_CLIENTS)
    settings = folder.scenario
    evaluated = {0, *range(0, settings.rounds, settings.evaluation.every), settings.rounds}
    return evaluated <= {line.get("round") for line in lines}


def _on_our_engine(scenario: Scenario) -> Scenario:
    """Return the scenario on an engine that takes a federation as it is given.

    Flower's nodes load the scenario's own partition, which the pooled data are not.
    """
    settings = scenario.engine
    if not registry.engines.get(settings.name).traits.loads_own_data:
        return scenario
    ours = registry.engines.get("ray").Settings(name="ray", threads=settings.threads)
    return scenario.model_copy(update={"engine": ours})


def _centralised(scenario: Scenario, federation: Federation) -> Iterator[Line]:
    """Train one model on all clients' examples, as many examples a round as a cohort sees."""
    pooled = replace(
        federation,
        partition=Partition.of([federation.pooled_rows()]),
        validation=0.0,
        client_test=0.0,
    )
    share = cohort_size(scenario.strategy, len(federation)) / len(federation)
    settings = scenario.client
    examples = share * federation.training_total * settings.epochs
    if settings.steps is not None:
        examples = (
            cohort_size(scenario.strategy, len(federation)) * settings.steps * settings.batch_size
        )
    steps = max(1, round(examples / settings.batch_size))
    alone = _plain(scenario, {"steps": steps})
    yield from _rounds(alone, pooled)


def _random(scenario: Scenario, federation: Federation) -> Iterator[Line]:
    """Run the same federated scenario from random weights."""
    model = scenario.model.model_copy(update={"pretrained": False})
    evaluation = scenario.evaluation.model_copy(update={"early_stopping": None})
    yield from _rounds(
        scenario.model_copy(update={"model": model, "evaluation": evaluation}), federation
    )


def _local(scenario: Scenario, federation: Federation) -> Iterator[Line]:
    """Train clients alone, each for as many epochs as it takes part in; at most twenty of them."""
    population = len(federation)
    chosen: Sequence[int] = range(population)
    if population > LOCAL_CLIENTS:
        draw = seeding.numpy_generator(scenario.seed, "local baseline")
        chosen = sorted(draw.choice(population, LOCAL_CLIENTS, replace=False).tolist())
    times = max(1, round(scenario.rounds * cohort_size(scenario.strategy, population) / population))
    settings = scenario.client
    work = {"epochs": settings.epochs * times}
    if settings.steps is not None:
        work = {"steps": settings.steps * times}
    with Simulation(_plain(scenario, work), federation) as simulation:
        arrays = ArrayRecord({WEIGHTS: Array(simulation.initial_weights.numpy())})
        content = RecordDict({ARRAYS: arrays, CONFIG: ConfigRecord({ROUND: 1})})
        messages = [Message(content, node_of(c), MessageType.TRAIN) for c in chosen]
        exchange = simulation.engine.exchange(messages)
        own = _on_their_own_parts(simulation, exchange) if scenario.evaluation.federated else {}
        for reply, report in zip(exchange.replies, exchange.reports, strict=True):
            weights = next(iter(reply.content.array_records[ARRAYS].values())).numpy()
            evaluation = simulation.engine.evaluate(_tensor(weights))
            yield {
                "client": report.client,
                "examples": report.examples,
                "test": evaluation.compute(),
                **({"own": own[report.client]} if own.get(report.client) else {}),
            }


def _on_their_own_parts(simulation: Simulation, trained: Exchange) -> dict[int, dict[str, float]]:
    """Return the metrics of each client's weights on its own part, by client."""
    messages = []
    for reply in trained.replies:
        arrays = reply.content.array_records[ARRAYS]
        content = RecordDict({ARRAYS: arrays, CONFIG: ConfigRecord({ROUND: 1})})
        messages.append(Message(content, reply.metadata.src_node_id, MessageType.EVALUATE))
    reports = simulation.engine.exchange(messages).reports
    return {
        report.client: {name: value for name, value in report.metrics.items() if name != "seconds"}
        for report in reports
        if report.examples
    }


class _Collect(Callback):
    def __init__(self) -> None:
        self.lines: list[Line] = []

    def round_ended(self, run: RunView, outcome: RoundOutcome) -> None:
        if "test" in outcome.record:
            self.lines.append({"round": outcome.round, "test": outcome.record["test"]})


def _rounds(scenario: Scenario, federation: Federation) -> Iterator[Line]:
    collected = _Collect()
    with Simulation(scenario, federation) as simulation:
        simulation.rounds([collected]).run()
    yield from collected.lines


def _plain(scenario: Scenario, work: dict[str, Any]) -> Scenario:
    """Return the scenario with supervised clients that do ``work``, and a plain average."""
    settings = scenario.client
    common = {key: getattr(settings, key) for key in ClientSettings.model_fields}
    client = ClientSettings(**common | {"name": "supervised", "steps": None} | NOT_ALONE | work)
    average = registry.strategies.get("fedavg").Settings(name="fedavg")
    evaluation = scenario.evaluation.model_copy(
        update={"early_stopping": None, "federated": False, "minimum_replies": 1}
    )
    return scenario.model_copy(
        update={
            "client": client,
            "strategy": average,
            "evaluation": evaluation,
            "attack": None,
            "updates": (),
            "model": _shared(scenario.model),
        }
    )


def _shared(model: Any) -> Any:
    """Return a model's settings such that all of it travels, as one who trains alone needs it."""
    norm = "train" if model.batch_norm == "local" else model.batch_norm
    return model.model_copy(update={"personal": "none", "batch_norm": norm})


def _tensor(array: Any) -> Any:
    import torch

    return torch.from_numpy(array)
