"""What messages carry, put into Ray's object store once for all of a round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flwr.app import ArrayRecord, RecordDict

from fedlab.engine.blocks import ClientJob
from fedlab.wire.records import records_of, without_copying

if TYPE_CHECKING:
    from fedlab.engine.ray.actor import PackedJob


class Shelf:
    """Puts each array record into the object store once, however many messages carry it."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._references: dict[int, Any] = {}

    def block(self, block: Sequence[ClientJob]) -> tuple[list[dict[str, Any]], list[PackedJob]]:
        """Return a block's different contents, array records as references, and its jobs."""
        numbers: dict[int, int] = {}
        contents: list[dict[str, Any]] = []
        jobs: list[PackedJob] = []
        for job in block:
            content = job.message.content
            if id(content) not in numbers:
                numbers[id(content)] = len(contents)
                contents.append(self._packed(content))
            number = numbers[id(content)]
            jobs.append((job.client, job.message.metadata, number, job.state))
        return contents, jobs

    def _packed(self, content: RecordDict) -> dict[str, Any]:
        arrays = records_of(content, ArrayRecord)
        references = {key: self._reference(record) for key, record in arrays.items()}
        return {**dict(content.items()), **references}

    def _reference(self, record: ArrayRecord) -> Any:
        if id(record) not in self._references:
            # Ray copies arrays straight into its store, and bytes by way of a pickle.
            values = {name: without_copying(array) for name, array in record.items()}
            self._references[id(record)] = self._ray.put(values)
        return self._references[id(record)]
