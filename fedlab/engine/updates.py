"""Decoding what update processors made of the weights in replies, on whichever side."""

from __future__ import annotations

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, RecordDict

from fedlab.algorithm.update_chain import UpdateChain
from fedlab.arrays import in_shared_memory
from fedlab.training.task import Assignment, Encoded
from fedlab.wire.checks import BadReply
from fedlab.wire.protocol import ROUND, UPDATE, WEIGHTS
from fedlab.wire.records import config_of, records_of, without_copying


def decode_reply(
    chain: UpdateChain, reply: RecordDict, received: RecordDict, is_mean: bool = False
) -> int:
    """Put the weights that a reply stands for in the place of what travelled.

    Args:
        chain: The scenario's update processors.
        reply: A reply's content, changed in place.
        received: The content of the message that it answers.
        is_mean: Whether it is the mean of all replies, on the server.

    Returns:
        How many bytes fewer have travelled than of the weights as they are.

    Raises:
        BadReply: If the reply cannot be decoded.
    """
    key, record = next(iter(records_of(received, ArrayRecord).items()))
    arrays = records_of(reply, ArrayRecord)
    if key not in arrays:
        raise BadReply(f"the reply has no weights: its records are {', '.join(reply) or 'none'}")
    others = {name: _vector(arrays[name]) for name in arrays if name.startswith(f"{UPDATE}.")}
    encoded = Encoded(_vector(arrays[key]), others)
    config = config_of(received)
    asked = Assignment(0, int(config.get(ROUND, 0)), _vector(record).float(), config=config)
    try:
        weights = chain.decode(encoded, asked, is_mean)
    except Exception as error:
        # What a client sends may lead a processor to raise anything.
        raise BadReply(f"the update cannot be decoded ({type(error).__name__}: {error})") from error
    for name in others:
        del reply[name]
    reply[key] = ArrayRecord({WEIGHTS: Array(weights.numpy())})
    return chain.saved(encoded)


def _vector(record: ArrayRecord) -> torch.Tensor:
    array = next(iter(record.values()))
    return in_shared_memory(np.ascontiguousarray(without_copying(array)))
