"""The hubs of timm and torchvision: asked only if they answer, and what to do if they do not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import huggingface_hub
import torch

from fedlab import assets
from fedlab.assets.catalogue import CATALOGUE
from fedlab.assets.reach import unreachable
from fedlab.errors import AssetMissing, one_line


def check_reachable(address: str, subject: str, asset: str | None = None) -> None:
    """Check that a hub answers, within seconds.

    Args:
        address: Of what would be fetched.
        subject: What that is, for the message.
        asset: The asset with a package's weights for the same model, if there is one.

    Raises:
        AssetMissing: If it does not, or nothing may be fetched.
    """
    if assets.is_offline():
        raise out_of_reach(subject, "FEDLAB_OFFLINE is set", asset)
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        raise out_of_reach(subject, "HF_HUB_OFFLINE is set", asset)
    reason = unreachable(address)
    if reason is not None:
        raise out_of_reach(subject, reason, asset)


def out_of_reach(subject: str, reason: str, asset: str | None = None) -> AssetMissing:
    """Return the error that says why weights cannot be fetched, and which ones are to be had."""
    if asset is not None:
        package = " 'package' for the weights that a package ships,"
        others = ""
    else:
        package = ""
        others = (
            f". Without a hub there are weights for {', '.join(offline_models())}: see `fedlab "
            "list backbones`"
        )
    return AssetMissing(
        f"model.pretrained: {subject} cannot be fetched ({one_line(reason, 200)}); say{package} a "
        f"path to a file of weights, or false{others}"
    )


def offline_models() -> list[str]:
    """Return the models whose weights are on this machine, else those that packages ship."""
    known = [asset for asset in CATALOGUE.values() if asset.pretrained is not None]
    present = [a for a in known if assets.locate(a.name) is not None]
    return [a.pretrained.model for a in present or known if a.pretrained is not None]


def is_in_torch_cache(address: str) -> bool:
    """Return whether torch.hub has downloaded a file before."""
    return Path(torch.hub.get_dir(), "checkpoints", Path(address).name).is_file()


@contextmanager
def no_network() -> Iterator[None]:
    """Let huggingface_hub take what is in its cache, and ask nobody, within the block."""
    constants = huggingface_hub.constants
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
