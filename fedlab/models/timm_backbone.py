"""Models of the timm library with a new head.

Source: Wightman, "PyTorch image models" (timm), https://github.com/huggingface/pytorch-image-models.
"""

from __future__ import annotations

import importlib
import os
import re
from contextlib import nullcontext, suppress
from typing import Any

import huggingface_hub
import timm
import torch
from timm.models import PretrainedCfg, VisionTransformer
from torch import nn

from fedlab import assets
from fedlab.data.dataset import Task
from fedlab.errors import FedlabError, unknown
from fedlab.models import hub
from fedlab.models.about import About
from fedlab.models.backbone import Backbone, BackboneSettings, stages_of, start_small
from fedlab.models.backbone_names import packaged_asset as packaged_asset
from fedlab.models.backbone_names import packaged_backbones
from fedlab.models.weight_files import Weights, read_weights
from fedlab.models.weights import fit_weights

_FILES = ("model.safetensors", "pytorch_model.bin")
"""What a repository of the hub may call its weights."""
_REFUSALS = {
    "drop_path_rate": "model.drop_path: '{}' has no stochastic depth; leave the key out",
    "drop_rate": "model.dropout: '{}' has no dropout before its head; leave the key out",
    "img_size": "model.image_size: '{}' takes pictures of {} only",
}


def build(name: str, settings: BackboneSettings, task: Task, size: tuple[int, int]) -> Backbone:
    """Return the timm model called ``name``; see :func:`fedlab.models.backbones.load_backbone`."""
    module = _create(name, settings, task, size)
    _check_patches(module, name, size)
    _check_drop_path(module, settings.drop_path, name)
    head = _head(module)
    if settings.blocks is not None:
        _keep_blocks(module, settings.blocks, name)
    if settings.pretrained and not _has_published_head(settings, module, task):
        start_small(module, head)
    if isinstance(settings.pretrained, str):
        source = settings.pretrained
        weights = read_weights(
            _packaged(name) if source == "package" else source, module.state_dict()
        )
        if settings.blocks is not None:
            weights = _first_blocks(weights, settings.blocks)
        fit_weights(module, _adapt(weights, module), head, source)
    config = _config(module)
    return Backbone(
        module,
        head,
        stages_of(module, head),
        tuple(config["mean"]),
        tuple(config["std"]),
        config["input_size"][0],
    )


def _create(name: str, settings: BackboneSettings, task: Task, size: tuple[int, int]) -> nn.Module:
    """Return the model with new weights, or the hub's under a new head."""
    from_hub = settings.pretrained is True
    config = _pretraining(name)
    arguments: dict[str, Any] = {"num_classes": task.outputs, "drop_rate": settings.dropout}
    if settings.drop_path:
        arguments["drop_path_rate"] = settings.drop_path
    if config.fixed_input_size and config.input_size[1:] != size:
        arguments["img_size"] = size
    if from_hub:
        check_hub(name)
    # What is in the hub's cache is taken from there, without asking the hub whether it is new.
    local = hub.no_network() if from_hub and is_cached(name) else nullcontext()
    try:
        with local:
            return _create_with(name, arguments, from_hub)
    except OSError as error:
        subject = f"timm's weights for '{name}'"
        raise hub.out_of_reach(subject, str(error), packaged_asset(name)) from error
    except (RuntimeError, AssertionError, ValueError) as error:
        raise _cannot_build(name, error) from error


def _create_with(name: str, arguments: dict[str, Any], from_hub: bool) -> nn.Module:
    try:
        module: nn.Module = timm.create_model(name, pretrained=from_hub, **arguments)
    except TypeError as error:
        refused = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if refused is None or refused[1] not in _REFUSALS:
            raise
        if arguments[refused[1]] == 0.0:
            rest = {key: value for key, value in arguments.items() if key != refused[1]}
            return _create_with(name, rest, from_hub)
        own_size = "×".join(str(side) for side in _pretraining(name).input_size[1:])
        raise FedlabError(_REFUSALS[refused[1]].format(name, own_size)) from error
    return module


def _pretraining(name: str) -> PretrainedCfg:
    """Return timm's record of a model's pretraining: input size, source of the weights."""
    try:
        return timm.models.get_pretrained_cfg(name) or PretrainedCfg()
    except RuntimeError as error:
        model, _, tag = name.partition(".")
        tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{model}.*")]
        if tag and tag not in tags:
            raise FedlabError(
                f"model.name: {unknown(f'set of weights of {model}', tag, tags)} Without a dot "
                "the name stands for the model"
            ) from error
        raise _cannot_build(name, error) from error


def input_side(name: str) -> int:
    """Return the side in pixels of the pictures of a model's pretraining."""
    return int(_pretraining(name).input_size[-1])


def _cannot_build(name: str, error: Exception) -> FedlabError:
    reason = str(error).partition("\n")[0]
    return FedlabError(f"model.name: timm cannot build '{name}': {reason}")


def _check_patches(module: nn.Module, name: str, size: tuple[int, int]) -> None:
    """Raise if patches do not tile the picture: timm would ignore the pixels at the border."""
    patches = getattr(getattr(module, "patch_embed", None), "patch_size", None)
    if patches is None:
        return
    for side, patch in zip(size, patches, strict=True):
        if side % patch:
            below = max(side // patch, 1) * patch
            raise FedlabError(
                f"model.image_size: '{name}' cuts pictures into patches of {patch} pixels, which "
                f"do not tile {size[0]}×{size[1]}; {below} or {below + patch} would fit"
            )


def _check_drop_path(module: nn.Module, rate: float, name: str) -> None:
    """Raise if nothing of a model drops its branches: some take the argument and ignore it."""
    if rate and not any(getattr(part, "drop_prob", None) for part in module.modules()):
        raise FedlabError(_REFUSALS["drop_path_rate"].format(name))


def about(name: str, counted: bool = True) -> About:
    """Return what is known about a model.

    Args:
        name: Its name.
        counted: Whether its parameters are counted, for which it is built on torch's meta device.
    """
    config = _pretraining(name)
    parameters = None
    if counted:
        # Some models compute with their weights while they are built.
        with suppress(Exception), torch.device("meta"):
            module = timm.create_model(name)
            parameters = sum(parameter.numel() for parameter in module.parameters())
    published = config.hf_hub_id or config.url
    place = "in the hub's cache" if is_cached(name) else "hub" if published else "none"
    inputs = "×".join(map(str, config.input_size))
    return About(name, parameters, f"pictures {inputs}", config.license or "", place)


def check_hub(name: str) -> None:
    """Raise at once if the hub is unreachable: its own time limits are minutes.

    Raises:
        AssetMissing: If it is, and the weights are not in its cache.
        FedlabError: If nobody has published weights for the model.
    """
    config = _pretraining(name)
    if is_cached(name):
        return
    if not config.hf_hub_id and not config.url:
        raise FedlabError(
            f"model.pretrained: timm has no weights for '{name}'; say false, or name a file"
        )
    hub.check_reachable(
        f"{huggingface_hub.constants.ENDPOINT}/{config.hf_hub_id}/resolve/main/{_FILES[0]}"
        if config.hf_hub_id
        else str(config.url),
        f"timm's weights for '{name}'",
        packaged_asset(name),
    )


def is_cached(name: str) -> bool:
    """Return whether a model's weights have been downloaded before."""
    config = _pretraining(name)
    if not config.hf_hub_id:
        return bool(config.url) and hub.is_in_torch_cache(str(config.url))
    found = (huggingface_hub.try_to_load_from_cache(config.hf_hub_id, name) for name in _FILES)
    return any(isinstance(path, str) and os.path.exists(path) for path in found)


def _packaged(name: str) -> str:
    asset = packaged_asset(name)
    if asset is None:
        raise FedlabError(
            f"model.pretrained: no package ships weights for '{name}', only for "
            f"{', '.join(packaged_backbones())}; say true for timm's hub, or name a file of weights"
        )
    return str(assets.weights(asset))


def _has_published_head(settings: BackboneSettings, module: nn.Module, task: Task) -> bool:
    """Return whether the hub's weights include a head with the right number of classes."""
    return settings.pretrained is True and _config(module)["num_classes"] == task.outputs


def _config(module: nn.Module) -> dict[str, Any]:
    config: dict[str, Any] = module.pretrained_cfg  # type: ignore[assignment]
    return config


def _head(module: nn.Module) -> str:
    """Return the prefix of the layers whose size is the number of outputs."""
    classifier = _config(module)["classifier"]
    # Distilled models have two, "head" and "head_dist".
    return classifier if isinstance(classifier, str) else str(min(classifier, key=len))


def _adapt(weights: Weights, module: nn.Module) -> Weights:
    """Return the weights under timm's names, position embeddings resampled to the model's size."""
    definition = importlib.import_module(type(module).__module__)
    convert = getattr(definition, "checkpoint_filter_fn", None)
    return weights if convert is None else dict(convert(dict(weights), module))


def _keep_blocks(module: nn.Module, count: int, name: str) -> None:
    if not isinstance(module, VisionTransformer):
        raise FedlabError(f"model.blocks: '{name}' is no Vision Transformer; leave the key out")
    if count > len(module.blocks):
        raise FedlabError(
            f"model.blocks: '{name}' has {len(module.blocks)} blocks, and {count} are asked for"
        )
    module.blocks = module.blocks[:count]


def _first_blocks(weights: Weights, count: int) -> Weights:
    def belongs(name: str) -> bool:
        block = re.match(r"blocks\.(\d+)\.", name)
        return block is None or int(block[1]) < count

    return {name: tensor for name, tensor in weights.items() if belongs(name)}
