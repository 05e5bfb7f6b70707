"""The feature cache: what a frozen prefix makes of each sample is computed once, and kept on disk.

The files are keyed by all that decides their content: the prefix's code and weights, the samples,
how they are prepared, and the versions of what computes. Rows are computed in batches of fixed
size, so that their bits do not depend on which worker computes which.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import fedlab
from fedlab.algorithm.strategy import cohort_size
from fedlab.arrays import in_shared_memory
from fedlab.assets.places import cache_folder
from fedlab.data.dataset import Dataset, Examples
from fedlab.data.federation import Federation
from fedlab.data.mapped import MappedExamples
from fedlab.data.transforms import Preparation, augments
from fedlab.data.virtual import GeneratedExamples
from fedlab.engine.devices import model_of, resolved
from fedlab.engine.features.split import CannotSplit, Split, split
from fedlab.engine.numerics import computed_in
from fedlab.models.network import Network
from fedlab.scenario import Scenario
from fedlab.scenario.parts import preparation, widths_of
from fedlab.training.draw import build_draw

logger = logging.getLogger(__name__)

ROWS_PER_BATCH = 64
ROWS_PER_SHARD = 256
MOST_BYTES = 8 << 30
"""Of one set of features."""
MOST_BYTES_KEPT = 20 << 30
"""Of all; the ones unused for longest go first."""
PARTS = ("train", "test")
AS_STORED = Preparation("tabular")
"""Features need no preparation."""


class CannotCache(Exception):
    """Why features are not cached."""


@dataclass(frozen=True)
class FeatureFile:
    """The features of one part of a data set.

    Attributes:
        part: "train" or "test".
        path: The file, whole once it is there.
        shape: (N, ...) of its float32 array.
    """

    part: str
    path: Path
    shape: tuple[int, ...]

    @property
    def draft(self) -> Path:
        """Return where it is written before it is whole."""
        return self.path.with_suffix(f".{os.getpid()}.npy")

    def shards(self) -> list[tuple[int, int]]:
        """Return where its shards start and stop."""
        count = self.shape[0]
        return [(s, min(s + ROWS_PER_SHARD, count)) for s in range(0, count, ROWS_PER_SHARD)]

    def begin(self) -> Path:
        """Make room for the features, and return where they are to be written."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _make_room(self.path.parent, _bytes(self.shape))
        np.lib.format.open_memmap(self.draft, "w+", np.float32, self.shape).flush()
        return self.draft

    def finish(self) -> None:
        """Let the file be found."""
        os.replace(self.draft, self.path)


def plan_features(
    scenario: Scenario, network: Network, federation: Federation
) -> list[FeatureFile]:
    """Return the files of a scenario's features, there or not.

    Raises:
        CannotCache: With the reason, where its features cannot be cached or it would not pay.
    """
    parts, prepare = split_network(scenario, network, federation)
    dataset = federation.dataset
    check_it_pays(scenario, federation)
    with torch.no_grad():
        shape = tuple(parts.prefix(prepare(dataset.train.inputs_at(slice(2)))).shape[1:])
    device = resolved(getattr(scenario.engine, "device", "cpu"))
    common = _digest_of_prefix(parts, prepare, device, computed_in(scenario.engine, device))
    files = []
    for part in PARTS:
        examples: Examples = getattr(dataset, part)
        if len(examples):
            key = hashlib.sha256(common + _digest_of_inputs(examples)).hexdigest()[:24]
            path = cache_folder() / "features" / f"{key}.npy"
            files.append(FeatureFile(part, path, (len(examples), *shape)))
    missing = sum(_bytes(file.shape) for file in files if not file.path.exists())
    if missing > min(MOST_BYTES, _free(cache_folder()) // 2):
        raise CannotCache(f"its features would take {missing / 1e9:.1f} GB")
    return files


def split_network(
    scenario: Scenario, network: Network, federation: Federation
) -> tuple[Split, Preparation]:
    """Return the network in two parts, and how inputs are prepared for it.

    Raises:
        CannotCache: If it cannot be split, or pictures are augmented at random.
    """
    if augments(scenario.data):
        raise CannotCache("pictures are augmented at random")
    if not build_draw(federation.dataset.task).is_plain:
        raise CannotCache("targets are made of the inputs")
    if isinstance(federation.dataset.train, GeneratedExamples):
        raise CannotCache("examples are made client by client")
    if federation.drift is not None:
        raise CannotCache("shifts change with the rounds")
    if scenario.model.others or widths_of(scenario):
        raise CannotCache("clients have different architectures")
    if federation.public is not None:
        raise CannotCache("models are called on public examples, too")
    if len(federation.dataset.train) < 2:
        raise CannotCache("there are too few samples")
    prepare = preparation(network, federation.dataset.task, scenario.model)
    try:
        return split(network, prepare(federation.dataset.train.inputs_at(slice(2)))), prepare
    except CannotSplit as error:
        raise CannotCache(str(error)) from error


def check_it_pays(scenario: Scenario, federation: Federation) -> None:
    """Refuse where a run looks at fewer samples than there are."""
    client = scenario.client
    clients = scenario.own_rounds * cohort_size(scenario.strategy, len(federation))
    samples = len(federation.dataset.train)
    if client.steps is not None:
        seen: float = clients * client.steps * int(client.batch_size)
    else:
        seen = clients * client.epochs * federation.partition.total / len(federation)
    if seen <= samples:
        raise CannotCache("the run looks at fewer samples than there are")


@torch.no_grad()
def features_of(
    parts: Split,
    prepare: Preparation,
    examples: Examples,
    start: int,
    stop: int,
    precision: AbstractContextManager[object],
) -> np.ndarray[Any, Any]:
    """Return the features of rows ``start`` to ``stop``, float32 and one row an example.

    Args:
        parts: The network in two parts.
        prepare: Turns stored inputs into what it takes.
        examples: The examples.
        start, stop: Which of them.
        precision: The block in which the prefix computes.
    """
    parts.prefix.eval()
    batches = [slice(s, min(s + ROWS_PER_BATCH, stop)) for s in range(start, stop, ROWS_PER_BATCH)]
    computed = []
    for stored in examples.each_inputs(batches):
        prepared = prepare(stored)
        with precision:
            features = parts.prefix(prepared)
        computed.append(features.float().cpu().numpy())
    return np.concatenate(computed)


def write_rows(draft: str, start: int, rows: np.ndarray[Any, Any]) -> None:
    """Write rows into the file at ``draft``, the first of them as its row ``start``."""
    target = np.lib.format.open_memmap(draft, "r+")
    target[start : start + len(rows)] = rows
    target.flush()


def opened(path: str) -> np.ndarray[Any, Any]:
    """Return the features in a file, mapped into memory; it is now among the ones last used."""
    with suppress(OSError):
        os.utime(path)
    return np.lib.format.open_memmap(Path(path), "r")


def with_features(
    federation: Federation, features: Mapping[str, np.ndarray[Any, Any]]
) -> Federation:
    """Return a federation whose inputs are these features, by part."""
    parts = {part: getattr(federation.dataset, part) for part in PARTS}
    for part, rows in features.items():
        parts[part] = parts[part].with_inputs(in_shared_memory(rows))
    return replace(federation, dataset=Dataset(federation.dataset.task, **parts))


def _digest_of_prefix(
    parts: Split, prepare: Preparation, device: torch.device, numbers: str
) -> bytes:
    digest = hashlib.sha256()
    # What computes: the same code on other vector units, or cut otherwise, gives other last bits.
    capability = torch.backends.cpu.get_cpu_capability()
    for word in (fedlab.__version__, torch.__version__, capability, ROWS_PER_BATCH, prepare):
        digest.update(f"{word}|".encode())
    if device.type != "cpu":
        digest.update(f"{model_of(device)}|".encode())
    digest.update(numbers.encode())
    digest.update(str(getattr(parts.prefix, "code", "")).encode())
    for name, module in parts.prefix.named_modules():
        digest.update(f"{name}:{module.extra_repr()}|".encode())
    for name, tensor in parts.prefix.state_dict().items():
        digest.update(name.encode())
        digest.update(_digest(tensor))
    return digest.digest()


def _digest_of_inputs(examples: Examples) -> bytes:
    """Return a digest of inputs; those in a file go by the file's, which is of their content."""
    if isinstance(examples, MappedExamples):
        return examples.digest
    return _digest(examples.inputs)


def _digest(tensor: torch.Tensor) -> bytes:
    array = tensor.detach().contiguous().numpy()
    about = f"{array.dtype}{array.shape}".encode()
    return hashlib.sha256(about + array.tobytes()).digest()


def _bytes(shape: tuple[int, ...]) -> int:
    return 4 * int(np.prod(shape))


def _free(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(folder).free


def _make_room(folder: Path, wanted: int) -> None:
    """Remove the features unused for longest until there is room for ``wanted`` bytes more."""
    kept = wanted
    for path, status in sorted(_files(folder), key=lambda found: -found[1].st_mtime):
        kept += status.st_size
        if kept > MOST_BYTES_KEPT:
            with suppress(OSError):
                path.unlink()


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for path in folder.glob("*.npy"):
        with suppress(OSError):
            yield path, path.stat()
