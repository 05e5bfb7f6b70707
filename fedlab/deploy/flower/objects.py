"""What travels in a message, pulled piece by piece.

A message is known of before all of its pieces are there. Flower asks for one that is not yet after
a second, then after two, four and eight: longer than a short round takes.
"""

from __future__ import annotations

from typing import Any

from flwr.supercore.inflatable import inflatable_utils

FIRST, LONGEST = 0.03, 0.5
"""Seconds until a piece that was not there is asked for again, at first and at most."""


def ask_sooner() -> None:
    """Let this process ask for pieces sooner; how long it tries altogether stays as it was."""
    pull: Any = inflatable_utils.pull_objects
    pull.__kwdefaults__.update(
        initial_backoff=FIRST, backoff_cap=LONGEST, max_tries_per_object=None
    )
