"""The Flower ClientApp: it alone translates between messages and local tasks.

The same app answers on every engine. An engine that holds a worker passes it in; Flower's own
engines find the scenario as text in the run's configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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

from fedlab.engine.worker.messages import (
    Decoder,
    assignment,
    forget_other_phase,
    keep,
    sent_arrays,
    weights_key,
)
from fedlab.engine.worker.site_node import (
    answer_of_node,
    remembering,
    reticent,
    worker_of_node,
)
from fedlab.engine.worker.worker import Worker
from fedlab.training.task import Assignment
from fedlab.wire.protocol import (
    ANSWER,
    ASK,
    CONFIG,
    EXAMPLES,
    METRICS,
    PARTITION_ID,
    WEIGHT,
    WEIGHTS,
    own_weight,
)
from fedlab.wire.records import config_of

WorkerSource = Callable[[Context, Mapping[str, Any]], Worker]
"""Returns the worker for a client's context and the values of a message."""
Answer = Callable[[Context, Mapping[str, Any]], str]
"""Answers a query of a deployment's server, given a node's context and the query's values."""


def client_app(
    worker_source: WorkerSource,
    nodes_keep_states: bool = False,
    answer: Answer | None = None,
    mods: Sequence[Any] = (),
) -> ClientApp:
    """Return the ClientApp whose messages are worked on by ``worker_source``'s worker.

    Args:
        worker_source: Finds it.
        nodes_keep_states: Whether what a client keeps stays on its node, where nobody but this app
            can drop what an earlier phase of the run kept; other engines hold it themselves.
        answer: Answers what a query asks beside which client this is.
        mods: What else stands around the work, outermost first, as Flower's mods do.
    """

    def limited(message: Message, context: Context, call_next: Any) -> Message:
        """Stop a client that takes longer than the scenario allows."""
        if message.metadata.message_type == MessageType.QUERY:
            return call_next(message, context)  # type: ignore[no-any-return]
        limit = worker_source(context, config_of(message.content)).time_limit
        reply: Message = limit.run(1, call_next, message, context)
        return reply

    app = ClientApp(mods=[*mods, limited])
    decode = Decoder()

    def worker_for(message: Message, context: Context) -> Worker:
        """Return the worker for a message, with the client's state as its phase has it."""
        config = config_of(message.content)
        if nodes_keep_states:
            forget_other_phase(context.state, config)
        return worker_source(context, config)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return _train(worker_for(message, context), decode, message, context)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        return _evaluate(worker_for(message, context), decode, message, context)

    @app.query()
    def query(message: Message, context: Context) -> Message:
        """Say which client this node is, and answer what else is asked."""
        said = ConfigRecord({PARTITION_ID: int(context.node_config[PARTITION_ID])})
        config = config_of(message.content)
        if answer is not None and ASK in config:
            said[ANSWER] = answer(context, config)
        return Message(RecordDict({CONFIG: said}), reply_to=message)

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


app = client_app(
    worker_of_node, nodes_keep_states=True, answer=answer_of_node, mods=[reticent, remembering]
)
