import numpy as np
from flwr.app import Array, ArrayRecord, Message, MessageType, MetricRecord, RecordDict

from fedlab.engine import flower_internals
from fedlab.engine.blocks import plan, weighted_mean


def reply(values: list[float], examples: int, loss: float) -> Message:
    flower_internals.assume_identity()
    content = RecordDict(
        {
            "arrays": ArrayRecord({"weights": Array(np.array(values, dtype=np.float32))}),
            "metrics": MetricRecord({"num-examples": examples, "train_loss": loss}),
        }
    )
    return Message(content, 2, MessageType.TRAIN)


def test_a_combined_reply_is_the_mean_weighted_by_examples() -> None:
    combined = weighted_mean([reply([1, 2], 1, 0.5), reply([4, 8], 3, 0.1)])
    array = combined.content.array_records["arrays"]["weights"].numpy()
    np.testing.assert_allclose(array, [(1 + 12) / 4, (2 + 24) / 4])
    metrics = combined.content.metric_records["metrics"]
    assert metrics["num-examples"] == 4
    assert metrics["train_loss"] == (0.5 + 0.3) / 4


def test_means_of_means_are_the_mean_over_all_clients() -> None:
    generator = np.random.default_rng(0)
    replies = [reply(generator.normal(size=3).tolist(), n, 0.0) for n in (1, 5, 2, 7)]
    whole = weighted_mean(replies).content.array_records["arrays"]["weights"].numpy()
    halves = weighted_mean([weighted_mean(replies[:2]), weighted_mean(replies[2:])])
    np.testing.assert_allclose(
        halves.content.array_records["arrays"]["weights"].numpy(), whole, rtol=1e-6
    )


def test_the_largest_clients_come_first_and_ties_go_by_number() -> None:
    sizes = {3: 10, 5: 30, 8: 10, 9: 20}
    assert plan([9, 8, 3, 5], sizes.__getitem__) == [[3], [0], [2], [1]]


def test_every_client_stands_in_exactly_one_block() -> None:
    blocks = plan(range(95), lambda client: client % 7)
    assert sorted(position for block in blocks for position in block) == list(range(95))
    assert {len(block) for block in blocks[:-1]} == {4}
