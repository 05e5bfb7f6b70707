"""Models of the timm library with a new head.

Source: Wightman, "PyTorch image models" (timm), https://github.com/huggingface/pytorch-image-models.
"""

from __future__ import annotations

import importlib
import os
import re
import socket
import urllib.request
from typing import Any

import huggingface_hub
import timm
from timm.models import PretrainedCfg, VisionTransformer
from torch import nn

from fedlab import assets
from fedlab.data.dataset import Task
from fedlab.errors import AssetMissing, FedlabError, unknown
from fedlab.models.backbone import Backbone, BackboneSettings, stages_of, start_small
from fedlab.models.weight_files import Weights, read_weights
from fedlab.models.weights import fit_weights

_PACKAGED = {
    "tf_efficientnet_lite0": "efficientnet-lite0",
    "tf_efficientnet_lite1": "efficientnet-lite1",
    "tf_efficientnet_lite2": "efficientnet-lite2",
    "vit_small_patch14_dinov2": "dinov2-small",
}
_REFUSALS = {
    "drop_path_rate": "model.drop_path: '{}' has no stochastic depth; leave the key out",
    "drop_rate": "model.dropout: '{}' has no dropout before its head; leave the key out",
    "img_size": "model.image_size: '{}' takes pictures of {} only",
}


def build(name: str, settings: BackboneSettings, task: Task, size: tuple[int, int]) -> Backbone:
    """Return the timm model called ``name``; see :func:`fedlab.models.backbones.load_backbone`."""
    module = _create(name, settings, task, size)
    _check_patches(module, name, size)
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
    try:
        return _create_with(name, arguments, from_hub)
    except OSError as error:
        raise _no_hub(name, str(error)) from error
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


def check_hub(name: str) -> None:
    """Raise at once if the hub is unreachable: its own time limit is a minute.

    Raises:
        AssetMissing: If it is, and the weights are not in its cache.
    """
    config = _pretraining(name)
    if config.hf_hub_id and _is_cached(config.hf_hub_id):
        return
    if assets.is_offline():
        raise _no_hub(name, "FEDLAB_OFFLINE is set")
    host = re.sub(r"^https?://|[:/].*$", "", huggingface_hub.constants.ENDPOINT)
    try:
        # Behind a proxy, only the proxy needs to resolve the host.
        if not urllib.request.getproxies():
            socket.getaddrinfo(host, 443)
    except OSError as error:
        raise _no_hub(name, f"{host} is not found") from error


def _is_cached(repository: str) -> bool:
    names = ("model.safetensors", "pytorch_model.bin")
    found = (huggingface_hub.try_to_load_from_cache(repository, name) for name in names)
    return any(isinstance(path, str) and os.path.exists(path) for path in found)


def _no_hub(name: str, reason: str) -> AssetMissing:
    package = " 'package' for the weights that a package ships," if packaged_asset(name) else ""
    return AssetMissing(
        f"model.pretrained: timm's weights for '{name}' cannot be fetched "
        f"({reason.partition(chr(10))[0]}); say{package} a path to a file of weights, or false"
    )


def packaged_asset(name: str) -> str | None:
    """Return the asset with a package's weights for the timm model ``name``, or None."""
    return _PACKAGED.get(name.partition(".")[0])


def _packaged(name: str) -> str:
    asset = packaged_asset(name)
    if asset is None:
        raise FedlabError(
            f"model.pretrained: no package ships weights for '{name}', only for "
            f"{', '.join(sorted(_PACKAGED))}; say true for timm's hub, or name a file of weights"
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
