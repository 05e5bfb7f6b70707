"""Unlearning: methods are run, measured against the oracle, and written into a folder."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flwr.app import MessageType

from fedlab import files, registry
from fedlab.algorithm.setup import Setup
from fedlab.errors import FedlabError, FedlabErrors
from fedlab.own_modules import own_modules
from fedlab.results.parsing import read_lines
from fedlab.results.rows import ClientRow
from fedlab.results.unlearning import ORACLE, ORIGINAL, CostRow, ModelRow, UnlearningFile
from fedlab.run import checkpoint
from fedlab.run.checks import setup_of
from fedlab.run.folder import RunFolder
from fedlab.run.replay import (
    check_from_its_beginning,
    check_here,
    in_this_process,
    repeated,
)
from fedlab.run.simulation import Simulation
from fedlab.run.unlearning.keys import settings_of
from fedlab.run.unlearning.measures import Measured
from fedlab.run.unlearning.method import Past, Progress, Unlearned, UnlearningMethod
from fedlab.run.unlearning.model_folder import write_model_folder
from fedlab.scenario.phases import phase_at

Methods = dict[str, UnlearningMethod]


def unlearn(
    folder: RunFolder,
    clients: Sequence[int],
    path: Path,
    names: Sequence[str] = (),
    overrides: Sequence[str] = (),
    tell: Progress = lambda sentence: None,
) -> UnlearningFile:
    """Make models of a run without some clients, and compare them with one that never saw them.

    Args:
        folder: The run's.
        clients: Who is to be forgotten.
        path: The new folder, with a folder like a run's for each method.
        names: The methods; none: all that can correct this run.
        overrides: ``method.key=value`` each.
        tell: Takes sentences on what is under way.

    Raises:
        FedlabError: If the clients have had no part in the run, or a method cannot correct it.
    """
    past = _past(folder, clients, tell)
    own_modules.look_in([*(folder.scenario.module_folders or ()), str(Path.cwd())])
    methods = _methods(names, overrides)
    with repeated(folder, in_this_process(folder.scenario)) as simulation:
        _check_clients(past, len(simulation.federation))
        chosen = _able(past, methods, _setup(past, simulation), is_asked=bool(names))
        _make(path)
        made = {name: _made(past, path, name, method) for name, method in chosen.items()}
        found = _compared(past, simulation, chosen, made)
    content = found.model_dump(mode="json")
    RunFolder(path, folder.scenario).write_json(files.UNLEARNING, content)
    return found


def _past(folder: RunFolder, clients: Sequence[int], tell: Progress) -> Past:
    """Return the run's past.

    Raises:
        FedlabError: If the run cannot be repeated here, or has no rounds.
    """
    check_here(folder)
    if not registry.engines.get(folder.scenario.engine.name).traits.adds_up:
        raise FedlabError(
            f"engine.name: on '{folder.scenario.engine.name}' no run can be repeated bit for bit, "
            "as unlearning does; make the run on 'ray' or 'inline'"
        )
    check_from_its_beginning(folder)
    done = checkpoint.newest(folder.checkpoints)
    if done is None or done[0] < 1:
        raise FedlabError(f"{folder.path} has no round in which clients have trained")
    if (folder.path / files.CHANGES).exists():
        tell(
            f"{folder.path} went on with other keys ({files.CHANGES}); it is repeated with those "
            "that it has now"
        )
    return Past(folder, frozenset(clients), done[0], tell)


def _methods(names: Sequence[str], overrides: Sequence[str]) -> Methods:
    """Return the methods with their settings; the oracle first.

    Raises:
        FedlabError: If there is no such method, or key of it.
    """
    wanted = list(dict.fromkeys(names)) or registry.unlearning.names()
    wanted.sort(key=lambda name: name != ORACLE)
    classes = {name: registry.unlearning.get(name) for name in wanted}
    keys = settings_of({name: cls.Settings for name, cls in classes.items()}, overrides)
    return {name: cls(keys[name]) for name, cls in classes.items()}


def _check_clients(past: Past, population: int) -> None:
    """Check that those who are to be forgotten have had a part in the run, and others stay.

    Raises:
        FedlabError: If not.
    """
    strangers = sorted(client for client in past.gone if not 0 <= client < population)
    if strangers:
        raise FedlabError(f"--client {strangers[0]}: the clients are 0 to {population - 1}")
    if len(past.gone) == population:
        raise FedlabError("--client: these are all clients, and nobody would be left")
    rows = read_lines(past.folder.path / files.CLIENTS, ClientRow)
    trained = {row.client for row in rows if row.phase == MessageType.TRAIN and row.examples}
    absent = sorted(past.gone - trained)
    if absent:
        raise FedlabError(
            f"--client {absent[0]}: it has trained in no round of {past.folder.path}, whose model "
            "holds nothing of it"
        )


def _setup(past: Past, simulation: Simulation) -> Setup:
    return setup_of(past.scenario, simulation.federation, simulation.network, simulation.strategy)


def _able(past: Past, methods: Methods, setup: Setup, is_asked: bool) -> Methods:
    """Return the methods that can correct the run.

    Raises:
        FedlabError: If one cannot that was asked for, with each reason.
    """
    able: Methods = {}
    for name, method in methods.items():
        reasons = list(method.objections(past, setup))
        if not reasons:
            able[name] = method
        elif is_asked:
            raise FedlabErrors(f"--method {name}: {reason}" for reason in reasons)
        else:
            past.tell(f"'{name}' is left out: {reasons[0]}")
    return able


def _make(path: Path) -> None:
    """Make the folder.

    Raises:
        FedlabError: If something is there already, or it cannot be made.
    """
    try:
        path.mkdir(parents=True)
    except FileExistsError as error:
        raise FedlabError(f"{path} is there already; name a folder that is not (-o)") from error
    except OSError as error:
        raise FedlabError(f"{path} cannot be made: {error.strerror or error}") from error


def _made(past: Past, path: Path, name: str, method: UnlearningMethod) -> Unlearned:
    """Return what a method makes of the run, and write its folder.

    Where that fails, nothing is left of it.
    """
    past.tell(f"'{name}' begins")
    own = path / name.rpartition(":")[2]
    try:
        found = method.unlearn(past)
        write_model_folder(past, own, name, method, found)
    except BaseException:
        shutil.rmtree(own, ignore_errors=True)
        if not any(path.iterdir()):
            path.rmdir()
        raise
    return found


def _compared(
    past: Past, simulation: Simulation, methods: Methods, made: dict[str, Unlearned]
) -> UnlearningFile:
    """Return the models' measures, those of the run's own first."""
    weights = {ORIGINAL: past.weights} | {name: found.weights for name, found in made.items()}
    number = phase_at(simulation.phases, past.rounds)
    if simulation.phases[number] is not simulation.phase:
        simulation.enter(number)
    measured = {
        name: Measured(simulation, found, past.gone, past.rounds) for name, found in weights.items()
    }
    rows = [_row(name, methods, made, measured) for name in weights]
    return UnlearningFile(
        of=str(past.folder.path.absolute()),
        clients=sorted(past.gone),
        rounds=past.rounds,
        models=rows,
    )


def _row(
    name: str, methods: Methods, made: dict[str, Unlearned], measured: dict[str, Measured]
) -> ModelRow:
    """Return a model's line of the comparison."""
    own, oracle = measured[name], measured.get(ORACLE)
    about: dict[str, Any] = {}
    if name in made:
        found = made[name]
        about = {
            "settings": methods[name].settings.model_dump(mode="json"),
            "cost": CostRow(**asdict(found.cost)),
            "past": CostRow(**asdict(found.past)),
            "figures": found.figures,
        }
    return ModelRow(
        name=name,
        test=own.test,
        forgotten=own.forgotten,
        against=own.against(oracle) if oracle is not None else {},
        **about,
    )
