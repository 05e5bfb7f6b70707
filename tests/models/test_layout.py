import torch
from torch import nn

from fedlab.models.layout import FlatModel, Layout


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


def test_the_vector_holds_personal_before_shared_each_contiguous() -> None:
    buffers = ["1.running_mean", "1.running_var"]
    layout = Layout.of(small_network(), buffers, lambda name: name.startswith("1."))
    assert [entry.name for entry in layout.entries] == [
        "1.running_mean", "1.running_var", "1.weight", "1.bias",
        "0.weight", "0.bias", "2.weight", "2.bias",
    ]  # fmt: skip
    assert layout.trained == slice(6, 35)
    assert layout.wire == slice(12, 35)
    assert layout.personal_size == 12


def test_frozen_parameters_and_integer_buffers_do_not_travel() -> None:
    module = small_network()
    module[0].requires_grad_(False)
    layout = Layout.of(module, ["1.running_mean", "1.running_var"])
    names = {entry.name for entry in layout.entries}
    assert names == {
        "1.running_mean", "1.running_var", "1.weight", "1.bias", "2.weight", "2.bias",
    }  # fmt: skip


def test_training_the_flat_parameter_equals_training_the_module() -> None:
    reference, bound = small_network(), small_network()
    model = FlatModel(bound, Layout.of(bound, ["1.running_mean", "1.running_var"]))
    flat = torch.optim.SGD([model.parameter], 0.1, momentum=0.9)
    plain = torch.optim.SGD(reference.parameters(), 0.1, momentum=0.9)
    for step in range(3):
        inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
        plain.zero_grad()
        reference(inputs).square().mean().backward()
        plain.step()
        model.zero_gradient()
        model.module(inputs).square().mean().backward()
        flat.step()
    state = reference.state_dict()
    for name, view in model.layout.views(model.weights).items():
        torch.testing.assert_close(view, state[name])


def test_reset_leaves_nothing_of_the_last_client() -> None:
    module = small_network()
    model = FlatModel(module, Layout.of(module, ["1.running_mean", "1.running_var"]))
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    wire = model.wire()
    module.train()
    module(torch.randn(8, 4))
    with torch.no_grad():
        model.parameter.add_(1.0)
    model.reset(wire)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_the_fingerprint_changes_with_what_travels() -> None:
    whole, headless = small_network(), small_network()
    headless[0].requires_grad_(False)
    assert Layout.of(whole).fingerprint != Layout.of(headless).fingerprint
    assert Layout.of(whole).fingerprint == Layout.of(small_network()).fingerprint


def test_wire_views_of_a_travelled_vector_are_the_shared_tensors() -> None:
    module = small_network()
    layout = Layout.of(module, is_personal=lambda name: name.startswith("2."))
    model = FlatModel(module, layout)
    views = layout.wire_views(model.wire())
    assert set(views) == {"0.weight", "0.bias", "1.weight", "1.bias"}
    assert torch.equal(views["0.weight"], module[0].weight)


def test_convolutions_are_channels_last_with_the_same_values() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 5), nn.Conv2d(4, 4, 3, groups=4))
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    model = FlatModel(module, Layout.of(module))
    assert module[0].weight.is_contiguous(memory_format=torch.channels_last)
    for name, view in model.layout.wire_views(model.wire()).items():
        assert view.shape == before[name].shape
        torch.testing.assert_close(view, before[name])
    flat = before["0.weight"].permute(0, 2, 3, 1).flatten()
    torch.testing.assert_close(model.wire()[: flat.numel()], flat)


def test_only_a_part_trains_inside_a_block_and_all_afterwards() -> None:
    module = small_network()
    layout = Layout.of(module, is_personal=lambda name: name.startswith("2."))
    model = FlatModel(module, layout)
    assert layout.personal_parameters == slice(0, 8)
    assert layout.shared_parameters == slice(8, 29)
    inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    for part, names in ((layout.personal_parameters, "2"), (layout.shared_parameters, "01")):
        before = {name: tensor.clone() for name, tensor in layout.views(model.weights).items()}
        with model.training(part):
            optimizer = torch.optim.SGD([model.parameter], 0.1)
            model.zero_gradient()
            model.module(inputs).square().mean().backward()
            assert model.gradient.shape == model.parameter.shape
            optimizer.step()
        changed = {n for n, t in layout.views(model.weights).items() if not t.equal(before[n])}
        # The bias before batch norm has no gradient, but for rounding.
        assert changed - {"0.bias"} == {n for n in before if n[0] in names} - {"0.bias"}
    assert model.layout is layout
    assert all(parameter.requires_grad for parameter in module.parameters())
    model.zero_gradient()
    model.module(inputs).square().mean().backward()
    assert model.gradient.shape == (29,)
    assert bool(model.gradient[:8].abs().sum() > 0)
    assert bool(model.gradient[8:].abs().sum() > 0)
