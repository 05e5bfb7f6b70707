"""A client whose reply no strategy can use is reported and left out; the run continues."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
from safetensors.numpy import load_file

from clients.supervised import Supervised
from fedlab.algorithm.client import ClientSettings
from fedlab.algorithm.strategy import Traits
from fedlab.algorithm.vector_strategy import Reply, Vector, VectorStrategy, mean
from fedlab.errors import FedlabError
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.training.loop import Fit
from fedlab.training.task import Arrays, LocalTask, Update
from fedlab.wire.checks import BadReply, check_reply
from fedlab.wire.forms import Forms, Tally, form_of_content
from tests.shared import scenario_with

BASE = {
    "data": {"name": "iris", "partition": {"clients": 5}},
    "model": {"name": "linear"},
    "client": {"name": f"{__name__}:Faulty"},
}


class FaultySettings(ClientSettings):
    """Which clients are at fault, and how."""

    fault: str = ""
    at_fault: tuple[int, ...] = ()


class Faulty(Supervised):
    """A client that sends one vector more than the weights, and in round 2 something wrong."""

    Settings = FaultySettings
    settings: Any

    def sent(self, task: LocalTask, fitted: Fit) -> Arrays:
        return {"further": task.network.model.wire()}

    def update(self, task: LocalTask, fitted: Fit) -> Update:
        update = super().update(task, fitted)
        if task.round != 2 or task.client not in self.settings.at_fault:
            return update
        return FAULTS[self.settings.fault](update)


def without(numbers: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in numbers.items() if key != name}


FAULTS: dict[str, Any] = {
    "NaN": lambda u: replace(u, weights=u.weights * float("nan")),
    "infinite further vector": lambda u: replace(u, arrays={"further": u.weights / 0}),
    "too few weights": lambda u: replace(u, weights=u.weights[:-1]),
    "weights in two dimensions": lambda u: replace(u, weights=u.weights[None]),
    "no tensor": lambda u: replace(u, weights=None),
    "another further shape": lambda u: replace(u, arrays={"further": u.weights[:2]}),
    "another further name": lambda u: replace(u, arrays={"furthest": u.weights}),
    "nothing further": lambda u: replace(u, arrays={}),
    "more than asked": lambda u: replace(u, arrays={**u.arrays, "more": u.weights}),
    "another metric": lambda u: replace(u, metrics={**u.metrics, "more": 1.0}),
    "no loss": lambda u: replace(u, metrics=without(u.metrics, "train_loss")),
    "a word for a metric": lambda u: replace(u, metrics={**u.metrics, "train_loss": "low"}),
    "less than no examples": lambda u: replace(u, examples=-1),
    "examples that are no number": lambda u: replace(u, examples=float("nan")),
}


class Mean(VectorStrategy):
    """The mean of what each client sent."""

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        assert {reply.weights.shape for reply in replies} == {weights.shape}
        assert {tuple(reply.arrays) for reply in replies} == {("further",)}
        return np.asarray(mean(replies))


class MeanOfSums(Mean):
    """The mean, as workers took it."""

    traits = Traits(takes_mean=True)


WAYS = {
    "stacked": {"strategy": "MeanOfSums"},
    "apart": {"strategy": "MeanOfSums", "engine": "vectorised = false"},
    "individual replies": {"strategy": "Mean"},
}


def finished(
    folder: Path, fault: str, at_fault: list[int], strategy: str, engine: str = "", clients: int = 5
) -> RunFolder:
    scenario = scenario_with(
        BASE,
        data={"partition": {"clients": clients}},
        client={"fault": fault, "at_fault": at_fault},
        strategy={"name": f"{__name__}:{strategy}"},
        engine=engine,
    )
    run_folder = RunFolder.create(folder, "faulty", scenario)
    assert run(run_folder).status == "finished"
    return run_folder


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("way", WAYS)
def test_a_bad_reply_is_a_failure_of_its_client_alone(tmp_path: Path, fault: str, way: str) -> None:
    folder = finished(tmp_path, fault=fault, at_fault=[2], **WAYS[way])
    (failure,) = folder.lines("failures.jsonl")
    assert (failure["round"], failure["client"], failure["phase"]) == (2, 2, "train")
    assert failure["reason"]
    lines = list(folder.lines("metrics.jsonl"))[1:]
    assert [line["replies"] for line in lines] == [5, 4, 5]
    trained = [line["client"] for line in folder.lines("clients.jsonl") if line["round"] == 2]
    assert trained == [0, 1, 3, 4]


@pytest.mark.parametrize("fault", ["another further name", "too few weights", "no tensor"])
def test_whoever_is_at_fault_is_left_out_of_every_paths_mean(tmp_path: Path, fault: str) -> None:
    """The client at fault is the largest, which comes first and alone sets no standard."""
    weights = {}
    for way, keys in WAYS.items():
        folder = finished(tmp_path, fault=fault, at_fault=[0], **keys)
        assert [line["client"] for line in folder.lines("failures.jsonl")] == [0]
        tensors = load_file(folder.path / "model.safetensors")
        weights[way] = np.concatenate([tensors[name].ravel() for name in sorted(tensors)])
    np.testing.assert_allclose(weights["stacked"], weights["apart"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(weights["apart"], weights["individual replies"], rtol=1e-5)


def test_failures_are_the_same_whatever_the_workers(tmp_path: Path) -> None:
    outcomes = set()
    for engine in ("", 'name = "ray"\nworkers = 2'):
        folder = finished(
            tmp_path,
            strategy="MeanOfSums",
            clients=12,
            fault="another further shape",
            at_fault=[1, 5, 11],
            engine=engine,
        )
        failures = [(f["round"], f["client"]) for f in folder.lines("failures.jsonl")]
        assert failures == [(2, 1), (2, 5), (2, 11)]
        outcomes.add((folder.path / "model.safetensors").read_bytes())
    assert len(outcomes) == 1


def content(**changes: Any) -> RecordDict:
    records = {
        "arrays": ArrayRecord({"weights": Array(np.ones(4, np.float32))}),
        "metrics": MetricRecord({"num-examples": 3, "train_loss": 0.5}),
        **changes,
    }
    return RecordDict({key: record for key, record in records.items() if record is not None})


def record(*vectors: Any) -> ArrayRecord:
    return ArrayRecord({f"vector {i}": Array(np.asarray(v)) for i, v in enumerate(vectors)})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"arrays": None, "weights": record([1.0] * 4)}, "no weights: its records are"),
        ({"arrays": record([1.0] * 3)}, "holds 3 weights, and this model has 4"),
        ({"arrays": record([1.0] * 4, [1.0] * 4)}, "holds 2 arrays; one is right"),
        ({"arrays": record([1.0, np.inf, 1.0, 1.0])}, "update is not finite"),
        ({"more": record([np.nan])}, "vector 'more' is not finite"),
        ({"more": record(["a"])}, "are no numbers"),
        ({"metrics": MetricRecord({"train_loss": 0.5})}, "0 numbers named 'num-examples'"),
        ({"metrics": MetricRecord({"num-examples": -2})}, "-2 examples"),
    ],
)
def test_a_reply_as_it_arrives_is_checked(changes: Any, told: str) -> None:
    check_reply(content(), content(), is_training=True)
    with pytest.raises(BadReply, match=told):
        check_reply(content(**changes), content(), is_training=True)


def test_values_whose_sum_is_infinite_are_finite_nevertheless() -> None:
    large = record(np.full(4, 3e38, np.float32))
    check_reply(content(arrays=large), content(), is_training=True)


def test_the_most_frequent_form_stands_and_the_earlier_of_equals() -> None:
    usual, other = form_of_content(content()), form_of_content(content(more=record([1.0])))
    forms = Forms()
    forms.add(other, (4,))
    forms.add(usual, (1, 2))
    assert forms.usual() == usual
    ((client, error),) = forms.odd()
    assert client == 4
    assert "more/vector 0 of 1" in str(error)
    forms.add(other, (5,))
    assert forms.usual() == other


def test_only_replies_of_the_usual_form_are_added_up() -> None:
    tally = Tally()
    name, loss = ("arrays", "weights"), {("metrics", "loss"): 1.0}
    tally.add(1, 2.0, {name: np.zeros(3, np.float32)}, loss)
    tally.add(2, 1.0, {name: np.full(2, 4, np.float32)}, loss)
    tally.add(3, 3.0, {name: np.full(2, 8, np.float32)}, loss)
    assert tally.total is not None
    mean_weights = tally.total.mean().array_records["arrays"]["weights"].numpy()
    np.testing.assert_array_equal(mean_weights, [7, 7])


def test_sending_more_than_flowers_strategy_takes_is_refused(tmp_path: Path) -> None:
    changes = 'data.partition.clients = 3\nclient.fault = "NaN"\nstrategy.name = "fedavg"'
    scenario = scenario_with(BASE, changes)
    with pytest.raises(FedlabError, match=r"strategy\.name: 'fedavg' .*one ArrayRecord"):
        run(RunFolder.create(tmp_path, "faulty", scenario))
