"""Flower's clipping mods bound what clients send after training and leave evaluation alone."""

from typing import Any

import numpy as np
import pytest
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Context,
    Message,
    MessageType,
    MetricRecord,
    RecordDict,
)

from fedlab import registry
from fedlab.wire import flower_internals

NAMES = ["fixed-clipping", "adaptive-clipping"]
SENT = np.zeros(4, dtype=np.float32)
TRAINED = np.full(4, 5.0, dtype=np.float32)


def message(kind: str, **config: Any) -> Message:
    flower_internals.assume_identity()
    arrays = ArrayRecord({"weights": Array(SENT)})
    return Message(RecordDict({"arrays": arrays, "config": ConfigRecord(config)}), 2, kind)


def context() -> Context:
    return Context(1, 2, {}, RecordDict(), {})


def trained(received: Message, _: Context) -> Message:
    arrays = ArrayRecord({"weights": Array(TRAINED)})
    metrics = MetricRecord({"num-examples": 3})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=received)


def evaluated(received: Message, _: Context) -> Message:
    metrics = MetricRecord({"num-examples": 3, "accuracy": 0.5})
    return Message(RecordDict({"metrics": metrics}), reply_to=received)


@pytest.mark.parametrize("name", NAMES)
def test_a_trained_update_is_scaled_down_to_the_norm_that_the_server_sent(name: str) -> None:
    mod = registry.mods.get(name)().mod
    reply = mod(message(MessageType.TRAIN, clipping_norm=2.0), context(), trained)
    (record,) = reply.content.array_records.values()
    np.testing.assert_allclose(record["weights"].numpy(), np.full(4, 1.0), rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_client_that_did_not_move_is_no_error(name: str) -> None:
    def unmoved(received: Message, _: Context) -> Message:
        arrays = ArrayRecord({"weights": Array(SENT.copy())})
        metrics = MetricRecord({"num-examples": 3})
        return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=received)

    mod = registry.mods.get(name)().mod
    reply = mod(message(MessageType.TRAIN, clipping_norm=2.0), context(), unmoved)
    (record,) = reply.content.array_records.values()
    np.testing.assert_allclose(record["weights"].numpy(), SENT, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_an_evaluation_needs_no_norm_and_passes_unchanged(name: str) -> None:
    mod = registry.mods.get(name)().mod
    reply = mod(message(MessageType.EVALUATE), context(), evaluated)
    assert not reply.has_error()
    assert reply.content.metric_records["metrics"]["accuracy"] == 0.5
