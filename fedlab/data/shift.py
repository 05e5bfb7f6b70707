"""Shifts that we make: pictures of different clients differ in rotation, blur, contrast, ...

A shift is made once, when the data are loaded, so that training, evaluation and every cache see
shifted pictures as if they had been stored so.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field

from fedlab import registry, seeding
from fedlab.data.dataset import Dataset, Examples, IntArray, Task
from fedlab.data.partition import Partition, clients_named
from fedlab.data.virtual import GeneratedExamples
from fedlab.errors import FedlabError
from fedlab.settings import Settings

ROWS_AT_ONCE = 1024
Profile = tuple[float | None, ...]
"""How strong each shift is, in the order of the tables; None where it leaves a client alone."""


class ShiftSettings(Settings):
    """Keys that every table of ``[[data.shift]]`` has."""

    name: str
    strengths: tuple[float, ...] = Field(min_length=1, description="clients take them in turn")
    clients: tuple[int | str, ...] = Field(
        (), description="which clients are shifted, by number, name or pattern; default: all"
    )


class Shift(ABC):
    """Changes pictures in a way that a number says the strength of.

    The docstring's first line says how.

    Args:
        settings: Its keys.
        task: What the pictures are of.
        where: The key of the scenario that asks for it, for messages.

    Raises:
        FedlabError: If it does not suit the task.
    """

    Settings: ClassVar[type[ShiftSettings]]
    unit: ClassVar[str] = ""
    """What stands after a strength in the name of a domain."""

    def __init__(self, settings: ShiftSettings, task: Task, where: str) -> None:
        self.settings = settings
        if task.modality != "image":
            raise FedlabError(
                f"{where}: it changes pictures, and this data set holds {task.modality} inputs"
            )

    @abstractmethod
    def changed(
        self, pictures: torch.Tensor, strength: float, generator: torch.Generator
    ) -> torch.Tensor:
        """Return changed pictures (N, C, H, W); both are float32 from 0 to 1, and then clipped."""


def shifted(
    tables: Sequence[ShiftSettings], dataset: Dataset, partition: Partition, seed: int
) -> Dataset:
    """Return a data set with the pictures of clients, and of the test part, shifted.

    Each combination of strengths is a domain, and the domains are the groups of both parts, unless
    the clients are the data's own groups already. Test pictures are shifted like the client that
    their group is; where groups are no clients, they are dealt to the domains at random.

    Args:
        tables: ``[[data.shift]]``, in order.
        dataset: What is shifted.
        partition: Says which clients hold which rows.
        seed: Decides what noise is, and which test pictures are in which domain.

    Raises:
        FedlabError: If a shift does not suit the data, or names clients that are not there.
    """
    if not tables:
        return dataset
    if isinstance(dataset.train, GeneratedExamples):
        raise FedlabError(
            "data.shift: this data set makes examples client by client; take one that is stored"
        )
    changes = [
        registry.shifts.get(table.name)(table, dataset.task, f"data.shift.{number}")
        for number, table in enumerate(tables)
    ]
    profiles = _profiles(tables, partition)
    domains = list(dict.fromkeys(profiles))
    own = np.array([domains.index(profile) for profile in profiles])
    train, test = dataset.train.in_memory(), dataset.test.in_memory()
    groups = np.full(len(train), 0, dtype=np.int64)
    for client, domain in enumerate(own):
        groups[partition.rows(client)] = domain
    of_test = _dealt(test, partition, own, len(domains), seed)
    held = np.concatenate([partition.rows(client) for client in range(len(partition))])
    parts = [
        train.with_inputs(_applied(changes, domains, train.inputs, groups, held, seed, "train")),
        test.with_inputs(
            _applied(changes, domains, test.inputs, of_test, np.arange(len(test)), seed, "test")
        ),
    ]
    names = tuple(_named(changes, domain) for domain in domains)
    if len(domains) > 1 and not _clients_are_groups(test, partition):
        numbers = (groups, of_test)
        parts = [
            replace(part, groups=own, group_names=names)
            for part, own in zip(parts, numbers, strict=True)
        ]
    return replace(dataset, train=parts[0], test=parts[1])


def _profiles(tables: Sequence[ShiftSettings], partition: Partition) -> list[Profile]:
    """Return each client's strengths."""
    columns: list[list[float | None]] = []
    for number, table in enumerate(tables):
        where = f"data.shift.{number}.clients"
        chosen = clients_named(partition, table.clients, where) or range(len(partition))
        column: list[float | None] = [None] * len(partition)
        for place, client in enumerate(chosen):
            column[client] = table.strengths[place % len(table.strengths)]
        columns.append(column)
    return list(zip(*columns, strict=True))


def _clients_are_groups(test: Examples, partition: Partition) -> bool:
    return test.groups is not None and set(test.group_names) >= set(partition.names) > set()


def _dealt(test: Examples, partition: Partition, own: IntArray, count: int, seed: int) -> IntArray:
    """Return the domain of each test example, (N,)."""
    if test.groups is not None and _clients_are_groups(test, partition):
        clients = dict(zip(partition.names, own, strict=True))
        by_group = np.array([clients.get(name, 0) for name in test.group_names])
        return np.asarray(by_group[test.groups], dtype=np.int64)
    draw = seeding.numpy_generator(seed, "shifted test examples")
    return np.asarray(draw.permutation(np.arange(len(test)) % count), dtype=np.int64)


def _applied(
    changes: Sequence[Shift],
    domains: Sequence[Profile],
    pictures: torch.Tensor,
    groups: IntArray,
    held: IntArray,
    seed: int,
    part: str,
) -> torch.Tensor:
    """Return uint8 pictures, those of ``held`` rows shifted as their domains are."""
    new = pictures.clone()
    for number, profile in enumerate(domains):
        generator = seeding.torch_generator(seed, "shift", part, number)
        rows = torch.from_numpy(held[groups[held] == number])
        for some in torch.split(rows, ROWS_AT_ONCE):
            batch = pictures[some].float().div_(255)
            for change, strength in zip(changes, profile, strict=True):
                if strength is not None:
                    batch = change.changed(batch, strength, generator).clamp(0, 1)
            new[some] = batch.mul(255).round_().byte()
    return new


def _named(changes: Sequence[Shift], profile: Profile) -> str:
    parts = [
        f"{change.settings.name} {strength:g}{change.unit}"
        for change, strength in zip(changes, profile, strict=True)
        if strength is not None
    ]
    return ", ".join(parts) or "unshifted"
