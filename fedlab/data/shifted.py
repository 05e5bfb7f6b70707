"""Shifts made when the data are loaded, and the domains that they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from fedlab import seeding
from fedlab.data.dataset import Dataset, Examples, IntArray
from fedlab.data.drift import Drift
from fedlab.data.partition import Partition, clients_named
from fedlab.data.shift import (
    ROWS_AT_ONCE,
    Profile,
    Shift,
    ShiftSettings,
    picture_changes,
    shifts_of,
)
from fedlab.data.virtual import GeneratedExamples
from fedlab.errors import FedlabError


def shifted(
    tables: Sequence[ShiftSettings], dataset: Dataset, partition: Partition, seed: int
) -> tuple[Dataset, Drift | None]:
    """Return a data set with clients' examples, and the test part, shifted; and what is to come.

    Each combination of strengths is a domain, and the domains are the groups of both parts, unless
    the clients are the data's own groups already. Test examples are shifted like the client that
    their group is; where groups are no clients, they are dealt to the domains at random. Shifts
    that begin, grow or end with the rounds are left to the :class:`Drift`, which is made of what
    the others lead to; None where there are no such shifts.

    Args:
        tables: ``[[data.shift]]``, in order.
        dataset: What is shifted.
        partition: Says which clients hold which rows.
        seed: Decides what noise is, and which test examples are in which domain.

    Raises:
        FedlabError: If a shift does not suit the data, or names clients that are not there.
    """
    if not tables:
        return dataset, None
    if isinstance(dataset.train, GeneratedExamples):
        raise FedlabError(
            "data.shift: this data set makes examples client by client; take one that is stored"
        )
    shifts = shifts_of(tables, dataset.task)
    profiles = _profiles(tables, partition)
    domains = list(dict.fromkeys(profiles))
    own = np.array([domains.index(profile) for profile in profiles])
    train, test = dataset.train.in_memory(), dataset.test.in_memory()
    of_train = np.full(len(train), -1, dtype=np.int64)
    for client, domain in enumerate(own):
        of_train[partition.rows(client)] = domain
    of_test = _dealt(test, partition, own, len(domains), seed)
    held = np.concatenate([partition.rows(client) for client in range(len(partition))])
    constant = [_only(tables, domain, constant=True) for domain in domains]
    parts = [
        _applied(shifts, constant, train, of_train, held, seed, "train"),
        _applied(shifts, constant, test, of_test, np.arange(len(test)), seed, "test"),
    ]
    names = tuple(_named(shifts, domain) for domain in domains)
    if len(domains) > 1 and not _clients_are_groups(test, partition):
        numbers = (of_train.clip(0), of_test)
        parts = [
            replace(part, groups=own, group_names=names)
            for part, own in zip(parts, numbers, strict=True)
        ]
    found = replace(dataset, train=parts[0], test=parts[1])
    if all(table.is_constant for table in tables):
        return found, None
    changing = tuple(_only(tables, domain, constant=False) for domain in domains)
    return found, Drift(tuple(tables), dataset.task, changing, of_train, of_test, seed)


def _only(tables: Sequence[ShiftSettings], profile: Profile, constant: bool) -> Profile:
    """Return the strengths of the shifts that are constant, or of those that are not."""
    return tuple(
        strength if table.is_constant == constant else None
        for table, strength in zip(tables, profile, strict=True)
    )


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
    shifts: Sequence[Shift],
    domains: Sequence[Profile],
    examples: Examples,
    groups: IntArray,
    held: IntArray,
    seed: int,
    part: str,
) -> Examples:
    """Return the examples, those of ``held`` rows shifted as their domains are."""
    inputs, targets = examples.inputs.clone(), examples.targets.clone()
    for number, profile in enumerate(domains):
        generator = seeding.torch_generator(seed, "shift", part, number)
        rows = torch.from_numpy(held[groups[held] == number])
        changes = picture_changes(shifts, profile)
        for some in torch.split(rows, ROWS_AT_ONCE) if changes else ():
            batch = inputs[some].float().div_(255)
            for _, shift, strength in changes:
                batch = shift.changed(batch, strength, generator).clamp(0, 1)
            inputs[some] = batch.mul(255).round_().byte()
        for shift, own in zip(shifts, profile, strict=True):
            if own is not None:
                targets[rows] = shift.relabelled(targets[rows], own, generator)
    return examples.with_inputs(inputs).with_targets(targets)


def _named(shifts: Sequence[Shift], profile: Profile) -> str:
    parts = [
        f"{shift.settings.name} {strength:g}{shift.unit}{_when(shift.settings)}"
        for shift, strength in zip(shifts, profile, strict=True)
        if strength is not None
    ]
    return ", ".join(parts) or "unshifted"


def _when(settings: ShiftSettings) -> str:
    """Return the rounds of a shift, for the name of a domain."""
    if settings.is_constant:
        return ""
    end = "" if settings.last_round is None else f" to {settings.last_round}"
    return f" from round {settings.first_round}{end}"
