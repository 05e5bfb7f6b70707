"""Reading weights from a file or a run folder, and fitting them into a model with a new head."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from fedlab.errors import FedlabError, nearest
from fedlab.files import MODEL

Weights = dict[str, torch.Tensor]

_KEY = "model.pretrained"


def read_weights(source: str | Path) -> Weights:
    """Return the tensors of a safetensors file, a torch file or a run folder, by name.

    Only tensors of a torch file are unpickled; the dictionary of tensors may be nested in
    ``state_dict`` or ``model``, and its names may begin with ``module.``.

    Raises:
        FedlabError: If the file does not exist or cannot be read.
    """
    path = _weights_file(Path(source).expanduser())
    try:
        content = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except pickle.UnpicklingError as error:
        raise FedlabError(
            f"{_KEY}: '{path}' holds more than tensors, or is no torch file; save its state_dict "
            "as safetensors"
        ) from error
    except Exception as error:
        # A damaged file can make torch's unpickler raise any exception.
        reason = str(error).strip().partition("\n")[0]
        raise FedlabError(f"{_KEY}: '{path}' cannot be read as weights ({reason})") from error
    return _state_dict(content, path)


def fit_weights(
    module: nn.Module, weights: Weights, head: str, source: str | Path, optional: Iterable[str] = ()
) -> bool:
    """Copy weights into a module; the head keeps its own if theirs have another shape.

    Args:
        module: The model.
        weights: Tensors by the module's names.
        head: Prefix of the names of the head's tensors.
        source: The source of the weights, for error messages.
        optional: Prefixes of names in ``weights`` that may be unused.

    Returns:
        Whether the head was loaded.

    Raises:
        FedlabError: If any other tensor is missing, unused or of another shape.
    """
    own = module.state_dict()
    has_head = all(
        name in weights and weights[name].shape == tensor.shape
        for name, tensor in own.items()
        if name.startswith(head)
    )
    # Older files lack the counters of batches, which are not used.
    wanted = {
        name: tensor
        for name, tensor in own.items()
        if (has_head or not name.startswith(head))
        and (name in weights or not name.endswith("num_batches_tracked"))
    }
    passed_over = (head, *optional)
    given = {
        name: tensor
        for name, tensor in weights.items()
        if name in wanted or not name.startswith(passed_over)
    }
    _check(wanted, given, source)
    module.load_state_dict(given, strict=False)
    return has_head


def _check(wanted: Weights, given: Weights, source: str | Path) -> None:
    problem = ""
    missing = [name for name in wanted if name not in given]
    surplus = [name for name in given if name not in wanted]
    misshapen = [n for n, tensor in wanted.items() if n in given and given[n].shape != tensor.shape]
    if misshapen:
        name = misshapen[0]
        problem = f"'{name}' is {_by(given[name])} there and {_by(wanted[name])} here"
    elif missing:
        problem = f"it has no '{missing[0]}'" + nearest(missing[0], surplus)
    elif surplus:
        problem = f"the model has no '{surplus[0]}'"
    if problem:
        count = len(missing) + len(surplus) + len(misshapen)
        more = f" ({count - 1} more differ)" if count > 1 else ""
        raise FedlabError(
            f"{_KEY}: the weights of '{source}' do not fit the model: {problem}{more}"
        )


def _weights_file(path: Path) -> Path:
    if path.is_dir():
        if not (path / MODEL).is_file():
            raise FedlabError(
                f"{_KEY}: the folder '{path}' holds no {MODEL}; name the folder of a run that "
                "finished, or a file of weights"
            )
        return path / MODEL
    if not path.is_file():
        raise FedlabError(
            f"{_KEY}: there is no '{path}'; say true for the library's hub, 'package' for weights "
            "that a package ships, or name a file of weights or a run folder"
        )
    return path


def _state_dict(content: object, path: Path) -> Weights:
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content:
        raise FedlabError(f"{_KEY}: '{path}' holds no dictionary of tensors by name")
    weights: Weights = {}
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise FedlabError(f"{_KEY}: '{path}' holds no dictionary of tensors by name")
        weights[name.removeprefix("module.")] = tensor
    return weights


def _by(tensor: torch.Tensor) -> str:
    return "×".join(str(side) for side in tensor.shape) or "a single number"
