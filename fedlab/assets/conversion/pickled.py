"""Weights that are torch state dicts; read with ``weights_only=True``, never unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedlab.assets.asset import WEIGHTS_FILE
from fedlab.errors import FedlabError

if TYPE_CHECKING:
    import torch


def convert_efficientnet_lite(source: Path, target: Path) -> None:
    """Write the EfficientNet-Lite of the folder under timm's parameter names.

    The tensors have the order and shapes of timm's ``tf_efficientnet_liteN`` under other names:
    they are matched one by one, and every shape is checked.

    Raises:
        FedlabError: If a tensor's shape differs from that of timm's network.
    """
    import timm
    from safetensors.torch import save_file

    (file,) = source.glob("efficientnet-lite*.pth")
    number = file.name.removeprefix("efficientnet-lite")[0]
    found = _load(file)
    wanted = timm.create_model(f"tf_efficientnet_lite{number}").state_dict()
    shapes = [tuple(t.shape) for t in found.values()], [tuple(t.shape) for t in wanted.values()]
    if shapes[0] != shapes[1]:
        raise FedlabError(
            f"{file}: its tensors do not stand in the order of timm's tf_efficientnet_lite{number}"
        )
    save_file(
        {name: t.contiguous() for name, t in zip(wanted, found.values(), strict=True)},
        target / WEIGHTS_FILE,
    )


def convert_resemblyzer(source: Path, target: Path) -> None:
    """Write the speech LSTM and its linear layer, without the optimiser's state.

    Names: ``lstm.*`` (LSTM(40, 256, 3 layers), batch first) and ``linear.*`` (256 → 256), from
    "Generalized End-to-End Loss for Speaker Verification", Wan et al. 2018.
    """
    from safetensors.torch import save_file

    state = _load(source / "pretrained.pt")["model_state"]
    kept = {n: t.contiguous() for n, t in state.items() if n.startswith(("lstm.", "linear."))}
    save_file(kept, target / WEIGHTS_FILE)


def _load(file: Path) -> Mapping[str, Any]:
    import torch

    content: Mapping[str, torch.Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return content
