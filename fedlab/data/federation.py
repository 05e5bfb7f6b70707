"""The federation's data: who holds which rows, and the server's test set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from fedlab import registry, seeding
from fedlab.arrays import in_shared_memory
from fedlab.data.dataset import Dataset, Examples, IntArray
from fedlab.data.drift import Drift
from fedlab.data.mapped import MappedExamples
from fedlab.data.partition import Partition, part_size, split_validation
from fedlab.data.public import draw_public
from fedlab.data.sites.absent import AbsentExamples
from fedlab.data.unseen import split_unseen
from fedlab.data.unseen_settings import UnseenClients
from fedlab.data.virtual import GeneratedExamples
from fedlab.errors import FedlabError

PARTS = ("train", "test", "public")


@dataclass(frozen=True)
class Federation:
    """A data set and its partition over clients.

    A client is a number; its examples are gathered when asked for. Pickling turns tensors into
    NumPy arrays, which Ray shares between processes without copying them.

    The server may hold training examples of its own, the *root data*: they go by the number after
    the last client's. Where the scenario has *public* examples, the server and every client may
    look at them; they are among nobody's own. *Unseen* clients never train, and are no part of the
    population: they go by the numbers after those of the clients and of the root data.

    Clients without labels (``unlabelled``) have no validation part: all that is not set apart for
    their test is for training.

    A *drift* changes examples with the rounds: who knows the round asks :meth:`examples_in`,
    :meth:`evaluation_examples_in` and :meth:`test_in`.
    """

    dataset: Dataset
    partition: Partition
    validation: float
    seed: int
    client_test: float = 0.0
    root_examples: int = 0
    public: Examples | None = None
    unseen: Partition | None = None
    unlabelled: frozenset[int] = frozenset()
    drift: Drift | None = None

    def __len__(self) -> int:
        return len(self.partition)

    def rows(self, client: int) -> tuple[IntArray, IntArray]:
        """Return the row numbers of the client's training and validation parts."""
        if client == len(self) and self.root_examples:
            count = len(self.dataset.train)
            return np.arange(count - self.root_examples, count), np.empty(0, dtype=np.int64)
        fraction = self._validation(client)
        return split_validation(self._parts(client)[0], fraction, self.seed, client)

    def _validation(self, client: int) -> float:
        return 0.0 if client in self.unlabelled else self.validation

    def evaluation_rows(self, client: int) -> IntArray:
        """Return the row numbers that the client is evaluated on.

        They are its test part, which nothing was trained or stopped on, where the scenario sets one
        apart (``data.client_test``), and else its validation part. What a client has set apart
        itself is its test part then.
        """
        return self._parts(client)[1] if self.client_test else self.rows(client)[1]

    @property
    def unseen_clients(self) -> range:
        """Return the numbers of the clients that never train."""
        first = len(self) + bool(self.root_examples)
        return range(first, first + (len(self.unseen) if self.unseen is not None else 0))

    def size(self, client: int) -> int:
        """Return how many rows a client holds, one that never trains included."""
        partition, number = self._of(client)
        return partition.size(number)

    def _of(self, client: int) -> tuple[Partition, int]:
        """Return the partition that a client belongs to, and its number there."""
        unseen = self.unseen_clients
        if self.unseen is not None and client in unseen:
            return self.unseen, client - unseen.start
        return self.partition, client

    def _parts(self, client: int) -> tuple[IntArray, IntArray]:
        """Return the row numbers that the client learns from, and those of its test part."""
        partition, number = self._of(client)
        rows, own = partition.rows(number), partition.own_test_rows(number)
        if own is not None:
            return rows, own
        return split_validation(rows, self.client_test, self.seed, client, "client test")

    def examples(self, client: int) -> tuple[Examples, Examples]:
        """Return the client's training and validation parts, gathered only if looked at."""
        if isinstance(self.dataset.train, AbsentExamples):
            sizes = self.part_sizes(client)
            first, second = (AbsentExamples(self.dataset.task, size) for size in sizes[:2])
            return first, second
        training, validation = self.rows(client)
        return self.dataset.train.select(training), self.dataset.train.select(validation)

    def evaluation_examples(self, client: int) -> Examples:
        """Return what the client is evaluated on (see :meth:`evaluation_rows`)."""
        return self.dataset.train.take(self.evaluation_rows(client))

    def examples_in(self, client: int, server_round: int) -> tuple[Examples, Examples]:
        """Return the client's training and validation parts as they are in a round."""
        parts, drift = self.examples(client), self.drift
        if drift is None:
            return parts
        first, second = (
            drift.of_train(part, rows, server_round) if len(rows) else part
            for part, rows in zip(parts, self.rows(client), strict=True)
        )
        return first, second

    def evaluation_examples_in(self, client: int, server_round: int) -> Examples:
        """Return what the client is evaluated on as it is in a round."""
        found, rows = self.evaluation_examples(client), self.evaluation_rows(client)
        if self.drift is None or not len(rows):
            return found
        return self.drift.of_train(found, rows, server_round)

    def test_in(self, start: int, stop: int, server_round: int) -> Examples:
        """Return rows ``start`` to ``stop`` of the server's test set as they are in a round."""
        found = self.dataset.test.part(start, stop)
        return found if self.drift is None else self.drift.of_test(found, start, server_round)

    def part_sizes(self, client: int) -> tuple[int, int, int]:
        """Return the sizes of a client's training, validation and test parts.

        They are known without working out which rows these are.
        """
        if client == len(self) and self.root_examples:
            return self.root_examples, 0, 0
        partition, number = self._of(client)
        size, own = partition.size(number), partition.own_test_size(number)
        if own:
            validation = part_size(size, self._validation(client))
            return size - validation, validation, own if self.client_test else 0
        return self._sizes_of_parts(size, self._validation(client))

    def _sizes_of_parts(self, size: int, fraction: float) -> tuple[int, int, int]:
        test = part_size(size, self.client_test)
        validation = part_size(size - test, fraction)
        return size - test - validation, validation, test

    @property
    def training_total(self) -> int:
        """Return the number of labelled training examples on all clients, or an estimate of it."""
        if not self.partition.is_disjoint:
            return self._sizes_of_parts(self.partition.total, self.validation)[0]
        return sum(self.part_sizes(client)[0] for client in self.labelled)

    @property
    def labelled(self) -> list[int]:
        """Return the clients that have labels."""
        return [client for client in range(len(self)) if client not in self.unlabelled]

    def pooled_rows(self) -> IntArray:
        """Return the training rows of all clients with labels, ascending, each once.

        Where clients hold the same rows, as virtual ones do, these are all that there are.
        """
        if not self.partition.is_disjoint:
            return np.arange(len(self.dataset.train), dtype=np.int64)
        return np.sort(np.concatenate([self.rows(client)[0] for client in self.labelled]))

    def in_memory(self) -> Federation:
        """Return the federation with all examples in memory, for machines without its files."""
        parts = {part: getattr(self.dataset, part).in_memory() for part in ("train", "test")}
        public = None if self.public is None else self.public.in_memory()
        return replace(self, dataset=replace(self.dataset, **parts), public=public)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        state["dataset"] = None
        state["task"] = self.dataset.task
        parts = {"train": self.dataset.train, "test": self.dataset.test, "public": self.public}
        return state | {part: _as_arrays(examples) for part, examples in parts.items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        train, test, state["public"] = (_as_tensors(state.pop(part)) for part in PARTS)
        state["dataset"] = Dataset(state.pop("task"), train, test)
        self.__dict__.update(state)


def _as_arrays(examples: Examples | None) -> Any:
    """Return examples as they are pickled: their tensors as arrays."""
    if examples is None or isinstance(examples, GeneratedExamples | MappedExamples):
        return examples
    empty = replace(examples, inputs=torch.empty(0), targets=torch.empty(0))
    return empty, examples.inputs.numpy(), examples.targets.numpy()


def _as_tensors(pickled: Any) -> Any:
    """Return the examples that :func:`_as_arrays` was given."""
    if pickled is None or isinstance(pickled, GeneratedExamples | MappedExamples):
        return pickled
    empty, inputs, targets = pickled
    return replace(empty, inputs=in_shared_memory(inputs), targets=in_shared_memory(targets))


def split_dataset(
    settings: Any,
    dataset: Dataset,
    seed: int,
    test_examples: int | None = None,
    root_examples: int = 0,
    unseen_clients: UnseenClients = 0,
) -> Federation:
    """Split a data set over clients.

    Args:
        settings: Keys of ``[data]``.
        dataset: What is split.
        seed: The scenario's; it decides every draw.
        test_examples: How many of the test set to keep; None keeps all.
        root_examples: Training examples that the server keeps for itself.
        unseen_clients: Which clients never train.

    Raises:
        FedlabError: If it cannot be split so.
    """
    if isinstance(dataset.train, GeneratedExamples):
        _check_generated(settings)
    dataset = replace(
        dataset,
        train=some_of(dataset.train, settings.train_examples, seed, "train examples"),
        test=some_of(dataset.test, test_examples, seed, "test examples"),
    )
    public, dataset = draw_public(settings, dataset, seed)
    pool, dataset = _without_root(settings.name, dataset, seed, root_examples)
    partitioner = registry.partitioners.get(settings.partition.name)(settings.partition)
    partition = partitioner.split(pool, dataset.task, seed)
    if len(partition) == 0:
        raise FedlabError("data.partition: no client is left to hold data")
    partition, unseen = split_unseen(partition, unseen_clients, seed)
    held = settings.validation, seed, settings.client_test
    return Federation(dataset, partition, *held, root_examples, public, unseen)


def _check_generated(settings: Any) -> None:
    """Refuse to split what is made client by client in another way."""
    if settings.partition.name != "natural":
        raise FedlabError(
            f"data.partition.name: the clients of '{settings.name}' are made one by one, which "
            f"'{settings.partition.name}' cannot split anew; 'natural' takes them as they are"
        )
    if settings.train_examples is not None:
        raise FedlabError(
            f"data.train_examples: '{settings.name}' makes examples as clients are asked for; "
            "data.clients and data.examples say how many"
        )


def _without_root(name: str, dataset: Dataset, seed: int, count: int) -> tuple[Examples, Dataset]:
    """Return the examples for clients, and the data set with the server's own behind those."""
    size = len(dataset.train)
    if not count:
        return dataset.train, dataset
    if isinstance(dataset.train, GeneratedExamples):
        raise FedlabError(
            f"strategy.root_examples: '{name}' makes examples client by client, and has "
            "none for the server"
        )
    if count >= size:
        raise FedlabError(
            f"strategy.root_examples: the server cannot keep {count} of {size} training examples "
            "and leave clients some"
        )
    order = seeding.numpy_generator(seed, "root data").permutation(size)
    rest, root = np.sort(order[count:]), np.sort(order[:count])
    whole = replace(dataset, train=dataset.train.take(np.concatenate([rest, root])))
    return dataset.train.take(rest), whole


def domains_of(federation: Federation) -> dict[str, list[int]]:
    """Return the clients of each domain, by the domain's name.

    A domain is a group of the training examples, where each client's are of one group; else each
    client is one.
    """
    partition, groups = federation.partition, federation.dataset.train.groups
    if groups is not None:
        own = [np.unique(groups[partition.rows(client)]) for client in range(len(partition))]
        if all(len(found) == 1 for found in own):
            names = federation.dataset.train.group_names
            domains: dict[str, list[int]] = {}
            for client, found in enumerate(own):
                number = int(found[0])
                domains.setdefault(names[number] if names else str(number), []).append(client)
            return domains
    names = partition.names or tuple(map(str, range(len(partition))))
    return {name: [client] for client, name in enumerate(names)}


def of_clients(federation: Federation, clients: Sequence[int]) -> Federation:
    """Return a federation of some of the clients, numbered anew in this order.

    Those without labels stay so.
    """
    partition = federation.partition
    names = tuple(partition.names[client] for client in clients) if partition.names else ()
    chosen = Partition.of([partition.rows(client) for client in clients], names)
    unlabelled = frozenset(n for n, c in enumerate(clients) if c in federation.unlabelled)
    return replace(federation, partition=chosen, unseen=None, unlabelled=unlabelled)


def some_of(examples: Examples, limit: int | None, seed: int, *purpose: str) -> Examples:
    """Return at most ``limit`` examples, drawn at random for a purpose, in their old order."""
    if limit is None or limit >= len(examples):
        return examples
    draw = seeding.numpy_generator(seed, *purpose)
    return examples.take(np.sort(draw.choice(len(examples), limit, replace=False)))
