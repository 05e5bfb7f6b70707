"""Compression of a trained network: a smaller file, and what it costs."""

from __future__ import annotations

import json
import shutil
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from fedlab import files
from fedlab.errors import FedlabError
from fedlab.metrics.names import metric_name
from fedlab.models.channel_pruning import without_units
from fedlab.models.compact import WHOLE_BYTES, compacted, pruned
from fedlab.models.network import bare_module
from fedlab.models.quantisation import is_matrix
from fedlab.scenario import Scenario, dumps
from fedlab.use.evaluate import evaluate_trained
from fedlab.use.export import example, metadata, standalone
from fedlab.use.loading import Trained, load_trained

KERNELS, TABLE = "int8.pt", "compression.json"
COPIED = (files.SCENARIO, files.TASK, files.DATA, files.PARTITION, files.ENVIRONMENT)
"""What of a run folder says how its network is built and what it was trained on."""
LEAST_BITS = 2
REPEATS = 30
BATCH = 64


@dataclass(frozen=True)
class Row:
    """What one form of the network takes.

    Attributes:
        model: Which form: "as trained", "compressed" or "int8 kernels".
        file: Its file.
        megabytes: The file's size.
        zeros: Which fraction of the numbers in matrices is 0.
        metrics: Metrics on the test set, by name.
        milliseconds_1, milliseconds_64: Of a batch of so many, the median.
    """

    model: str
    file: str
    megabytes: float
    zeros: float
    metrics: dict[str, float]
    milliseconds_1: float
    milliseconds_64: float


@dataclass(frozen=True)
class Options:
    """How a network is compressed: see :func:`fedlab.models.compact.compacted`.

    Attributes:
        prune: Fraction of the weights that become 0.
        prune_channels: Fraction of the units of each hidden layer that go
            (:func:`fedlab.models.channel_pruning.without_units`).
        int8: Whether weights are stored as whole numbers of 8 bits.
        bits: Of how many bits they are, where they are fewer.
        rank: Fraction of its full rank that each matrix keeps.
    """

    prune: float = 0.0
    prune_channels: float = 0.0
    int8: bool = False
    rank: float | None = None
    bits: int | None = None


def compress(
    trained: Trained,
    options: Options,
    output: Path | None = None,
    data: Path | None = None,
    tell: Callable[[str], object] = lambda note: None,
) -> tuple[Path, list[Row]]:
    """Write a smaller network into a folder of its own; return it and what it costs.

    The folder can be evaluated, predicted with, exported and trained further from like a run's. The
    weights in it are expanded when they are loaded, so that they compute as long as before; with
    ``int8`` a TorchScript file whose linear layers compute in int8 stands beside them
    (``torch.ao``'s dynamic quantisation), which plain torch loads.

    Args:
        trained: The network, on the CPU.
        options: How.
        output: The folder; by default the run's with "-compressed".
        data: Labelled data to evaluate on; None for the run's own test set.
        tell: Is given what the user should know, a sentence each.

    Raises:
        FedlabError: If nothing is asked for, the options are at odds, or the folder is there.
    """
    _check(options)
    path = trained.folder.path
    folder = output or path.with_name(f"{path.name}-compressed")
    if folder.exists():
        raise FedlabError(f"--output: {folder} is there already; name another folder")
    # Before anything is written, so that what cannot be evaluated leaves nothing behind.
    rows = [_row("as trained", trained.weights, trained, data, tell)]
    state = {n: t.detach().clone() for n, t in trained.network.model.module.state_dict().items()}
    scenario = trained.folder.scenario
    if options.prune_channels:
        scenario, state = _narrower(trained, state, options.prune_channels)
    if options.prune:
        state = pruned(state, options.prune)
    try:
        with files.replacing(folder) as draft:
            draft.mkdir(parents=True)
            for name in COPIED:
                if (path / name).is_file():
                    shutil.copyfile(path / name, draft / name)
            if options.prune_channels:
                (draft / files.SCENARIO).write_text(dumps(scenario), encoding="utf-8")
            bits = WHOLE_BYTES if options.int8 else options.bits
            compact = compacted(state, bits, options.rank)
            save_file(compact, draft / files.MODEL, metadata=metadata(trained))
    except OSError as error:
        raise FedlabError(f"--output: {folder} cannot be written: {error.strerror}") from error
    smaller = load_trained(folder)
    rows.append(_row("compressed", folder / files.MODEL, smaller, data))
    if options.int8:
        rows += _with_kernels(smaller, folder, data, tell)
    content = {"options": asdict(options), "models": [asdict(row) for row in rows]}
    (folder / TABLE).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return folder, rows


def _narrower(
    trained: Trained, state: dict[str, torch.Tensor], fraction: float
) -> tuple[Scenario, dict[str, torch.Tensor]]:
    """Return the scenario of a network without some of its channels, and its weights.

    Raises:
        FedlabError: If channels of this network cannot be removed one by one.
    """
    scenario, head = trained.folder.scenario, trained.network.head
    if scenario.model.adapter is not None:
        raise FedlabError(
            "--prune-channels: the run's scenario has an adapter, made for all channels; train "
            "from the run without one (model.pretrained), or leave the option out"
        )
    settings, left = without_units(state, scenario.model, head, fraction)
    smaller = bare_module(settings, trained.task).state_dict()
    if {n: t.shape for n, t in smaller.items()} != {n: t.shape for n, t in left.items()}:
        raise FedlabError(
            "--prune-channels: a residual layer adds up its input and its output, so that channels "
            "of one cannot be removed alone; take --prune, or a network without such layers"
        )
    return scenario.model_copy(update={"model": settings}), left


def _check(options: Options) -> None:
    if not any((options.prune, options.prune_channels, options.int8, options.bits, options.rank)):
        raise FedlabError(
            "nothing to do; say --prune 0.8, --prune-channels 0.5, --int8, --bits 4, --rank 0.25 "
            "or several of them"
        )
    if options.bits is not None and not LEAST_BITS <= options.bits <= WHOLE_BYTES:
        raise FedlabError(f"--bits: it must be from 2 to 8, not {options.bits}")
    if options.int8 and options.bits is not None:
        raise FedlabError("--bits: --int8 stores weights in 8 bits; leave one of the two out")
    for name, value in (("prune", options.prune), ("prune-channels", options.prune_channels)):
        if not 0 <= value < 1:
            raise FedlabError(f"--{name}: it must be at least 0 and below 1, not {value:g}")
    if options.rank is not None and not 0 < options.rank <= 1:
        raise FedlabError(f"--rank: it must be above 0 and at most 1, not {options.rank:g}")
    if options.rank is not None and (options.prune or options.int8 or options.bits):
        raise FedlabError(
            "--rank: factors of a pruned matrix are not sparse, and are kept as float32; leave out "
            "--prune, --int8 and --bits, or --rank"
        )


def _row(
    model: str,
    path: Path,
    trained: Trained,
    data: Path | None,
    tell: Callable[[str], object] = lambda note: None,
    module: nn.Module | None = None,
) -> Row:
    """Return what a form of the network takes; ``module`` computes in the network's place."""
    network = trained.network.model
    before = network.body
    try:
        if module is not None:
            network.body = module
        metrics = evaluate_trained(trained, data, tell).compute()
        times = [_milliseconds(trained, count) for count in (1, BATCH)]
    finally:
        network.body = before
    matrices = [t for t in network.module.state_dict().values() if is_matrix(t)]
    zeros = sum(int((t == 0).sum()) for t in matrices) / sum(t.numel() for t in matrices)
    size = path.stat().st_size / 1e6
    return Row(model, path.name, size, zeros, metrics, times[0], times[1])


@torch.no_grad()
def _milliseconds(trained: Trained, count: int) -> float:
    inputs, seconds = example(trained, count), []
    for _ in range(REPEATS):
        start = time.perf_counter()
        trained.network.model.call(inputs)
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds)


def _with_kernels(
    trained: Trained, folder: Path, data: Path | None, tell: Callable[[str], object]
) -> list[Row]:
    """Write the network with linear layers that compute in int8, where it has some."""
    module = standalone(trained.network.model.module)
    if not any(isinstance(part, nn.Linear) for part in module.modules()):
        tell(f"the network has no linear layers, so that there is no {KERNELS} with int8 kernels")
        return []
    path, inputs = folder / KERNELS, example(trained)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            # PyTorch moves quantisation into a package of its own, and TorchScript is not for new
            # code; plain torch has no other way to load such a network without its class.
            warnings.simplefilter("ignore")
            quantise: Any = torch.ao.quantization.quantize_dynamic
            quantised = quantise(module, {nn.Linear}, dtype=torch.qint8)
            traced = torch.jit.trace(quantised, inputs)  # type: ignore[no-untyped-call]
            torch.jit.save(traced, path)
    except (RuntimeError, AttributeError, AssertionError, NotImplementedError) as error:
        path.unlink(missing_ok=True)
        tell(f"this network's linear layers cannot compute in int8 here ({error})"[:300])
        return []
    return [_row("int8 kernels", path, trained, data, module=traced)]


def table(rows: list[Row]) -> tuple[list[str], list[list[str]]]:
    """Return the headings and the cells of what compression costs."""
    names = list(rows[0].metrics)[:2]
    head = ["model", "file", "MB", "zeros", *(metric_name(n).label for n in names)]
    cells = [
        [
            row.model,
            row.file,
            f"{row.megabytes:.3f}",
            f"{100 * row.zeros:.0f} %",
            *(metric_name(n).text(row.metrics[n]) for n in names),
            f"{row.milliseconds_1:.2f}",
            f"{row.milliseconds_64:.2f}",
        ]
        for row in rows
    ]
    return [*head, "ms for 1", f"ms for {BATCH}"], cells
