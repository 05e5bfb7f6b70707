"""Cutting a network into its frozen prefix and what is trained."""

from typing import Any

import pytest
import torch
from torch import nn

from fedlab.data.dataset import Task
from fedlab.engine.features.split import CannotSplit, Split, split
from fedlab.models.layout import FlatModel, Layout
from fedlab.models.network import Network, build_network
from tests.shared import scenario_with

PICTURES = Task("classification", "image", (1, 8, 8), 10)
SERIES = Task("classification", "series", (12, 3), 4)

CNN = 'name = "cnn"\nlayers = [{channels = 4, batch_norm = true}, {channels = 6}]\nhidden = [8]\n'
VIT = 'name = "vit"\npatch_size = 4\nwidth = 8\ndepth = 3\nheads = 2\n'
LSTM = 'name = "lstm"\nhidden = 6\nlayers = 2\n'


def network(model: str, task: Task = PICTURES) -> Network:
    scenario: Any = scenario_with(model=model)
    return build_network(scenario.model, task, 3)


def inputs_of(task: Task) -> torch.Tensor:
    return torch.randn(5, *task.input_shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("trainable", ["head", "last:1"])
@pytest.mark.parametrize(
    ("model", "task"),
    [
        (CNN + 'batch_norm = "frozen"\n', PICTURES),
        (VIT, PICTURES),
        (LSTM, SERIES),
        ('name = "resnet18"\nimage_size = 32\n', PICTURES),
    ],
    ids=["cnn", "vit", "lstm", "timm"],
)
def test_both_parts_are_the_network_and_gradients_reach_the_rest(
    model: str, task: Task, trainable: str
) -> None:
    whole = network(model + f'trainable = "{trainable}"', task)
    sample = inputs_of(task)
    if "resnet" in model:
        sample = torch.nn.functional.interpolate(sample.expand(-1, 3, -1, -1), 32)
    parts = split(whole, sample)
    whole.evaluation_mode()
    features = parts.prefix(sample)
    assert not features.requires_grad
    torch.testing.assert_close(parts.rest(features), whole.model.module(sample))
    parts.rest(features).square().sum().backward()
    cut = whole.model.gradient.clone()
    whole.model.zero_gradient()
    whole.model.module(sample).square().sum().backward()
    assert cut.abs().sum() > 0
    torch.testing.assert_close(cut, whole.model.gradient)


def test_the_prefix_holds_nothing_that_is_trained() -> None:
    whole = network(VIT + 'trainable = "last:1"')
    parts = split(whole, inputs_of(PICTURES))
    trained = {id(parameter) for _, parameter in whole.model.trained}
    assert not trained & {id(p) for p in parts.prefix.parameters()}
    assert trained <= {id(p) for p in parts.rest.parameters()}
    assert len(list(parts.prefix.parameters())) > len(trained)


def parts_of(model: str, task: Task = PICTURES) -> Split:
    return split(network(model, task), inputs_of(task))


def test_dropout_before_the_head_stays_with_the_head() -> None:
    parts = parts_of(CNN + 'batch_norm = "frozen"\ndropout = 0.3\ntrainable = "head"')
    assert not any(isinstance(module, nn.Dropout) for module in parts.prefix.modules())
    assert any(isinstance(module, nn.Dropout) for module in parts.rest.modules())


def test_a_dropout_deep_inside_ends_the_prefix() -> None:
    shallow = parts_of(LSTM + 'layer_dropout = 0.1\ntrainable = "head"', SERIES)
    deep = parts_of(LSTM + 'trainable = "head"', SERIES)
    count = [sum(p.numel() for p in parts.prefix.parameters()) for parts in (shallow, deep)]
    assert 0 < count[0] < count[1]


def test_a_network_trained_from_its_first_layer_is_refused() -> None:
    with pytest.raises(CannotSplit, match="nothing comes before"):
        parts_of(CNN)


def test_statistics_still_gathered_end_the_prefix() -> None:
    norm = nn.BatchNorm1d(3, affine=False)
    module = nn.Sequential(nn.Linear(3, 3).requires_grad_(False), norm, nn.Linear(3, 2))
    sample = torch.randn(4, 3)
    still = FlatModel(module, Layout.of(module))
    frozen = split(Network(still, "2", None, None, 0, (norm,)), sample)
    assert norm in frozen.prefix.modules()
    statistics = ["1.running_mean", "1.running_var"]
    moving = FlatModel(module, Layout.of(module, statistics))
    gathering = split(Network(moving, "2", None, None, 0, ()), sample)
    assert norm in gathering.rest.modules()
    carried = FlatModel(module, Layout.of(module, carried=statistics))
    earlier = split(Network(carried, "2", None, None, 0, (norm,)), sample)
    assert norm in earlier.rest.modules()


class Looks(nn.Module):
    """A forward pass that looks at the data, which no trace can follow."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(3, 4).requires_grad_(False), nn.Linear(4, 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        hidden = self.first(inputs)
        outputs: torch.Tensor = self.head(hidden if hidden.sum() > 0 else -hidden)
        return outputs


class Remembers(Looks):
    """What is trained takes the inputs beside what is frozen."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.head(self.first(inputs)) + inputs[:, :2]
        return outputs


@pytest.mark.parametrize(
    ("module", "reason"), [(Looks(), "cannot be traced"), (Remembers(), "several tensors lead")]
)
def test_a_network_without_one_place_to_cut_is_refused(module: nn.Module, reason: str) -> None:
    flat = FlatModel(module, Layout.of(module))
    with pytest.raises(CannotSplit, match=reason):
        split(Network(flat, "head", None, None, 0, ()), torch.ones(2, 3))


class DropsInAFunction(Looks):
    """A forward pass that drops by a function, as timm's networks do before their heads."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        hidden = nn.functional.dropout(self.first(inputs), 0.5, training=self.training)
        outputs: torch.Tensor = self.head(hidden)
        return outputs


def test_dropout_that_is_a_function_follows_the_mode_of_the_network() -> None:
    module = DropsInAFunction()
    flat = FlatModel(module, Layout.of(module))
    sample = torch.randn(4, 3)
    parts = split(Network(flat, "head", None, None, 0, ()), sample)
    features = parts.prefix(sample)
    module.eval()
    torch.testing.assert_close(parts.rest(features), module(sample))
    module.train()
    draws = []
    for call, given in ((module, sample), (parts.rest, features)):
        torch.manual_seed(1)
        draws.append(call(given))
    torch.testing.assert_close(*draws)
    assert not torch.equal(parts.rest(features), parts.rest(features))
