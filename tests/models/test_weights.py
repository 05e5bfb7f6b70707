"""Reading weights and fitting them into a model."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fedlab.errors import FedlabError
from fedlab.models.weight_files import read_weights
from fedlab.models.weights import fit_weights


class Small(nn.Module):
    def __init__(self, outputs: int = 4, width: int = 6) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, width), nn.BatchNorm1d(width))
        self.head = nn.Linear(width, outputs)


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


Save = Callable[[dict[str, torch.Tensor], Path], Path]


def as_safetensors(state: dict[str, torch.Tensor], folder: Path) -> Path:
    save_file(state, folder / "weights.safetensors")
    return folder / "weights.safetensors"


def as_run(state: dict[str, torch.Tensor], folder: Path) -> Path:
    save_file(state, folder / "model.safetensors")
    return folder


def as_torch(state: dict[str, torch.Tensor], folder: Path) -> Path:
    torch.save(state, folder / "weights.pth")
    return folder / "weights.pth"


def as_checkpoint(state: dict[str, torch.Tensor], folder: Path) -> Path:
    wrapped = {"epoch": 3, "state_dict": {f"module.{name}": t for name, t in state.items()}}
    torch.save(wrapped, folder / "weights.pt")
    return folder / "weights.pt"


@pytest.mark.parametrize("save", [as_safetensors, as_run, as_torch, as_checkpoint])
def test_weights_come_back_from_every_kind_of_file(save: Save, tmp_path: Path) -> None:
    there, here = Small(), Small()
    source = save(there.state_dict(), tmp_path)
    assert not same(here, there)
    assert fit_weights(here, read_weights(source), "head", source)
    assert same(here, there)


def test_a_head_of_another_shape_keeps_its_new_weights() -> None:
    there, here = Small(outputs=10), Small(outputs=4)
    new = here.head.weight.detach().clone()
    assert not fit_weights(here, there.state_dict(), "head", "x")
    assert torch.equal(here.head.weight, new)
    assert same(here.body, there.body)


def test_a_file_without_a_head_will_do() -> None:
    there, here = Small(), Small()
    weights = {n: t for n, t in there.state_dict().items() if not n.startswith("head")}
    assert not fit_weights(here, weights, "head", "x")
    assert same(here.body, there.body)


def test_counters_of_batches_may_be_missing() -> None:
    there, here = Small(), Small()
    weights = {n: t for n, t in there.state_dict().items() if "num_batches" not in n}
    fit_weights(here, weights, "head", "x")
    assert same(here, there)


def without_bias(weights: dict[str, torch.Tensor]) -> None:
    weights["body.0.bais"] = weights.pop("body.0.bias")


def with_more(weights: dict[str, torch.Tensor]) -> None:
    weights["body.2.weight"] = torch.zeros(2)


def wider(weights: dict[str, torch.Tensor]) -> None:
    weights.update(Small(width=7).state_dict())


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (without_bias, "it has no 'body.0.bias'. Did you mean 'body.0.bais'? (1 more differ)"),
        (with_more, "the model has no 'body.2.weight'"),
        (wider, "'body.0.weight' is 7×5 there and 6×5 here (5 more differ)"),
    ],
)
def test_weights_that_do_not_fit_change_nothing(
    spoil: Callable[[dict[str, torch.Tensor]], None], sentence: str
) -> None:
    here = Small()
    before = {n: t.clone() for n, t in here.state_dict().items()}
    weights = dict(Small().state_dict())
    spoil(weights)
    with pytest.raises(FedlabError) as caught:
        fit_weights(here, weights, "head", "x.pth")
    assert str(caught.value) == (
        f"model.pretrained: the weights of 'x.pth' do not fit the model: {sentence}"
    )
    assert all(torch.equal(before[n], t) for n, t in here.state_dict().items())


class Unsafe:
    """Something that only unpickling code could read back."""


def absent(folder: Path) -> Path:
    return folder / "none.safetensors"


def no_run(folder: Path) -> Path:
    return folder


def cut_safetensors(folder: Path) -> Path:
    path = as_safetensors(Small().state_dict(), folder)
    path.write_bytes(path.read_bytes()[:-20])
    return path


def cut_torch(folder: Path) -> Path:
    path = as_torch(Small().state_dict(), folder)
    path.write_bytes(path.read_bytes()[:200])
    return path


def empty(folder: Path) -> Path:
    (folder / "weights.pth").write_bytes(b"")
    return folder / "weights.pth"


def text(folder: Path) -> Path:
    (folder / "weights.pth").write_text("these are no weights")
    return folder / "weights.pth"


def pickled_object(folder: Path) -> Path:
    torch.save({"model": Unsafe()}, folder / "weights.pth")
    return folder / "weights.pth"


def numbers_only(folder: Path) -> Path:
    torch.save({"epoch": 3}, folder / "weights.pth")
    return folder / "weights.pth"


@pytest.mark.parametrize(
    ("make", "pattern"),
    [
        (absent, "there is no '.*none.safetensors'"),
        (no_run, "the folder '.*' holds no model.safetensors; name the folder of a run"),
        (cut_safetensors, "cannot be read as weights"),
        (cut_torch, "cannot be read as weights|is no torch file"),
        (empty, "cannot be read as weights"),
        (text, "cannot be read as weights|is no torch file"),
        (pickled_object, "holds more than tensors"),
        (numbers_only, "holds no dictionary of tensors by name"),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence(
    make: Callable[[Path], Path], pattern: str, tmp_path: Path
) -> None:
    with pytest.raises(FedlabError) as caught:
        read_weights(make(tmp_path))
    sentence = str(caught.value)
    assert sentence.startswith("model.pretrained: ")
    assert re.search(pattern, sentence)
    assert "\n" not in sentence
