"""Files of weights as training programs write them: the same tensors come out of each."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fedlab.errors import FedlabError
from fedlab.models.weight_files import read_weights
from fedlab.models.weights import fit_weights

Weights = dict[str, torch.Tensor]


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6))
        self.head = nn.Linear(6, 4)


def prefixed(state: Weights, prefix: str) -> Weights:
    return OrderedDict((f"{prefix}{name}", tensor) for name, tensor in state.items())


def optimiser(state: Weights) -> dict[str, Any]:
    moments = {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(6, 5)}}
    return {"state": moments, "param_groups": [{"lr": 0.1, "params": [0]}]}


def lightning(state: Weights) -> dict[str, Any]:
    return {
        "epoch": 1,
        "pytorch-lightning_version": "2.5",
        "state_dict": prefixed(state, "model."),
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": 1}}},
        "optimizer_states": [optimiser(state)],
        "callbacks": {"early": {"best_score": torch.tensor(0.5)}},
    }


def with_average(state: Weights) -> dict[str, Any]:
    averaged = {name: tensor * 2 for name, tensor in state.items()}
    return {"state_dict": state, "state_dict_ema": averaged, "arch": "small"}


WRAPPINGS: dict[str, Callable[[Weights], Any]] = {
    "plain": lambda s: s,
    "tutorial": lambda s: {"epoch": 1, "model_state_dict": s, "optimizer": optimiser(s), "loss": 1},
    "ema alone": lambda s: {"ema": s, "epoch": 1},
    "any key": lambda s: {"classifier_weights": s, "rng": torch.zeros(5)},
    "nested": lambda s: {"checkpoint": {"net": {"weights": s}}, "step": 3},
    "compiled": lambda s: prefixed(s, "_orig_mod."),
    "parallel": lambda s: prefixed(s, "module."),
    "compiled and parallel": lambda s: {"model": prefixed(s, "module._orig_mod.")},
    "averaged": lambda s: {"n_averaged": torch.tensor(5), **prefixed(s, "module.")},
    "lightning": lightning,
    "lightning, compiled": lambda s: {"state_dict": prefixed(s, "model._orig_mod.")},
    "backbone": lambda s: {"state_dict": prefixed(s, "backbone."), "meta": {"epoch": 1}},
    "timm": with_average,
    "half": lambda s: {n: t.half() if t.is_floating_point() else t for n, t in s.items()},
    "bfloat16": lambda s: {n: t.bfloat16() if t.is_floating_point() else t for n, t in s.items()},
    "transposed": lambda s: {n: t.t().contiguous().t() if t.ndim == 2 else t for n, t in s.items()},
    "parameters": lambda s: {n: nn.Parameter(t, False) for n, t in s.items()},
}


@pytest.fixture
def there() -> Weights:
    """Return weights that are the same numbers in each floating-point type."""
    return {n: t.bfloat16().float() if t.ndim else t for n, t in Small().state_dict().items()}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_every_wrapping_gives_the_same_weights(
    tmp_path: Path, there: Weights, wrapping: str, legacy: bool
) -> None:
    path = tmp_path / "weights.any"
    content = WRAPPINGS[wrapping](there)
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    here = Small()
    assert fit_weights(here, read_weights(path, here.state_dict()), "head", path)
    for name, tensor in here.state_dict().items():
        assert torch.equal(tensor, there[name]), name


@pytest.mark.parametrize("name", ["weights.bin", "weights.pt", "weights", "weights.safetensors"])
def test_a_file_is_known_by_its_first_bytes(tmp_path: Path, there: Weights, name: str) -> None:
    save_file(there, tmp_path / name)
    assert read_weights(tmp_path / name).keys() == there.keys()
    torch.save(there, tmp_path / name)
    assert read_weights(tmp_path / name).keys() == there.keys()


def test_of_several_sets_of_weights_the_key_is_asked_for(tmp_path: Path, there: Weights) -> None:
    path = tmp_path / "gan.pt"
    other = {name: tensor + 1 for name, tensor in there.items()}
    torch.save({"generator": there, "critic": other}, path)
    with pytest.raises(FedlabError, match="under several keys, 'generator', 'critic'; say which"):
        read_weights(path)
    assert torch.equal(read_weights(f"{path}#critic")["head.bias"], other["head.bias"])
    with pytest.raises(FedlabError, match=r"no tensors under 'critik'\. Did you mean 'critic'"):
        read_weights(f"{path}#critik")


def test_an_average_is_taken_where_it_is_asked_for(tmp_path: Path, there: Weights) -> None:
    torch.save(with_average(there), tmp_path / "timm.pt")
    found = read_weights(f"{tmp_path}/timm.pt#state_dict_ema")
    assert torch.equal(found["head.bias"], there["head.bias"] * 2)


def test_a_prefix_of_the_models_own_names_stays(tmp_path: Path, there: Weights) -> None:
    path = tmp_path / "own.pt"
    torch.save(prefixed(there, "model."), path)
    assert set(read_weights(path, prefixed(there, "model."))) == set(prefixed(there, "model."))
    own = [*prefixed(there, "model."), "head.weight"]
    assert set(read_weights(path, own)) == set(prefixed(there, "model."))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.to(torch.int8), "is of int8 there"),
        (lambda t: t.to_sparse(), "sparse, quantised or empty"),
        (lambda t: t * float("nan"), "no finite numbers"),
    ],
    ids=["whole numbers", "sparse", "not a number"],
)
def test_tensors_that_are_no_weights_are_refused(
    there: Weights, change: Callable[[torch.Tensor], torch.Tensor], reason: str
) -> None:
    there["body.0.weight"] = change(there["body.0.weight"])
    with pytest.raises(FedlabError, match=f"'body.0.weight' .*{reason}"):
        fit_weights(Small(), there, "head", "x")
