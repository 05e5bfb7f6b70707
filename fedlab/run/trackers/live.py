"""Sending each round's figures to a tracker's server, which may be away for a while."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fedlab import files
from fedlab.errors import described
from fedlab.results.rows import RoundRow
from fedlab.results.scalars import Scalar, scalars_of

logger = logging.getLogger(__name__)


def sweep_of(folder: Path) -> str:
    """Return the name of the sweep that a run is a member of; "" for none."""
    above = folder.resolve().parent.parent
    return above.name if (above / files.SWEEP).is_file() else ""


class Outbox:
    """Scalars on their way to a tracker; what cannot be sent now is sent with the next round.

    A run does not end because a server of figures does: its folder has them all.

    Args:
        name: What to call the tracker.
        send: Sends scalars; raises where it cannot.
    """

    def __init__(self, name: str, send: Callable[[list[Scalar]], None]) -> None:
        self._name = name
        self._send = send
        self._waiting: list[Scalar] = []
        self._is_away = False

    def add(self, record: Mapping[str, Any]) -> None:
        """Send a round's line of ``metrics.jsonl``."""
        row = RoundRow.model_validate(dict(record))
        self._waiting += [s for s in scalars_of(row) if math.isfinite(s[1])]
        self.flush()

    def flush(self) -> bool:
        """Send what waits; return whether nothing waits any more."""
        try:
            self._send(self._waiting)
        except Exception as error:  # whatever a tracker's package raises
            if not self._is_away:
                logger.warning(
                    "%s cannot be reached (%s); the run goes on, and its figures are sent later",
                    self._name,
                    described(error),
                )
            self._is_away = True
            return False
        self._is_away, self._waiting = False, []
        return True
