"""A run's figures in MLflow: a file store, a database, or a server."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field

from fedlab import __version__, files
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
from fedlab.scenario.changes import content_of, leaves

LONGEST_VALUE = 500
MOST_AT_ONCE = 100
"""Parameters, and metrics ten times as many, that MLflow takes in one request."""
PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
"""A server that does not answer holds no round up for long, unless the user says otherwise."""
RUN_FILE = "mlflow-run.txt"
SENT = (files.SCENARIO, files.SUMMARY, files.REPORT)
STATUS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


class MLflowSettings(TrackerSettings):
    """Keys of ``[[trackers]]`` with name = "mlflow"."""

    uri: str | None = Field(
        None,
        description="where: a server 'http://HOST:5000', 'sqlite:///FILE' or a folder; default: "
        "MLFLOW_TRACKING_URI, else MLflow's own default in the current folder",
    )
    experiment: str | None = Field(
        None, description="default: the sweep's name for members of one, else the scenario's title"
    )
    artifacts: bool = Field(
        True, description="send the scenario, the summary and the report at the end, too"
    )


@trackers.register("mlflow")
class MLflow(Tracker):
    """MLflow: parameters, each round's metrics as they come, the report; baselines beside them.

    A run that is resumed goes on in the run that it has there. Members of a sweep are runs of one
    experiment. Needs ``pip install 'fedlab-sim[mlflow]'``.
    """

    Settings = MLflowSettings
    name = "mlflow"

    def __init__(self, settings: MLflowSettings, folder: Path) -> None:
        super().__init__(settings, folder)
        self._run_id = ""
        self._experiment_id = ""
        self._status = "FAILED"
        self._outbox = Outbox("MLflow", self._send)

    @classmethod
    def missing(cls, settings: MLflowSettings) -> Iterator[str]:
        """Yield that the package is missing, if it is."""
        yield from package_missing("mlflow", "mlflow", "MLflow")

    @cached_property
    def _client(self) -> Any:
        return _client(self.settings.uri)

    def started(self, run: RunView) -> None:
        """Begin a run there, or go on with the one that the folder names.

        Raises:
            FedlabError: If MLflow cannot be reached.
        """
        try:
            self._begin(run)
        except FedlabError:
            raise
        except Exception as error:  # of MLflow's many, all mean the same here
            raise FedlabError(
                f"trackers.uri: MLflow cannot be reached at {self._client.tracking_uri}: "
                f"{described(error)}"
            ) from error

    def _begin(self, run: RunView) -> None:
        name = self.settings.experiment or sweep_of(self.folder) or run.scenario.title or "fedlab"
        found = self._client.get_experiment_by_name(name)
        self._experiment_id = found.experiment_id if found else self._client.create_experiment(name)
        held = _read(self.folder / RUN_FILE)
        if held and self._is_there(held):
            self._run_id = held
            self._client.update_run(held, status="RUNNING")
            return
        self._run_id = self._new_run(self.folder.resolve().name, {})
        (self.folder / RUN_FILE).write_text(self._run_id + "\n")
        self._send_parameters(content_of(run.scenario))

    def _is_there(self, run_id: str) -> bool:
        from mlflow.exceptions import MlflowException

        try:
            return bool(self._client.get_run(run_id).info.lifecycle_stage == "active")
        except MlflowException:  # another server than the one before
            return False

    def _new_run(self, name: str, tags: dict[str, str]) -> str:
        about = {"fedlab": __version__, "folder": str(self.folder.resolve()), **tags}
        made = self._client.create_run(self._experiment_id, run_name=name, tags=about)
        return str(made.info.run_id)

    def _send_parameters(self, scenario: dict[str, Any]) -> None:
        from mlflow.entities import Param

        values = [Param(key, str(value)[:LONGEST_VALUE]) for key, value in leaves(scenario).items()]
        for start in range(0, len(values), MOST_AT_ONCE):
            self._client.log_batch(self._run_id, params=values[start : start + MOST_AT_ONCE])

    def round_ended(self, run: RunView, outcome: RoundOutcome) -> None:
        """Send a round's figures."""
        self._outbox.add(outcome.record)

    def ended(self, run: RunView) -> None:
        """Note how the run has ended."""
        self._status = STATUS.get(run.status, "FAILED")

    def closed(self) -> None:
        """Send the baselines and files, and end the run there."""
        self._outbox.flush()
        try:
            self._send_baselines()
            if self.settings.artifacts:
                for name in SENT:
                    if (self.folder / name).is_file():
                        self._client.log_artifact(self._run_id, str(self.folder / name))
            self._client.set_terminated(self._run_id, self._status)
        except Exception as error:
            raise FedlabError(
                f"MLflow did not take the end of the run: {described(error)}; all of it is in "
                f"{self.folder}"
            ) from error

    def _send_baselines(self) -> None:
        for name, scalars in scalars_by_run(RunRecord.load(self.folder)).items():
            if name == FEDERATED:
                continue
            tags = {"mlflow.parentRunId": self._run_id, "baseline": name}
            own = self._new_run(f"{self.folder.resolve().name}, {name}", tags)
            self._log(own, scalars)
            self._client.set_terminated(own)

    def _send(self, scalars: list[Scalar]) -> None:
        self._log(self._run_id, scalars)

    def _log(self, run_id: str, scalars: list[Scalar]) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        values = [Metric(name, value, now, step) for name, value, step in scalars]
        for start in range(0, len(values), 10 * MOST_AT_ONCE):
            self._client.log_batch(run_id, metrics=values[start : start + 10 * MOST_AT_ONCE])


def _client(uri: str | None) -> Any:
    for key, value in PATIENCE.items():
        os.environ.setdefault(key, value)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def _read(path: Path) -> str:
    return path.read_text().strip() if path.is_file() else ""
