"""Stragglers: clients too slow for a round, dropped or included with partial work.

Li, Sahu, Zaheer, Sanjabi, Talwalkar and Smith, "Federated optimization in heterogeneous networks",
MLSys 2020, section 5: in every round a fixed fraction of the cohort is slow. FedAvg drops those
clients; FedProx aggregates their partial work, of epochs drawn uniformly between 1 and E.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flwr.app import ConfigRecord, Message, RecordDict
from pydantic import Field

from fedlab import seeding
from fedlab.settings import Settings
from fedlab.wire.protocol import LOCAL_EPOCHS


class StragglerSettings(Settings):
    """Keys of ``[client.stragglers]``."""

    fraction: float = Field(
        gt=0, lt=1, description="fraction of each cohort that is too slow, drawn every round"
    )
    drop: bool = Field(
        False,
        description="true: stragglers are left out of the round; false: they send partial work, "
        "of a number of epochs drawn between 1 and client.epochs",
    )

    def in_time(self, cohort: int) -> int:
        """Return how many clients of a cohort are not too slow."""
        return round(cohort * (1 - self.fraction))


def slow_down(
    messages: Sequence[Message], settings: Any, seed: int, server_round: int
) -> tuple[list[Message], list[Message]]:
    """Return the messages whose clients answer, and those whose clients are dropped.

    The slow clients and their epochs depend on seed and round alone, not on whether stragglers are
    dropped, nor on the algorithm.

    Args:
        messages: A round's training messages; they are not changed.
        settings: Keys of ``[client]``.
        seed: The scenario's seed.
        server_round: The round, from 1.
    """
    stragglers: StragglerSettings | None = getattr(settings, "stragglers", None)
    if stragglers is None:
        return list(messages), []
    draw = seeding.numpy_generator(seed, "stragglers", server_round)
    count = len(messages) - stragglers.in_time(len(messages))
    slow = sorted(draw.choice(len(messages), count, replace=False).tolist())
    if stragglers.drop:
        kept = [message for i, message in enumerate(messages) if i not in set(slow)]
        return kept, [messages[i] for i in slow]
    epochs = draw.integers(1, settings.epochs, size=count, endpoint=True).tolist()
    return _hurried(messages, dict(zip(slow, epochs, strict=True))), []


def _hurried(messages: Sequence[Message], epochs: Mapping[int, int]) -> list[Message]:
    """Return the messages, those at the keys of ``epochs`` with that many epochs."""
    contents: dict[tuple[int, int], RecordDict] = {}
    changed = list(messages)
    for position, number in epochs.items():
        message = messages[position]
        # Equal contents stay one object, and array records are shared by all: each is put
        # on the wire once.
        key = (id(message.content), number)
        if key not in contents:
            contents[key] = RecordDict(dict(message.content.items()))
            # Flower's mods expect at most one record of values.
            name, config = next(iter(message.content.config_records.items()))
            contents[key][name] = ConfigRecord({**config, LOCAL_EPOCHS: number})
        metadata = message.metadata
        changed[position] = Message(
            contents[key],
            metadata.dst_node_id,
            metadata.message_type,
            group_id=metadata.group_id,
        )
    return changed


def local_epochs(config: Mapping[str, Any], usual: int) -> int:
    """Return a client's number of epochs.

    Args:
        config: The values that the server sent.
        usual: The scenario's number of epochs.
    """
    return int(config.get(LOCAL_EPOCHS, usual))
