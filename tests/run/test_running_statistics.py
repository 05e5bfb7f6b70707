"""Strategies see parameters alone; running statistics are combined beside them."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, FedAvgM

from fedlab.algorithm.strategy import Traits, build_strategy, traits_of
from fedlab.algorithm.vector_strategy import Reply, Vector, VectorStrategy
from fedlab.models.layout import Entry, Layout
from fedlab.registry import strategies
from fedlab.run.running_statistics import StatisticsBeside, beside
from fedlab.wire import flower_internals
from fedlab.wire.records import records_of, without_copying
from strategies.bucketing import BucketingSettings
from strategies.flower import adapted

LAYOUT = Layout(
    (Entry("w", (3,), 0), Entry("n.running_mean", (1,), 3), Entry("n.running_var", (1,), 4)),
    5,
    slice(0, 3),
    slice(0, 5),
)
PLAIN = Layout((Entry("w", (3,), 0),), 3, slice(0, 3), slice(0, 3))
SENT = np.array([1, 2, 3, 10, 20], np.float32)
REACHED = np.array([[2, 2, 3, 100, 1], [1, 3, 3, 200, 2], [1, 2, 7, 900, 9]], np.float32)


class Nodes:
    """As much of a grid as it takes to draw a cohort."""

    def get_node_ids(self) -> range:
        return range(2, 5)


def reply(client: int, vector: Any, examples: int = 1) -> Message:
    flower_internals.assume_identity()
    content = RecordDict(
        {
            "metrics": MetricRecord({"num-examples": examples, "train_loss": 1.0}),
            "arrays": ArrayRecord({"weights": Array(np.asarray(vector, np.float32))}),
            "control": ArrayRecord({"weights": Array(np.ones(3, np.float32))}),
        }
    )
    answer = Message(content, reply_to=Message(RecordDict(), client + 2, "train"))
    flower_internals.set_source(answer, client + 2)
    return answer


def asked(strategy: Any, vector: Any = SENT, phase: str = "train") -> list[Message]:
    flower_internals.assume_identity()
    arrays = ArrayRecord({"weights": Array(np.asarray(vector, np.float32))})
    configure = getattr(strategy, f"configure_{phase}")
    return list(configure(1, arrays, ConfigRecord(), Nodes()))


def carried(message: Message) -> Any:
    record = next(iter(records_of(message.content, ArrayRecord).values()))
    return without_copying(next(iter(record.values())))


def after(strategy: Any, reached: Any = REACHED, counts: Sequence[int] = (1, 1, 1)) -> Any:
    replies = [reply(i, v, n) for i, (v, n) in enumerate(zip(reached, counts, strict=True))]
    new, _ = strategy.aggregate_train(1, replies)
    return next(iter(new.values())).numpy()


class Notes(VectorStrategy):
    """Notes what it is given, and steps by one."""

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        self.given = [weights, *(r.weights for r in replies)]
        self.arrays = [r.arrays for r in replies]
        return weights + 1


class NotesMedian(Notes):
    traits = Traits(statistics="median")


class Whole(Notes):
    traits = Traits(statistics="own")


class SendsItsOwn(FedAvg):
    """Sends a vector of its own, in a content that it keeps for all rounds."""

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        (array,) = arrays.values()
        record = ArrayRecord({"weights": Array(array.numpy() * 10)})
        self.content = RecordDict({"arrays": record, "config": config})
        return [Message(self.content, node, "train") for node in grid.get_node_ids()]


def built(cls: Any) -> Any:
    return beside(cls.from_settings(cls.Settings()), LAYOUT)


def test_a_strategy_sees_parameters_and_clients_get_all() -> None:
    strategy = built(Notes)
    messages = asked(strategy)
    np.testing.assert_array_equal(strategy.strategy._sent, SENT[:3])
    for message in (*messages, *asked(strategy, phase="evaluate")):
        np.testing.assert_array_equal(carried(message), SENT)
    assert len({id(message.content) for message in messages}) == 1
    new = after(strategy)
    np.testing.assert_array_equal(strategy.strategy.given, [SENT[:3], *REACHED[:, :3]])
    assert all(set(arrays) == {"control"} for arrays in strategy.strategy.arrays)
    np.testing.assert_allclose(new, [2, 3, 4, 400, 4])


def test_statistics_are_weighed_as_in_any_mean() -> None:
    strategy = built(Notes)
    asked(strategy)
    np.testing.assert_allclose(after(strategy, counts=(2, 1, 1))[3:], [325, 3.25])


def test_a_strategy_against_attackers_takes_the_median() -> None:
    strategy = built(NotesMedian)
    asked(strategy)
    np.testing.assert_allclose(after(strategy)[3:], [200, 2])


def test_a_strategy_of_several_models_sees_whole_vectors() -> None:
    strategy = Whole.from_settings(Whole.Settings())
    assert beside(strategy, LAYOUT) is strategy


def test_without_statistics_a_strategy_is_left_alone() -> None:
    strategy = Notes.from_settings(Notes.Settings())
    assert beside(strategy, PLAIN) is strategy


def test_a_vector_of_the_strategys_own_is_completed_too() -> None:
    strategy: Any = beside(SendsItsOwn(), LAYOUT)
    for _ in range(2):
        messages = asked(strategy)
        np.testing.assert_array_equal(carried(messages[0]), [10, 20, 30, 10, 20])
    assert carried(Message(strategy.strategy.content, 2, "train")).shape == (3,)


def test_a_strangers_momentum_does_not_touch_statistics() -> None:
    cls = adapted(FedAvgM)
    strategy = beside(build_strategy(cls.Settings(name="fedavgm", server_momentum=0.9)), LAYOUT)
    weights = SENT
    for number in range(3):
        asked(strategy, weights)
        replied = [reply(0, weights + np.array([1, 0, 0, 0, -0.9 * weights[4]]))]
        for content in replied:
            del content.content["control"]
        new, _ = strategy.aggregate_train(number + 1, replied)
        weights = next(iter(new.values())).numpy()  # type: ignore[union-attr]
    # 1, then 1.9, then 2.71; the variance falls to a tenth in each round.
    np.testing.assert_allclose(weights, [1 + 1 + 1.9 + 2.71, 2, 3, 10, 0.02], rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("fedavg", "mean"), ("fedadam", "mean"), ("scaffold", "mean"), ("norm-bounding", "median"),
        ("rfa", "median"), ("krum", "median"), ("multikrum", "median"), ("bulyan", "median"),
        ("fedmedian", "median"), ("fedtrimmedavg", "median"), ("dnc", "median"),
        ("fltrust", "median"), ("centred-clipping", "median"), ("feddf", "own"), ("ifca", "own"),
        ("fl+hc", "own"),
    ],
)  # fmt: skip
def test_each_strategy_says_what_becomes_of_statistics(name: str, rule: str) -> None:
    assert strategies.get(name).traits.statistics == rule


def test_a_wrapper_combines_them_as_what_it_wraps() -> None:
    settings = strategies.get("rfa").Settings(name="rfa")
    strategy = build_strategy(BucketingSettings(name="bucketing", inner=settings))
    assert traits_of(strategy).statistics == "median"
    wrapped = beside(strategy, LAYOUT)
    assert isinstance(wrapped, StatisticsBeside)
    assert traits_of(wrapped).statistics == "median"


def test_a_state_of_whole_vectors_is_cut_to_parameters() -> None:
    cls = strategies.get("fedadam")
    old = {"m_t": {"weights": SENT}, "current_arrays": {"weights": SENT}, "other": [1, SENT[:2]]}
    strategy = built(cls)
    strategy.load_state_dict(old)
    np.testing.assert_array_equal(strategy.strategy.m_t["weights"], SENT[:3])
    again = built(cls)
    again.load_state_dict(strategy.state_dict())
    np.testing.assert_array_equal(again.strategy.m_t["weights"], SENT[:3])


def test_training_on_root_data_begins_with_the_statistics_sent() -> None:
    strategy = built(Notes)
    asked(strategy)
    begun: list[Any] = []

    def train(server_round: int, weights: Any) -> Any:
        begun.append(weights)
        return weights * 2

    reached = strategy.trained_on_root(train)(1, SENT[:3])
    np.testing.assert_array_equal(begun, [SENT])
    np.testing.assert_array_equal(reached, SENT[:3] * 2)
