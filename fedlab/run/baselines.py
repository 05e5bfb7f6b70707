"""Baselines on the same budget: is federating worth it?

``centralised``: one model on the pooled data, the upper bound. ``local``: each client alone, the
lower bound. ``random``: the same federated run without pretrained weights. ``source-only``: plain
federated training of the clients with labels, which adaptation to those without has to beat;
``target-supervised``: of those without, with their labels, the upper bound. Each is an ordinary run
of a scenario that differs from the federated one in one respect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, RecordDict

from fedlab import registry, seeding
from fedlab.algorithm.client import ClientSettings
from fedlab.algorithm.strategy import cohort_size
from fedlab.data.federation import Federation, of_clients
from fedlab.data.partition import Partition
from fedlab.engine.reports import Exchange
from fedlab.engine.settings import EngineSettings
from fedlab.files import BASELINES
from fedlab.metrics.sites import measured_sites
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
    federation = replace(federation, unseen=None)
    known = [line for line in known if line.get("baseline") not in asked]
    runners = {
        "centralised": _centralised,
        "local": _local,
        "random": _random,
        "source-only": _source_only,
        "target-supervised": _target_supervised,
    }
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
    common = {key: getattr(settings, key) for key in EngineSettings.model_fields}
    ours = registry.engines.get("ray").Settings(**common | {"name": "ray"})
    return scenario.model_copy(update={"engine": ours})


def _centralised(scenario: Scenario, federation: Federation) -> Iterator[Line]:
    """Train one model on all clients' examples, as many examples a round as a cohort sees."""
    pooled = replace(
        federation,
        partition=Partition.of([federation.pooled_rows()]),
        validation=0.0,
        client_test=0.0,
    )
    cohort = cohort_size(scenario.strategy, len(federation))

    def work(settings: Any, rounds: int) -> dict[str, Any]:
        examples = cohort / len(federation) * federation.training_total * settings.epochs
        if settings.steps is not None:
            examples = cohort * settings.steps * settings.batch_size
        return {"steps": max(1, round(examples / settings.batch_size))}

    yield from _rounds(_plain(scenario, work), pooled)


def _random(scenario: Scenario, federation: Federation) -> Iterator[Line]:
    """Run the same federated scenario from random weights."""
    model = scenario.model.model_copy(update={"pretrained": False})
    evaluation = scenario.evaluation.model_copy(update={"early_stopping": None})
    yield from _rounds(
        scenario.model_copy(update={"model": model, "evaluation": evaluation}), federation
    )


def _source_only(scenario: Scenario, federation: Federation) -> Iterator[Line]:
    """Train those with labels by a plain average; test as the run is tested.

    They are clients or, where none of these has labels, the server.
    """
    labelled = of_clients(federation, federation.labelled)
    if not federation.labelled:
        own, _ = federation.rows(len(federation))
        server = Partition.of([own])
        labelled = replace(federation, partition=server, unlabelled=frozenset(), validation=0.0)
    yield from _rounds(_plain(scenario, _as_much), labelled)


def _target_supervised(scenario: Scenario, federation: Federation) -> Iterator[Line]:
    """Train the clients without labels as if they had them; test as the run is tested."""
    data = scenario.data.model_copy(update={"unlabelled": ()})
    whole = load_federation(scenario.model_copy(update={"data": data}))
    dataset = replace(whole.dataset, test=federation.dataset.test)
    target = of_clients(replace(whole, dataset=dataset), sorted(federation.unlabelled))
    yield from _rounds(_plain(scenario, _as_much), target)


def _as_much(settings: Any, rounds: int) -> dict[str, Any]:
    """Return the keys that say how much a client does: as much as in the run."""
    return {"steps": settings.steps}


def _local(scenario: Scenario, federation: Federation) -> Iterator[Line]:
    """Train clients alone, each for as many epochs as it takes part in; at most twenty of them."""
    population = len(federation)
    chosen: Sequence[int] = range(population)
    if population > LOCAL_CLIENTS:
        draw = seeding.numpy_generator(scenario.seed, "local baseline")
        chosen = sorted(draw.choice(population, LOCAL_CLIENTS, replace=False).tolist())
    share = cohort_size(scenario.strategy, population) / population

    def work(settings: Any, rounds: int) -> dict[str, Any]:
        times = max(1, round(rounds * share))
        if settings.steps is not None:
            return {"steps": settings.steps * times}
        return {"epochs": settings.epochs * times}

    with Simulation(_plain(scenario, work), federation) as simulation:
        exchange = _trained_alone(simulation, chosen)
        own = _on_their_own_parts(simulation, exchange) if scenario.evaluation.federated else {}
        for reply, report in zip(exchange.replies, exchange.reports, strict=True):
            evaluation = simulation.engine.evaluate(_weights(reply), scenario.rounds)
            test = simulation.federation.dataset.test
            yield {
                "client": report.client,
                "examples": report.examples,
                "test": evaluation.compute(),
                **measured_sites(evaluation, test),
                **({"own": own[report.client]} if own.get(report.client) else {}),
            }


def _trained_alone(simulation: Simulation, clients: Sequence[int]) -> Exchange:
    """Let clients train by themselves, phase after phase; return what the last phase led to."""
    content = _content(simulation, _record(simulation.initial_weights))
    messages = [Message(content, node_of(c), MessageType.TRAIN) for c in clients]
    exchange = simulation.engine.exchange(messages)
    for number in range(1, len(simulation.phases)):
        reached = [_weights(reply) for reply in exchange.replies]
        nodes = [reply.metadata.src_node_id for reply in exchange.replies]
        begun = map(_record, simulation.enter_with_each(number, reached))
        messages = [
            Message(_content(simulation, arrays), node, MessageType.TRAIN)
            for arrays, node in zip(begun, nodes, strict=True)
        ]
        exchange = simulation.engine.exchange(messages)
    return exchange


def _record(weights: torch.Tensor) -> ArrayRecord:
    return ArrayRecord({WEIGHTS: Array(weights.numpy())})


def _content(simulation: Simulation, arrays: ArrayRecord) -> RecordDict:
    """Return a message's content with weights, for the first round of the present phase."""
    config = ConfigRecord({ROUND: simulation.phase.first_round})
    return RecordDict({ARRAYS: arrays, CONFIG: config})


def _weights(reply: Message) -> torch.Tensor:
    arrays = reply.content.array_records[ARRAYS]
    return torch.from_numpy(next(iter(arrays.values())).numpy())


def _on_their_own_parts(simulation: Simulation, trained: Exchange) -> dict[int, dict[str, float]]:
    """Return the metrics of each client's weights on its own part, by client."""
    messages = []
    for reply in trained.replies:
        content = _content(simulation, reply.content.array_records[ARRAYS])
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
            kept = ("round", "test", "sites")
            self.lines.append({key: outcome.record[key] for key in kept if key in outcome.record})


def _rounds(scenario: Scenario, federation: Federation) -> Iterator[Line]:
    collected = _Collect()
    with Simulation(scenario, federation) as simulation:
        simulation.rounds([collected]).run()
    yield from collected.lines


def _plain(scenario: Scenario, work: Callable[[Any, int], dict[str, Any]]) -> Scenario:
    """Return the scenario with clients that do other work, and a plain average.

    They are supervised ones, or the scenario's own where one can train alone by their algorithm.

    Args:
        scenario: The scenario.
        work: Returns the keys that say how much clients with these settings do in so many rounds.
    """

    def client(settings: Any, rounds: int) -> ClientSettings:
        if registry.clients.get(settings.name).serves_alone:
            keys = {"steps": None, **NOT_ALONE, **work(settings, rounds)}
            alone: ClientSettings = settings.model_copy(update=keys)
            return alone
        common = {key: getattr(settings, key) for key in ClientSettings.model_fields}
        own = {"name": "supervised", "steps": None, **NOT_ALONE, **work(settings, rounds)}
        return ClientSettings(**common | own)

    phases = tuple(
        phase.model_copy(update={"client": client(phase.client, phase.rounds), **_shared(phase)})
        for phase in scenario.phases
    )
    average = registry.strategies.get("fedavg").Settings(name="fedavg")
    evaluation = scenario.evaluation.model_copy(
        update={"early_stopping": None, "federated": False, "minimum_replies": 1}
    )
    return scenario.model_copy(
        update={
            "client": client(scenario.client, scenario.rounds),
            "phases": phases,
            "strategy": average,
            "evaluation": evaluation,
            "attack": None,
            "updates": (),
            "downlink": (),
            "model": scenario.model.model_copy(
                update={"personal": "none", **_shared(scenario.model)}
            ),
        }
    )


def _shared(settings: Any) -> dict[str, Any]:
    """Return how all of a model's batch norm travels, as one who trains alone needs it."""
    return {"batch_norm": "train" if settings.batch_norm == "local" else settings.batch_norm}
