"""One name for each backbone, and other spellings of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm

from fedlab.assets.catalogue import CATALOGUE
from fedlab.models.backbone import BackboneSettings
from fedlab.models.backbone_list import matching, offline
from fedlab.models.backbone_names import describe, packaged_asset, resolved, unknown_model
from fedlab.registry import models

LITE = "tf_efficientnet_lite0"
DINO = "vit_small_patch14_dinov2"


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("dinov2-small", DINO),
        ("DINOv2_small", DINO),
        ("vit-small-patch14-dinov2", DINO),
        ("efficientnet-lite0", LITE),
        ("timm/EfficientNet-Lite0", f"timm/{LITE}"),
        ("efficientnet_lite0", "efficientnet_lite0"),  # a model of timm's, with other weights
        ("ResNet-18", "resnet18"),
        ("timm/ResNet18.a1_in1k", "timm/resnet18.a1_in1k"),
        ("torchvision/ResNet-18", "torchvision/resnet18"),
        ("torchvision/dinov2-small", "torchvision/dinov2-small"),
        ("facebook/dinov2-small", "facebook/dinov2-small"),
        ("resnet", "resnet"),
    ],
)
def test_a_spelling_that_can_only_mean_one_model_is_that_model(written: str, name: str) -> None:
    assert resolved(written) == name
    assert BackboneSettings(name=written).name == name
    assert describe(written) == describe(name)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("dinov2", f"'{DINO}'?"),
        ("facebook/dinov2-small", f"'{DINO}'?"),
        ("dinov2-smal", f"'{DINO}'?"),
        ("lite0", f"'{LITE}'?"),
        ("efficientnet", f"'{LITE}', 'tf_efficientnet_lite1' or 'tf_efficientnet_lite2'?"),
        ("qqqq", "`fedlab list backbones` shows pretrained ones"),
    ],
)
def test_an_unknown_word_is_answered_with_the_backbones_that_it_may_mean(
    word: str, meant: str
) -> None:
    assert unknown_model(word).endswith(meant)


def test_every_set_of_weights_of_the_catalogue_goes_into_a_model_that_there_is() -> None:
    names = [a.pretrained.model for a in CATALOGUE.values() if a.pretrained is not None]
    assert {LITE, DINO, "textgenrnn"} <= set(names)
    for name in names:
        library = name.partition(":")[0]
        assert library == "transformers" or name in models or describe(name) == "timm"


def test_every_model_of_the_zoo_with_packaged_weights_is_in_the_catalogue() -> None:
    for name in models.names():
        asset = getattr(models.get(name), "packaged", None)
        if asset is not None:
            pretrained = CATALOGUE[asset].pretrained
            assert pretrained is not None, f"{asset} needs `pretrained` in the catalogue"
            assert packaged_asset(pretrained.model) == asset


@pytest.mark.parametrize("name", [LITE, "tf_efficientnet_lite2", DINO])
def test_the_catalogue_counts_parameters_as_timm_does(name: str) -> None:
    import torch

    asset = packaged_asset(name)
    assert asset is not None
    with torch.device("meta"):
        module = timm.create_model(name)
    pretrained = CATALOGUE[asset].pretrained
    assert pretrained is not None
    assert pretrained.parameters == sum(p.numel() for p in module.parameters())


def test_a_pattern_shows_the_libraries_models_with_size_input_and_licence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    found = {about.name: about for about in matching("ResNet18*")}
    assert list(found) == ["resnet18", "resnet18d"]
    assert found["resnet18"].parameters == 11_689_512
    assert found["resnet18"].inputs == "pictures 3×224×224"
    assert found["resnet18"].licence == "apache-2.0"
    assert found["resnet18"].weights == "hub"
    both = [about.name for about in matching("*resnet18") if about.name.endswith("/resnet18")]
    assert both == ["torchvision/resnet18"]


def test_packaged_models_come_first_and_are_found_by_their_weights_name() -> None:
    found = matching("dinov2-small")
    assert found[0].name == DINO
    assert [about.name for about in offline()][:4] == [
        LITE,
        "tf_efficientnet_lite1",
        "tf_efficientnet_lite2",
        DINO,
    ]
