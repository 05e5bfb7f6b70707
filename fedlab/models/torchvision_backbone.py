"""Models of the torchvision library with a new head."""

from __future__ import annotations

import timm
import torchvision.models as library
from torch import nn
from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings
from torchvision.ops import StochasticDepth

from fedlab.assets.reach import no_endless_wait
from fedlab.data.dataset import Task
from fedlab.errors import FedlabError
from fedlab.models import hub
from fedlab.models.about import About
from fedlab.models.backbone import Backbone, BackboneSettings, stages_of, start_small
from fedlab.models.weight_files import Weights, read_weights
from fedlab.models.weights import fit_weights


def build(name: str, settings: BackboneSettings, task: Task, size: tuple[int, int]) -> Backbone:
    """Return the torchvision model ``name``; see :func:`fedlab.models.backbones.load_backbone`."""
    if settings.blocks is not None:
        raise FedlabError(
            f"model.blocks: torchvision's '{name}' keeps all its blocks; take a Vision Transformer "
            "of timm, or leave the key out"
        )
    module = _create(name, size)
    head = _replace_head(module, task.outputs, settings.dropout)
    _set_drop_path(module, settings.drop_path, name)
    if settings.pretrained:
        start_small(module, head)
        source = "hub" if settings.pretrained is True else settings.pretrained
        weights = _from_hub(name) if source == "hub" else _from_file(name, source, module)
        fit_weights(module, _adapt(weights, module), head, source, ("aux1.", "aux2.", "AuxLogits."))
    transforms = library.get_model_weights(name).DEFAULT.transforms()
    return Backbone(
        module, head, stages_of(module, head), tuple(transforms.mean), tuple(transforms.std), 3
    )


def _create(name: str, size: tuple[int, int]) -> nn.Module:
    arguments: dict[str, object] = {}
    if name.startswith("vit_"):
        if size[0] != size[1]:
            raise FedlabError(
                f"model.image_size: '{name}' takes square pictures, and the data set's are "
                f"{size[0]}×{size[1]}; give one side in pixels"
            )
        arguments["image_size"] = size[0]
    elif name.startswith("maxvit"):
        arguments["input_size"] = size
    elif name in ("inception_v3", "googlenet"):
        # PyTorch's own initialisation: torchvision's truncated normal takes minutes.
        arguments |= {"aux_logits": False, "init_weights": False}
    try:
        module: nn.Module = library.get_model(name, weights=None, **arguments)
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = str(error).partition("\n")[0] or "the size does not go into its patches"
        raise FedlabError(
            f"model.image_size: '{name}' cannot be built for pictures of {size[0]}×{size[1]} "
            f"({reason}); its own size fits"
        ) from error
    return module


def _replace_head(module: nn.Module, outputs: int, dropout: float) -> str:
    """Replace the model's last layer, with dropout before it; return the head's prefix."""
    last = [name for name, _ in module.named_parameters()][-1].rpartition(".")[0]
    parent_name, _, attribute = last.rpartition(".")
    parent, old = module.get_submodule(parent_name), module.get_submodule(last)
    new: nn.Module
    if isinstance(old, nn.Conv2d):
        new = nn.Conv2d(old.in_channels, outputs, old.kernel_size)  # type: ignore[arg-type]
    else:
        assert isinstance(old, nn.Linear)
        new = nn.Linear(old.in_features, outputs)
    present = [child for child in parent.children() if isinstance(child, nn.Dropout)]
    for layer in present:
        layer.p = dropout
    setattr(parent, attribute, new if present else nn.Sequential(nn.Dropout(dropout), new))
    return last


def _set_drop_path(module: nn.Module, rate: float, name: str) -> None:
    """Set rates that rise linearly from 0 in the first residual branch to ``rate`` in the last."""
    branches = [m for m in module.modules() if isinstance(m, StochasticDepth)]
    if rate and not branches:
        raise FedlabError(
            f"model.drop_path: torchvision's '{name}' has no stochastic depth; leave the key out"
        )
    for number, branch in enumerate(branches):
        branch.p = rate * number / max(len(branches) - 1, 1)


def input_side(name: str) -> int:
    """Return the side in pixels of the pictures of a model's pretraining."""
    return int(library.get_model_weights(name).DEFAULT.transforms().crop_size[0])


def about(name: str, counted: bool = True) -> About:
    """Return what torchvision says about a model; ``counted`` is timm's alone."""
    weights, side = library.get_model_weights(name).DEFAULT, input_side(name)
    place = "in the hub's cache" if is_cached(name) else "hub"
    shown = f"torchvision/{name}" if timm.is_model(name) else name
    parameters = int(weights.meta["num_params"])
    return About(shown, parameters, f"pictures 3×{side}×{side}", "", place)


def is_cached(name: str) -> bool:
    """Return whether a model's weights have been downloaded before."""
    return hub.is_in_torch_cache(str(library.get_model_weights(name).DEFAULT.url))


def check_hub(name: str) -> None:
    """Raise at once if the weights are neither in torch's cache nor can be fetched.

    Raises:
        AssetMissing: If so.
    """
    if not is_cached(name):
        address = str(library.get_model_weights(name).DEFAULT.url)
        hub.check_reachable(address, _weights_of(name))


def _from_hub(name: str) -> Weights:
    check_hub(name)
    try:
        with no_endless_wait():
            weights = library.get_model_weights(name).DEFAULT
            return dict(weights.get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError) as error:
        raise hub.out_of_reach(_weights_of(name), str(error)) from error


def _weights_of(name: str) -> str:
    return f"torchvision's weights for '{name}'"


def _from_file(name: str, source: str, module: nn.Module) -> Weights:
    if source == "package":
        raise FedlabError(
            f"model.pretrained: no package ships weights for torchvision's '{name}'; say true for "
            "torchvision's hub, or name a file of weights"
        )
    return read_weights(source, module.state_dict())


def _adapt(weights: Weights, module: nn.Module) -> Weights:
    """Resample a Vision Transformer's position embeddings to the model's size."""
    if not isinstance(module, VisionTransformer) or "encoder.pos_embedding" not in weights:
        return weights
    return dict(interpolate_embeddings(module.image_size, module.patch_size, dict(weights)))
