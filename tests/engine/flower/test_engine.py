"""The engine over a Grid of Flower's: here nodes report their partition and nothing else."""

import time
from collections.abc import Iterable
from typing import Any

from flwr.app import ConfigRecord, Message, MessageType, RecordDict

from fedlab.engine.flower.engine import FlowerGridEngine
from fedlab.run.rehearsal import rehearse
from fedlab.scenario.parts import load_federation
from fedlab.wire import flower_internals
from tests.shared import scenario_with


class Silent:
    """Two nodes that never answer what they are sent to train."""

    def get_node_ids(self) -> Iterable[int]:
        return [11, 12]

    def send_and_receive(self, messages: Iterable[Message]) -> Iterable[Message]:
        return [
            Message(RecordDict({"config": ConfigRecord({"partition-id": n})}), reply_to=message)
            for n, message in enumerate(messages)
        ]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        return [str(message.metadata.dst_node_id) for message in messages]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return []


def test_it_waits_no_longer_than_a_strategy_asks() -> None:
    scenario = scenario_with(rounds=1, data={"name": "iris", "partition": {"clients": 2}})
    flower_internals.assume_identity()
    grid: Any = Silent()
    engine = FlowerGridEngine(scenario.engine, scenario, load_federation(scenario), grid)  # type: ignore[arg-type]
    messages = [Message(RecordDict(), n, MessageType.TRAIN) for n in engine.get_node_ids()]
    start = time.monotonic()
    assert list(engine.send_and_receive(messages, timeout=0.2)) == []
    assert 0.2 <= time.monotonic() - start < 5


def test_keys_of_blocks_that_do_nothing_here_are_said() -> None:
    engine = {"name": "flower", "clients_per_block": 2, "vectorised": 4}
    notes = rehearse(scenario_with(engine=engine))
    assert [n.split()[0] for n in notes if "does nothing with engine 'flower'" in n] == [
        "engine.clients_per_block",
        "engine.vectorised",
    ]
