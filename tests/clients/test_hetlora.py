"""A client of a lower rank trains what LoRA of that rank would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from clients.hetlora import HetLora, truncate
from fedlab.errors import FedlabErrors
from fedlab.models.network import Network
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.simulation import assemble
from fedlab.scenario.parts import load_federation, network_of
from tests.shared import Changes, scenario_with
from tests.stopping import StopAfter

BASE: dict[str, Any] = {
    "seed": 5,
    "rounds": 3,
    "data": {"train_examples": 120, "partition": {"name": "iid", "clients": 4}},
    "strategy": {"name": "hetlora"},
    "client": {
        "name": "hetlora",
        "ranks": [1, 3],
        "batch_size": 8,
        "optimizer": {"name": "adamw", "lr": 0.01},
    },
    "evaluation": {"test_examples": 50},
}
VIT: dict[str, Any] = {"name": "vit", "depth": 1, "width": 8, "heads": 2}
FLORA: dict[str, Any] = {
    "strategy": {"name": "flora"},
    "model": {"adapter": {"base_travels": True}},
}


def scenario(*changes: Changes, rank: int = 3, alpha: float = 6.0) -> Any:
    adapter = {"name": "lora", "rank": rank, "alpha": alpha}
    model = {"model": {**VIT, "adapter": adapter}}
    return scenario_with({"model": {"name": None}}, BASE, model, *changes)


def network(rank: int, alpha: float) -> Network:
    settings = scenario(
        {"client": {"name": "supervised", "ranks": None}},
        {"strategy": {"name": "fedit"}},
        rank=rank,
        alpha=alpha,
    )
    return network_of(settings, load_federation(settings).dataset.task)


def trained(own: Network, steps: int = 5) -> dict[str, torch.Tensor]:
    """Return the tensors after some steps of AdamW on made-up pictures."""
    model, generator = own.model, torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW([model.parameter], lr=0.01)
    own.evaluation_mode()
    for _ in range(steps):
        pictures = torch.randn(4, 1, 8, 8, generator=generator)
        model.zero_gradient()
        model.call(pictures).square().sum().backward()
        optimizer.step()
    return {n: t.clone() for n, t in model.layout.views(model.weights).items()}


def test_a_client_of_a_lower_rank_trains_as_lora_of_that_rank_does() -> None:
    large, small = network(3, 6.0), network(1, 2.0)
    generator = torch.Generator().manual_seed(1)
    large.model.reset(torch.randn(large.model.layout.wire_size, generator=generator) / 5)
    truncate(large, 1)
    views = large.model.layout.views(large.model.weights)
    for name, own in small.model.layout.views(small.model.weights).items():
        first = views[name][:1] if name.endswith("lora.A") else views[name]
        own.copy_(views[name][:, :1] if name.endswith("lora.B") else first)
    one, two = trained(large), trained(small)
    for name, tensor in one.items():
        if name.endswith("lora.A"):
            assert not tensor[1:].any()
            tensor = tensor[:1]
        elif name.endswith("lora.B"):
            assert not tensor[:, 1:].any()
            tensor = tensor[:, :1]
        torch.testing.assert_close(tensor, two[name], rtol=1e-4, atol=1e-6)


def test_clients_have_the_ranks_in_turn() -> None:
    algorithm = HetLora(HetLora.Settings.model_validate({"name": "hetlora", "ranks": [1, 2, 4]}))
    assert [algorithm.rank_of(client) for client in range(5)] == [1, 2, 4, 1, 2]


SERVERS: dict[str, Changes] = {"hetlora": {}, "flora": FLORA}
EACH = pytest.mark.parametrize("changes", SERVERS.values(), ids=SERVERS)


def digest(folder: RunFolder, *callbacks: Any) -> str:
    import json

    run(folder, callbacks)
    return str(json.loads((folder.path / "summary.json").read_text())["weights_sha256"])


@EACH
def test_a_resumed_run_ends_in_the_same_bits(tmp_path: Path, changes: Changes) -> None:
    whole = digest(RunFolder.create(tmp_path, "whole", scenario(changes)))
    stopped = RunFolder.create(tmp_path, "stopped", scenario(changes))
    assert digest(stopped, StopAfter(2)) != whole
    assert digest(RunFolder.open(stopped.path)) == whole


@pytest.mark.slow
@EACH
def test_ray_ends_in_the_same_bits(tmp_path: Path, changes: Changes) -> None:
    inline = digest(RunFolder.create(tmp_path, "inline", scenario(changes)))
    ray = scenario(changes, 'engine.name = "ray"\nengine.workers = 2')
    assert digest(RunFolder.create(tmp_path, "ray", ray)) == inline


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"client": {"ranks": [2, 8]}},
            r"client.ranks: 8 is more than the 3 of model.adapter.rank",
        ),
        ({"model": {"adapter": {"freeze_a": True}}}, "client.name: 'hetlora' trains both factors"),
        ({"strategy": {"name": "flora"}}, "set model.adapter.base_travels = true"),
    ],
)
def test_what_cannot_go_together_is_refused_before_the_first_round(
    changes: Changes, said: str
) -> None:
    with pytest.raises(FedlabErrors, match=said):
        assemble(scenario(changes))
