"""The Flower ClientApp: it alone translates between messages and local tasks.

The same app answers on every engine. An engine that holds a worker passes it in; Flower's own
engines find the scenario as text in the run's configuration.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
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
from flwr.clientapp import ClientApp

from fedlab import registry
from fedlab.engine.worker import Worker, worker_of
from fedlab.errors import FedlabError
from fedlab.training.task import Arrays

WEIGHTS = "weights"
STATE = "client-state"
PARTITION = "partition-id"

WorkerSource = Callable[[Context], Worker]


def client_app(worker_source: WorkerSource) -> ClientApp:
    """Return the ClientApp whose messages are worked on by ``worker_source``'s worker."""

    def cross_cutting(message: Message, context: Context, call_next: Any) -> Message:
        """Wrap the algorithm in the scenario's mods, the first one outermost."""
        if message.metadata.message_type == MessageType.QUERY:
            return call_next(message, context)  # type: ignore[no-any-return]
        settings: Any = worker_source(context).scenario.client
        for name in reversed(settings.mods):
            call_next = _wrap(registry.mods.get(name)().mod, call_next)
        reply: Message = call_next(message, context)
        return reply

    app = ClientApp(mods=[cross_cutting])
    decode = Decoder()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return _train(worker_source(context), decode, message, context)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        return _evaluate(worker_source(context), decode, message, context)

    @app.query()
    def query(message: Message, context: Context) -> Message:
        """Tell which partition this node holds."""
        answer = ConfigRecord({PARTITION: int(context.node_config[PARTITION])})
        return Message(RecordDict({"config": answer}), reply_to=message)

    return app


def _wrap(mod: Any, call_next: Any) -> Any:
    return lambda message, context: mod(message, context, call_next)


def _train(worker: Worker, decode: Decoder, message: Message, context: Context) -> Message:
    received = _Received(worker, decode, message, context)
    update = worker.train(**received.arguments())
    _keep(context, update.state)
    content = RecordDict(
        {
            received.arrays_key: ArrayRecord({WEIGHTS: _encode(update.weights)}),
            "metrics": MetricRecord({"num-examples": update.examples, **update.metrics}),
        }
    )
    for name, vector in update.arrays.items():
        content[name] = ArrayRecord({WEIGHTS: _encode(vector)})
    return Message(content, reply_to=message)


def _evaluate(worker: Worker, decode: Decoder, message: Message, context: Context) -> Message:
    received = _Received(worker, decode, message, context)
    examples, metrics = worker.evaluate(**received.arguments())
    record = MetricRecord({"num-examples": examples, **metrics})
    return Message(RecordDict({"metrics": record}), reply_to=message)


class _Received:
    """What a message carries, decoded.

    The first ArrayRecord holds the weights; every further one holds a vector under its own key.
    """

    def __init__(self, worker: Worker, decode: Decoder, message: Message, context: Context) -> None:
        content = message.content
        records = content.array_records
        if not records:
            raise FedlabError("the message carries no weights")
        self.arrays_key = next(iter(records))
        self._client = int(context.node_config[PARTITION])
        self._config: dict[str, Any] = {
            key: value
            for record in content.config_records.values()
            for key, value in record.items()
        }
        self._check_layout(worker)
        self._wire = decode(records[self.arrays_key])
        self._arrays = {k: decode(r) for k, r in records.items() if k != self.arrays_key}
        kept: Any = context.state.array_records.get(STATE, {})
        self._state = {name: torch.from_numpy(array.numpy()) for name, array in kept.items()}
        size = worker.network.model.layout.wire_size
        if self._wire.numel() != size:
            raise FedlabError(
                f"the message carries {self._wire.numel()} weights; this model has {size}"
            )

    def _check_layout(self, worker: Worker) -> None:
        theirs = self._config.get("layout")
        ours = worker.network.model.layout.fingerprint
        if theirs is not None and theirs != ours:
            raise FedlabError(f"the server's model layout is {theirs}; this client's is {ours}")

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the worker's methods."""
        return {
            "client": self._client,
            "server_round": int(self._config.get("server-round", 0)),
            "wire": self._wire,
            "arrays": self._arrays,
            "config": self._config,
            "state": self._state,
        }


class Decoder:
    """Turns records into vectors, each record object once.

    All clients of a round share the record of the global weights on one worker, and so its tensor,
    which nobody writes to. The last few records are kept.
    """

    def __init__(self, capacity: int = 8) -> None:
        self._capacity = capacity
        self._vectors: OrderedDict[int, tuple[ArrayRecord, torch.Tensor]] = OrderedDict()

    def __call__(self, record: ArrayRecord) -> torch.Tensor:
        """Return the flat float32 vector that the record carries."""
        known = self._vectors.get(id(record))
        if known is not None:
            return known[1]
        values = np.ascontiguousarray(next(iter(record.values())).numpy(), dtype=np.float32)
        vector = torch.from_numpy(values)
        self._vectors[id(record)] = (record, vector)
        if len(self._vectors) > self._capacity:
            self._vectors.popitem(last=False)
        return vector


def _encode(vector: torch.Tensor) -> Array:
    return Array(vector.numpy())


def _keep(context: Context, state: Arrays) -> None:
    """Write the client's new state; a client without any costs no memory."""
    if state:
        context.state[STATE] = ArrayRecord({name: _encode(t) for name, t in state.items()})
    elif STATE in context.state:
        del context.state[STATE]


def _worker_from_run_config(context: Context) -> Worker:
    return worker_of(str(context.run_config["scenario"]))


app = client_app(_worker_from_run_config)
