"""Executing a run folder's scenario, from its newest checkpoint to the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from fedlab import files
from fedlab.data import task_file
from fedlab.data.description import described_clients, statistics
from fedlab.data.federation import Federation
from fedlab.errors import EngineFault, FedlabError, is_out_of_memory
from fedlab.metrics.names import MetricName, headline
from fedlab.models.network import Network, usable_state
from fedlab.run.best import Best, BestWeights
from fedlab.run.callbacks import Callback, StopWhenGoodEnough
from fedlab.run.chain import Chain
from fedlab.run.changes import check_unedited, record
from fedlab.run.device_record import check_device, record_devices
from fedlab.run.folder import RunFolder, weights_digest
from fedlab.run.interrupts import StopOnInterrupt
from fedlab.run.recorder import Recorder
from fedlab.run.rounds import Rounds, TooFewReplies
from fedlab.run.same_data import check_data, write_data
from fedlab.run.simulation import Simulation
from fedlab.run.strategy_faults import StrategyFault
from fedlab.scenario import Scenario
from fedlab.scenario.metadata import model_metadata
from fedlab.scenario.phases import phases_of
from fedlab.wire.archive import write_arrays


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
    interrupts = StopOnInterrupt()
    best = BestWeights(folder)
    stopping = folder.scenario.evaluation.early_stopping
    watched_from = phases_of(folder.scenario)[-1].first_round
    watchers: list[Callback] = [
        best,
        *([StopWhenGoodEnough(stopping, watched_from)] if stopping is not None else []),
        Chain(folder),
        Recorder(folder),
        interrupts,
        *callbacks,
    ]
    with folder.lock:
        saved = folder.latest()
        check_unedited(folder, saved)
        if saved is None:
            _check_not_begun(folder)
        else:
            check_device(folder)
    with (
        folder.lock,
        _explaining_out_of_memory(folder),
        _put_together(folder, simulate) as simulation,
    ):
        folder.settle(simulation.scenario)
        simulation.engine.states.place(folder.client_states)
        simulation.engine.keep_last_words(
            "error: the run's process, or one of Ray's, was killed in the middle of a round; "
            f"'{folder.resume_command}' goes on after the last whole one\n"
        )
        rounds = simulation.rounds(watchers)
        if saved is not None or (folder.path / files.CROSSVAL).exists():
            check_data(folder, simulation.federation, simulation.network)
        if saved is None:
            _describe(folder, simulation)
        else:
            rounds.restore(saved)
            folder.rewind(saved)
        done = saved.round if saved is not None else 0
        elsewhere = record_devices(folder, simulation.engine.device_models(), done)
        notes = [*record(folder, saved), *elsewhere, *simulation.notes]
        folder.note(notes)
        for watcher in watchers:
            watcher.noted(notes)
        with _failing_whole(folder, simulation, rounds):
            rounds.run()
        rounds.signal = interrupts.number
        _finish(folder, simulation, rounds, best)
    return rounds


def _check_not_begun(folder: RunFolder) -> None:
    """Check that a folder without a checkpoint holds no rounds, which a new start would overwrite.

    Raises:
        FedlabError: If it does, or is what unlearning has made of a run.
    """
    if (folder.path / files.UNLEARNED).exists():
        raise FedlabError(
            f"{folder.path} is what 'fedlab unlearn' has made of a run, and does not go on; "
            f"{folder.path / files.UNLEARNED} names the run"
        )
    done = max((line.get("round", 0) for line in folder.lines(files.METRICS)), default=0)
    if done:
        raise FedlabError(
            f"{folder.path} holds {done} rounds and no checkpoint to go on from: what was in "
            f"{folder.checkpoints} is gone; 'fedlab run {folder.path / files.SCENARIO}' starts anew"
        )


def _describe(folder: RunFolder, simulation: Simulation) -> None:
    """Write what a run has to do with: its task, who holds what, who attacks."""
    folder.write_text(files.TASK, task_file.dumps(simulation.federation.dataset.task))
    _describe_partition(folder, simulation.federation)
    write_data(folder, simulation.federation, simulation.network)
    adversary = simulation.adversary
    if adversary is not None:
        content = {"attack": adversary.attack.settings.name, "clients": adversary.clients}
        folder.write_json(files.ATTACK, content)


@contextmanager
def _failing_whole(folder: RunFolder, simulation: Simulation, rounds: Rounds) -> Iterator[None]:
    """Leave a whole folder where a round fails, and tell how to go on after the one before.

    Raises:
        FedlabError: If too few clients answer, the strategy does something wrong, or what runs
            clients has failed.
    """
    (folder.path / files.ERROR).unlink(missing_ok=True)
    try:
        yield
    except (EngineFault, TooFewReplies, StrategyFault) as error:
        rounds.status, rounds.reason = "failed", str(error)
        _go_back(folder, rounds)
        folder.write_json(files.SUMMARY, summary(folder, simulation.network, rounds))
        where = ""
        if isinstance(error, StrategyFault) and error.traceback:
            folder.write_text(files.ERROR, error.traceback)
            where = f"; its traceback is in {folder.path / files.ERROR}"
        raise type(error)(f"{error}{where}{folder.resume_hint()}") from error


def _go_back(folder: RunFolder, rounds: Rounds) -> None:
    """Let a failed run stand where its newest checkpoint does."""
    saved = folder.latest()
    if saved is not None:
        rounds.round, rounds.weights = saved.round, torch.from_numpy(np.array(saved.weights))


@contextmanager
def _explaining_out_of_memory(folder: RunFolder) -> Iterator[None]:
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
            f"less{folder.resume_hint()}"
        ) from error


def _put_together(folder: RunFolder, simulate: Callable[[Scenario], Simulation]) -> Simulation:
    """Return the simulation; where that fails, no folder of a run that never began is left."""
    try:
        return simulate(folder.scenario)
    except BaseException:
        folder.discard()
        raise


def _finish(folder: RunFolder, simulation: Simulation, rounds: Rounds, kept: BestWeights) -> None:
    """Write what a finished or stopped run leaves: models, the confusion matrix, the summary."""
    best = kept.weights()
    if best is not None and kept.best is not None:
        best = simulation.in_present_phase(kept.best.round, best)
        _write_model(folder, files.BEST, simulation, best)
        if _restores(folder):
            rounds.put_back(best)
    _write_model(folder, files.MODEL, simulation, rounds.weights)
    task = simulation.federation.dataset.task
    tested = len(simulation.federation.dataset.test) and rounds.weights.numel()
    if task.kind == "classification" and tested:
        matrix = rounds.evaluation().confusion()
        labels = list(task.labels) or [str(number) for number in range(task.classes)]
        folder.write_json(files.CONFUSION, {"labels": labels, "matrix": matrix.tolist()})
    folder.write_json(files.SUMMARY, summary(folder, simulation.network, rounds, kept.best))


def _write_model(
    folder: RunFolder, name: str, simulation: Simulation, weights: torch.Tensor
) -> None:
    """Write the whole model with these weights, (wire_size,), and what a user needs to know."""
    state = usable_state(simulation.network, weights)
    about = model_metadata(folder.scenario, simulation.federation.dataset.task, simulation.network)
    arrays = {key: tensor.numpy() for key, tensor in state.items()}
    folder.replace(name, lambda path: write_arrays(path, arrays, about))


def summary(
    folder: RunFolder, network: Network, rounds: Rounds, kept: Best | None = None
) -> dict[str, Any]:
    """Return the run in a few numbers, from the lines of ``metrics.jsonl``.

    Args:
        folder: The run folder.
        network: The model.
        rounds: The rounds that were run.
        kept: The best round by the clients' validation parts, where one was kept.
    """
    lines = list(folder.lines(files.METRICS))
    tested = [line for line in lines if "test" in line]
    metric = headline(tested[-1]["test"]) if tested else None
    best = _best(tested, metric) if metric else None
    # What is reported is of the weights in model.safetensors.
    until = kept.round if kept is not None and _restores(folder) else rounds.round
    shown = [line for line in lines if line["round"] <= until]
    test, own = _last(shown, "test"), _last(shown, "clients")
    unseen = _last(shown, "unseen")
    model, saved = network.model, sum(line.get("bytes_saved", 0) for line in lines)
    return {
        "status": rounds.status,
        **({"reason": rounds.reason} if rounds.reason else {}),
        "rounds": rounds.round,
        **({"test": test} if test else {}),
        **({"sites": sites} if (sites := _last(shown, "sites")) else {}),
        **({"best": best} if best else {}),
        **({"best_by_validation": _kept(lines, kept, _restores(folder))} if kept else {}),
        **({"clients": _means(own)} if own else {}),
        **({"unseen": {n: _means(found) for n, found in unseen.items()}} if unseen else {}),
        "seconds": sum(line.get("seconds", {}).get("total", 0.0) for line in lines),
        "bytes_down": sum(line.get("bytes_down", 0) for line in lines),
        "bytes_up": sum(line.get("bytes_up", 0) for line in lines),
        **({"bytes_saved": saved} if saved else {}),
        "parameters": {
            "total": sum(p.numel() for p in model.module.parameters()),
            "trained": model.parameter.numel(),
            "travelling": model.layout.wire_size,
        },
        "engine": {
            "workers": rounds.engine.workers,
            **({"devices": used} if (used := rounds.engine.device_models()) else {}),
            "deterministic": rounds.engine.settings.deterministic,
            "vectorised": rounds.engine.stacking.decision.as_json,
            "feature_cache": rounds.engine.features.as_json,
        },
        "weights_sha256": weights_digest(rounds.weights.numpy()),
    }


def _restores(folder: RunFolder) -> bool:
    """Return whether the run ends with the weights of its best round."""
    stopping = folder.scenario.evaluation.early_stopping
    return stopping is not None and stopping.restore_best


def _last(lines: Sequence[dict[str, Any]], key: str) -> dict[str, Any]:
    """Return the last value of a key of some rounds' lines; nothing where none has it."""
    return next((line[key] for line in reversed(lines) if key in line), {})


def _means(spreads: dict[str, Any]) -> dict[str, float]:
    """Return the mean over clients of each metric."""
    return {name: spread["mean"] for name, spread in spreads.items()}


def _kept(lines: Sequence[dict[str, Any]], kept: Best, restored: bool) -> dict[str, Any]:
    """Return what is said of the round whose weights are in ``best.safetensors``."""
    line = next((line for line in lines if line["round"] == kept.round), {})
    return {
        "round": kept.round,
        "metric": kept.metric,
        "value": kept.value,
        **({"test": line["test"]} if "test" in line else {}),
        "restored": restored,
    }


def _best(lines: Iterable[dict[str, Any]], metric: MetricName) -> dict[str, Any]:
    """Return the round with the best value of the metric, and that value."""
    pick = max if metric.higher_is_better else min
    line = pick(lines, key=lambda line: line["test"][metric.name])
    return {"round": line["round"], metric.name: line["test"][metric.name]}


def _describe_partition(folder: RunFolder, federation: Federation) -> None:
    settings = folder.scenario.data
    described = statistics(federation.partition, federation.dataset.train, federation.dataset.task)
    parts = [federation.part_sizes(client) for client in described_clients(federation.partition)]
    sizes = {"validation_sizes": [validation for _, validation, _ in parts]}
    if settings.client_test:
        sizes["test_sizes"] = [test for _, _, test in parts]
    folder.write_json(
        files.PARTITION, {"partitioner": settings.partition.name, **described, **sizes}
    )
