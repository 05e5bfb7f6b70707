"""Batches of one example: refused before the first round, exactly where torch refuses them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from fedlab.data.dataset import Task
from fedlab.errors import FedlabError
from fedlab.models.network import Network, build_network
from fedlab.registry import models
from fedlab.run.simulation import Simulation, assemble
from fedlab.training.lone_examples import layer_of_one_value
from tests.shared import Changes, scenario_with

NORMED = {"model": {"batch_norm_layers": True}}
ALONE = {"data": {"partition": {"clients": 1437}}, "strategy": {"fraction_train": 0.002}}


def refusal(*changes: Changes) -> str:
    with pytest.raises(FedlabError) as refused:
        assemble(scenario_with(*changes))
    return str(refused.value)


def test_a_client_of_one_example_is_named() -> None:
    assert refusal(NORMED, ALONE) == (
        "data.partition: client 0 has one training example (1,436 more clients as well), of which "
        "batch norm ('hidden.0.1') has no variance: set model.batch_norm = 'frozen', or fewer "
        "clients"
    )


def test_batches_of_one_example_are_refused() -> None:
    said = refusal(NORMED, {"client": {"batch_size": 1}})
    assert said.startswith("client.batch_size: a batch has one example, of which batch norm")


@pytest.mark.parametrize(
    "changes",
    [
        (ALONE,),
        ({"client": {"batch_size": 1}},),
        (NORMED, ALONE, {"model": {"batch_norm": "frozen"}}),
        (NORMED, {"client": {"batch_size": 2}}),
        (NORMED, {"data": {"partition": {"clients": 700}}, "strategy": {"fraction_train": 0.002}}),
    ],
    ids=["no norm", "no norm, batches of one", "frozen", "batches of two", "two examples each"],
)
def test_what_can_be_trained_is_not_refused(changes: tuple[Changes, ...]) -> None:
    with Simulation(scenario_with(*changes, rounds=1)) as simulation:
        rounds = simulation.rounds()
        rounds.run()
    assert rounds.status == "finished"


LAYERS = {
    "a larger picture": "[[model.layers]]\nchannels = 2\nbatch_norm = true",
    "one pixel": "[[model.layers]]\nchannels = 2\nkernel_size = 8\nbatch_norm = true",
}


@pytest.mark.parametrize("case", LAYERS)
def test_batch_norm_of_one_picture_is_refused_where_it_is_one_pixel(case: str) -> None:
    scenario = scenario_with(
        {"model": None, "client": {"batch_size": 1}}, f'model.name = "cnn"\n{LAYERS[case]}'
    )
    if case == "one pixel":
        with pytest.raises(FedlabError, match="of which batch norm"):
            assemble(scenario)
        return
    assemble(scenario)


class Normed(nn.Module):
    """A zoo model with one normalisation, of outputs of a given size."""

    def __init__(self, norm: nn.Module, side: int) -> None:
        super().__init__()
        self.pool, self.norm = nn.AdaptiveAvgPool2d(side), norm

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.norm(self.pool(inputs)).flatten(1)
        return outputs


NORMS = {
    "batch": lambda: nn.BatchNorm2d(4),
    "batch without statistics": lambda: nn.BatchNorm2d(4, track_running_stats=False),
    "instance": lambda: nn.InstanceNorm2d(4),
    "group": lambda: nn.GroupNorm(4, 4),
    "wider group": lambda: nn.GroupNorm(2, 4),
    "layer": lambda: nn.GroupNorm(1, 4),
}


@pytest.mark.parametrize("side", [1, 2])
@pytest.mark.parametrize("kind", NORMS)
def test_a_layer_is_found_exactly_where_torch_refuses_it(kind: str, side: int) -> None:
    task = Task("classification", "image", (1, 8, 8), 2)
    network: Network = build_network(models.get("mlp").Settings(name="mlp"), task, 0)
    module = Normed(NORMS[kind](), side)
    model = replace_module(network, module)
    example = torch.rand(1, 4, 8, 8)
    try:
        module.train()(example)
        refused = False
    except ValueError:
        refused = True
    assert (layer_of_one_value(model, example) is not None) == refused


def replace_module(network: Network, module: nn.Module) -> Network:
    """Return a network around another module."""
    network.model.module = module
    return replace(network, frozen=())
