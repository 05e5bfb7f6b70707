"""Who is a client, in data of a user's own: a column's values, a folder's names, or sites by list.

A source that can say it has a key ``clients_by``, a key ``sites``, or both, and returns examples
with ``groups``. With either one set, ``[data.partition]`` may be left out: it is 'natural' then.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from fedlab.data.dataset import IntArray
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


def check_sites(sites: Sequence[Site]) -> None:
    """Check that no two sites have one name.

    Raises:
        FedlabError: If two do.
    """
    names = [site.name for site in sites]
    for name in names:
        if names.count(name) > 1:
            raise FedlabError(f"data.sites: two sites are called '{name}'; each needs its own name")
