"""The models for tables against the equations of Gorishniy et al. 2021, in NumPy."""

import numpy as np
import pytest
import torch

from fedlab.data.dataset import Encoding, Task
from fedlab.data.table_encoding import Fitted, TableColumn, TableEncoding
from fedlab.errors import FedlabError
from fedlab.models.zoo.ft_transformer import FtTransformer
from fedlab.models.zoo.table_resnet import TableResNet

COLUMNS = (
    TableColumn("age", "number", (), True),
    TableColumn("ward", "category", ("a", "b", "c")),
    TableColumn("height", "number"),
)
TABLE = TableEncoding(COLUMNS, Fitted((0.0,) * 3, (0.0,) * 3, (1.0,) * 3), "ill")
TASK = Task("classification", "tabular", (6,), 2, encoding=Encoding(table=TABLE))
PLAIN = Task("regression", "tabular", (4,), 1)


def ft(task: Task = TASK, **keys) -> FtTransformer:
    torch.manual_seed(0)
    return FtTransformer(FtTransformer.Settings(name="ft-transformer", **keys), task).eval()


def resnet(task: Task = TASK, **keys) -> TableResNet:
    torch.manual_seed(0)
    return TableResNet(TableResNet.Settings(name="table-resnet", **keys), task).eval()


def arrays(model: torch.nn.Module) -> dict[str, np.ndarray]:
    """Return parameters and buffers by name, float64."""
    return {name: value.detach().double().numpy() for name, value in model.state_dict().items()}


def layer_norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt(np.square(centred).mean(-1, keepdims=True) + 1e-5) * weight + bias


def attention(x: np.ndarray, of: dict[str, np.ndarray], prefix: str, heads: int) -> np.ndarray:
    projected = x @ of[f"{prefix}.in_proj_weight"].T + of[f"{prefix}.in_proj_bias"]
    query, key, value = (
        part.reshape(*part.shape[:2], heads, -1).transpose(0, 2, 1, 3)
        for part in np.split(projected, 3, axis=-1)
    )
    scores = query @ key.transpose(0, 1, 3, 2) / np.sqrt(query.shape[-1])
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = (shares / shares.sum(-1, keepdims=True)) @ value
    whole = mixed.transpose(0, 2, 1, 3).reshape(x.shape)
    return whole @ of[f"{prefix}.out_proj.weight"].T + of[f"{prefix}.out_proj.bias"]


def test_a_token_is_a_columns_bias_plus_its_features_times_its_weights() -> None:
    model, of = ft(width=8), arrays(ft(width=8))
    inputs = torch.tensor([[0.5, 1.0, 0, 1, 0, -2.0], [1.5, 0.0, 0, 0, 0, 1.0]])
    tokens = model.tokenizer(inputs).detach().numpy()
    weight, bias = of["tokenizer.weight"], of["tokenizer.bias"]
    assert tokens.shape == (2, 4, 8)
    np.testing.assert_allclose(tokens[0, 0], bias[0] + 0.5 * weight[0] + weight[1], atol=1e-6)
    np.testing.assert_allclose(tokens[0, 1], bias[1] + weight[3], atol=1e-6)  # value "b"
    np.testing.assert_allclose(tokens[1, 1], bias[1], atol=1e-6)  # never seen in training
    np.testing.assert_allclose(tokens[0, 2], bias[2] - 2 * weight[5], atol=1e-6)
    np.testing.assert_allclose(tokens[:, 3], [of["tokenizer.cls"]] * 2, atol=1e-6)


def test_the_ft_transformer_is_that_of_the_paper() -> None:
    model = ft(width=8, heads=2, layers=2)
    of, inputs = arrays(model), torch.randn(5, 6)
    x = model.tokenizer(inputs).detach().double().numpy()
    for block in ("blocks.0", "blocks.1"):
        normed = x
        if block != "blocks.0":
            norm = f"{block}.attention_norm"
            normed = layer_norm(x, of[f"{norm}.weight"], of[f"{norm}.bias"])
        x = x + attention(normed, of, f"{block}.attention", 2)
        normed = layer_norm(x, of[f"{block}.norm.weight"], of[f"{block}.norm.bias"])
        inner = normed @ of[f"{block}.enter.weight"].T + of[f"{block}.enter.bias"]
        value, gate = np.split(inner, 2, axis=-1)
        hidden = value * np.maximum(gate, 0)
        x = x + hidden @ of[f"{block}.leave.weight"].T + of[f"{block}.leave.bias"]
    answer = np.maximum(layer_norm(x[:, -1], of["norm.weight"], of["norm.bias"]), 0)
    expected = answer @ of["head.weight"].T + of["head.bias"]
    np.testing.assert_allclose(model(inputs).detach().numpy(), expected, atol=1e-5)


def test_the_resnet_is_that_of_the_paper() -> None:
    model = resnet(width=8, layers=2)
    model.train()
    for _ in range(3):
        model(torch.randn(20, 6))  # so that the running statistics are not the initial ones
    model.eval()
    of, inputs = arrays(model), torch.randn(5, 6)

    def batch_norm(x: np.ndarray, name: str) -> np.ndarray:
        scaled = (x - of[f"{name}.running_mean"]) / np.sqrt(of[f"{name}.running_var"] + 1e-5)
        return scaled * of[f"{name}.weight"] + of[f"{name}.bias"]

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ of[f"{name}.weight"].T + of[f"{name}.bias"]

    x = linear(inputs.double().numpy(), "enter")
    for number in range(2):
        branch = f"blocks.{number}.branch"
        hidden = np.maximum(linear(batch_norm(x, f"{branch}.0"), f"{branch}.1"), 0)
        x = x + linear(hidden, f"{branch}.4")
    expected = linear(np.maximum(batch_norm(x, "norm"), 0), "head")
    np.testing.assert_allclose(model(inputs).detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("made", [ft, resnet])
@pytest.mark.parametrize("task", [TASK, PLAIN])
def test_outputs_have_the_tasks_shape_and_every_parameter_learns(made, task) -> None:
    model = made(task).train()
    outputs = model(torch.randn(7, *task.input_shape))
    assert outputs.shape == (7, task.outputs)
    outputs.square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())
    for stage in model.stages:
        assert list(model.get_submodule(stage).parameters())


def test_a_table_whose_columns_nobody_described_has_a_token_for_each_feature() -> None:
    assert ft(PLAIN).tokenizer(torch.randn(3, 4)).shape == (3, 5, 64)


def test_heads_share_the_width() -> None:
    with pytest.raises(FedlabError, match=r"model.heads: 3 heads cannot share a width of 64"):
        ft(heads=3)


def test_pictures_are_no_tables() -> None:
    with pytest.raises(FedlabError, match=r"model.name: 'table-resnet' takes tables"):
        resnet(Task("classification", "image", (1, 8, 8), 2))
