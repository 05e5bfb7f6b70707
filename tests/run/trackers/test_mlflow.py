"""What MLflow holds is what the run folder holds, from a database and from a real server."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedlab.errors import FedlabError
from fedlab.results.reading import RunRecord
from fedlab.run.baselines import run_baselines
from fedlab.run.callbacks import Callback, trackers_of
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.rehearsal import rehearse
from tests.shared import scenario_with
from tests.stopping import StopAfter

mlflow = pytest.importorskip("mlflow")

IRIS = {
    "data": {"name": "iris"},
    "model": {"name": "linear"},
    "evaluation": {"baselines": ["local", "centralised"]},
    "title": "Iris",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let MLflow write its artifacts, which go into the current folder, elsewhere."""
    monkeypatch.chdir(tmp_path)


def tracked(path: Path, uri: str, last: int = 99, **keys: Any) -> RunRecord:
    """Run a folder, or go on with it, as the command line does; return what it holds."""
    scenario = scenario_with(IRIS, {"trackers": [{"name": "mlflow", "uri": uri, **keys}]})
    folder = RunFolder.open(path) if path.exists() else RunFolder.create_at(path, scenario)
    callbacks: list[Callback] = [*trackers_of(folder.scenario, path), StopAfter(last)]
    if run(folder, callbacks).status == "finished":
        run_baselines(folder, callbacks)
    for callback in callbacks:
        callback.closed()
    return RunRecord.load(path)


def runs_at(uri: str, experiment: str = "Iris") -> dict[str, Any]:
    client = mlflow.MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(experiment)
    return {r.info.run_name: r for r in client.search_runs([found.experiment_id])}


def history(uri: str, run_id: str, name: str) -> dict[int, float]:
    client = mlflow.MlflowClient(tracking_uri=uri)
    return {m.step: m.value for m in client.get_metric_history(run_id, name)}


def check(uri: str, record: RunRecord) -> None:
    """Check that MLflow holds the figures of a run, and its baselines below it."""
    runs = runs_at(uri)
    assert set(runs) == {"one", "one, local", "one, centralised"}
    own = runs["one"]
    assert own.info.status == "FINISHED"
    assert own.data.params["client.optimizer.lr"] == str(0.05)
    expected = {row.round: row.value("accuracy") for row in record.tested}
    assert history(uri, own.info.run_id, "test/accuracy") == pytest.approx(expected)
    central = runs["one, centralised"]
    assert central.data.tags["mlflow.parentRunId"] == own.info.run_id
    curve = {
        line.round: line.test["accuracy"]
        for line in record.baselines
        if line.baseline == "centralised" and line.round is not None
    }
    assert history(uri, central.info.run_id, "test/accuracy") == pytest.approx(curve)
    alone = [b.test["accuracy"] for b in record.baselines if b.baseline == "local"]
    mean = runs["one, local"].data.metrics["test/accuracy"]
    assert mean == pytest.approx(sum(alone) / len(alone))


def test_a_run_that_is_resumed_goes_on_in_one_run_of_a_database(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    tracked(tmp_path / "one", uri, last=1)
    assert runs_at(uri)["one"].info.status == "KILLED"
    check(uri, tracked(tmp_path / "one", uri))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Yield the address of an MLflow server of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{tmp_path / 'server.db'}"),
        *("--artifacts-destination", str(tmp_path / "artifacts")),
    ]
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError("the server does not come up")


@pytest.mark.slow
def test_a_server_gets_figures_and_files(server: str, tmp_path: Path) -> None:
    check(server, tracked(tmp_path / "one", server))
    client = mlflow.MlflowClient(tracking_uri=server)
    own = runs_at(server)["one"].info.run_id
    names = {file.path for file in client.list_artifacts(own)}
    assert names == {"scenario.toml", "summary.json"}
    got = client.download_artifacts(own, "summary.json", str(tmp_path))
    assert json.loads(Path(got).read_text())["status"] == "finished"


def test_a_server_that_is_not_there_is_named_before_the_first_round(tmp_path: Path) -> None:
    with pytest.raises(FedlabError, match=r"trackers\.uri: MLflow cannot be reached at http://127"):
        tracked(tmp_path / "one", "http://127.0.0.1:9")
    assert not (tmp_path / "one" / "metrics.jsonl").exists()


def test_a_package_that_is_missing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedlab.run.callbacks.find_spec", lambda name: None)
    for name in ("mlflow", "wandb", "tensorboard"):
        scenario = scenario_with(IRIS, {"trackers": [{"name": name}]})
        with pytest.raises(FedlabError, match=rf"pip install 'fedlab-sim\[{name}\]'"):
            rehearse(scenario)
