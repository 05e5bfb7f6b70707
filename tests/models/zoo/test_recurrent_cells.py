"""RNN, LSTM and GRU against their equations, step by step in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from fedlab.data.dataset import Task
from fedlab.errors import FedlabError
from fedlab.models.zoo.recurrent import RecurrentModel
from fedlab.registry import models

Array = npt.NDArray[np.float64]
Step = Callable[[Array, tuple[Array, Array], dict[str, Array]], tuple[Array, Array]]
SIZE = 5


def logistic(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def rnn_step(x: Array, state: tuple[Array, Array], w: dict[str, Array]) -> tuple[Array, Array]:
    hidden, unused = state
    after = np.tanh(
        w["weight_ih_l0"] @ x + w["bias_ih_l0"] + w["weight_hh_l0"] @ hidden + w["bias_hh_l0"]
    )
    return after, unused


def lstm_step(x: Array, state: tuple[Array, Array], w: dict[str, Array]) -> tuple[Array, Array]:
    hidden, cell = state
    sums = w["weight_ih_l0"] @ x + w["bias_ih_l0"] + w["weight_hh_l0"] @ hidden + w["bias_hh_l0"]
    entry, forget, candidate, output = np.split(sums, 4)
    cell = logistic(forget) * cell + logistic(entry) * np.tanh(candidate)
    return logistic(output) * np.tanh(cell), cell


def gru_step(x: Array, state: tuple[Array, Array], w: dict[str, Array]) -> tuple[Array, Array]:
    hidden, unused = state
    from_input = np.split(w["weight_ih_l0"] @ x + w["bias_ih_l0"], 3)
    from_state = np.split(w["weight_hh_l0"] @ hidden + w["bias_hh_l0"], 3)
    reset = logistic(from_input[0] + from_state[0])
    # The textbook's update gate admits the candidate: it is one minus PyTorch's.
    update = 1 - logistic(from_input[1] + from_state[1])
    candidate = np.tanh(from_input[2] + reset * from_state[2])
    return (1 - update) * hidden + update * candidate, unused


STEPS: dict[str, Step] = {"rnn": rnn_step, "lstm": lstm_step, "gru": gru_step}
every_cell = pytest.mark.parametrize("name", sorted(STEPS))


def series_task(kind: Any = "classification", length: int = 6) -> Task:
    return Task(kind, "series", (length, 3), 4)


def text_task(kind: Any = "classification", **facts: Any) -> Task:
    return Task(kind, "text", (6,), 4, vocabulary=11, **facts)


def build(name: str, task: Task, **keys: Any) -> RecurrentModel:
    torch.manual_seed(1)
    model_class = models.get(name)
    settings = model_class.Settings(name=name, **{"hidden": SIZE, "embedding": 3, **keys})
    model = model_class(settings, task)
    assert isinstance(model, RecurrentModel)
    return model.eval()


def weights(model: RecurrentModel, number: int, suffix: str = "") -> dict[str, Array]:
    """Return the weights of one layer and direction, without the direction's suffix."""
    wanted = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    own = dict(model.layers[number].named_parameters())
    return {key: own[key + suffix].detach().numpy().astype(np.float64) for key in wanted}


def unroll(name: str, sequence: Array, w: dict[str, Array]) -> Array:
    """Return the hidden state after every position of one sequence, (T, hidden)."""
    state = (np.zeros(SIZE), np.zeros(SIZE))
    states = []
    for x in sequence:
        state = STEPS[name](x, state, w)
        states.append(state[0])
    return np.array(states)


def head(model: RecurrentModel, states: Array) -> Array:
    assert isinstance(model.head, torch.nn.Linear)
    weight, bias = model.head.weight.detach().numpy(), model.head.bias.detach().numpy()
    return np.asarray(states @ weight.T + bias)


def outputs(model: RecurrentModel, inputs: torch.Tensor) -> Array:
    return model(inputs).detach().numpy().astype(np.float64)


@every_cell
def test_every_state_follows_the_cell_equations(name: str) -> None:
    model = build(name, series_task("tagging"))
    inputs = torch.randn(2, 6, 3)
    wanted = [head(model, unroll(name, x, weights(model, 0))) for x in inputs.double().numpy()]
    np.testing.assert_allclose(outputs(model, inputs), np.array(wanted), atol=1e-5)


@every_cell
@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
def test_a_class_is_predicted_from_the_pooled_states(name: str, pooling: str) -> None:
    model = build(name, series_task(), pooling=pooling)
    inputs = torch.randn(2, 6, 3)
    reduce = {"last": lambda s: s[-1], "mean": lambda s: s.mean(0), "max": lambda s: s.max(0)}
    wanted = [
        head(model, reduce[pooling](unroll(name, x, weights(model, 0))))
        for x in inputs.double().numpy()
    ]
    np.testing.assert_allclose(outputs(model, inputs), np.array(wanted), atol=1e-5)


@every_cell
def test_a_second_layer_reads_the_states_of_the_first(name: str) -> None:
    model = build(name, series_task("tagging"), layers=2)
    inputs = torch.randn(1, 6, 3)
    first = unroll(name, inputs[0].double().numpy(), weights(model, 0))
    wanted = head(model, unroll(name, first, weights(model, 1)))
    np.testing.assert_allclose(outputs(model, inputs)[0], wanted, atol=1e-5)


@every_cell
def test_bidirectional_joins_a_pass_from_each_end(name: str) -> None:
    inputs = torch.randn(1, 6, 3)
    sequence = inputs[0].double().numpy()
    model = build(name, series_task("tagging"), bidirectional=True)
    forwards = unroll(name, sequence, weights(model, 0))
    backwards = unroll(name, sequence[::-1], weights(model, 0, "_reverse"))[::-1]
    wanted = head(model, np.concatenate([forwards, backwards], axis=1))
    np.testing.assert_allclose(outputs(model, inputs)[0], wanted, atol=1e-5)
    model = build(name, series_task(), bidirectional=True)
    wanted = head(model, np.concatenate([forwards[-1], backwards[0]]))
    np.testing.assert_allclose(outputs(model, inputs)[0], wanted, atol=1e-5)


@every_cell
@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
def test_padding_after_the_last_token_changes_nothing(name: str, pooling: str) -> None:
    task = text_task(input_padding=0)
    model = build(name, task, layers=2, bidirectional=True, pooling=pooling)
    short = torch.tensor([[3, 7, 2, 9]])
    padded = torch.tensor([[3, 7, 2, 9, 0, 0], [1, 2, 3, 4, 5, 6]])
    np.testing.assert_allclose(outputs(model, padded)[0], outputs(model, short)[0], atol=1e-5)


@every_cell
def test_tags_of_a_padded_sequence_are_those_of_the_short_one(name: str) -> None:
    model = build(name, text_task("tagging", input_padding=0), bidirectional=True)
    short = torch.tensor([[3, 7, 2, 9]])
    padded = torch.tensor([[3, 7, 2, 9, 0, 0]])
    assert outputs(model, padded).shape == (1, 6, 4)
    np.testing.assert_allclose(outputs(model, padded)[:, :4], outputs(model, short), atol=1e-5)


@every_cell
def test_a_sequence_of_padding_alone_gives_finite_outputs(name: str) -> None:
    model = build(name, text_task(input_padding=0))
    assert np.isfinite(outputs(model, torch.zeros(2, 6, dtype=torch.int64))).all()


@every_cell
def test_next_token_is_predicted_at_the_end_or_everywhere(name: str) -> None:
    tokens = torch.randint(0, 11, (2, 6))
    last = build(name, text_task("next-token"))
    every = build(name, text_task("next-token", every_position=True))
    every.load_state_dict(last.state_dict())
    assert outputs(every, tokens).shape == (2, 6, 4)
    np.testing.assert_allclose(outputs(every, tokens)[:, -1], outputs(last, tokens), atol=1e-6)


def test_looking_ahead_is_refused_where_the_next_token_is_wanted() -> None:
    with pytest.raises(FedlabError, match=r"^model\.bidirectional: .*set it to false"):
        build("lstm", text_task("next-token", every_position=True), bidirectional=True)


@every_cell
def test_layer_dropout_acts_between_layers_in_training_only(name: str) -> None:
    model = build(name, series_task(), layers=2, layer_dropout=0.5)
    inputs = torch.randn(3, 6, 3)
    assert torch.equal(model(inputs), model(inputs))
    model.train()
    assert not torch.equal(model(inputs), model(inputs))
    alone = build(name, series_task(), layers=1, layer_dropout=0.5).train()
    assert torch.equal(alone(inputs), alone(inputs))


def test_relu_can_take_the_place_of_tanh() -> None:
    model = build("rnn", series_task("tagging"), nonlinearity="relu")
    inputs = torch.randn(1, 6, 3)
    w, state, states = weights(model, 0), np.zeros(SIZE), []
    for x in inputs[0].double().numpy():
        sums = w["weight_ih_l0"] @ x + w["bias_ih_l0"] + w["weight_hh_l0"] @ state
        state = np.maximum(sums + w["bias_hh_l0"], 0)
        states.append(state)
    np.testing.assert_allclose(outputs(model, inputs)[0], head(model, np.array(states)), atol=1e-5)


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_memory_bias_opens_only_the_gate_that_keeps_the_state(name: str) -> None:
    def biases(memory_bias: float) -> Array:
        torch.manual_seed(3)
        settings = models.get(name).Settings(name=name, hidden=SIZE, memory_bias=memory_bias)
        model = models.get(name)(settings, series_task())
        layer = model.layers[0]
        sums: Array = (layer.bias_ih_l0 + layer.bias_hh_l0).detach().numpy()
        return sums

    added = biases(3.0) - biases(0.0)
    kept = np.zeros(len(added))
    kept[SIZE : 2 * SIZE] = 3.0  # f of the LSTM's i, f, g, o; z of the GRU's r, z, h̃
    np.testing.assert_allclose(added, kept, atol=1e-6)
