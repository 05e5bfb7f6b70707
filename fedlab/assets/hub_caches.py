"""Where the hubs of other libraries keep their downloads, found without importing much."""

from __future__ import annotations

import os
from pathlib import Path


def hold_weights() -> bool:
    """Return whether a hub's downloads hold anything that may be the weights of a model."""
    places = (_hugging_face(), "models--*"), (_torch(), "*")
    return any(next(folder.glob(pattern), None) is not None for folder, pattern in places)


def _hugging_face() -> Path:
    """Return the folder of huggingface_hub's downloads."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def _torch() -> Path:
    """Return the folder of torch.hub's downloads of weights, as torch finds it."""
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or f"{caches}/torch"
    return Path(home).expanduser() / "hub" / "checkpoints"
