"""A run whose clients are sites elsewhere: its folder, its sites, its rounds, its report."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flwr.serverapp import Grid
from jinja2 import TemplateNotFound

from fedlab import files
from fedlab.data.federation import Federation
from fedlab.engine.flower.deployment import (
    Connection,
    DeploymentEngine,
    DeploymentSettings,
    check_deployable,
    deployed,
    described_as,
)
from fedlab.engine.flower.patience import PatientGrid
from fedlab.engine.flower.sites import Sites, sizes_of
from fedlab.errors import FedlabError, FedlabErrors
from fedlab.results.parsing import Anything, read_object
from fedlab.results.report.page import write_report
from fedlab.run.callbacks import trackers_of
from fedlab.run.changes import continued_with
from fedlab.run.display import PlainLines
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.rounds import Rounds
from fedlab.run.simulation import Simulation
from fedlab.scenario import Scenario, from_run_config
from fedlab.scenario.parts import load_federation, posed
from fedlab.scenario.site_data import (
    Pooled,
    asks_statistics,
    counts_classes,
    is_of_sites,
    objections,
    pooled_of,
    schema_federation,
)
from fedlab.terminal import PlainConsole
from fedlab.wire.protocol import FOLDER, RESUME, SCENARIO

RUN = "run"
"""Key of ``deployment.json``: under which sites keep what they keep of the run."""


def deploy(grid: Grid, configuration: Mapping[str, Any]) -> Rounds:
    """Run what a Flower run's configuration describes, at the sites behind a grid.

    Args:
        grid: The grid.
        configuration: ``scenario``, a name or TOML text; ``folder``, the run folder, empty for a
            new one below ``runs``; ``resume``, true to go on in that folder.

    Raises:
        FedlabError: If the run is refused before its first round, or fails later.
    """
    scenario = deployed(from_run_config(str(configuration[SCENARIO])))
    folder = _folder(
        scenario, str(configuration.get(FOLDER, "")), bool(configuration.get(RESUME, False))
    )
    with folder.lock:
        return _deploy(grid, folder)


def _folder(scenario: Scenario, path: str, is_resumed: bool) -> RunFolder:
    """Return the run's folder: a new one, or the one that it goes on in."""
    _check(scenario)
    if not is_resumed:
        if path:
            return RunFolder.create_at(Path(path), scenario)
        return RunFolder.create(Path("runs"), "deployment", scenario)
    if not path:
        raise FedlabError("resume = true: name the run's folder, too (folder)")
    folder = RunFolder.open(Path(path))
    if not folder.is_deployed:
        raise FedlabError(
            f"{path} is the run of a simulation, which '{folder.resume_command}' goes on with"
        )
    return continued_with(folder, scenario)


def _check(scenario: Scenario) -> None:
    check_deployable(scenario)
    problems = list(objections(scenario)) if is_of_sites(scenario) else []
    if problems:
        raise FedlabErrors(problems)


def _deploy(grid: Grid, folder: RunFolder) -> Rounds:
    settings: DeploymentSettings = folder.scenario.engine
    console = PlainConsole()
    try:
        federation, connection = _connected(grid, folder, settings, console)
    except BaseException:
        folder.discard()
        raise

    def at_sites(scenario: Scenario, data: Federation) -> DeploymentEngine:
        return DeploymentEngine(settings, scenario, data, connection)

    def simulation(scenario: Scenario) -> Simulation:
        made = Simulation(scenario, federation, make_engine=at_sites)
        made.notes += connection.sites.notes()
        return made

    callbacks = [PlainLines(folder, console), *trackers_of(folder.scenario, folder.path)]
    rounds = run(folder, callbacks, simulation)
    console.print(f"Run folder  {folder.path}", soft_wrap=True)
    console.print(f"Report      {_reported(folder)}", soft_wrap=True)
    for callback in callbacks:
        callback.closed()
    return rounds


def _reported(folder: RunFolder) -> str:
    """Write the report; return where it is.

    A bundle that Flower unpacks holds no templates: there the command says how to write it.
    """
    try:
        return str(write_report(folder.path))
    except TemplateNotFound:
        return f"'fedlab report {folder.path}' writes it"


def _connected(
    grid: Grid, folder: RunFolder, settings: DeploymentSettings, console: PlainConsole
) -> tuple[Federation, Connection]:
    """Return the federation as the server sees it, once all sites are there and agree."""
    scenario = folder.scenario
    patient = PatientGrid(grid, settings.superlink_timeout)
    central = None if is_of_sites(scenario) else load_federation(scenario)
    expected = scenario.data.sites if central is None else len(central)
    sites = Sites(patient, expected, settings.sites_timeout)
    console.print(f"Waiting for {expected} sites", soft_wrap=True)
    sites.wait()
    console.print(f"All are there: {sites}", soft_wrap=True)
    key = _key(folder, expected)
    if central is not None:
        return central, Connection(grid, sites, key, Pooled())
    held, tested = sizes_of(sites.known, expected)
    parts = [Pooled()] * expected
    if asks_statistics(scenario):
        parts = sites.statistics()
    pooled = pooled_of(scenario, parts)
    names = [sites.known[client].name for client in range(expected)]
    counts = [part.class_counts for part in parts] if counts_classes(scenario) else []
    federation = schema_federation(
        scenario, held, tested, pooled, names if all(names) else (), counts
    )
    return posed(scenario, federation), Connection(grid, sites, key, pooled)


def _key(folder: RunFolder, sites: int) -> str:
    """Return the key under which sites keep what they keep of a run; a new run gets one.

    It is written down, with what runs the clients.
    """
    path = folder.path / files.DEPLOYMENT
    held = read_object(path, Anything)
    if held is not None and isinstance(held.root, dict) and isinstance(held.root.get(RUN), str):
        return str(held.root[RUN])
    key = secrets.token_hex(16)
    folder.write_json(files.DEPLOYMENT, {RUN: key, "engine": described_as(sites)})
    return key
