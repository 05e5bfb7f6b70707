"""Whether the data are still those that a run recorded: named where they are not.

``task.json`` holds what is learned, ``partition.json`` who holds how much, ``data.json`` digests of
what the examples are. A run folder that an older fedlab wrote has no ``data.json``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from fedlab import files
from fedlab.data import task_file
from fedlab.data.content import content_of, examples_digest, tensors_digest
from fedlab.data.dataset import Examples, Task
from fedlab.data.description import described_clients
from fedlab.data.federation import Federation
from fedlab.data.task_changes import differences
from fedlab.errors import FedlabError
from fedlab.models.network import Network
from fedlab.results.parsing import read_object
from fedlab.results.rows import DataFile, PartitionFile
from fedlab.run.folder import RunFolder

_PARTS = {"train": "training", "test": "test", "public": "public"}


def write_data(folder: RunFolder, federation: Federation, network: Network | None = None) -> None:
    """Record what the data hold, and the weights that training begins from if they were read."""
    content = content_of(federation)
    if network is not None and folder.scenario.model.pretrained:
        content["pretrained"] = {"digest": tensors_digest(network.model.module.state_dict())}
    folder.write_json(files.DATA, content)


def check_task(folder: RunFolder, task: Task) -> None:
    """Check that a data set's task is the one that the run recorded.

    Raises:
        FedlabError: With what is new, gone or different.
    """
    _refuse(folder, list(_task(folder, task)))


def check_data(folder: RunFolder, federation: Federation, network: Network | None = None) -> None:
    """Check that the data, and pretrained weights, are those that the run recorded.

    Raises:
        FedlabError: With what is new, gone or different.
    """
    told = list(_task(folder, federation.dataset.task)) or list(_sizes(folder, federation))
    told = told or list(_content(folder, federation))
    _refuse(folder, told)
    recorded = _data(folder).pretrained
    if network is None or recorded is None:
        return
    if recorded.digest != tensors_digest(network.model.module.state_dict()):
        raise FedlabError(
            f"model.pretrained: '{folder.scenario.model.pretrained}' holds other weights than "
            f"those that the run {folder.path} began with; put them back, or start a new run"
        )


def population_of(folder: RunFolder) -> int:
    """Return how many clients the run recorded; 0 where it did not."""
    recorded = _partition(folder)
    return recorded.clients if recorded is not None else 0


def differs_in_test(folder: RunFolder, test: Examples) -> bool:
    """Return whether a test set is another than the run recorded."""
    recorded = _data(folder).test
    return recorded is not None and recorded.digest != examples_digest(test)


def _refuse(folder: RunFolder, told: Sequence[str]) -> None:
    if told:
        raise FedlabError(
            f"the data are not those of the run {folder.path}: {'; '.join(told)}; put them back, "
            "or start a new run"
        )


def _task(folder: RunFolder, task: Task) -> Iterator[str]:
    path = folder.path / files.TASK
    if path.is_file():
        yield from differences(task_file.read(path), task)
        return
    # Without its task a folder still knows the classes.
    partition = _partition(folder)
    labels = tuple(partition.labels) if partition is not None else ()
    if labels and task.labels:
        yield from differences(replace(task, labels=labels, outputs=len(labels)), task)


def _sizes(folder: RunFolder, federation: Federation) -> Iterator[str]:
    """Tell which clients hold more or fewer examples than ``partition.json`` says."""
    recorded = _partition(folder)
    if recorded is None:
        return
    if recorded.clients != len(federation):
        yield f"there are {len(federation)} clients and were {recorded.clients}"
        return
    clients, sizes = described_clients(federation.partition), recorded.sizes
    if len(sizes) != len(clients):
        return
    changed = [
        (client, federation.partition.size(client), size)
        for client, size in zip(clients, sizes, strict=True)
        if federation.partition.size(client) != size
    ]
    if changed:
        client, now, size = changed[0]
        more = f", and {len(changed) - 1} more clients differ" if len(changed) > 1 else ""
        yield f"client {client} has {now} examples and had {size}{more}"


def _content(folder: RunFolder, federation: Federation) -> Iterator[str]:
    """Tell which parts hold other examples than ``data.json`` says."""
    recorded = _data(folder)
    found = DataFile.model_validate(content_of(federation))
    for name, adjective in _PARTS.items():
        before, now = getattr(recorded, name), getattr(found, name)
        if before == now or before is None or now is None:
            continue
        if before.examples != now.examples:
            yield f"there are {now.examples} {adjective} examples and were {before.examples}"
        else:
            yield f"the {adjective} examples are as many, and others"
    if recorded.partition is not None and recorded.partition != found.partition:
        yield "clients hold other ones of the examples"


def _data(folder: RunFolder) -> DataFile:
    return read_object(folder.path / files.DATA, DataFile) or DataFile()


def _partition(folder: RunFolder) -> PartitionFile | None:
    return read_object(folder.path / files.PARTITION, PartitionFile)
