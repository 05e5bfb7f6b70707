"""The test device counts as the CPU does, and refuses what a card would refuse."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from tests.devices.strict import Copies, counted

pytestmark = pytest.mark.usefixtures("strict")
Weights = dict[str, torch.Tensor]


def pictures() -> torch.Tensor:
    return torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def tokens() -> torch.Tensor:
    return torch.randint(0, 10, (8, 5), generator=torch.Generator().manual_seed(1))


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, groups=2),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 4),
    )


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 6)
        self.layers = kind(6, 7, num_layers=2, batch_first=True, bidirectional=True)  # type: ignore[call-arg]
        self.head = nn.Linear(14, 4)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        outputs, _ = self.layers(self.embedding(rows))
        logits: torch.Tensor = self.head(outputs[:, -1])
        return logits


class Attention(nn.Module):
    """Patches of pictures, one layer of attention, and a class token."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, 4)
        self.token = nn.Parameter(torch.zeros(1, 1, 16))
        self.norm = nn.LayerNorm(16)
        self.project = nn.Linear(16, 48)
        self.head = nn.Linear(16, 4)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        z = self.patches(rows).flatten(2).transpose(1, 2)
        z = torch.cat([self.token.expand(len(z), -1, -1), z], 1)
        heads = self.project(self.norm(z)).reshape(len(z), -1, 3, 2, 8)
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        z = z + functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        logits: torch.Tensor = self.head(z[:, 0])
        return logits


def trained(build: Callable[[], nn.Module], inputs: torch.Tensor, device: str) -> Weights:
    torch.manual_seed(0)
    model = build().to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    targets = (torch.arange(8) % 4).to(device)
    for _ in range(3):
        optimizer.zero_grad()
        functional.cross_entropy(model(inputs.to(device)), targets).backward()
        optimizer.step()
    return {name: tensor.cpu() for name, tensor in model.state_dict().items()}


def test_a_cnn_with_batch_norm_is_trained_to_the_bits_of_the_cpu() -> None:
    expected, found = (trained(cnn, pictures(), device) for device in ("cpu", "strict"))
    assert all(torch.equal(found[name], expected[name]) for name in expected)


# Cards sum a recurrent cell and an attention in another order than the CPU, and so does this.
@pytest.mark.parametrize(
    ("build", "inputs"),
    [
        (lambda: Recurrent(nn.LSTM), tokens),
        (lambda: Recurrent(nn.GRU), tokens),
        (lambda: Recurrent(nn.RNN), tokens),
        (Attention, pictures),
    ],
    ids=["lstm", "gru", "rnn", "attention"],
)
def test_other_networks_are_trained_as_on_the_cpu(
    build: Callable[[], nn.Module], inputs: Callable[[], torch.Tensor]
) -> None:
    expected, found = (trained(build, inputs(), device) for device in ("cpu", "strict"))
    for name, wanted in expected.items():
        torch.testing.assert_close(found[name], wanted)


HOST = torch.ones(3, 4)
MIXED: dict[str, Callable[[torch.Tensor], object]] = {
    "a sum": lambda own: own + HOST,
    "a sum, the other way round": lambda own: HOST + own,
    "in place": lambda own: own.add_(HOST),
    "in place on the CPU": lambda own: HOST.clone().add_(own),
    "cat": lambda own: torch.cat([own, HOST]),
    "stack": lambda own: torch.stack([HOST, own]),
    "a product of matrices": lambda own: own @ HOST.t(),
    "a choice": lambda own: torch.where(HOST > 0, own, own),
    "a linear layer": lambda own: functional.linear(own, HOST),
    "a convolution": lambda own: functional.conv1d(own[None], HOST[None]),
    "a loss": lambda own: functional.cross_entropy(own, torch.zeros(3, dtype=torch.long)),
    "rows by indices of the CPU": lambda own: own[torch.tensor([0, 1])],
    "rows of the CPU by indices of the device": lambda own: HOST[own[0].long()],
    "an output on the CPU": lambda own: torch.mul(own, own, out=HOST.clone()),
    "an output on the device": lambda own: torch.mul(HOST, HOST, out=own),
    "two devices": lambda own: own + own.to("strict:1"),
    "a generator of the CPU": lambda own: own.normal_(generator=torch.Generator()),
    "a module of the CPU": lambda own: nn.Linear(4, 2)(own),
}


@pytest.mark.parametrize("mixed", MIXED.values(), ids=MIXED)
def test_the_device_does_not_mix_with_the_cpu(mixed: Callable[[torch.Tensor], object]) -> None:
    with pytest.raises(RuntimeError, match=r"device|found one of cpu"):
        mixed(torch.ones(3, 4, device="strict"))


def test_its_memory_is_no_numpy_array() -> None:
    with pytest.raises(TypeError, match=r"Use Tensor\.cpu\(\)"):
        torch.ones(3, device="strict").numpy()


def test_views_share_memory_and_change_with_it() -> None:
    whole = torch.arange(12.0, device="strict")
    part = whole.view(3, 4)[1:, ::2]
    part.add_(100)
    whole.unsqueeze_(0).t_()
    expected = [0, 1, 2, 3, 104, 5, 106, 7, 108, 9, 110, 11]
    assert whole.shape == (12, 1)
    assert whole.cpu().flatten().tolist() == expected


def test_an_output_without_memory_grows() -> None:
    sums = torch.empty(0, device="strict")
    torch.add(torch.ones(2, 3, device="strict"), 1, out=sums)
    assert sums.cpu().tolist() == [[2, 2, 2], [2, 2, 2]]


def test_parameters_may_be_views_of_one_vector() -> None:
    weights = torch.zeros(4, device="strict")
    layer = nn.Linear(2, 2).to("strict")
    layer.weight.data = weights.view(2, 2)
    weights.fill_(3)
    copied = copy.deepcopy(layer)
    weights.zero_()
    assert layer.weight.cpu().sum().item() == 0
    assert copied.weight.cpu().sum().item() == 12


def test_the_device_draws_numbers_of_its_own() -> None:
    drawn = []
    before = torch.get_rng_state()
    for _ in range(2):
        torch.strict.manual_seed(3)  # type: ignore[attr-defined]
        drawn.append(functional.dropout(torch.ones(100, device="strict")).cpu())
    own = torch.Generator(device="strict").manual_seed(4)
    assert torch.equal(*drawn)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.randn(3, device="strict", generator=own).device.type == "strict"


def test_gradients_of_single_examples_are_taken() -> None:
    layer = nn.Linear(12, 4).to("strict")

    def loss(weights: Weights, row: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        outputs = functional_call(layer, weights, (row[None],))
        return functional.cross_entropy(outputs, target[None])

    rows, targets = torch.randn(8, 12).to("strict"), torch.arange(8, device="strict") % 4
    found = vmap(grad(loss), (None, 0, 0))(dict(layer.named_parameters()), rows, targets)
    assert found["weight"].shape == (8, 4, 12)
    assert found["weight"].device.type == "strict"


def test_activations_are_computed_again() -> None:
    model = cnn().to("strict")
    checkpoint(model, pictures().to("strict"), use_reentrant=False).sum().backward()
    assert model[0].weight.grad.device.type == "strict"  # type: ignore[index, union-attr]


def test_lower_precision_is_taken_for_products_and_not_for_losses() -> None:
    rows = torch.randn(3, 4, device="strict")
    with torch.autocast("strict", dtype=torch.bfloat16):
        outputs = nn.Linear(4, 2).to("strict")(rows)
        loss = functional.cross_entropy(outputs, torch.zeros(3, dtype=torch.long, device="strict"))
    assert (outputs.dtype, loss.dtype) == (torch.bfloat16, torch.float32)


def test_copies_are_counted() -> None:
    with counted() as found:
        own = torch.ones(3).to("strict")
        (own + 1).sum().item()
        own.cpu()
    assert found == [Copies(1, 1, 1, bytes_to_device=12, bytes_to_host=12)]
