"""A model's first weights travel: a machine without the files starts from the same ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fedlab.data.dataset import Task
from fedlab.models.network import build_network, first_weights, other_networks
from fedlab.models.settings import ModelSettings
from fedlab.scenario.parts import load_federation
from tests.shared import scenario_with

PACKAGED = {"name": "tf_efficientnet_lite0", "pretrained": "package"}


def parts(**model: object) -> tuple[ModelSettings, Task]:
    scenario = scenario_with({"model": model})
    return scenario.model, load_federation(scenario).dataset.task


def test_a_model_without_its_file_starts_from_what_has_travelled(tmp_path: Path) -> None:
    settings, task = parts(name="mlp")
    state = build_network(settings, task, 1).model.module.state_dict()
    path = tmp_path / "w.safetensors"
    save_file({name: tensor + 1.0 for name, tensor in state.items()}, path)
    settings, task = parts(name="mlp", pretrained=str(path))
    here = build_network(settings, task, 5)
    (given,) = first_weights(settings, task, 5)
    path.unlink()
    there = build_network(settings, task, 5, given=given)
    assert torch.equal(here.model.weights, there.model.weights)
    assert here.model.layout == there.model.layout


@pytest.mark.parametrize("seed", [1, 2])
def test_a_packages_weights_travel_with_the_head_that_was_drawn(seed: int) -> None:
    settings, task = parts(**PACKAGED, image_size=32)
    here = build_network(settings, task, seed)
    (given,) = first_weights(settings, task, seed)
    assert given is not None
    bare = settings.model_copy(update={"pretrained": "/nowhere"})
    there = build_network(bare, task, seed, given=given)  # type: ignore[arg-type]
    for name, tensor in here.model.module.state_dict().items():
        assert torch.equal(tensor, there.model.module.state_dict()[name]), name
    assert (here.mean, here.std, here.channels) == (there.mean, there.std, there.channels)


def test_weights_that_are_drawn_do_not_travel() -> None:
    settings, task = parts(name="mlp")
    assert first_weights(settings, task, 1) == [None]


def test_each_of_several_architectures_has_its_own() -> None:
    settings, task = parts(name="mlp", personal="all")
    others = settings.model_copy(update={"others": (parts(**PACKAGED, image_size=32)[0],)})
    assert isinstance(others, ModelSettings)
    first, second = first_weights(others, task, 1)
    assert first is None
    (here,) = other_networks(others, task, 1)
    (there,) = other_networks(others, task, 1, [second])
    assert torch.equal(here.model.weights, there.model.weights)
