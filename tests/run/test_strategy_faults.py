"""What a strategy does wrong is told as its own, and the run folder stays whole."""

import json
import logging
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid

from fedlab.algorithm.client import ClientAlgorithm
from fedlab.algorithm.vector_strategy import Reply, Vector, VectorStrategy, mean
from fedlab.errors import FedlabError
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.strategy_faults import StrategyFault
from tests.shared import scenario_with


class Good(VectorStrategy):
    """FedAvg, up to round 2."""

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        new: Vector = mean(replies)
        return new if server_round < 2 else self.late(new)

    def late(self, new: Vector) -> Any:
        return new


class Raises(Good):
    def late(self, new: Vector) -> Any:
        raise ZeroDivisionError("two\nlines")


class CannotSay(Exception):
    def __str__(self) -> str:
        raise RuntimeError("in str")


class RaisesMute(Good):
    def late(self, new: Vector) -> Any:
        raise CannotSay


class Exits(Good):
    def late(self, new: Vector) -> Any:
        raise SystemExit(3)


class Nan(Good):
    def late(self, new: Vector) -> Any:
        return new * np.nan


class Huge(Good):
    def late(self, new: Vector) -> Any:
        return new * 1e200


class Short(Good):
    def late(self, new: Vector) -> Any:
        return new[:5]


class Flat(Good):
    def late(self, new: Vector) -> Any:
        return new.reshape(1, -1)


class Words(Good):
    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Any:
        new, metrics = super().aggregate_train(server_round, replies)
        words = ArrayRecord({"weights": Array(np.full(650, "x"))})
        return (new if server_round < 2 else words), metrics


class Alone(Good):
    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Any:
        pair = super().aggregate_train(server_round, replies)
        return pair if server_round < 2 else pair[0]


class AsksNobody(Good):
    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Any:
        messages = super().configure_train(server_round, arrays, config, grid)
        return messages if server_round < 2 else []


class ForgetsToReturn(AsksNobody):
    def configure_train(self, server_round: int, *others: Any) -> Any:
        messages = super().configure_train(server_round, *others)
        return messages if server_round < 2 else None


class SendsLess(AsksNobody):
    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Any:
        if server_round == 2:
            arrays = ArrayRecord({"weights": Array(np.zeros(7, np.float32))})
        return Good.configure_train(self, server_round, arrays, config, grid)


class SendsNothing(AsksNobody):
    def configure_train(self, server_round: int, *others: Any) -> Any:
        messages = super().configure_train(server_round, *others)
        if server_round == 2:
            return [Message(RecordDict(), 2, "train")]
        return messages


class RaisesInValues(Good):
    def values(self, server_round: int) -> Any:
        return {} if server_round < 2 else {}["alpha"]


class RaisesInBroadcast(Good):
    def broadcast(self, server_round: int, weights: Vector) -> Any:
        return {} if server_round < 2 else 1 / 0


class RaisesInRecord(Good):
    def record(self) -> Any:
        return {"a": 1} if self._sent.any() and not hasattr(self, "seen") else self.late(1)

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        if server_round == 2:
            self.seen = True
        return np.asarray(mean(replies))

    def late(self, new: Any) -> Any:
        raise LookupError("nothing recorded")


class RecordsAnything(RaisesInRecord):
    def late(self, new: Any) -> Any:
        return {"a": object()}


class RaisesInState(RaisesInRecord):
    def record(self) -> Any:
        return {}

    def state_dict(self) -> Any:
        return {} if not hasattr(self, "seen") else self.late(1)


class KeepsAnything(RaisesInState):
    def late(self, new: Any) -> Any:
        return {"members": [{1, 2}]}


class RaisesInEvaluation(Good):
    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> Any:
        return MetricRecord() if server_round < 2 else self.late(np.ones(1)) / {}


class Overflows(Good):
    """Returns weights that are still finite, and whose outputs are not."""

    def late(self, new: Vector) -> Any:
        return np.full_like(new, 3e38)


class Keeps(Good):
    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Any:
        return None, None


FAULTS = {
    Raises: r"raised ZeroDivisionError in aggregate_train of round 2: two lines \(test_strategy_"
    r"faults.py, line \d+, in late\); its traceback is in .*error.txt; round 1 is saved",
    RaisesMute: r"raised CannotSay in aggregate_train of round 2 \(test_strategy_faults.py",
    Exits: r"raised SystemExit in aggregate_train of round 2: 3",
    Nan: r"returned weights that are not finite \(NaN or infinite\) in round 2; round 1 is saved",
    Huge: r"returned weights that are not finite",
    Short: r"returned weights of shape \(5,\), and was given \(650,\), in round 2",
    Flat: r"returned weights of shape \(1, 650\)",
    Words: r"returned weights of type <U1, which are no real numbers, in round 2",
    Alone: r"returned a ArrayRecord where weights and metrics, a pair, belong in round 2",
    AsksNobody: r"asked no client to train in round 2",
    ForgetsToReturn: r"returned nothing where messages to clients belong in round 2",
    SendsLess: r"sent clients weights of shape \(7,\), not \(650,\), in round 2",
    SendsNothing: r"sent clients a message without weights in round 2",
    RaisesInValues: r"raised KeyError in configure_train of round 2: 'alpha'",
    RaisesInBroadcast: r"raised ZeroDivisionError in configure_train of round 2",
    RaisesInRecord: r"raised LookupError in record of round 2: nothing recorded",
    RecordsAnything: r"returned a object from record, key 'a', which no file can hold, in round 2",
    RaisesInState: r"raised LookupError in state_dict of round 2",
    KeepsAnything: r"returned a set from state_dict, key 'members', which no file can hold",
    RaisesInEvaluation: r"raised TypeError in aggregate_evaluate of round 2",
}


def folder_of(path: Path, strategy: type[Any], **keys: Any) -> RunFolder:
    scenario = scenario_with(
        {"strategy": {"name": f"{__name__}:{strategy.__name__}"}},
        keys,
        data={"validation": 0.2},
        model={"name": "linear"},
        evaluation={"federated": True},
    )
    return RunFolder.create(path, "run", scenario)


@pytest.mark.parametrize("strategy", FAULTS, ids=lambda strategy: strategy.__name__)
def test_a_fault_is_the_strategys_and_no_round_is_saved(
    tmp_path: Path, strategy: type[Any]
) -> None:
    folder = folder_of(tmp_path, strategy)
    with pytest.raises(StrategyFault, match=FAULTS[strategy]) as told:
        run(folder)
    sentence = str(told.value)
    assert sentence.startswith(f"strategy.name: '{__name__}:{strategy.__name__}' ")
    assert "\n" not in sentence
    assert "round 1 is saved" in sentence
    saved = folder.latest()
    assert saved is not None
    assert saved.round == 1
    assert np.isfinite(saved.weights).all()
    summary = json.loads((folder.path / "summary.json").read_text())
    assert (summary["status"], summary["rounds"]) == ("failed", 1)
    assert summary["reason"] in sentence
    raised = "raised" in sentence
    assert (folder.path / "error.txt").exists() == raised


class RaisesWhenMade(Good):
    def __init__(self, settings: Any) -> None:
        raise LookupError("no such\nthing")


class ExitsWhenMade(Good):
    def __init__(self, settings: Any) -> None:
        sys.exit(3)


class UnspeakableWhenMade(Good):
    def __init__(self, settings: Any) -> None:
        raise CannotSay


class RefusesUnspeakably(Good):
    def __init__(self, settings: Any) -> None:
        raise type("Refusal", (CannotSay, ValueError), {})


class RaisesInBegin(Good):
    def begin(self, context: Any) -> None:
        raise LookupError("nothing to begin with")


class RaisesInObjections(Good):
    def objections(self, setup: Any) -> Any:
        raise LookupError("nothing to object to")


@pytest.mark.parametrize(
    ("strategy", "sentence"),
    [
        (RaisesWhenMade, r"cannot be made: LookupError: no such thing"),
        (ExitsWhenMade, r"cannot be made: SystemExit: 3"),
        (UnspeakableWhenMade, r"cannot be made: CannotSay: its text cannot be shown"),
        (RefusesUnspeakably, r"refuses these settings: its text cannot be shown"),
        (
            RaisesInBegin,
            r"raised LookupError in begin: nothing to begin with \(test_strategy_faults",
        ),
        (RaisesInObjections, r"raised LookupError in objections: nothing to object to"),
    ],
)
def test_a_fault_before_the_first_round_leaves_no_folder(
    tmp_path: Path, strategy: type[Any], sentence: str
) -> None:
    folder = folder_of(tmp_path, strategy)
    with pytest.raises(FedlabError, match=sentence):
        run(folder)
    assert not folder.path.exists()


class ObjectsWrongly(ClientAlgorithm):
    def objections(self, setup: Any) -> Any:
        raise LookupError("nothing to object to")


def test_a_clients_objections_that_raise_are_its_fault(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, Good, client={"name": f"{__name__}:ObjectsWrongly"})
    with pytest.raises(FedlabError, match=r"class ObjectsWrongly .* raised LookupError: nothing"):
        run(folder)
    assert not folder.path.exists()


def test_a_mended_strategy_goes_on_from_the_last_good_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(folder_of(tmp_path, Good))
    folder = folder_of(tmp_path, Raises)
    with pytest.raises(StrategyFault):
        run(folder)
    monkeypatch.setattr(Raises, "late", Good.late)
    rounds = run(RunFolder.open(folder.path))
    np.testing.assert_array_equal(rounds.weights, whole.weights)
    assert not (folder.path / "error.txt").exists()


def test_a_strategy_that_never_returns_weights_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "fedlab"):
        run(folder_of(tmp_path, Keeps))
    said = [record.getMessage() for record in caplog.records]
    assert len([text for text in said if "returned no weights in round 1" in text]) == 1


def test_a_loss_that_is_no_number_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "fedlab"):
        run(folder_of(tmp_path, Overflows, rounds=2))
    said = [record.getMessage() for record in caplog.records]
    assert len([text for text in said if "after round 2 the global model's test loss" in text]) == 1
