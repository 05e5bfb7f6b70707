"""timm and torchvision models with new heads and real pretrained weights."""

from __future__ import annotations

import socket
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import timm
import torch
import torchvision.models
from safetensors.torch import load_file, save_file
from timm.layers.drop import DropPath
from torch import nn
from torchvision.ops import StochasticDepth

from fedlab.assets.reach import unreachable
from fedlab.data.dataset import Task
from fedlab.errors import FedlabError
from fedlab.models import hub
from fedlab.models.backbone_names import describe, unknown_model
from fedlab.models.backbones import Backbone, BackboneSettings, load_backbone

Asset = Callable[[str], Path]
PICTURES = Task("classification", "image", (3, 32, 32), 7)
LITE = "tf_efficientnet_lite0"
DINO = "vit_small_patch14_dinov2"


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def load(name: str, task: Task = PICTURES, **keys: Any) -> Backbone:
    torch.manual_seed(5)
    return load_backbone(BackboneSettings(name=name, **keys), task)


def names(backbone: Backbone) -> list[str]:
    return [name for name, _ in backbone.module.named_parameters()]


@pytest.mark.parametrize(
    ("name", "library"),
    [
        ("resnet18", "timm"),
        ("timm/resnet18", "timm"),
        ("torchvision/resnet18", "torchvision"),
        ("shufflenet_v2_x0_5", "torchvision"),
        ("vit_small_patch14_dinov2.lvd142m", "timm"),
        ("mcmahan-cnn", None),
        ("torchvision/tf_efficientnet_lite0", None),
        ("fedlab.models.zoo.cnn:Cnn", None),
    ],
)
def test_a_name_belongs_to_the_library_that_has_it(name: str, library: str | None) -> None:
    assert describe(name) == library


@pytest.mark.parametrize(
    ("word", "known"),
    [("reznet18", "resnet18"), ("mcmahan-ccn", "mcmahan-cnn"), ("googlenat", "googlenet")],
)
def test_for_an_unknown_name_the_nearest_known_one_is_suggested(word: str, known: str) -> None:
    assert f"Did you mean '{known}'?" in unknown_model(word)
    with pytest.raises(FedlabError, match=f"^model.name: unknown model '{word}'"):
        load(word)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet18", 32),
        ("tf_efficientnet_lite0", 32),
        ("mobilenetv3_small_050", 32),
        ("convnext_atto", 32),
        ("vit_tiny_patch16_224", 32),
        ("deit_tiny_distilled_patch16_224", 32),
        ("torchvision/resnet18", 32),
        ("mobilenet_v2", 32),
        ("squeezenet1_1", 32),
        ("shufflenet_v2_x0_5", 32),
        ("regnet_y_400mf", 32),
        ("swin_t", 32),
        ("googlenet", 32),
    ],
)
def test_every_architecture_gets_a_head_and_stages(name: str, size: int) -> None:
    backbone = load(name, image_size=size)
    parameters = names(backbone)
    head = [key for key in parameters if key.startswith(backbone.head)]
    assert head
    shapes = {backbone.module.get_parameter(key).shape[0] for key in head}
    assert shapes == {PICTURES.outputs}
    assert len(backbone.stages) >= 4
    for stage in backbone.stages:
        assert any(key.startswith(f"{stage}.") for key in parameters), stage
        assert not stage.startswith(backbone.head)
    rest = [
        key
        for key in parameters
        if not key.startswith((backbone.head, *(f"{stage}." for stage in backbone.stages)))
    ]
    # What lies in no stage is tokens, positions and lone norms: a few vectors.
    free = sum(backbone.module.get_parameter(key).numel() for key in rest)
    assert free < 0.02 * sum(p.numel() for p in backbone.module.parameters())
    assert backbone.module.training
    outputs = backbone.module(torch.randn(2, backbone.channels, size, size))
    assert outputs.shape == (2, PICTURES.outputs)


def test_stages_of_pretrained_families_run_from_input_to_output() -> None:
    lite = load(LITE)
    blocks = tuple(f"blocks.{number}" for number in range(7))
    assert lite.stages == ("conv_stem", *blocks, "conv_head")
    assert lite.head == "classifier"
    dino = load(DINO, image_size=28, blocks=2)
    assert dino.stages == ("patch_embed", "blocks.0", "blocks.1")
    assert dino.head == "head"


def test_the_statistics_are_those_of_pretraining() -> None:
    lite, resnet = load(LITE), load("torchvision/resnet18")
    assert (lite.mean, lite.std, lite.channels) == ((0.5,) * 3, (0.5,) * 3, 3)
    assert resnet.mean == (0.485, 0.456, 0.406)
    assert resnet.std == (0.229, 0.224, 0.225)


def test_regression_gets_an_output_per_number() -> None:
    task = Task("regression", "image", (1, 32, 32), 2)
    assert load("resnet18", task).module(torch.randn(3, 3, 32, 32)).shape == (3, 2)


@pytest.mark.parametrize(
    "name", [LITE, "vit_tiny_patch16_224", "torchvision/resnet18", "mobilenet_v2"]
)
def test_dropout_acts_on_what_enters_the_head(name: str) -> None:
    backbone = load(name, image_size=32, dropout=0.5)
    head = backbone.module.get_submodule(backbone.head)
    last = next(m for m in head.modules() if isinstance(m, nn.Linear))
    zeros: list[float] = []
    last.register_forward_pre_hook(
        lambda module, inputs: zeros.append((inputs[0] == 0).float().mean().item())
    )
    pictures = torch.randn(8, 3, 32, 32)
    backbone.module.eval()(pictures)
    backbone.module.train()(pictures)
    # ReLU leaves zeros of its own in some of these; dropout adds to them.
    assert zeros[1] > zeros[0] + 0.2
    plain = load(name, image_size=32)
    rates = [m.p for m in plain.module.modules() if isinstance(m, nn.Dropout)]
    assert not any(rates)


@pytest.mark.parametrize(
    ("name", "kind", "attribute"),
    [(LITE, DropPath, "drop_prob"), ("torchvision/efficientnet_b0", StochasticDepth, "p")],
)
def test_drop_path_rises_to_its_rate_and_is_off_by_default(
    name: str, kind: type[nn.Module], attribute: str
) -> None:
    def rates(**keys: float) -> list[float]:
        modules = load(name, **keys).module.modules()
        return [float(getattr(m, attribute)) for m in modules if isinstance(m, kind)]

    rising = rates(drop_path=0.2)
    assert rising == sorted(rising)
    assert 0.15 < rising[-1] <= 0.2
    assert not any(rates())


def test_efficientnet_carries_the_package_weights_and_a_new_head(asset: Asset) -> None:
    file = load_file(asset("efficientnet-lite0") / "model.safetensors")
    backbone = load(LITE, pretrained="package")
    state = backbone.module.state_dict()
    kept = [key for key in state if not key.startswith("classifier")]
    assert all(torch.equal(state[key].float(), file[key].float()) for key in kept)
    assert state["classifier.weight"].shape == (7, 1280)
    whole = load(LITE, Task("classification", "image", (3, 32, 32), 1000), pretrained="package")
    assert torch.equal(whole.module.state_dict()["classifier.weight"], file["classifier.weight"])


def test_vit_takes_the_package_weights_with_resampled_positions(asset: Asset) -> None:
    file = load_file(asset("dinov2-small") / "model.safetensors")
    backbone = load(DINO, pretrained="package", image_size=56, blocks=6)
    state = backbone.module.state_dict()
    assert state["pos_embed"].shape == (1, 1 + 4 * 4, 384)
    kept = [key for key in state if not key.startswith(("head.", "pos_embed"))]
    assert all(torch.equal(state[key], file[key]) for key in kept)
    assert not any(key.startswith("blocks.6.") for key in state)
    # Sixteen positions averaged out of 37 × 37: they still differ from each other in order.
    grid = state["pos_embed"][0, 1:].reshape(4, 4, 384)
    far = (grid[0, 0] - grid[3, 3]).norm()
    near = (grid[0, 0] - grid[0, 1]).norm()
    assert far > near > 0
    assert backbone.module(torch.randn(2, 3, 56, 56)).shape == (2, 7)


@pytest.mark.parametrize("name", ["resnet18", "torchvision/resnet18"])
def test_a_file_of_either_library_loads_into_its_model(name: str, tmp_path: Path) -> None:
    torch.manual_seed(9)
    bare = name.rpartition("/")[2]
    there = timm.create_model(bare) if bare == name else torchvision.models.get_model(bare)
    torch.save(there.state_dict(), tmp_path / "weights.pth")
    backbone = load(name, pretrained=str(tmp_path / "weights.pth"))
    here = backbone.module.state_dict()
    wanted = {k: t for k, t in there.state_dict().items() if not k.startswith("fc")}
    assert all(torch.equal(here[key], tensor) for key, tensor in wanted.items())


def test_a_run_of_the_same_model_gives_its_head_too(tmp_path: Path) -> None:
    first = load(DINO, image_size=28, blocks=2)
    with torch.no_grad():
        for parameter in first.module.parameters():
            parameter.add_(0.01)
    save_file(first.module.state_dict(), tmp_path / "model.safetensors")
    again = load(DINO, image_size=28, blocks=2, pretrained=str(tmp_path))
    pictures = torch.randn(2, 3, 28, 28)
    assert torch.equal(again.module.eval()(pictures), first.module.eval()(pictures))


def test_torchvision_vit_resamples_its_positions(tmp_path: Path) -> None:
    there = torchvision.models.vit_b_32(image_size=64)
    torch.save(there.state_dict(), tmp_path / "weights.pth")
    backbone = load("vit_b_32", image_size=128, pretrained=str(tmp_path / "weights.pth"))
    positions = backbone.module.get_parameter("encoder.pos_embedding")
    assert positions.shape == (1, 1 + 4 * 4, 768)
    torch.testing.assert_close(positions[:, :1], there.encoder.pos_embedding[:, :1])


def test_a_model_of_another_shape_is_named_by_its_difference(tmp_path: Path) -> None:
    save_file(timm.create_model("resnet18").state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(FedlabError, match=r"do not fit the model: .*there and .* here"):
        load("resnet50", pretrained=str(tmp_path / "model.safetensors"))


@pytest.mark.parametrize(
    ("name", "keys", "sentence"),
    [
        ("vgg11", {"drop_path": 0.1}, "model.drop_path: 'vgg11' has no stochastic depth"),
        ("torchvision/vgg11", {"drop_path": 0.1}, "'vgg11' has no stochastic depth"),
        (DINO, {"image_size": 60}, "patches of 14 pixels, which do not tile 60×60; 56 or 70"),
        ("vit_b_16", {"image_size": 30}, "model.image_size: 'vit_b_16' cannot be built for pict"),
        ("alexnet", {"image_size": 16}, "model.image_size: 'alexnet' cannot take pictures of 16"),
        ("resnet18", {"blocks": 2}, "model.blocks: 'resnet18' is no Vision Transformer"),
        ("torchvision/resnet18", {"blocks": 2}, "model.blocks: torchvision's 'resnet18' keeps"),
        (DINO, {"image_size": 28, "blocks": 13}, "has 12 blocks, and 13 are asked for"),
        ("resnet18", {"pretrained": "package"}, "no package ships weights for 'resnet18', only"),
        ("alexnet", {"pretrained": "package"}, "no package ships weights for torchvision's 'alex"),
        (
            "resnet18.nonsense",
            {},
            "model.name: unknown set of weights of resnet18 'nonsense'",
        ),
        ("resnet18", {"pretrained": "nowhere.pth"}, "model.pretrained: there is no 'nowhere.pth'"),
    ],
)
def test_what_does_not_go_together_names_the_key(
    name: str, keys: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(FedlabError) as caught:
        load(name, **keys)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        (Task("classification", "tabular", (4,), 3), "takes pictures, and the data set's inputs"),
        (Task("tagging", "image", (3, 32, 32), 3), "and the data set's task is tagging"),
        (Task("classification", "image", (13, 32, 32), 3), "the data set's have 13 channels"),
    ],
)
def test_a_task_that_is_not_about_pictures_is_refused(task: Task, sentence: str) -> None:
    with pytest.raises(FedlabError) as caught:
        load("resnet18", task)
    assert str(caught.value).startswith("model.name: 'resnet18' ")
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("name", "package"), [(LITE, True), ("resnet18", False), ("torchvision/resnet18", False)]
)
def test_a_hub_out_of_reach_is_reported_with_what_else_there_is(
    name: str, package: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def unreachable(*arguments: Any, **keys: Any) -> NoReturn:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    monkeypatch.setattr(urllib.request, "getproxies", dict)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.delenv("FEDLAB_OFFLINE", raising=False)
    for offline in (False, True):
        if offline:
            monkeypatch.setenv("FEDLAB_OFFLINE", "1")
        with pytest.raises(
            FedlabError, match=r"^model\.pretrained: .* cannot be fetched"
        ) as caught:
            load(name, pretrained=True)
        assert ("'package'" in str(caught.value)) is package
        assert "a file of weights" in str(caught.value)
        assert ("FEDLAB_OFFLINE" in str(caught.value)) is offline
        if not package:
            assert f"weights for {LITE}, " in str(caught.value)


@pytest.mark.parametrize("name", ["resnet18", "torchvision/resnet18"])
def test_a_hub_that_does_not_answer_is_reported_in_seconds(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.delenv("FEDLAB_OFFLINE", raising=False)
    monkeypatch.setattr(hub, "unreachable", lambda address: unreachable(address, 0.2))
    let_go = threading.Event()

    def silent(*words: Any, **keys: Any) -> NoReturn:
        let_go.wait()
        raise TimeoutError

    monkeypatch.setattr(urllib.request, "urlopen", silent)
    begin = time.monotonic()
    with pytest.raises(FedlabError, match=r"cannot be fetched \(\S+ does not answer\)"):
        load(name, pretrained=True)
    assert time.monotonic() - begin < 5
    let_go.set()


def test_weights_in_the_hubs_cache_are_taken_from_there_without_asking_the_hub(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    revision = tmp_path / "models--timm--resnet10t.c3_in1k" / "snapshots" / ("a" * 40)
    revision.mkdir(parents=True)
    refs = revision.parents[1] / "refs"
    refs.mkdir()
    (refs / "main").write_text("a" * 40)
    torch.manual_seed(1)
    saved = timm.create_model("resnet10t").state_dict()
    save_file(saved, revision / "model.safetensors")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: pytest.fail("the hub is asked"))
    monkeypatch.setenv("FEDLAB_OFFLINE", "1")
    loaded = load("resnet10t", pretrained=True).module.state_dict()
    assert torch.equal(loaded["conv1.0.weight"], saved["conv1.0.weight"])


def test_a_model_that_nobody_has_trained_is_said_to_have_no_weights() -> None:
    with pytest.raises(FedlabError, match=r"^model.pretrained: timm has no weights for 'effic"):
        load("efficientnet_b6", pretrained=True)


def test_a_new_head_over_pretrained_features_starts_small(asset: Asset) -> None:
    asset("efficientnet-lite0")
    loaded = load(LITE, pretrained="package")
    head = loaded.module.get_submodule(loaded.head)
    assert isinstance(head, nn.Linear)
    assert head.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert not head.bias.any()


def test_a_timm_name_may_have_a_tag_of_weights_after_a_dot() -> None:
    assert describe("resnet10t.c3_in1k") == "timm"
    task = Task("classification", "image", (3, 32, 32), 4)
    backbone = load_backbone(BackboneSettings(name="resnet10t.c3_in1k"), task)
    assert backbone.head == "fc"
    with pytest.raises(FedlabError, match=r"unknown set of weights of resnet10t 'c4_in1k'.*'c3_in"):
        load_backbone(BackboneSettings(name="resnet10t.c4_in1k"), task)
