"""What a process at a site holds for a scenario: the site's file and its rows, read once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import tomli_w
from flwr.app import Context
from pydantic import TypeAdapter, ValidationError

from fedlab.data.federation import Federation
from fedlab.data.sites.rows import Difference, Differs, SiteRows
from fedlab.errors import FedlabError
from fedlab.scenario import Scenario, from_run_config
from fedlab.scenario.parts import posed
from fedlab.scenario.site import Site, load_site
from fedlab.scenario.site_data import (
    Pooled,
    federation_at,
    is_of_sites,
    objections,
    read_site,
    refusals,
)
from fedlab.scenario.toml_text import parsed
from fedlab.wire.protocol import NUM_PARTITIONS, PARTITION_ID, POOLED, SITE

_POOLED = TypeAdapter(Pooled)
_OWN_CLASS = re.compile(r"([A-Za-z_][\w.]*):[A-Za-z_]\w*")
_LIBRARIES = frozenset({"huggingface", "timm", "torchvision", "transformers"})
"""What names a model or a data set of a library before a colon, and is no module of one's own."""


@dataclass(frozen=True)
class Place:
    """Which site this is.

    Attributes:
        path: Its file.
        client: Its number.
        clients: How many sites there are.
        pooled: What all sites say together, as JSON; empty before they have said it.
    """

    path: Path
    client: int
    clients: int
    pooled: str = ""

    @classmethod
    def of(cls, context: Context, config: Mapping[str, Any] | None = None) -> Place | None:
        """Return the site that a node's configuration names, or None where it names none.

        Args:
            context: The node's.
            config: The values of a message, if one is answered.
        """
        path = context.node_config.get(SITE)
        if path is None:
            return None
        client = int(context.node_config[PARTITION_ID])
        clients = int(context.node_config.get(NUM_PARTITIONS, client + 1))
        return cls(Path(str(path)), client, clients, str((config or {}).get(POOLED, "")))


@dataclass(frozen=True)
class LocalSite:
    """A site's file and rows, for one scenario.

    Attributes:
        scenario: The scenario.
        site: The site's file.
        rows: Its rows.
    """

    scenario: Scenario
    site: Site
    rows: SiteRows


def scenario_at(text: str, place: Place) -> Scenario:
    """Return the scenario that came as text, if the site lets it import what it names.

    Raises:
        Differs: If it names classes of modules that the site's file does not list.
        FedlabError: If it is not valid here.
    """
    allowed = load_site(place.path).permissions.modules
    raw = parsed(text, "scenario") if "=" in text else None
    if raw is None:
        return from_run_config(text)
    strange = sorted({*_modules(raw)} - {*allowed})
    if strange:
        raise Differs(
            Difference.of(f"[permissions] modules does not list '{name}', which the scenario names")
            for name in strange
        )
    # Modules are those that are installed here, wherever the scenario was written.
    raw.pop("module_folders", None)
    return from_run_config(tomli_w.dumps(raw))


def _modules(value: Any, key: str = "") -> Iterator[str]:
    """Yield the modules of which a scenario's content names classes."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _modules(part, name)
    elif isinstance(value, list):
        for part in value:
            yield from _modules(part, key)
    elif isinstance(value, str) and key == "name":
        found = _OWN_CLASS.fullmatch(value)
        if found is not None and found[1] not in _LIBRARIES:
            yield found[1]


def local_site(text: str, place: Place) -> LocalSite:
    """Return what this process holds for a scenario; it is read once.

    Raises:
        Differs: If the data are not what the scenario asks for, or the site does not permit what it
            asks for.
        FedlabError: If they cannot be read.
    """
    return _local_site(text, place.path, _stamp(place.path))


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=1)
def _local_site(text: str, path: Path, stamp: int) -> LocalSite:
    site = load_site(path)
    scenario = scenario_at(text, Place(path, 0, 1))
    if not is_of_sites(scenario):
        raise Differs(
            [
                Difference.of(
                    f"the scenario's data set is '{scenario.data.name}', and the site brings data "
                    "of its own (data.name = 'sites')"
                )
            ]
        )
    refused = [*objections(scenario), *refusals(scenario, site)]
    if refused:
        raise Differs(map(Difference.of, refused))
    rows = read_site(scenario, site)
    if len(rows) == rows.held_out:
        raise Differs([Difference.of("it holds no example")])
    return LocalSite(scenario, site, rows)


def federation_of(text: str, place: Place) -> tuple[Scenario, Federation]:
    """Return the scenario, and its federation as this site sees it.

    Raises:
        FedlabError: If the message does not carry what all sites say together.
    """
    local = local_site(text, place)
    federation = federation_at(
        local.scenario, local.rows, place.client, place.clients, pooled_from(place.pooled)
    )
    return local.scenario, posed(local.scenario, federation)


def pooled_from(text: str) -> Pooled:
    """Return what all sites say together, or one site says, from JSON.

    Raises:
        FedlabError: If it is not that.
    """
    if not text:
        return Pooled()
    try:
        return _POOLED.validate_json(text)
    except ValidationError as error:
        raise FedlabError("the statistics of a message are not what they should be") from error


def pooled_as_text(pooled: Pooled) -> str:
    """Return the same as JSON."""
    return _POOLED.dump_json(pooled).decode()
