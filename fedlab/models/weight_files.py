"""Weights in files: safetensors, torch's formats, a run folder, as training programs wrap them."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from fedlab.errors import FedlabError, nearest, shortened
from fedlab.files import MODEL
from fedlab.models.compact import expanded

Weights = dict[str, torch.Tensor]

KEY = "model.pretrained"
MODELS = ("state_dict", "model_state_dict", "model")
"""Keys under which programs write the model that was trained."""
WRAPPERS = ("module.", "_orig_mod.", "model.", "backbone.", "net.", "network.", "encoder.")
"""What DataParallel, torch.compile, Lightning and others put before all names."""
COUNTERS = {"n_averaged", "_metadata"}
"""What torch's averaged models keep beside the weights."""
TORCH = (b"PK", b"\x80")
"""How torch's files begin, of the present format and the older one."""
LEVELS = 4
"""Of dictionaries in a file that are looked through."""


def read_weights(source: str | Path, like: Iterable[str] = ()) -> Weights:
    """Return the tensors of a safetensors file, a torch file or a run folder, by name.

    Only tensors of a torch file are unpickled. They may be under any one key that holds only
    tensors; ``file#key`` says which, where there are several. What a program has put before all
    names is dropped, unless the model's own names begin with it as well.

    Args:
        source: The file or folder.
        like: The model's own names.

    Raises:
        FedlabError: If the file does not exist or cannot be read, or several keys hold tensors.
    """
    path, key = _file_and_key(Path(source).expanduser())
    found = dict(_tensors(_content(path)))
    return _unwrapped(_chosen(found, key, path), list(like))


def names_in(source: str | Path) -> Iterator[str]:
    """Yield the names of a file's tensors; those of a safetensors file without reading them.

    Args:
        source: The file or folder, as for :func:`read_weights`.

    Raises:
        FedlabError: As :func:`read_weights`.
    """
    path, _ = _file_and_key(Path(source).expanduser())
    if not _is_safetensors(path):
        yield from read_weights(source)
        return
    try:
        with safe_open(path, "pt") as file:
            yield from file.keys()
    except (SafetensorError, OSError):
        yield from read_weights(source)  # which says what is wrong with it


def _file_and_key(path: Path) -> tuple[Path, str | None]:
    """Return the file, and the key in it where ``file#key`` names one."""
    if path.exists() or "#" not in path.name:
        return _weights_file(path), None
    name, _, key = path.name.rpartition("#")
    return _weights_file(path.with_name(name) if name else path), key


def _weights_file(path: Path) -> Path:
    if path.is_dir():
        if not (path / MODEL).is_file():
            raise FedlabError(
                f"{KEY}: the folder '{path}' holds no {MODEL}; name the folder of a run that "
                "finished, or a file of weights"
            )
        return path / MODEL
    if not path.is_file():
        raise FedlabError(
            f"{KEY}: there is no '{path}'; say true for the library's hub, 'package' for weights "
            "that a package ships, or name a file of weights or a run folder"
        )
    return path


def _content(path: Path) -> object:
    try:
        if _is_safetensors(path):
            return expanded(load_file(path))
        with path.open("rb") as file:  # of a path, torch looks at the suffix
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise FedlabError(
            f"{KEY}: '{path}' holds more than tensors, or is no torch file; save its state_dict "
            "as safetensors"
        ) from error
    except Exception as error:
        # A damaged file can make torch's unpickler raise any exception.
        reason = str(error).strip().partition("\n")[0]
        raise FedlabError(
            f"{KEY}: '{path}' cannot be read as weights ({reason or type(error).__name__}); "
            f"{_kind_of(path)}"
        ) from error


def _kind_of(path: Path) -> str:
    """Return what a file that cannot be read may be."""
    with path.open("rb") as file:
        begin = file.read(9)
    if begin.startswith(TORCH):
        return "it begins as a torch file does, and is damaged or cut off"
    if begin[8:9] == b"{":
        return "it begins as a safetensors file does, and is damaged or cut off"
    return "it begins neither as a safetensors file nor as a torch file"


def _is_safetensors(path: Path) -> bool:
    """Return whether a file begins as safetensors do, whatever it is called."""
    with path.open("rb") as file:
        begin = file.read(9)
    length = int.from_bytes(begin[:8], "little")
    if path.suffix == ".safetensors" and not begin.startswith(TORCH):
        return True
    return begin[8:9] == b"{" and length < path.stat().st_size


def _tensors(content: object, at: tuple[str, ...] = ()) -> Iterator[tuple[str, Weights]]:
    """Yield every dictionary of nothing but tensors by name, and the keys that lead to it.

    The states of optimisers are by number, and a dictionary of single numbers holds no weights.
    """
    if not isinstance(content, Mapping) or len(at) > LEVELS:
        return
    entries: dict[Any, Any] = dict(content)
    if not all(isinstance(name, str) for name in entries):
        return
    kept = {name: value for name, value in entries.items() if name not in COUNTERS}
    if kept and all(isinstance(value, torch.Tensor) for value in kept.values()):
        if any(value.ndim for value in kept.values()):
            yield "/".join(at), kept
        return
    for name, value in entries.items():
        yield from _tensors(value, (*at, name))


def _chosen(found: dict[str, Weights], key: str | None, path: Path) -> Weights:
    if not found:
        raise FedlabError(f"{KEY}: '{path}' holds no dictionary of tensors by name")
    keys = ", ".join(f"'{shortened(name)}'" for name in found)
    if key is not None:
        if key not in found:
            hint = nearest(key, found) or f" It has {keys}."
            raise FedlabError(f"{KEY}: '{path}' has no tensors under '{shortened(key)}'.{hint}")
        return found[key]
    trained = [name for name in found if "ema" not in name.lower()] or list(found)
    likely = [name for name in trained if name in MODELS] or trained
    if len(likely) > 1:
        raise FedlabError(
            f"{KEY}: '{path}' has tensors under several keys, {keys}; say which, as in "
            f"'{path.name}#{shortened(likely[0])}'"
        )
    return found[likely[0]]


def _unwrapped(weights: Weights, own: list[str]) -> Weights:
    """Return the weights without what stands before all names and not before the model's own."""
    prefix = next((prefix for prefix in WRAPPERS if _is_wrapped(weights, prefix, own)), None)
    if prefix is None:
        return weights
    return _unwrapped(_without(weights, prefix), own)


def _is_wrapped(weights: Weights, prefix: str, own: list[str]) -> bool:
    if not all(name.startswith(prefix) for name in weights):
        return False
    fit, fit_without = (len(set(own) & set(w)) for w in (weights, _without(weights, prefix)))
    return fit_without > fit or not any(name.startswith(prefix) for name in own)


def _without(weights: Weights, prefix: str) -> Weights:
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
