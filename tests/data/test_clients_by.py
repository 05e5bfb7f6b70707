"""Who is a client, where the data say it: by a column, a folder, or a list of sites."""

import pytest

from fedlab.data.clients_by import Site, check_sites, groups_of
from fedlab.errors import FedlabError


def test_groups_are_numbered_by_their_sorted_names():
    numbers, names = groups_of(["south", "north", "south"])
    assert numbers.tolist() == [1, 0, 1]
    assert names == ("north", "south")


def test_two_sites_of_one_name_are_refused():
    sites = [Site(name="north", path="a"), Site(name="north", path="b")]
    with pytest.raises(FedlabError, match="two sites are called 'north'"):
        check_sites(sites)
