"""Where the files of a Hugging Face model are: a folder of the user's, an asset, or the hub.

Used for models and for their tokenisers. Nothing of transformers is imported here.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from fedlab.assets.catalogue import CATALOGUE
from fedlab.assets.fetching import ensure, is_offline, locate
from fedlab.assets.reach import unreachable
from fedlab.errors import AssetMissing, FedlabError, one_line

TRANSFORMERS = "transformers:"
"""What stands before a model of transformers in ``model.name``."""
CONFIG = "config.json"
TOKENISER = "tokenizer.json"
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_TEXTS = ("*.json", "*.txt", "*.model")
_PACKAGED = {
    "all-minilm-l6-v2": "all-minilm-l6-v2",
    "sentence-transformers/all-minilm-l6-v2": "all-minilm-l6-v2",
}
"""Models that an asset holds, by their names in lower case."""


def is_path(model: str) -> bool:
    """Return whether a model is named by the path of its folder."""
    return model.startswith((".", "/", "~")) or Path(model).is_dir()


def packaged(model: str) -> str | None:
    """Return the asset that holds a model, or None."""
    return _PACKAGED.get(model.lower())


def folder_of(model: str, key: str, weights: bool = True) -> Path:
    """Return the folder with a model's files, fetched if they are not on this machine.

    Args:
        model: A folder, or the name of a model on the hub.
        key: The scenario's key that names it, for messages.
        weights: Whether its weights are wanted, beside configuration and tokeniser.

    Raises:
        AssetMissing: If it is not on this machine and cannot be fetched.
        FedlabError: If there is no such folder or model.
    """
    found = here(model, weights)
    if found is not None:
        return found
    if is_path(model):
        path = Path(model).expanduser()
        missing = "there is no folder" if not path.is_dir() else f"no {CONFIG} in"
        raise FedlabError(
            f"{key}: {missing} {path}; it names a folder with {CONFIG}, {TOKENISER} and "
            "model.safetensors, as save_pretrained writes them"
        )
    asset = packaged(model)
    return ensure(asset) if asset else _fetched(model, key, weights)


def here(model: str, weights: bool = False) -> Path | None:
    """Return the folder with a model's files if it is on this machine, else None."""
    if is_path(model):
        path = Path(model).expanduser()
        return path if (path / CONFIG).is_file() else None
    asset = packaged(model)
    if asset:
        return locate(asset)
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(model, CONFIG)
    except ValueError:  # no name of a repository
        return None
    folder = Path(found).parent if isinstance(found, str) else None
    if folder is None or (weights and not any(any(folder.glob(name)) for name in _WEIGHTS)):
        return None
    return folder


def configuration(folder: Path, key: str) -> dict[str, Any]:
    """Return a model's ``config.json``.

    Raises:
        FedlabError: If the folder holds none that can be read.
    """
    path = folder / CONFIG
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no JSON"
        raise FedlabError(f"{key}: {path} cannot be read: {reason}") from error
    if not isinstance(found, dict) or not isinstance(found.get("model_type"), str):
        raise FedlabError(f"{key}: {path} names no model_type, as a model's configuration does")
    return found


def check_at_hand(model: str, key: str) -> None:
    """Check, within seconds, that a model's weights are on this machine, or can be fetched.

    Raises:
        AssetMissing: If they are neither.
        FedlabError: If a folder that is named is none of a model.
    """
    if here(model, weights=True) is not None:
        return
    if is_path(model):
        folder_of(model, key)  # says what is missing
    elif packaged(model) is None:
        check_reachable(model, key)


def check_reachable(model: str, key: str) -> None:
    """Check, within seconds, that the hub may be asked and answers.

    Raises:
        AssetMissing: If not.
    """
    try:
        check_hub()
    except AssetMissing as error:
        raise AssetMissing(
            f"{key}: '{model}' is not on this machine and cannot be fetched from the hub "
            f"({error}); {offline_models()}, or name the folder of a model of yours"
        ) from error


def check_hub() -> None:
    """Check, within seconds, that the hub may be asked and answers.

    Raises:
        AssetMissing: If not; the message is the reason alone.
    """
    from huggingface_hub import constants

    if is_offline():
        reason: str | None = "FEDLAB_OFFLINE is set"
    elif constants.HF_HUB_OFFLINE:
        reason = "HF_HUB_OFFLINE is set"
    else:
        reason = unreachable(constants.ENDPOINT)
    if reason is not None:
        raise AssetMissing(one_line(reason, 200))


def offline_models() -> str:
    """Return in words which models need no hub."""
    names = sorted({name for name in _PACKAGED if "/" not in name})
    present = [name for name in names if locate(_PACKAGED[name]) is not None]
    if present:
        return f"'{present[0]}' is here"
    size = CATALOGUE[_PACKAGED[names[0]]].size // 10**6
    return f"'{names[0]}' comes with a package (`fedlab assets get {names[0]}`, {size} MB)"


def _fetched(model: str, key: str, weights: bool) -> Path:
    check_reachable(model, key)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    patterns = [*_TEXTS, *(_WEIGHTS[:1] if weights else ())]
    # Where a proxy or a firewall lets a connection stall, it is given up.
    os.environ.setdefault("HF_HUB_DOWNLOAD_TIMEOUT", "30")
    try:
        folder = Path(snapshot_download(model, allow_patterns=patterns, ignore_patterns="*/*"))
        if weights and not any(folder.glob(_WEIGHTS[0])):
            snapshot_download(model, allow_patterns=_WEIGHTS[1], ignore_patterns="*/*")
    except HFValidationError as error:
        raise FedlabError(
            f"{key}: '{model}' is neither a folder nor the name of a model on the hub"
        ) from error
    except HfHubHTTPError as error:
        raise FedlabError(
            f"{key}: the hub has no model '{model}' that anyone may read "
            f"({one_line(str(error), 160)})"
        ) from error
    except (OSError, RuntimeError) as error:
        raise AssetMissing(
            f"{key}: '{model}' cannot be fetched from the hub ({one_line(str(error), 200)})"
        ) from error
    return folder
