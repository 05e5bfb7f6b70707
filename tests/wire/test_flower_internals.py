"""The contract with what Flower does not make public: these fail when a new Flower moves it."""

import inspect

from flwr.app import Message, MessageType, RecordDict
from flwr.serverapp import Grid, strategy

from fedlab.wire import flower_internals


def test_messages_can_be_made_and_told_apart_by_id() -> None:
    flower_internals.assume_identity()
    message = Message(RecordDict(), 7, MessageType.TRAIN)
    flower_internals.set_message_id(message, "train-5")
    answer = Message(RecordDict(), reply_to=message)
    assert answer.metadata.reply_to_message_id == "train-5"
    assert answer.metadata.src_node_id == 7
    flower_internals.set_source(answer, 9)
    assert answer.metadata.src_node_id == 9


def test_the_grid_asks_for_what_our_engines_give() -> None:
    from fedlab.engine.inline import InlineEngine

    assert not InlineEngine.__abstractmethods__
    assert issubclass(InlineEngine, Grid)


def test_strategies_have_the_methods_that_the_rounds_loop_calls() -> None:
    methods = ("configure_train", "aggregate_train", "configure_evaluate", "aggregate_evaluate")
    for method in methods:
        arguments = list(inspect.signature(getattr(strategy.FedAvg, method)).parameters)
        assert arguments[1] == "server_round"
