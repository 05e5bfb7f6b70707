"""From a scenario and the sites' files to the federation's data: all here, one site's, or none.

The same functions serve a site, the server and the simulation of both, so that a deployment trains
on what its simulation trains on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fedlab.data.dataset import Dataset, Examples, Task
from fedlab.data.federation import Federation, some_of
from fedlab.data.partition import SitePartition
from fedlab.data.sites.absent import AbsentExamples
from fedlab.data.sites.kinds import kind_of
from fedlab.data.sites.moments import Moments, together
from fedlab.data.sites.rows import SiteRows
from fedlab.data.sites.settings import SitesSettings
from fedlab.data.sources.sites import NOT_HERE
from fedlab.errors import FedlabError
from fedlab.scenario.phases import phases_of
from fedlab.scenario.schema import Scenario
from fedlab.scenario.site import Site, load_site


@dataclass(frozen=True)
class Pooled:
    """What all sites say together of their training rows, before the first round.

    Attributes:
        moments: Their numbers' means and deviations; None where they are not asked for.
        class_counts: How many examples there are of each class; () where that is not asked for.
    """

    moments: Moments | None = None
    class_counts: tuple[int, ...] = ()


def is_of_sites(scenario: Scenario) -> bool:
    """Return whether the scenario's sites bring their own data."""
    return isinstance(scenario.data, SitesSettings)


def read_site(scenario: Scenario, site: Site) -> SiteRows:
    """Return a site's rows, held against what the scenario asks for.

    Raises:
        Differs: If they are not that.
        FedlabError: If they cannot be read.
    """
    return kind_of(scenario.data).read(site.data, scenario.seed)


def local_federation(scenario: Scenario) -> Federation:
    """Return the federation of sites whose files are on this machine.

    Raises:
        FedlabError: If the scenario lists none, or with what is wrong with one of them.
    """
    settings: SitesSettings = scenario.data
    if not settings.site_files:
        raise FedlabError(NOT_HERE)
    sites = [load_site(Path(file)) for file in settings.site_files]
    names = [site.name for site in sites]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise FedlabError(f"data.site_files: two sites are called '{twice}'")
    read = [_read_named(scenario, site) for site in sites]
    held = tuple(len(rows) - rows.held_out for rows in read)
    tested = tuple(rows.held_out for rows in read)
    partition = SitePartition(held, tested, tuple(range(len(read))), tuple(names))
    parts = [site_statistics(scenario, rows, k, len(read)) for k, rows in enumerate(read)]
    pooled = pooled_of(scenario, parts)
    task = task_with(scenario, pooled)
    encoded = [kind_of(settings).encode(rows, task).in_memory() for rows in read]
    train = Examples(
        torch.cat([examples.inputs for examples in encoded]),
        torch.cat([examples.targets for examples in encoded]),
    )
    notes = tuple(
        f"site {site.name}: {n}" for site, r in zip(sites, read, strict=True) for n in r.notes
    )
    return _federation(scenario, task, train, partition, test_of(scenario, task), notes)


def _read_named(scenario: Scenario, site: Site) -> SiteRows:
    """Return a site's rows; what is wrong with them is said with its name."""
    with _said_of(f"site {site.name}"):
        rows = read_site(scenario, site)
    missing = refusals(scenario, site)
    if missing:
        raise FedlabError(f"site {site.name}: {missing[0]}")
    return rows


def federation_at(
    scenario: Scenario, rows: SiteRows, client: int, clients: int, pooled: Pooled
) -> Federation:
    """Return the federation as one site sees it: with its own rows, and nobody else's.

    Args:
        scenario: The scenario.
        rows: The site's rows.
        client: Its number.
        clients: How many there are.
        pooled: What all sites say together.
    """
    task = task_with(scenario, pooled)
    train = kind_of(scenario.data).encode(rows, task)
    partition = _partition_at(rows, client, clients)
    return _federation(scenario, task, train, partition, nothing_of(task), rows.notes)


def schema_federation(
    scenario: Scenario,
    held: Sequence[int],
    tested: Sequence[int],
    pooled: Pooled,
    names: Sequence[str] = (),
    class_counts: Sequence[tuple[int, ...]] = (),
) -> Federation:
    """Return the federation as the server sees it: numbers of examples, and its own test data.

    Args:
        scenario: The scenario.
        held: How many examples each site holds.
        tested: How many each has set apart for testing itself.
        pooled: What all sites say together.
        names: What the sites are called, where they say so.
        class_counts: How many examples of each class each holds, where they say so.

    Raises:
        FedlabError: If the server's test data are not what the scenario says.
    """
    task = task_with(scenario, pooled)
    partition = SitePartition(tuple(held), tuple(tested), (), tuple(names), tuple(class_counts))
    train = AbsentExamples(task, sum(held) + sum(tested))
    return _federation(scenario, task, train, partition, test_of(scenario, task), ())


def _federation(
    scenario: Scenario,
    task: Task,
    train: Examples,
    partition: SitePartition,
    test: Examples,
    notes: tuple[str, ...],
) -> Federation:
    data = scenario.data
    dataset = Dataset(task, train, test, notes=notes)
    return Federation(dataset, partition, data.validation, scenario.seed, data.client_test)


def _partition_at(rows: SiteRows, client: int, clients: int) -> SitePartition:
    held, tested = [0] * clients, [0] * clients
    held[client], tested[client] = len(rows) - rows.held_out, rows.held_out
    return SitePartition(tuple(held), tuple(tested), (client,))


def site_statistics(scenario: Scenario, rows: SiteRows, client: int, clients: int) -> Pooled:
    """Return what a site says of its training rows, as far as the scenario asks for it.

    Args:
        scenario: The scenario.
        rows: The site's rows.
        client: Its number.
        clients: How many there are.
    """
    kind, data = kind_of(scenario.data), scenario.data
    moments: Moments | None = None
    counts: tuple[int, ...] = ()
    if kind.needs_statistics:
        partition = _partition_at(rows, client, clients)
        task = task_with(scenario, Pooled())
        bare = Dataset(task, AbsentExamples(task, len(rows)), nothing_of(task))
        split = Federation(bare, partition, data.validation, scenario.seed, data.client_test)
        moments = kind.moments(rows, split.rows(client)[0])
    if counts_classes(scenario):
        held = np.arange(len(rows) - rows.held_out)
        targets = rows.examples.targets_of(held)
        counts = tuple(torch.bincount(targets, minlength=len(data.class_names)).tolist())
    return Pooled(moments, counts)


def pooled_of(scenario: Scenario, parts: Sequence[Pooled]) -> Pooled:
    """Return what all sites say together.

    Args:
        scenario: The scenario.
        parts: What each site says, in the order of the sites.
    """
    moments = [part.moments for part in parts if part.moments is not None]
    counts: tuple[int, ...] = ()
    if _weighs_classes(scenario):
        counts = tuple(int(n) for n in np.sum([part.class_counts for part in parts], axis=0))
    return Pooled(together(moments) if moments else None, counts)


def task_with(scenario: Scenario, pooled: Pooled) -> Task:
    """Return what is learned, given what all sites say together."""
    task = kind_of(scenario.data).task(pooled.moments)
    return replace(task, class_counts=pooled.class_counts) if pooled.class_counts else task


def test_of(scenario: Scenario, task: Task) -> Examples:
    """Return the server's own test examples, none where it has none.

    Raises:
        FedlabError: If they cannot be read, or are not what the scenario says.
    """
    test: Any = scenario.data.test
    if test is None:
        return nothing_of(task)
    kind = kind_of(scenario.data)
    with _said_of("data.test"):
        rows = kind.read(test, scenario.seed)
    examples = kind.encode(rows, task)
    return some_of(examples, scenario.evaluation.test_examples, scenario.seed, "test examples")


@contextmanager
def _said_of(what: str) -> Iterator[None]:
    """Let each line of what is wrong inside the block begin with what it is about."""
    try:
        yield
    except FedlabError as error:
        lines = str(error).splitlines()
        raise FedlabError("\n".join(f"{what}: {line}" for line in lines)) from error


def nothing_of(task: Task) -> Examples:
    """Return no examples, of the task's shape."""
    blank = AbsentExamples(task, 0)
    return Examples(blank.inputs.clone(), blank.targets)


def counts_classes(scenario: Scenario) -> bool:
    """Return whether sites are asked how many examples of each class they hold."""
    return "class_counts" in scenario.data.collect and bool(scenario.data.classes)


def asks_statistics(scenario: Scenario) -> bool:
    """Return whether sites are asked for anything about their rows before the first round."""
    return counts_classes(scenario) or kind_of(scenario.data).needs_statistics


def _weighs_classes(scenario: Scenario) -> bool:
    return any(phase.client.class_weights == "balanced" for phase in phases_of(scenario))


def refusals(scenario: Scenario, site: Site) -> list[str]:
    """Return what the scenario asks for and the site does not let leave, a clause each."""
    asked = {
        "statistics": kind_of(scenario.data).needs_statistics,
        "class_counts": "class_counts" in scenario.data.collect,
        "names": "names" in scenario.data.collect,
    }
    return [
        f"[permissions] {name} is false, and the scenario asks for that"
        for name, is_asked in asked.items()
        if is_asked and not getattr(site.permissions, name)
    ]


def objections(scenario: Scenario) -> Iterator[str]:
    """Yield what no federation of sites with their own data can do, a sentence each."""
    data, strategy = scenario.data, scenario.strategy
    if data.partition.name != "natural" or data.partition.clients is not None:
        yield (
            "data.partition: the sites hold their data already, and nobody splits them; leave the "
            "table out"
        )
    for key in ("train_examples", "public"):
        if getattr(data, key) is not None:
            yield f"data.{key}: nobody has all sites' examples to choose from; leave the key out"
    for key in ("shift", "unlabelled"):
        if getattr(data, key):
            yield (
                f"data.{key}: the sites' examples and labels are their own, and nobody changes "
                "them here; leave the key out"
            )
    if getattr(getattr(strategy, "inner", strategy), "root_examples", 0):
        yield "strategy.root_examples: the server has no training examples, the sites have them"
    if _weighs_classes(scenario) and not counts_classes(scenario):
        yield (
            "client.class_weights: 'balanced' needs how many examples of each class all sites "
            "hold; let data.collect = ['class_counts'] ask for that, or set it to 'none'"
        )
