"""Export of a trained network in formats that other software reads."""

from __future__ import annotations

import copy
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, cast, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from fedlab.errors import FedlabError, unknown
from fedlab.files import check_replaceable
from fedlab.models import description
from fedlab.models.description import INPUTS, OUTPUTS
from fedlab.use import graph
from fedlab.use.loading import Trained

Format = Literal["safetensors", "onnx", "torchscript"]
SUFFIXES: dict[Format, str] = {"safetensors": ".safetensors", "onnx": ".onnx", "torchscript": ".pt"}
TORCHSCRIPT_METADATA = "fedlab.json"

Write = Callable[[nn.Module, torch.Tensor, dict[str, str], Path], None]


def export(
    trained: Trained, form: str, output: Path | None = None, with_preprocessing: bool = False
) -> Path:
    """Write the network and return the file.

    Args:
        trained: The network.
        form: "safetensors": its whole state dict; "onnx" and "torchscript": the graph, from
            prepared inputs (batch of any size first) to outputs before any softmax.
        output: The file; by default ``exported`` with the format's suffix, in the run folder. Its
            folder has to be there, and nothing but a file is replaced.
        with_preprocessing: Whether the graph takes raw inputs, such as pictures of any size
            (:mod:`fedlab.use.graph`); "onnx" alone has that.

    Raises:
        FedlabError: If the format is unknown, a package is missing, the file cannot be written, or
            these inputs cannot be prepared in a graph.
    """
    name = known_format(form)
    if with_preprocessing and name != "onnx":
        raise FedlabError(f"--with-preprocessing: 'onnx' alone has it, and --format is '{name}'")
    final = output or trained.folder.path / f"exported{SUFFIXES[name]}"
    _check_place(final, trained.folder.path)
    module = standalone(trained.network.model.module)
    inputs, described = example(trained), metadata(trained)
    if with_preprocessing:
        module = graph.with_preprocessing(module, trained.task, trained.prepare)
        inputs, described = module.example(), described | {"graph": json.dumps(module.described())}
    try:
        with _written_beside(final) as draft:
            _WRITERS[name](module, inputs, described, draft)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FedlabError(f"{final} cannot be written: {reason}") from error
    return final


def _check_place(final: Path, run: Path) -> None:
    """Check that what is written there replaces a file at most, and none of the run's own.

    Raises:
        FedlabError: If it would.
    """
    check_replaceable(final, "--output")
    is_in_run = final.exists() and final.parent.resolve() == run.resolve()
    if is_in_run and not final.name.startswith("exported."):
        raise FedlabError(f"--output: {final} is a file of the run; name another one")


@contextmanager
def _written_beside(final: Path) -> Iterator[Path]:
    """Yield where to write a file, and move it, with what stands beside it, to its place after.

    A large ONNX file has its weights in a second file, which it knows by name: so both are written
    under their own names, into a folder that goes. Where the block raises, nothing is left of
    either, and what stood there still does.

    Raises:
        FedlabError: If one of them would replace what is no regular file.
    """
    folder = Path(tempfile.mkdtemp(prefix=f".{final.name}.", dir=final.parent))
    try:
        yield folder / final.name
        # The file itself is the last one: until then, the old one is whole.
        written = sorted(folder.iterdir(), key=lambda path: path.name == final.name)
        for path in written:
            check_replaceable(final.with_name(path.name), "--output")
        for path in written:
            os.replace(path, final.with_name(path.name))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def format_of(form: str | None, output: Path | None) -> Format:
    """Return the format that is named, or that a file's suffix says, or else "safetensors".

    Raises:
        FedlabError: If there is no such format, or the file's suffix is another one's.
    """
    suffix = output.suffix.lower() if output is not None else ""
    said = next((name for name, own in SUFFIXES.items() if own == suffix), None)
    if form is None:
        return said or "safetensors"
    named = known_format(form)
    if said not in (None, named):
        raise FedlabError(
            f"--output: '{suffix}' is the suffix of {said}, and --format is '{named}', whose files "
            f"end in '{SUFFIXES[named]}'"
        )
    return named


def known_format(form: str) -> Format:
    """Return ``form`` if it is a known format.

    Raises:
        FedlabError: If it is not.
    """
    if form not in get_args(Format):
        raise FedlabError(f"--format: {unknown('format', form, get_args(Format))}")
    return cast(Format, form)


def metadata(trained: Trained) -> dict[str, str]:
    """Return the metadata that users of the file need (:mod:`fedlab.models.description`)."""
    scenario = trained.scenario
    name = getattr(scenario.model, "name", "")
    return description.metadata(trained.task, trained.prepare, scenario.title, name)


def example(trained: Trained, count: int = 2) -> torch.Tensor:
    """Return ``count`` random prepared inputs of the right shape and type, always the same.

    A batch of one would not do: exporters treat a dimension of size one as fixed.
    """
    task = trained.task
    generator = torch.Generator().manual_seed(0)
    shape = (count, *task.input_shape)
    if task.modality == "image":
        stored = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    elif task.modality == "text":
        stored = torch.randint(0, task.vocabulary, shape, generator=generator)
    else:
        stored = torch.randn(shape, generator=generator)
    return trained.prepare(stored)


def standalone(module: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode whose tensors share no memory and need no gradient."""
    copied = copy.deepcopy(module).eval()
    for parameter in copied.parameters():
        parameter.data = parameter.data.clone()
        parameter.grad = None
        parameter.requires_grad_(False)
    for owner in copied.modules():
        for name, buffer in owner._buffers.items():
            owner._buffers[name] = None if buffer is None else buffer.clone()
    return copied


def _safetensors(
    module: nn.Module, inputs: torch.Tensor, described: dict[str, str], path: Path
) -> None:
    state = {name: tensor.contiguous() for name, tensor in module.state_dict().items()}
    save_file(state, path, metadata=described)


def _torchscript(
    module: nn.Module, inputs: torch.Tensor, described: dict[str, str], path: Path
) -> None:
    with torch.no_grad(), warnings.catch_warnings():
        # PyTorch recommends torch.export for new code; users of TorchScript need this format.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(module, inputs)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, path, _extra_files={TORCHSCRIPT_METADATA: json.dumps(described)})


def _onnx(module: nn.Module, inputs: torch.Tensor, described: dict[str, str], path: Path) -> None:
    missing = [package for package in ("onnx", "onnxscript") if find_spec(package) is None]
    if missing:
        raise FedlabError(
            f"--format onnx needs {' and '.join(missing)}: pip install 'fedlab-sim[onnx]'"
        )
    raw = module if isinstance(module, graph.RawNetwork) else None
    axes = raw.free_axes if raw else {0: "batch"}
    try:
        with warnings.catch_warnings():
            # Recurrent layers keep a list of their weights, of which torch.export warns needlessly.
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module,
                (inputs,),
                input_names=[raw.input_name if raw else INPUTS],
                output_names=raw.output_names if raw else [OUTPUTS],
                dynamic_shapes=({n: torch.export.Dim(name) for n, name in axes.items()},),
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise FedlabError(
            "--format onnx: this network's graph depends on its inputs in a way that ONNX cannot "
            "express; torchscript and safetensors serve it"
        ) from error
    assert program is not None
    program.model.metadata_props.update(described)
    program.save(path)


_WRITERS: dict[Format, Write] = {
    "safetensors": _safetensors,
    "onnx": _onnx,
    "torchscript": _torchscript,
}
