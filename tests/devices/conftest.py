"""The device type that tests run on where a card would be."""

from __future__ import annotations

import pytest

from tests.devices import strict as device_type

FIXTURE = "strict"


def pytest_collection_finish(session: pytest.Session) -> None:
    """Register the device type before the first test of all, where one wants it.

    A backward pass of any earlier test would start torch's threads without one for this device.
    """
    wanted = any(FIXTURE in getattr(item, "fixturenames", ()) for item in session.items)
    if wanted and not session.config.option.collectonly:
        try:
            device_type.register()
        except device_type.CannotBuild as error:
            session.config.stash[REASON] = str(error)


REASON = pytest.StashKey[str]()


@pytest.fixture
def strict(pytestconfig: pytest.Config) -> str:
    """Return the device's name; where it cannot be built, the test is skipped."""
    reason = pytestconfig.stash.get(REASON, None)
    if reason is not None:
        pytest.skip(reason)
    return device_type.NAME
