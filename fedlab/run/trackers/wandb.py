"""A run's figures in Weights & Biases, or in its offline files."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from fedlab.errors import FedlabError, described
from fedlab.registry import trackers
from fedlab.results.reading import RunRecord
from fedlab.results.scalars import FEDERATED, Scalar, scalars_by_run
from fedlab.run.callbacks import (
    RoundOutcome,
    RunView,
    Tracker,
    TrackerSettings,
    package_missing,
)
from fedlab.run.trackers.live import Outbox, sweep_of
from fedlab.scenario.changes import content_of


class WandbSettings(TrackerSettings):
    """Keys of ``[[trackers]]`` with name = "wandb"."""

    project: str = Field("fedlab", description="the project there")
    entity: str | None = Field(None, description="the team or user; default: the one logged in")
    group: str | None = Field(
        None, description="default: the sweep's name for members of one, else the run folder's"
    )
    mode: Literal["online", "offline"] | None = Field(
        None,
        description="'offline' writes files below the run folder, which 'wandb sync' sends later; "
        "default: WANDB_MODE, else 'online'",
    )


@trackers.register("wandb")
class WeightsAndBiases(Tracker):
    """Weights & Biases: the scenario, each round's metrics as they come; baselines in its group.

    A run that is resumed goes on in the run that it has there. Needs ``pip install
    'fedlab-sim[wandb]'``.
    """

    Settings = WandbSettings
    name = "wandb"

    def __init__(self, settings: WandbSettings, folder: Path) -> None:
        super().__init__(settings, folder)
        self._run: Any = None
        self._code = 1
        self._outbox = Outbox("Weights & Biases", self._send)

    @classmethod
    def missing(cls, settings: WandbSettings) -> Iterator[str]:
        """Yield that the package is missing, if it is."""
        yield from package_missing("wandb", "wandb", "Weights & Biases' package")

    def started(self, run: RunView) -> None:
        """Begin a run there, or go on with it.

        Raises:
            FedlabError: If it cannot be begun.
        """
        self._run = self._begin(self.folder.resolve().name, content_of(run.scenario))

    def _begin(self, name: str, config: dict[str, Any]) -> Any:
        import wandb

        # The same folder is the same run there, also after a resume.
        hooks = sys.exit, sys.excepthook
        own = hashlib.sha256(f"{self.folder.resolve()}|{name}".encode()).hexdigest()[:16]
        try:
            return wandb.init(
                project=self.settings.project,
                entity=self.settings.entity,
                group=self.settings.group or sweep_of(self.folder) or self.folder.resolve().name,
                mode=self.settings.mode,
                name=name,
                id=own,
                config=config,
                dir=str(self.folder),
                resume="allow",
                reinit="create_new",
                settings=wandb.Settings(silent=True, console="off", disable_git=True),
            )
        except Exception as error:  # of its many, all mean the same here
            raise FedlabError(
                f"trackers: Weights & Biases cannot be used: {described(error)}; log in with "
                "'wandb login', or set mode = 'offline'"
            ) from error
        finally:
            # It would see every exit of this process from now on; how the run ends it is told.
            sys.exit, sys.excepthook = hooks

    def round_ended(self, run: RunView, outcome: RoundOutcome) -> None:
        """Send a round's figures."""
        self._outbox.add(outcome.record)

    def ended(self, run: RunView) -> None:
        """Note how the run has ended."""
        self._code = 0 if run.status in ("finished", "stopped") else 1

    def closed(self) -> None:
        """Send the baselines, and end the run there."""
        self._outbox.flush()
        record = RunRecord.load(self.folder)
        if record.summary is not None:
            self._run.summary["weights_sha256"] = record.summary.weights_sha256
        self._run.finish(exit_code=self._code)
        for name, scalars in scalars_by_run(record).items():
            if name != FEDERATED:
                own = self._begin(f"{self.folder.resolve().name}, {name}", {"baseline": name})
                _log(own, scalars)
                own.finish()

    def _send(self, scalars: list[Scalar]) -> None:
        _log(self._run, scalars)


def _log(run: Any, scalars: list[Scalar]) -> None:
    by_round: dict[int, dict[str, float]] = {}
    for name, value, step in scalars:
        by_round.setdefault(step, {})[name] = value
    for step, values in sorted(by_round.items()):
        run.log(values, step=step)
