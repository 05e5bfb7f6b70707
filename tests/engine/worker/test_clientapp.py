"""The ClientApp translates messages and tasks, and nothing else."""

from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MessageType, RecordDict

from fedlab.engine.worker.clientapp import client_app
from fedlab.engine.worker.messages import Decoder
from fedlab.engine.worker.worker import Worker
from fedlab.errors import FedlabError
from fedlab.scenario.parts import load_federation
from fedlab.wire import flower_internals
from fedlab.wire.checks import BadReply
from fedlab.wire.protocol import CLIENT_STATE, KEPT_WITH
from fedlab.wire.records import LentArray
from tests.shared import scenario_with


def worker(model: str = 'name = "mlp"', client: str = "supervised") -> Worker:
    scenario = scenario_with(
        data={"partition": {"clients": 5}}, model=model, client=f'name = "{client}"'
    )
    flower_internals.assume_identity()
    return Worker(scenario, load_federation(scenario))


def message(weights: np.ndarray[Any, Any], kind: str = MessageType.TRAIN, **config: Any) -> Message:
    content = RecordDict(
        {
            "arrays": ArrayRecord({"weights": Array(weights)}),
            "config": ConfigRecord({"server-round": 1, **config}),
        }
    )
    return Message(content, 2, kind)


def context(state: RecordDict | None = None) -> Context:
    return Context(1, 2, {"partition-id": 0}, state or RecordDict(), {})


def test_the_reply_carries_one_vector_and_what_a_mean_needs() -> None:
    held = worker()
    weights = held.network.model.wire().numpy().copy()
    reply = client_app(lambda _, config: held)(message(weights), context())
    (record,) = reply.content.array_records.values()
    assert list(record) == ["weights"]
    assert record["weights"].numpy().shape == weights.shape
    assert not np.array_equal(record["weights"].numpy(), weights)
    metrics = reply.content.metric_records["metrics"]
    assert metrics["num-examples"] == len(held.federation.rows(0)[0])
    assert metrics["train_loss"] > 0  # type: ignore[operator]


def test_a_message_gives_the_same_bits_whatever_ran_before() -> None:
    held = worker()
    app, weights = client_app(lambda _, config: held), held.network.model.wire().numpy().copy()
    first = app(message(weights), context())
    other = Context(1, 3, {"partition-id": 1}, RecordDict(), {})
    app(message(weights), other)
    again = app(message(weights), context())
    bits = [next(iter(r.content.array_records["arrays"].values())).data for r in (first, again)]
    assert bits[0] == bits[1]


def test_personal_layers_stay_in_the_clients_state_and_come_back() -> None:
    model = (
        'name = "cnn"\nbatch_norm = "local"\n'
        "layers = [{channels = 4, kernel_size = 3, padding = 1, batch_norm = true}]"
    )
    held = worker(model)
    app, weights = client_app(lambda _, config: held), held.network.model.wire().numpy().copy()
    own = context()
    app(message(weights), own)
    kept = own.state.array_records[CLIENT_STATE]["personal"].numpy()
    layout = held.network.model.layout
    assert kept.shape == (layout.personal_size,) == (16,)
    initial = held.network.model.initial[: layout.personal_size].numpy()
    assert not np.array_equal(kept, initial)
    found = app(message(weights, MessageType.EVALUATE), own).content.metric_records["metrics"]
    stranger = app(message(weights, MessageType.EVALUATE), context()).content
    assert found["loss"] != found["global_loss"]
    assert stranger.metric_records["metrics"]["loss"] == found["global_loss"]
    assert np.array_equal(own.state.array_records[CLIENT_STATE]["personal"].numpy(), kept)


@pytest.mark.parametrize("nodes_keep_states", [True, False])
def test_only_nodes_that_keep_states_drop_those_of_a_phase_with_another_layout(
    nodes_keep_states: bool,
) -> None:
    layers = "layers = [{channels = 4, batch_norm = true}]"
    held = worker(f'name = "cnn"\nbatch_norm = "local"\n{layers}')
    app = client_app(lambda _, config: held, nodes_keep_states)
    weights, layout = held.network.model.wire().numpy().copy(), held.network.model.layout
    own = context()
    app(message(weights, phase=0, layout=layout.fingerprint), own)
    asked = message(weights, MessageType.EVALUATE, phase=1, layout=layout.fingerprint)
    app(asked, own)
    assert CLIENT_STATE in own.state
    own.state[KEPT_WITH] = ConfigRecord({"layout": "another"})
    app(asked, own)
    assert (CLIENT_STATE in own.state) != nodes_keep_states


def test_a_client_without_state_keeps_none() -> None:
    held = worker()
    own = context()
    client_app(lambda _, config: held)(message(held.network.model.wire().numpy().copy()), own)
    assert len(own.state) == 0


def test_another_layout_is_refused() -> None:
    held = worker()
    with pytest.raises(FedlabError, match="layout"):
        client_app(lambda _, config: held)(
            message(held.network.model.wire().numpy().copy(), layout="other"), context()
        )
    with pytest.raises(FedlabError, match="3 weights"):
        client_app(lambda _, config: held)(message(np.zeros(3, np.float32)), context())


def test_weights_that_are_not_finite_are_an_error() -> None:
    held = worker()
    broken = np.full_like(held.network.model.wire().numpy(), np.nan)
    with pytest.raises(BadReply):
        client_app(lambda _, config: held)(message(broken), context())


def test_fedprox_pulls_towards_the_received_weights() -> None:
    plain, pulled = worker(), worker(client="fedprox")
    weights = plain.network.model.wire().numpy().copy()
    app, prox = client_app(lambda _, config: plain), client_app(lambda _, config: pulled)

    def moved(reply: Message) -> float:
        after = next(iter(reply.content.array_records["arrays"].values())).numpy()
        return float(np.linalg.norm(after - weights))

    free = moved(app(message(weights), context()))
    none = moved(prox(message(weights, **{"proximal-mu": 0.0}), context()))
    strong = moved(prox(message(weights, **{"proximal-mu": 5.0}), context()))
    assert none == free
    assert strong < 0.8 * free


def test_fedprox_without_mu_says_which_strategy_sends_it() -> None:
    held = worker(client="fedprox")
    with pytest.raises(FedlabError, match=r"strategy\.name = 'fedprox'"):
        client_app(lambda _, config: held)(
            message(held.network.model.wire().numpy().copy()), context()
        )


def test_decoded_records_are_kept_if_small_else_only_the_last() -> None:
    records = [ArrayRecord({"weights": Array(np.full(4, n, np.float32))}) for n in range(10)]
    small, large = Decoder(capacity=8), Decoder(capacity=8, most_bytes=20)
    for number, record in enumerate(records):
        for decode in (small, large):
            vector = decode(record)
            assert vector.tolist() == [number] * 4
            assert decode(record) is vector
    assert len(small._vectors) == 8
    assert len(large._vectors) == 1


def test_a_lent_record_is_read_in_place_and_not_kept() -> None:
    values, record, decode = np.arange(4, dtype=np.float32), ArrayRecord(), Decoder()
    record["weights"] = LentArray(values)
    assert np.shares_memory(decode(record).numpy(), values)
    assert not decode._vectors
