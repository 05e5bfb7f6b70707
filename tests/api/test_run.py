"""A run in Python is the run of the command line, and its figures are those of its folder."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import fedlab
from fedlab.cli.session import execute
from fedlab.run.callbacks import Callback, RoundOutcome, RunView
from fedlab.run.folder import RunFolder
from tests.shared import SMALL

WATCHED = {"evaluation": {"federated": True, "baselines": ["local"]}}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> fedlab.Run:
    return fedlab.run(
        SMALL, **WATCHED, runs=tmp_path_factory.mktemp("runs"), progress=False, title="Small"
    )


def test_it_leads_to_the_weights_of_the_command_line(done: fedlab.Run, tmp_path: Path) -> None:
    folder = RunFolder.create_at(tmp_path / "run", done.scenario.settings)
    execute(folder, None)
    theirs = json.loads((folder.path / "summary.json").read_text())
    assert done.summary["weights_sha256"] == theirs["weights_sha256"]
    assert {p.name for p in done.path.iterdir()} == {p.name for p in folder.path.iterdir()}
    assert len(done.baselines) == len((folder.path / "baselines.jsonl").read_text().splitlines())


def test_tables_hold_every_line(done: fedlab.Run) -> None:
    lines = [json.loads(line) for line in (done.path / "metrics.jsonl").read_text().splitlines()]
    metrics = done.metrics
    assert list(metrics.index) == [0, 1, 2, 3]
    assert list(metrics["test.accuracy"]) == [line["test"]["accuracy"] for line in lines]
    assert metrics["clients.loss.mean"][3] == lines[3]["clients"]["loss"]["mean"]
    clients = done.clients
    assert len(clients) == len((done.path / "clients.jsonl").read_text().splitlines())
    trained = clients[(clients.phase == "train") & (clients["round"] == 2)]
    assert list(trained.client) == [0, 1, 2]
    assert trained.loss.mean() == pytest.approx(lines[2]["train"]["loss"]["mean"])
    assert done.failures.empty
    assert list(done.failures.columns) == ["round", "client", "phase", "reason", "traceback"]
    assert (done.status, done.summary["rounds"], done.notes) == ("finished", 3, done.notes)


def test_a_run_is_read_from_its_folder(done: fedlab.Run) -> None:
    again = fedlab.load_run(str(done.path))
    assert again == done
    pd.testing.assert_frame_equal(again.metrics, done.metrics)
    assert again.scenario == done.scenario
    assert "finished, round 3, test accuracy" in repr(again)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(fedlab.FedlabError, match="is not a run folder"):
        fedlab.load_run(tmp_path)
    with pytest.raises(fedlab.FedlabError, match="there is no run folder"):
        fedlab.load_run(tmp_path / "nothing")


def test_plots_are_those_of_the_report(done: fedlab.Run) -> None:
    assert done.plot().axes[0].get_ylabel() == "test accuracy"
    assert done.plot("loss").axes[0].get_ylabel() == "test loss"
    assert done.plot("confusion").axes[0].get_xlabel() == "predicted"
    with pytest.raises(fedlab.FedlabError, match=r"unknown plot 'acuracy'. Did you mean 'accu"):
        done.plot("acuracy")
    assert done.report().read_text().startswith("<!doctype html>".upper()[:2])


def test_the_model_takes_stored_inputs_and_predicts_as_the_run_was_evaluated(
    done: fedlab.Run,
) -> None:
    from fedlab.scenario.parts import load_federation

    test = load_federation(done.scenario.settings).dataset.test
    model = done.model()
    assert not model.training
    with torch.no_grad():
        guessed = model(test.inputs).argmax(1)
    accuracy = (guessed == test.targets).double().mean().item()
    assert accuracy == pytest.approx(done.summary["test"]["accuracy"])
    found = done.predict(test.inputs[:5].numpy())
    assert list(found.prediction) == [model.labels[int(k)] for k in guessed[:5]]
    assert found.probability.between(0, 1).all()
    with pytest.raises(fedlab.FedlabError, match=r"of shape \(N, 1, 8, 8\), and these have"):
        done.predict(np.zeros((2, 8, 8), np.uint8))
    with pytest.raises(fedlab.FedlabError, match="pictures are stored as uint8"):
        done.predict(np.zeros((2, 1, 8, 8), np.float32))


@pytest.mark.parametrize(
    ("inputs", "keys", "said"),
    [
        (None, {}, "not an object of NoneType"),
        ([[0.0, 1.0]], {}, "not an object of list"),
        (Image.new("L", (8, 8)), {}, r"not an object of PIL\.Image\.Image"),
        (pd.DataFrame({"a": [1]}), {}, "takes image inputs, and a DataFrame holds"),
        ("a.png", {"top": 0}, "top: it must be at least 1, not 0"),
        ("a.png", {"on_error": "no"}, "on_error: unknown choice 'no'"),
    ],
)
def test_what_is_no_input_is_refused_in_a_sentence(
    done: fedlab.Run, inputs: Any, keys: Any, said: str
) -> None:
    with pytest.raises(fedlab.FedlabError, match=said):
        done.predict(inputs, **keys)


def test_an_input_that_cannot_be_read_may_be_skipped(done: fedlab.Run, tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    names = [tmp_path / "none.png", tmp_path / "a.png"]
    found = done.predict(names, top=1, on_error="skip")
    assert list(found.prediction.isna()) == [True, False]
    assert "none.png" in found.error[0]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"stop": 3}, "stop: a threading.Event belongs here"),
        ({"callbacks": 3}, "callbacks: a list of callbacks belongs here"),
        ({"callbacks": [3]}, "callbacks: objects of subclasses of .*, not 3"),
    ],
)
def test_what_watches_is_checked_before_a_folder_is_made(
    tmp_path: Path, keys: Any, said: str
) -> None:
    with pytest.raises(fedlab.FedlabError, match=said):
        fedlab.run(SMALL, path=tmp_path / "run", progress=False, **keys)
    assert not (tmp_path / "run").exists()


def test_it_continues_after_its_end_and_refuses_what_must_not_change(tmp_path: Path) -> None:
    run = fedlab.run(SMALL, rounds=2, path=tmp_path / "run", progress=False)
    assert run.resume(rounds=3, progress=False) is run
    assert run.scenario.rounds == 3
    whole = fedlab.run(SMALL, rounds=3, path=tmp_path / "whole", progress=False)
    assert run.summary["weights_sha256"] == whole.summary["weights_sha256"]
    with pytest.raises(fedlab.FedlabError, match=r"argument seed: seed cannot change.*fedlab.run"):
        run.resume(seed=3)
    with pytest.raises(fedlab.FedlabError, match="is there already"):
        fedlab.run(SMALL, path=tmp_path / "run")


class StopAfter(Callback):
    """Sets an event after a round, as another thread would."""

    def __init__(self, number: int, event: threading.Event) -> None:
        self.number, self.event = number, event

    def round_ended(self, run: RunView, outcome: RoundOutcome) -> None:
        if outcome.round == self.number:
            self.event.set()


def test_an_event_stops_it_after_the_round_with_all_saved(tmp_path: Path) -> None:
    event = threading.Event()
    run = fedlab.run(
        SMALL,
        path=tmp_path / "run",
        progress=False,
        stop=event,
        callbacks=[StopAfter(1, event)],
    )
    assert (run.status, run.summary["rounds"]) == ("stopped", 1)
    assert run.resume(progress=False).status == "finished"
    whole = fedlab.run(SMALL, path=tmp_path / "whole", progress=False)
    assert run.summary["weights_sha256"] == whole.summary["weights_sha256"]


def test_it_runs_in_threads_and_within_asyncio_to_the_same_weights(tmp_path: Path) -> None:
    def run(name: str) -> Any:
        found = fedlab.run(SMALL, rounds=1, path=tmp_path / name, progress=False)
        return found.summary["weights_sha256"]

    async def several() -> list[Any]:
        at_once = await asyncio.gather(*(asyncio.to_thread(run, name) for name in "ab"))
        return [*at_once, run("c")]

    assert set(asyncio.run(several())) == {run("here")}


def test_progress_goes_to_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fedlab.run(SMALL, rounds=1, path=tmp_path / "run")
    said = capsys.readouterr()
    assert said.out == ""
    assert "round 1/1   test accuracy" in said.err


def test_a_failed_client_is_listed(tmp_path: Path) -> None:
    from fedlab.algorithm.client import ClientAlgorithm

    class Sometimes(ClientAlgorithm):
        """Fails on client 1."""

        def train(self, task: Any) -> Any:
            if task.client == 1:
                raise ValueError("no luck")
            return super().train(task)

    run = fedlab.run(SMALL, rounds=1, client=Sometimes, path=tmp_path / "run", progress=False)
    (failure,) = run.failures.to_dict("records")
    assert (failure["round"], failure["client"]) == (1, 1)
    assert failure["reason"] == "ValueError: no luck"


def test_the_room_that_is_called_has_the_functions_signature() -> None:
    import inspect

    from fedlab.api import run

    called, function = inspect.signature(fedlab.run), inspect.signature(run)
    assert list(called.parameters) == list(function.parameters)
    for name, parameter in called.parameters.items():
        assert parameter.default == function.parameters[name].default
        assert parameter.kind == function.parameters[name].kind
