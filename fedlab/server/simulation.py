"""From a scenario to a finished run: everything is put together here, and only here."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from safetensors.torch import save_file

from fedlab import registry
from fedlab.attacks.adversary import adversary_of
from fedlab.attacks.attack import CollusiveAttack
from fedlab.attacks.besieged import Besieged
from fedlab.data import task_file
from fedlab.data.federation import Federation, load_federation
from fedlab.engine.engine import Engine
from fedlab.engine.root import train_on_root
from fedlab.errors import FedlabError, is_out_of_memory
from fedlab.models.network import Network, build_network, whole_state
from fedlab.results.metric_names import MetricName, headline
from fedlab.results.run_folder import Recorder, RunFolder, weights_digest
from fedlab.scenario import Scenario
from fedlab.server.callbacks import Callback, StopOnInterrupt, StopWhenGoodEnough
from fedlab.server.compatibility import check_compatibility
from fedlab.server.public import public_inputs
from fedlab.server.rounds import Rounds, TooFewReplies
from fedlab.server.strategy import build_strategy, give_layout, public_part, trusting_part

for variable, value in (
    ("FLWR_TELEMETRY_ENABLED", "0"),
    ("FLWR_DISABLE_UPDATE_CHECK", "1"),
):
    os.environ.setdefault(variable, value)
logging.getLogger("flwr").setLevel(logging.ERROR)

EngineMaker = Callable[[Scenario, Federation], Engine]


class Simulation:
    """A scenario with its data, network, strategy and engine, ready to run.

    Use it as a context manager: the engine's processes end with the block.

    Attributes:
        scenario: What is run.
        federation: Its data.
        network: The server's copy of the model.
        engine: Where clients run.
        adversary: Which clients attack, and how; None where nobody does.
    """

    def __init__(
        self,
        scenario: Scenario,
        federation: Federation | None = None,
        make_engine: EngineMaker | None = None,
    ) -> None:
        settings: Any = scenario
        self.scenario = scenario
        self.federation = federation or load_federation(scenario)
        self.network: Network = build_network(
            settings.model, self.federation.dataset.task, scenario.seed
        )
        self.strategy = build_strategy(settings.strategy)
        give_layout(self.strategy, self.network.model.layout)
        check_compatibility(scenario, self.federation, self.network, self.strategy)
        self.adversary = adversary_of(scenario, len(self.federation))
        if self.adversary is not None and isinstance(self.adversary.attack, CollusiveAttack):
            self.strategy = Besieged(self.strategy, self.adversary, scenario.seed)
        self.engine: Engine = (make_engine or _engine)(scenario, self.federation)
        trusting = trusting_part(self.strategy)
        if trusting is not None:
            trusting.train_on_root = partial(train_on_root, self.engine)
        distilling = public_part(self.strategy)
        if distilling is not None:
            distilling.public = public_inputs(scenario, self.federation, self.network)
        self.engine.settle(self.network)

    def __enter__(self) -> Simulation:
        return self

    def __exit__(self, *exception: object) -> None:
        self.engine.close()

    @property
    def initial_weights(self) -> torch.Tensor:
        """Return (wire_size,) the weights before the first round: ask before it."""
        return self.network.model.wire()

    def rounds(self, callbacks: Iterable[Callback] = ()) -> Rounds:
        """Return the rounds of this simulation, not yet begun."""
        return Rounds(
            self.scenario,
            self.engine,
            self.strategy,
            self.initial_weights,
            self.network.model.layout.fingerprint,
            callbacks,
        )


def _engine(scenario: Scenario, federation: Federation) -> Engine:
    settings: Any = scenario.engine
    engine: Engine = registry.engines.get(settings.name)(settings, scenario, federation)
    return engine


def run(
    folder: RunFolder,
    callbacks: Iterable[Callback] = (),
    simulate: Callable[[Scenario], Simulation] = Simulation,
) -> Rounds:
    """Run the folder's scenario, from its newest checkpoint where it has one, to the end.

    Args:
        folder: Where everything is written.
        callbacks: What else watches.
        simulate: Puts the simulation together; Flower's deployment brings its own grid.

    Raises:
        FedlabError: If the scenario cannot be run, or too few clients answer.
    """
    watchers: list[Callback] = [Recorder(folder), StopOnInterrupt(), *callbacks]
    stopping = folder.scenario.evaluation.early_stopping
    if stopping is not None:
        watchers.insert(0, StopWhenGoodEnough(stopping))
    with folder.lock, _memory_told(folder), _put_together(folder, simulate) as simulation:
        simulation.engine.states.place(folder.client_states)
        rounds = simulation.rounds(watchers)
        saved = folder.latest()
        if saved is None:
            folder.write_text(task_file.NAME, task_file.dumps(simulation.federation.dataset.task))
            _describe_partition(folder, simulation.federation)
            if simulation.adversary is not None:
                folder.write_json(
                    "attack.json",
                    {
                        "attack": simulation.adversary.attack.settings.name,
                        "clients": simulation.adversary.clients,
                    },
                )
        else:
            rounds.restore(saved)
            folder.rewind(saved)
        try:
            rounds.run()
        except TooFewReplies as error:
            rounds.status, rounds.reason = "failed", str(error)
            folder.write_json("summary.json", summary(folder, simulation.network, rounds))
            raise TooFewReplies(f"{error}{folder.way_on()}") from error
        _finish(folder, simulation, rounds)
    return rounds


@contextmanager
def _memory_told(folder: RunFolder) -> Iterator[None]:
    """Tell in one sentence that memory has run out, and how to go on.

    Raises:
        FedlabError: If it has.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise FedlabError(
            f"out of memory ({reason}); fewer engine.workers and a smaller client.batch_size need "
            f"less{folder.way_on()}"
        ) from error


def _put_together(folder: RunFolder, simulate: Callable[[Scenario], Simulation]) -> Simulation:
    """Return the simulation; where that fails, no folder of a run that never began is left."""
    try:
        return simulate(folder.scenario)
    except BaseException:
        folder.discard()
        raise


def _finish(folder: RunFolder, simulation: Simulation, rounds: Rounds) -> None:
    """Write what a finished or stopped run leaves: the model, the confusion matrix, the summary."""
    state = whole_state(simulation.network, rounds.weights)
    folder.replace("model.safetensors", lambda path: save_file(state, path))
    task = simulation.federation.dataset.task
    tested = len(simulation.federation.dataset.test) and rounds.weights.numel()
    if task.kind == "classification" and tested:
        matrix = rounds.evaluation().confusion()
        labels = list(task.labels) or [str(number) for number in range(task.classes)]
        folder.write_json("confusion.json", {"labels": labels, "matrix": matrix.tolist()})
    folder.write_json("summary.json", summary(folder, simulation.network, rounds))


def summary(folder: RunFolder, network: Network, rounds: Rounds) -> dict[str, Any]:
    """Return the run in a few numbers, from the lines of ``metrics.jsonl``."""
    lines = list(folder.lines("metrics.jsonl"))
    tested = [line for line in lines if "test" in line]
    metric = headline(tested[-1]["test"]) if tested else None
    best = _best(tested, metric) if metric else None
    own: dict[str, Any] = next(
        (line["clients"] for line in reversed(lines) if "clients" in line), {}
    )
    model = network.model
    return {
        "status": rounds.status,
        **({"reason": rounds.reason} if rounds.reason else {}),
        "rounds": rounds.round,
        **({"test": tested[-1]["test"]} if tested else {}),
        **({"best": best} if best else {}),
        **({"clients": {name: spread["mean"] for name, spread in own.items()}} if own else {}),
        "seconds": sum(line.get("seconds", {}).get("total", 0.0) for line in lines),
        "bytes_down": sum(line.get("bytes_down", 0) for line in lines),
        "bytes_up": sum(line.get("bytes_up", 0) for line in lines),
        "parameters": {
            "total": sum(p.numel() for p in model.module.parameters()),
            "trained": model.parameter.numel(),
            "travelling": model.layout.wire_size,
        },
        "engine": {
            "workers": rounds.engine.workers,
            "vectorised": rounds.engine.stacking.reason or True,
            "feature_cache": rounds.engine.features or True,
        },
        "weights_sha256": weights_digest(rounds.weights.numpy()),
    }


def _best(lines: Iterable[dict[str, Any]], metric: MetricName) -> dict[str, Any]:
    """Return the round with the best value of the metric, and that value."""
    pick = max if metric.higher_is_better else min
    line = pick(lines, key=lambda line: line["test"][metric.name])
    return {"round": line["round"], metric.name: line["test"][metric.name]}


def _describe_partition(folder: RunFolder, federation: Federation) -> None:
    from fedlab.data.partition import described_clients, statistics

    settings: Any = folder.scenario.data
    described = statistics(federation.partition, federation.dataset.train, federation.dataset.task)
    parts = [federation.part_sizes(client) for client in described_clients(federation.partition)]
    sizes = {"validation_sizes": [validation for _, validation, _ in parts]}
    if settings.client_test:
        sizes["test_sizes"] = [test for _, _, test in parts]
    folder.write_json(
        "partition.json", {"partitioner": settings.partition.name, **described, **sizes}
    )
