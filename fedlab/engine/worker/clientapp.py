"""The Flower ClientApp: it alone translates between messages and local tasks.

The same app answers on every engine. An engine that holds a worker passes it in; Flower's own
engines find the scenario as text in the run's configuration.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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

from fedlab.engine.devices import resolved
from fedlab.engine.worker.messages import (
    Decoder,
    assignment,
    forget_other_phase,
    keep,
    sent_arrays,
    weights_key,
)
from fedlab.engine.worker.of_process import worker_of
from fedlab.engine.worker.worker import Worker
from fedlab.training.task import Assignment
from fedlab.wire.protocol import (
    CONFIG,
    EXAMPLES,
    METRICS,
    PARTITION_ID,
    WEIGHT,
    WEIGHTS,
    own_weight,
    phase_of,
)
from fedlab.wire.records import config_of

DEVICE = "device"
"""Key of a node's own configuration: what its machine trains on, as ``engine.device``."""
WorkerSource = Callable[[Context, int], Worker]
"""Returns the worker for a client's context and a phase of the run."""


def client_app(worker_source: WorkerSource, nodes_keep_states: bool = False) -> ClientApp:
    """Return the ClientApp whose messages are worked on by ``worker_source``'s worker.

    Args:
        worker_source: Finds it.
        nodes_keep_states: Whether what a client keeps stays on its node, where nobody but this app
            can drop what an earlier phase of the run kept; other engines hold it themselves.
    """

    def limited(message: Message, context: Context, call_next: Any) -> Message:
        """Stop a client that takes longer than the scenario allows."""
        if message.metadata.message_type == MessageType.QUERY:
            return call_next(message, context)  # type: ignore[no-any-return]
        limit = worker_source(context, phase_of(config_of(message.content))).time_limit
        reply: Message = limit.run(1, call_next, message, context)
        return reply

    app = ClientApp(mods=[limited])
    decode = Decoder()

    def worker_for(message: Message, context: Context) -> Worker:
        """Return the worker for a message, with the client's state as its phase has it."""
        config = config_of(message.content)
        if nodes_keep_states:
            forget_other_phase(context.state, config)
        return worker_source(context, phase_of(config))

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return _train(worker_for(message, context), decode, message, context)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        return _evaluate(worker_for(message, context), decode, message, context)

    @app.query()
    def query(message: Message, context: Context) -> Message:
        """Tell which partition this node holds."""
        answer = ConfigRecord({PARTITION_ID: int(context.node_config[PARTITION_ID])})
        return Message(RecordDict({CONFIG: answer}), reply_to=message)

    return app


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


def _evaluate(worker: Worker, decode: Decoder, message: Message, context: Context) -> Message:
    examples, metrics = worker.evaluate(_asked(worker, decode, message, context))
    record = MetricRecord({EXAMPLES: examples, **metrics})
    return Message(RecordDict({METRICS: record}), reply_to=message)


def _asked(worker: Worker, decode: Decoder, message: Message, context: Context) -> Assignment:
    client = int(context.node_config[PARTITION_ID])
    return assignment(worker, decode, client, message.content, context.state)


def _worker_from_run_config(context: Context, phase: int) -> Worker:
    own = context.node_config.get(DEVICE)
    device = None if own is None else str(resolved(str(own), f"--node-config {DEVICE}"))
    return worker_of(str(context.run_config["scenario"]), phase, device)


app = client_app(_worker_from_run_config, nodes_keep_states=True)
