"""What holds for every model of the zoo, the published sizes, and models that do not fit."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from fedlab.data.dataset import Task
from fedlab.errors import FedlabError
from fedlab.models.layout import FlatModel, Layout
from fedlab.registry import models

GREY = Task("classification", "image", (1, 28, 28), 10)
COLOUR = Task("classification", "image", (3, 32, 32), 10)
TABLE = Task("classification", "tabular", (6,), 3)
SERIES = Task("regression", "series", (12, 2), 2)
TEXT = Task("classification", "text", (9,), 4, vocabulary=20, input_padding=0)
NEXT = Task("next-token", "text", (9,), 20, vocabulary=20)
TAGS = Task("tagging", "text", (9,), 5, vocabulary=20)
TRANSLATION = Task(
    "sequence-to-sequence", "text", (12,), 20, vocabulary=20, source_length=7, input_padding=0
)

CODED = [
    Task("reconstruction", modality, shape, math.prod(shape))
    for modality, shape in (
        ("image", (1, 8, 8)),
        ("image", (1, 28, 28)),
        ("image", (3, 5, 7)),
        ("series", (12, 2)),
        ("tabular", (6,)),
    )
]

PAIRS: list[tuple[str, Task]] = [
    *[(name, GREY) for name in ("cnn", "mcmahan-cnn", "mcmahan-2nn", "lenet", "vit", "mlp")],
    *[(name, COLOUR) for name in ("cnn", "lenet", "vit")],
    *[(name, TABLE) for name in ("perceptron", "linear", "mlp")],
    *[
        (name, task)
        for name in ("rnn", "lstm", "gru", "transformer")
        for task in (SERIES, TEXT, NEXT, TAGS)
    ],
    ("transformer", TRANSLATION),
    *[("autoencoder", task) for task in CODED],
]
every_pair = pytest.mark.parametrize(
    ("name", "task"),
    PAIRS,
    ids=[f"{n}-{t.kind}-{t.modality}-{'x'.join(map(str, t.input_shape))}" for n, t in PAIRS],
)


def build(name: str, task: Task, **keys: Any) -> Any:
    torch.manual_seed(7)
    model_class = models.get(name)
    return model_class(model_class.Settings(name=name, **keys), task)


def batch(task: Task, count: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(8)
    if task.vocabulary:
        return torch.randint(1, task.vocabulary, (count, *task.input_shape), generator=generator)
    return torch.randn(count, *task.input_shape, generator=generator)


def output_shape(task: Task, count: int) -> tuple[int, ...]:
    if task.kind == "tagging":
        return count, task.input_shape[0], task.outputs
    if task.kind == "sequence-to-sequence":
        return count, task.input_shape[0] - task.source_length, task.outputs
    return count, task.outputs


@every_pair
def test_outputs_have_the_shape_that_the_task_asks_for(name: str, task: Task) -> None:
    assert build(name, task)(batch(task)).shape == output_shape(task, 3)


@every_pair
def test_dropout_acts_on_what_enters_the_head_in_training_only(name: str, task: Task) -> None:
    model = build(name, task, dropout=0.5)
    seen: list[torch.Tensor] = []
    model.head.register_forward_hook(lambda module, inputs, outputs: seen.append(inputs[0]))
    model.eval()
    for _ in range(2):
        model(batch(task, 8))
    assert torch.equal(seen[0], seen[1])
    model.train()
    model(batch(task, 8))
    dropped, kept = seen[2] == 0, seen[2] != 0
    assert dropped.any()
    # Inverted dropout: what stays is doubled at a rate of one half. In training mode, batch norm
    # is absent from these defaults, so nothing else differs.
    torch.testing.assert_close(seen[2][kept], 2 * seen[0][kept], rtol=1e-3, atol=1e-4)


@every_pair
def test_stages_and_head_name_child_modules_with_parameters(name: str, task: Task) -> None:
    model = build(name, task)
    parameters = [key for key, _ in model.named_parameters()]
    for stage in (*model.stages, "head"):
        assert isinstance(model.get_submodule(stage), nn.Module)
        assert any(key.startswith(f"{stage}.") for key in parameters), stage
    assert len(set(model.stages)) == len(model.stages)
    assert not any(stage.startswith("head") for stage in model.stages)


@every_pair
def test_every_parameter_gets_a_gradient(name: str, task: Task) -> None:
    model = build(name, task)
    outputs = model(batch(task))
    (outputs * torch.randn_like(outputs)).sum().backward()
    assert [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@every_pair
def test_parameters_can_be_views_into_one_vector(name: str, task: Task) -> None:
    model, inputs = build(name, task), batch(task)
    model.eval()
    with torch.no_grad():
        before = model(inputs)
    flat = FlatModel(model, Layout.of(model))
    with torch.no_grad():
        torch.testing.assert_close(model(inputs), before)
    model(inputs).square().sum().backward()
    assert flat.gradient.norm() > 0
    with torch.no_grad():
        first = flat.wire()
        flat.weights.zero_()
        # With every weight 0, norms and biases too, so is every output.
        assert not model(inputs).any()
        flat.reset(first)
        torch.testing.assert_close(model(inputs), before)


@every_pair
def test_the_same_seed_gives_the_same_weights_and_outputs(name: str, task: Task) -> None:
    first, second, inputs = build(name, task), build(name, task), batch(task)
    assert torch.equal(first(inputs), second(inputs))
    assert torch.equal(first(inputs), second(inputs))


@pytest.mark.parametrize(
    ("name", "task", "count"),
    [
        ("mcmahan-cnn", GREY, 1_663_370),
        ("mcmahan-2nn", GREY, 199_210),
        ("lenet", COLOUR, 62_006),
        ("lenet", GREY, 44_426),
        ("linear", GREY, 7_850),
    ],
)
def test_published_models_have_their_published_size(name: str, task: Task, count: int) -> None:
    assert sum(p.numel() for p in build(name, task).parameters()) == count


def test_an_autoencoder_gives_back_what_its_code_stands_for() -> None:
    task, keys = CODED[0], {"hidden": (20, 10), "code": 3, "output_activation": "sigmoid"}
    model, inputs = build("autoencoder", task, **keys), batch(task)
    sizes = [tuple(p.shape) for key, p in model.named_parameters() if key.endswith("weight")]
    assert sizes == [(20, 64), (10, 20), (3, 10), (10, 3), (20, 10), (64, 20)]
    codes = model.encode(inputs)
    assert codes.shape == (3, 3)
    wanted = model.head(model.decoder(codes)).sigmoid()
    torch.testing.assert_close(model(inputs), wanted)


def test_an_autoencoder_without_hidden_layers_is_two_linear_maps() -> None:
    model, inputs = build("autoencoder", CODED[4], hidden=(), code=2), batch(CODED[4])
    torch.testing.assert_close(model(inputs), model.head(model.code(inputs)))
    assert model.stages == ("code",)


def test_perceptron_starts_within_one_half_and_steps_at_zero() -> None:
    model = build("perceptron", Task("regression", "tabular", (200,), 5))
    weights = torch.cat([p.flatten() for p in model.parameters()])
    assert weights.abs().max() <= 0.5
    assert weights.min() < -0.45 < 0.45 < weights.max()
    inputs = torch.randn(4, 200)
    assert torch.equal(model.step(inputs), (model(inputs) >= 0).float())
    nn.init.zeros_(model.head.weight)
    nn.init.zeros_(model.head.bias)
    assert model.step(inputs).eq(1).all()


def test_linear_unit_is_a_weighted_sum() -> None:
    model, inputs = build("linear", TABLE), batch(TABLE)
    wanted = inputs @ model.head.weight.T + model.head.bias
    torch.testing.assert_close(model(inputs), wanted)
    assert build("linear", TABLE, bias=False).head.bias is None
    assert build("linear", TABLE, init_range=0.0).head.weight.abs().max() == 0


@pytest.mark.parametrize(
    ("activation", "function"),
    [("sigmoid", torch.sigmoid), ("tanh", torch.tanh), ("relu", torch.relu)],
)
def test_mlp_composes_its_layers(activation: str, function: Any) -> None:
    model, states = build("mlp", TABLE, hidden=(5, 4), activation=activation), batch(TABLE)
    inputs = states
    for layer in model.hidden:
        states = function(states @ layer[0].weight.T + layer[0].bias)
    torch.testing.assert_close(model(inputs), states @ model.head.weight.T + model.head.bias)


def test_mlp_batch_norm_stands_between_sum_and_activation() -> None:
    model = build("mlp", TABLE, hidden=(5,), batch_norm_layers=True)
    assert [type(part) for part in model.hidden[0]] == [nn.Linear, nn.BatchNorm1d, nn.ReLU]


@pytest.mark.parametrize(
    ("init", "bound"),
    [
        ("xavier", (6 / (300 + 200)) ** 0.5),
        ("he", (6 / 300) ** 0.5),
        ("uniform", 0.25),
        ("default", 300**-0.5),
    ],
)
def test_mlp_draws_its_weights_within_the_bound_of_its_init(init: str, bound: float) -> None:
    task = Task("classification", "tabular", (300,), 3)
    model = build("mlp", task, hidden=(200,), init=init, init_range=0.25)
    weight = model.hidden[0][0].weight
    assert 0.98 * bound < weight.abs().max() <= bound
    torch.testing.assert_close(weight.std().item(), bound / 3**0.5, rtol=0.02, atol=0)


@pytest.mark.parametrize(
    ("name", "task", "keys", "sentence"),
    [
        ("cnn", TEXT, {}, "model.name: 'cnn' takes pictures, and the data set holds text; rnn"),
        ("lenet", TABLE, {}, "model.name: 'lenet' takes pictures, and the data set holds tables"),
        ("lstm", GREY, {}, "model.name: 'lstm' takes text or series, and the data set holds pic"),
        ("mlp", NEXT, {}, "model.name: 'mlp' takes pictures, series or tables, and the data set"),
        ("gru", TRANSLATION, {}, "the data set's task is sequence-to-sequence; take transformer"),
        (
            "cnn",
            CODED[0],
            {},
            "model.name: 'cnn' serves classification or regression, and the data set's task is "
            "reconstruction; take autoencoder",
        ),
        ("autoencoder", GREY, {}, "model.name: 'autoencoder' serves reconstruction, and the data"),
        (
            "mlp",
            Task("ranking", "tabular", (6,), 3, criterion="binary", metrics="regression"),
            {},
            "model.name: 'mlp' serves classification or regression, and the data set's task is "
            "ranking",
        ),
        ("lstm", SERIES, {"drop_path": 0.1}, "model.drop_path: 'lstm' has no residual branches"),
        (
            "rnn",
            Task("classification", "text", (9,), 4),
            {},
            "model.name: 'rnn' needs the size of the input vocabulary",
        ),
        (
            "lenet",
            Task("classification", "image", (1, 8, 8), 10),
            {},
            "model.name: convolution 2 of 'lenet': its kernel_size 5 at dilation 1 spans 5 pixels, "
            "and only 2×2 enter",
        ),
        (
            "mcmahan-cnn",
            Task("classification", "image", (1, 3, 3), 10),
            {},
            "model.name: convolution 2 of 'mcmahan-cnn': its pooling_size 2 is larger than the 1×1",
        ),
        (
            "cnn",
            GREY,
            {"layers": [{"channels": 4}, {"channels": 4, "kernel_size": 9, "dilation": 4}]},
            "model.layers.1: its kernel_size 9 at dilation 4 spans 33 pixels, and only 26×26 enter",
        ),
        (
            "cnn",
            GREY,
            {"layers": [{"channels": 4, "kernel_size": 5, "residual": True}]},
            "model.layers.0: residual adds the input of 28×28 to an output of 24×24; an odd "
            "kernel_size with padding = 2 makes them fit",
        ),
    ],
)
def test_a_model_that_does_not_fit_says_which_key_and_why(
    name: str, task: Task, keys: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(FedlabError) as caught:
        build(name, task, **keys)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("mlp", {"hidden": [0]}),
        ("mlp", {"activation": "swish"}),
        ("cnn", {"layers": []}),
        ("cnn", {"layers": [{"channels": 4, "padding": -1}]}),
        ("cnn", {"layers": [{"channels": 4, "padding": "full"}]}),
        ("cnn", {"layers": [{"channels": 4, "poling": "max"}]}),
        ("lstm", {"layers": 0}),
        ("vit", {"mlp_ratio": 0}),
        ("mcmahan-cnn", {"hidden": [3]}),
    ],
)
def test_impossible_settings_are_refused(name: str, keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        models.get(name).Settings(name=name, **keys)


def test_the_output_activation_bounds_what_an_mlp_says() -> None:
    inputs = 100 * batch(TABLE, 20)
    plain = build("mlp", TABLE)(inputs)
    bounded = build("mlp", TABLE, output_activation="sigmoid")(inputs)
    assert plain.abs().max() > 1
    torch.testing.assert_close(bounded, plain.sigmoid())
