"""A head of a Ray cluster, which tests of several machines attach nodes of their own to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machines.hosts import Hosts, has_namespaces


@pytest.fixture(scope="session")
def isolated() -> bool:
    """Return whether hosts are network namespaces; FEDLAB_TEST_HOSTS=loopback says no."""
    return os.environ.get("FEDLAB_TEST_HOSTS") != "loopback" and has_namespaces()


@pytest.fixture(scope="module")
def hosts(isolated: bool) -> Iterator[Hosts]:
    """Yield a network whose first host is the head of a cluster, without CPUs for clients."""
    with Hosts(isolated) as network:
        network.ray_head(network.host())
        yield network


@pytest.fixture
def separate(isolated: bool) -> None:
    """Skip a test for which hosts must not see each other's files or processes."""
    if not isolated:
        pytest.skip("needs network and mount namespaces, which take the rights of root")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder for scenarios and runs."""
    return tmp_path
