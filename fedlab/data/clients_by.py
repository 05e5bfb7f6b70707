"""Who is a client, in data of a user's own: a column's values, a folder's names, or sites by list.

A source that can say it has a key ``clients_by``, a key ``sites``, or both, and returns examples
with ``groups``. With either one set, ``[data.partition]`` may be left out: it is 'natural' then.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from fedlab.data.dataset import IntArray
from fedlab.data.names import shown
from fedlab.errors import FedlabError
from fedlab.settings import FilePath, Settings

CLIENTS_BY = "clients_by"
SITES = "sites"


class Site(Settings):
    """Keys of a table in ``[[data.sites]]``: one client's own folder or file."""

    name: str = Field(min_length=1, description="what the client is called in reports")
    path: FilePath = Field(description="its folder or file, laid out as data.path is elsewhere")


def groups_of(names: Sequence[str]) -> tuple[IntArray, tuple[str, ...]]:
    """Return the group of each row, (rows,), and the groups' names, sorted.

    Example:
        >>> groups_of(["north", "south", "north"])
        (array([0, 1, 0]), ('north', 'south'))
    """
    known, numbers = np.unique(np.array(names, dtype=object), return_inverse=True)
    return numbers.astype(np.int64), tuple(str(name) for name in known)


def check_path_or_sites(
    path: str | None, sites: Sequence[Site], clients_by: str | None, what: str
) -> None:
    """Check that a source's keys name its data once, and say once who is a client.

    Args:
        path: ``data.path``.
        sites: ``data.sites``.
        clients_by: ``data.clients_by``.
        what: What either is, in the singular: "file", "folder", ...

    Raises:
        ValueError: If not, as validators of settings do.
    """
    if (path is None) == (not sites):
        both = "both path and sites are there" if sites else "path is missing"
        raise ValueError(f"{both}; name one {what} (path), or one for each client (sites)")
    if sites and clients_by:
        raise ValueError("sites say who is a client; leave clients_by out")


def check_sites(sites: Sequence[Site]) -> None:
    """Check that no two sites have one name, or one file or folder.

    Raises:
        FedlabError: If two do.
    """
    owners: dict[Path, str] = {}
    for site in sites:
        real = Path(site.path).expanduser().resolve()
        if real in owners and owners[real] != site.name:
            raise FedlabError(
                f"data.sites: '{owners[real]}' and '{site.name}' have one path, {shown(real)}; "
                "each site needs data of its own"
            )
        owners[real] = site.name
    names = [site.name for site in sites]
    for name in names:
        if names.count(name) > 1:
            raise FedlabError(f"data.sites: two sites are called '{name}'; each needs its own name")
