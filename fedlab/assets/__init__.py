"""Assets: data sets and weights, how they are found and fetched.

    folder = ensure("fashion-mnist")      # the folder of its files, fetched if missing
    file = weights("efficientnet-lite0")  # the safetensors file

An asset is looked up in ``FEDLAB_DATA/<name>``, then in installed packages, then in fedlab's cache;
if it is in none of them, it is fetched into the cache, unless ``FEDLAB_OFFLINE`` is set.
"""

from __future__ import annotations

from fedlab.assets.asset import WEIGHTS_FILE, Asset, Pretrained
from fedlab.assets.fetching import ensure, find, is_offline, locate, weights
from fedlab.assets.places import cache_folder, open_file

__all__ = [
    "WEIGHTS_FILE",
    "Asset",
    "Pretrained",
    "cache_folder",
    "ensure",
    "find",
    "is_offline",
    "locate",
    "open_file",
    "weights",
]
