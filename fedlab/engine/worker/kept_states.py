"""What a client keeps between rounds, in a file of its site: it outlives the SuperNode.

One file for each run, beside the site's own, which nobody else may read. It holds what was kept
after the last two rounds: a server that goes on after a checkpoint may ask for the later one again.
"""

from __future__ import annotations

import json
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from safetensors import SafetensorError, safe_open

from fedlab.errors import FedlabError
from fedlab.wire.archive import write_arrays
from fedlab.wire.protocol import CLIENT_STATE, KEPT_WITH, LAYOUT
from fedlab.wire.records import records_of

logger = logging.getLogger(__name__)

KEPT_ROUNDS = 2
_RUN = re.compile(r"[0-9a-f]{8,64}")
_ABOUT = "rounds"


@dataclass(frozen=True)
class KeptStates:
    """The file of one run.

    Attributes:
        path: The file.
    """

    path: Path

    @classmethod
    def of(cls, site_file: Path, run: str) -> KeptStates:
        """Return the file of a run.

        Args:
            site_file: The site's file, beside which it stands.
            run: The run's key.

        Raises:
            FedlabError: If that is no key of a run.
        """
        if not _RUN.fullmatch(run):
            raise FedlabError("the message names no run")
        return cls(site_file.parent / f"{site_file.stem}.states" / f"{run}.safetensors")

    def load(self, server_round: int, is_training: bool) -> RecordDict:
        """Return what was kept before a round, or in it where the client is only evaluated."""
        rounds, arrays = self._read()
        last = server_round - 1 if is_training else server_round
        known = [number for number in rounds if number <= last]
        if not known:
            if rounds:
                logger.warning(
                    "what is kept is of round %d, and round %d is asked for: it begins anew",
                    min(rounds),
                    server_round,
                )
            return RecordDict()
        number = max(known)
        prefix = f"{number}|"
        kept = {
            name.removeprefix(prefix): Array(array)
            for name, array in arrays.items()
            if name.startswith(prefix)
        }
        state = RecordDict({CLIENT_STATE: ArrayRecord(kept)} if kept else {})
        if rounds[number]:
            state[KEPT_WITH] = ConfigRecord({LAYOUT: rounds[number]})
        return state

    def save(self, server_round: int, state: RecordDict) -> None:
        """Keep what a client has after a round; without anything to keep no file is written.

        Raises:
            FedlabError: If it cannot be written.
        """
        kept: Any = records_of(state, ArrayRecord).get(CLIENT_STATE, {})
        rounds, arrays = self._read()
        if not kept and not rounds:
            return
        before = sorted(number for number in rounds if number < server_round)
        stay = before[-(KEPT_ROUNDS - 1) :]
        held: dict[str, np.ndarray[Any, Any]] = {
            name: array for name, array in arrays.items() if int(name.partition("|")[0]) in stay
        }
        held |= {f"{server_round}|{name}": array.numpy() for name, array in kept.items()}
        layout: Any = state.get(KEPT_WITH)
        about = {number: rounds[number] for number in stay}
        about[server_round] = str(layout[LAYOUT]) if layout is not None else ""
        self._write(held, about)

    def _write(self, arrays: dict[str, np.ndarray[Any, Any]], about: dict[int, str]) -> None:
        mask = os.umask(0o077)
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_arrays(self.path, arrays, {_ABOUT: json.dumps(about)})
        except OSError as error:
            raise FedlabError(
                f"what the client keeps cannot be written to {self.path}: {error.strerror or error}"
            ) from error
        finally:
            os.umask(mask)

    def _read(self) -> tuple[dict[int, str], dict[str, np.ndarray[Any, Any]]]:
        """Return the layout that was kept with each round, and the arrays of all rounds."""
        if not self.path.is_file():
            return {}, {}
        try:
            with safe_open(self.path, "np") as file:
                about = json.loads((file.metadata() or {}).get(_ABOUT, "{}"))
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, ValueError) as error:
            raise FedlabError(
                f"{self.path} cannot be read; remove it, and the client begins anew"
            ) from error
        return {int(number): str(layout) for number, layout in about.items()}, arrays
