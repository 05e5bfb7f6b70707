"""What data hold, in a few letters: so that a run can tell whether they are still the same.

Names, sizes and times of files say nothing of that; the examples themselves do, once they are
loaded. XXH3 reads 180 MB of them (CIFAR-10) in 0.07 s, where SHA-256 takes 0.7 s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from xxhash import xxh3_128

from fedlab.data.dataset import Examples
from fedlab.data.description import described_clients
from fedlab.data.federation import Federation
from fedlab.data.partition import Partition
from fedlab.data.sites.absent import AbsentExamples
from fedlab.data.virtual import GeneratedExamples

ROWS_AT_ONCE = 128
ELSEWHERE = "at the sites"
"""What stands for the digest of examples that never leave their owners."""


def content_of(federation: Federation) -> dict[str, Any]:
    """Return how many examples a federation's parts have, and digests of what they hold.

    Of a large population the clients that ``partition.json`` describes stand for all; of one whose
    examples are made client by client, the first client does.
    """
    parts = {
        "train": federation.dataset.train,
        "test": federation.dataset.test,
        "public": federation.public,
    }
    described = {
        name: {"examples": len(part), "digest": _digest(part)}
        for name, part in parts.items()
        if part is not None
    }
    return {**described, "partition": {"digest": _partition_digest(federation.partition)}}


def _digest(examples: Examples) -> str:
    """Return a digest of examples; of those that are elsewhere nothing is known."""
    return ELSEWHERE if isinstance(examples, AbsentExamples) else examples_digest(examples)


def examples_digest(examples: Examples) -> str:
    """Return a digest of inputs, targets and natural clients."""
    digest = xxh3_128()
    if isinstance(examples, GeneratedExamples):
        inputs, targets = examples.population.make(0)
        digest.update(str(len(examples)).encode())
    else:
        digest.update(repr(examples.group_names).encode())
        return _digest_of_blocks(digest, examples)
    for array in (inputs, targets):
        _add(digest, array.numpy())
    return str(digest.hexdigest())


def _digest_of_blocks(digest: Any, examples: Examples) -> str:
    """Return a digest of stored examples, of whose inputs some are in memory at a time."""
    first = examples.inputs_at(slice(1)).numpy()
    digest.update(f"{first.dtype}{(len(examples), *first.shape[1:])}".encode())
    for block in examples.blocks(ROWS_AT_ONCE):
        digest.update(np.ascontiguousarray(block.numpy()).reshape(-1).view(np.uint8).data)
    arrays = [examples.targets.numpy()]
    arrays += [] if examples.groups is None else [examples.groups]
    for array in arrays:
        _add(digest, array)
    return str(digest.hexdigest())


def tensors_digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return a digest of named tensors."""
    digest = xxh3_128()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        _add(digest, tensor.detach().numpy())
    return str(digest.hexdigest())


def _partition_digest(partition: Partition) -> str:
    digest = xxh3_128()
    if not partition.has_rows:
        _add(digest, partition.sizes)
        return str(digest.hexdigest())
    for client in described_clients(partition):
        _add(digest, partition.rows(client))
    return str(digest.hexdigest())


def _add(digest: Any, array: np.ndarray[Any, Any]) -> None:
    digest.update(f"{array.dtype}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
