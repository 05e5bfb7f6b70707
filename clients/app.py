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
from fedlab.data.federation import in_shared_memory
from fedlab.engine.packing import LentArray, records_of, without_copying
from fedlab.engine.sums import EXAMPLES, WEIGHT, own_weight
from fedlab.engine.worker import Worker, worker_of
from fedlab.errors import FedlabError
from fedlab.training.task import Arrays, Assignment, Update

WEIGHTS = "weights"
STATE = "client-state"
METRICS = "metrics"
PARTITION = "partition-id"

WorkerSource = Callable[[Context], Worker]


def client_app(worker_source: WorkerSource) -> ClientApp:
    """Return the ClientApp whose messages are worked on by ``worker_source``'s worker."""

    def cross_cutting(message: Message, context: Context, call_next: Any) -> Message:
        """Wrap the algorithm in the scenario's mods, the first one outermost."""
        if message.metadata.message_type == MessageType.QUERY:
            return call_next(message, context)  # type: ignore[no-any-return]
        for name in reversed(mods_of(worker_source(context))):
            call_next = _wrap(registry.mods.get(name)().mod, call_next)
        limit = worker_source(context).time_limit
        reply: Message = limit.run(1, call_next, message, context)
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


def mods_of(worker: Worker) -> tuple[str, ...]:
    """Return what stands between messages and the client algorithm, the outermost first."""
    settings: Any = worker.scenario.client
    mods: tuple[str, ...] = settings.mods
    return mods


def _wrap(mod: Any, call_next: Any) -> Any:
    return lambda message, context: mod(message, context, call_next)


def _train(worker: Worker, decode: Decoder, message: Message, context: Context) -> Message:
    asked = _asked(worker, decode, message, context)
    update = worker.train(asked)
    keep(context.state, update.state)
    metrics = MetricRecord({EXAMPLES: update.examples, **update.metrics})
    weight = own_weight(asked.config)
    if weight is not None:
        metrics[WEIGHT] = weight
    content = RecordDict({METRICS: metrics})
    for name, vector in sent_arrays(update, weights_key(message.content)).items():
        content[name] = ArrayRecord({WEIGHTS: Array(vector)})
    return Message(content, reply_to=message)


def sent_arrays(update: Update, key: str) -> dict[str, np.ndarray[Any, Any]]:
    """Return an update's arrays by the keys of their records, the weights under ``key``."""
    arrays = {key: update.weights, **update.arrays}
    return {name: vector.numpy() for name, vector in arrays.items()}


def _evaluate(worker: Worker, decode: Decoder, message: Message, context: Context) -> Message:
    examples, metrics = worker.evaluate(_asked(worker, decode, message, context))
    record = MetricRecord({EXAMPLES: examples, **metrics})
    return Message(RecordDict({METRICS: record}), reply_to=message)


def _asked(worker: Worker, decode: Decoder, message: Message, context: Context) -> Assignment:
    client = int(context.node_config[PARTITION])
    return assignment(worker, decode, client, message.content, context.state)


def assignment(
    worker: Worker, decode: Decoder, client: int, content: RecordDict, state: RecordDict
) -> Assignment:
    """Return what a message's content asks of a client, decoded.

    Its first ArrayRecord holds the weights; every further one holds a vector under its own key.

    Raises:
        FedlabError: If it carries no weights, or weights of another model.
    """
    config: dict[str, Any] = {
        key: value
        for record in records_of(content, ConfigRecord).values()
        for key, value in record.items()
    }
    vectors = {key: decode(record) for key, record in records_of(content, ArrayRecord).items()}
    wire = vectors.pop(weights_key(content))
    _check_layout(worker, config.get("layout"), wire.numel())
    return Assignment(
        client=client,
        round=int(config.get("server-round", 0)),
        wire=wire,
        arrays=vectors,
        config=config,
        state=kept_state(state),
    )


def kept_state(state: RecordDict) -> Arrays:
    """Return what a client kept, by name."""
    if not len(state):
        return {}
    kept: Any = records_of(state, ArrayRecord).get(STATE, {})
    return {name: torch.from_numpy(array.numpy()) for name, array in kept.items()}


def weights_key(content: RecordDict) -> str:
    """Return the key of a message's first ArrayRecord."""
    key = next(iter(records_of(content, ArrayRecord)), None)
    if key is None:
        raise FedlabError("the message carries no weights")
    return key


def _check_layout(worker: Worker, theirs: Any, size: int) -> None:
    layout = worker.network.model.layout
    if theirs is not None and theirs != layout.fingerprint:
        raise FedlabError(
            f"the server's model layout is {theirs}; this client's is {layout.fingerprint}"
        )
    if size != layout.wire_size:
        raise FedlabError(f"the message carries {size} weights; this model has {layout.wire_size}")


class Decoder:
    """Turns records into vectors, each record object once.

    All clients of a round share the record of the global weights on one worker, and so its tensor,
    which nobody writes to. The last few records are kept, of large models the last one; what is
    only lent costs nothing to read again, and is not held on to.
    """

    def __init__(self, capacity: int = 8, most_bytes: int = 1 << 28) -> None:
        self._capacity = capacity
        self._most_bytes = most_bytes
        self._bytes = 0
        self._vectors: OrderedDict[int, tuple[ArrayRecord, torch.Tensor]] = OrderedDict()

    def __call__(self, record: ArrayRecord) -> torch.Tensor:
        """Return the flat float32 vector that the record carries."""
        known = self._vectors.get(id(record))
        if known is not None:
            return known[1]
        array = next(iter(record.values()))
        vector = in_shared_memory(np.ascontiguousarray(without_copying(array), np.float32))
        if isinstance(array, LentArray):
            return vector
        self._vectors[id(record)] = (record, vector)
        self._bytes += vector.nbytes
        while len(self._vectors) > 1 and self._is_full():
            _, (_, oldest) = self._vectors.popitem(last=False)
            self._bytes -= oldest.nbytes
        return vector

    def _is_full(self) -> bool:
        return len(self._vectors) > self._capacity or self._bytes > self._most_bytes


def keep(state: RecordDict, new: Arrays) -> None:
    """Write a client's new state into its old one; a client without any costs no memory."""
    if new:
        state[STATE] = ArrayRecord({name: Array(t.numpy()) for name, t in new.items()})
    elif len(state) and STATE in state:
        del state[STATE]


def _worker_from_run_config(context: Context) -> Worker:
    return worker_of(str(context.run_config["scenario"]))


app = client_app(_worker_from_run_config)
