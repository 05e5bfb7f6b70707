"""What a site says of itself before the first round, and nothing more.

Everything that leaves a site beside updates and metrics is put together here, so that one place
shows it: :func:`what_leaves`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from fedlab import __version__
from fedlab.data.sites.rows import Differs
from fedlab.engine.node_host import host_class
from fedlab.engine.worker.local_site import Place, local_site, pooled_as_text
from fedlab.errors import FedlabError, one_line
from fedlab.scenario.parts import network_of, posed
from fedlab.scenario.phases import phases_of
from fedlab.scenario.site import LONGEST_NAME, Site, load_site
from fedlab.scenario.site_data import Pooled, federation_at, site_statistics
from fedlab.settings import Settings

logger = logging.getLogger(__name__)

UNREADABLE = "its data or its file cannot be read; its own log says why"
LONGEST = 300
"""Letters of a clause."""
MOST = 20
"""Clauses of one site."""


class Introduction(Settings):
    """What a site says of itself.

    Attributes:
        client: Its number.
        clients: How many sites its own configuration counts.
        facts: What figures depend on, by name: versions, and a digest of fedlab's source.
        layout: The fingerprint of what travels of the model; empty where that is not known.
        held: How many examples it holds.
        tested: How many it has set apart for testing itself.
        differences: What speaks against the run there, a clause each.
        name: What it is called, where both sides say so.
    """

    client: int = Field(ge=0)
    clients: int = Field(ge=0)
    facts: dict[str, str] = Field(default_factory=dict)
    layout: str = ""
    held: int = Field(0, ge=0, le=10**12)
    tested: int = Field(0, ge=0, le=10**12)
    differences: tuple[str, ...] = ()
    name: str = Field("", max_length=LONGEST_NAME)


@cache
def facts() -> dict[str, str]:
    """Return what figures depend on in this process."""
    found: dict[str, str] = host_class()().facts()
    return {"version": __version__, **{k: v for k, v in found.items() if k != "processor"}}


def introduction_of(text: str, place: Place) -> Introduction:
    """Return what a site says of itself, given a scenario as text.

    What speaks against the run is told in words that the server has itself; all of it is logged.
    """
    own = Introduction(client=place.client, clients=place.clients, facts=facts())
    try:
        local = local_site(text, place)
        federation = federation_at(
            local.scenario, local.rows, place.client, place.clients, Pooled()
        )
        task = posed(local.scenario, federation).dataset.task
        layout = network_of(phases_of(local.scenario)[0], task).model.layout.fingerprint
    except Differs as error:
        for difference in error.differences:
            logger.warning("the site's data: %s", difference.whole)
        told = tuple(one_line(d.told, LONGEST) for d in error.differences[:MOST])
        return own.model_copy(update={"differences": told, "name": _name(place, text)})
    except FedlabError as error:
        for line in str(error).splitlines():
            logger.warning("the site's data: %s", line)
        return own.model_copy(update={"differences": (UNREADABLE,)})
    for note in local.rows.notes:
        logger.info("the site's data: %s", note)
    rows = local.rows
    return own.model_copy(
        update={
            "layout": layout,
            "held": len(rows) - rows.held_out,
            "tested": rows.held_out,
            "name": local.site.name if "names" in local.scenario.data.collect else "",
        }
    )


def _name(place: Place, text: str) -> str:
    """Return the site's name where it lets that leave; what else is wrong is said already."""
    try:
        site = load_site(place.path)
    except FedlabError:
        return ""
    return site.name if site.permissions.names and '"names"' in text else ""


def statistics_of(text: str, place: Place) -> str:
    """Return what a site says of its training rows, as JSON: nothing that was not asked for."""
    local = local_site(text, place)
    return pooled_as_text(site_statistics(local.scenario, local.rows, place.client, place.clients))


def read_introduction(text: str) -> Introduction:
    """Return the introduction that an answer holds.

    Raises:
        FedlabError: If it is none.
    """
    try:
        return Introduction.model_validate_json(text)
    except ValidationError as error:
        raise FedlabError("its introduction is none; it may have another fedlab") from error


def what_leaves(path: Path, text: str | None) -> dict[str, Any]:
    """Return all that leaves a site for a scenario, as it would be sent.

    Args:
        path: The site's file; its ``[server]`` says which number the site has, of how many.
        text: The scenario, resolved; None: what the site's permissions let a scenario ask for.

    Raises:
        FedlabError: If the site's file is not valid.
    """
    site = load_site(path)
    rounds = (
        "each round: the update (as many numbers as travel of the model), the number of training "
        "examples, the loss and what else training reports; at an evaluation the metrics and the "
        "number of examples they are of"
    )
    if text is None:
        return {"site": site.name, "may leave": _permitted(site), "then": rounds}
    client = int(site.server.get("number", 0))
    place = Place(path.absolute(), client, int(site.server.get("sites", client + 1)))
    found = introduction_of(text, place)
    sent = {"introduction": found.model_dump(mode="json")}
    if not found.differences:
        sent["statistics"] = json.loads(statistics_of(text, place))
    return {**sent, "then": rounds}


def _permitted(site: Site) -> list[str]:
    texts: dict[str, Callable[[], str]] = {
        "statistics": lambda: "count, mean and sum of squares of each column of numbers",
        "class_counts": lambda: "how many training examples of each class",
        "names": lambda: f"the site's name, '{site.name}'",
    }
    always = ["versions of fedlab, flwr, torch, numpy and Python", "how many examples there are"]
    return always + [text() for name, text in texts.items() if getattr(site.permissions, name)]
