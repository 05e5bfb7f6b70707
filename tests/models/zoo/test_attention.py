"""Attention, position vectors and Transformer layers against their equations in NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn
from torch.nn import functional

from fedlab.data.dataset import Task
from fedlab.errors import FedlabError
from fedlab.models.zoo.transformer import Transformer, sinusoidal_positions
from fedlab.models.zoo.vit import VisionTransformer

Array = npt.NDArray[np.float64]
WIDTH, HEADS = 8, 2


def numbers(tensor: torch.Tensor) -> Array:
    return tensor.detach().numpy().astype(np.float64)


def attend(queries: Array, keys: Array, values: Array, allowed: Array | None = None) -> Array:
    """softmax(Q Kᵀ / √d) V, row by row (Vaswani et al. 2017, eq. 1)."""
    result = np.zeros((len(queries), values.shape[1]))
    for row, query in enumerate(queries):
        scores = np.array([query @ key for key in keys]) / math.sqrt(queries.shape[1])
        if allowed is not None:
            scores = np.where(allowed[row], scores, -np.inf)
        exponentials = np.exp(scores - scores.max())
        result[row] = (exponentials / exponentials.sum()) @ values
    return result


def attend_with_heads(
    layer: nn.MultiheadAttention, queries: Array, memory: Array, allowed: Array | None = None
) -> Array:
    """Concat(head_1, ..., head_h) W_O of projected queries, keys and values."""
    assert layer.in_proj_bias is not None
    in_weights = np.split(numbers(layer.in_proj_weight), 3)
    in_biases = np.split(numbers(layer.in_proj_bias), 3)
    sources = (queries, memory, memory)
    q, k, v = (
        source @ w.T + b for source, w, b in zip(sources, in_weights, in_biases, strict=True)
    )
    size = WIDTH // HEADS
    heads = [
        attend(q[:, part], k[:, part], v[:, part], allowed)
        for part in (slice(h * size, (h + 1) * size) for h in range(HEADS))
    ]
    out = layer.out_proj
    return np.concatenate(heads, axis=1) @ numbers(out.weight).T + numbers(out.bias)


def normalise(states: Array, layer: nn.LayerNorm) -> Array:
    centred = states - states.mean(1, keepdims=True)
    scaled = centred / np.sqrt(states.var(1, keepdims=True) + layer.eps)
    return np.asarray(scaled * numbers(layer.weight) + numbers(layer.bias))


def feed_forward(states: Array, layer: Any) -> Array:
    hidden = np.maximum(states @ numbers(layer.linear1.weight).T + numbers(layer.linear1.bias), 0)
    return np.asarray(hidden @ numbers(layer.linear2.weight).T + numbers(layer.linear2.bias))


def encode(states: Array, layer: Any, pre: bool, allowed: Array | None = None) -> Array:
    if pre:
        inner = normalise(states, layer.norm1)
        states = states + attend_with_heads(layer.self_attn, inner, inner, allowed)
        return states + feed_forward(normalise(states, layer.norm2), layer)
    attended = attend_with_heads(layer.self_attn, states, states, allowed)
    states = normalise(states + attended, layer.norm1)
    return normalise(states + feed_forward(states, layer), layer.norm2)


def decode(states: Array, memory: Array, layer: Any, pre: bool) -> Array:
    earlier = np.tril(np.ones((len(states), len(states)), dtype=bool))
    if pre:
        inner = normalise(states, layer.norm1)
        states = states + attend_with_heads(layer.self_attn, inner, inner, earlier)
        inner = normalise(states, layer.norm2)
        states = states + attend_with_heads(layer.multihead_attn, inner, memory)
        return states + feed_forward(normalise(states, layer.norm3), layer)
    attended = attend_with_heads(layer.self_attn, states, states, earlier)
    states = normalise(states + attended, layer.norm1)
    attended = attend_with_heads(layer.multihead_attn, states, memory)
    states = normalise(states + attended, layer.norm2)
    return normalise(states + feed_forward(states, layer), layer.norm3)


def embed(model: Transformer, tokens: torch.Tensor) -> Array:
    """Return √width · E[token] + position."""
    assert isinstance(model.embedding, nn.Embedding)
    rows = numbers(model.embedding.weight)[tokens.numpy()]
    return rows * math.sqrt(WIDTH) + positions_by_formula(len(tokens), WIDTH)


def positions_by_formula(length: int, width: int) -> Array:
    table = np.zeros((length, width))
    for position in range(length):
        for component in range(width):
            angle = position / 10000 ** ((component - component % 2) / width)
            table[position, component] = math.cos(angle) if component % 2 else math.sin(angle)
    return table


def build(task: Task, **keys: Any) -> Transformer:
    torch.manual_seed(3)
    settings = Transformer.Settings.model_validate(
        {"name": "transformer", "width": WIDTH, "heads": HEADS, "feedforward": 12, **keys}
    )
    model = Transformer(settings, task)
    for parameter in model.parameters():
        # Biases and norms start at 0 and 1, where a mistake in them would not show.
        nn.init.normal_(parameter, std=0.4)
    return model.eval()


def text(kind: Any, length: int = 7, **facts: Any) -> Task:
    return Task(kind, "text", (length,), 5, vocabulary=11, **facts)


def head(model: Transformer, states: Array) -> Array:
    assert isinstance(model.head, nn.Linear)
    return np.asarray(states @ numbers(model.head.weight).T + numbers(model.head.bias))


@pytest.mark.parametrize(("length", "width"), [(7, 8), (50, 64), (5, 9)])
def test_positions_are_sines_and_cosines_of_falling_frequency(length: int, width: int) -> None:
    wanted = positions_by_formula(length, width)
    np.testing.assert_allclose(numbers(sinusoidal_positions(length, width)), wanted, atol=1e-6)


def test_scaled_dot_product_attention_follows_its_equation() -> None:
    queries, keys, values = torch.randn(4, 6), torch.randn(5, 6), torch.randn(5, 3)
    found = functional.scaled_dot_product_attention(queries[None], keys[None], values[None])[0]
    wanted = attend(numbers(queries), numbers(keys), numbers(values))
    np.testing.assert_allclose(numbers(found), wanted, atol=1e-5)


@pytest.mark.parametrize("pre", [True, False])
def test_encoder_follows_the_equations_at_every_position(pre: bool) -> None:
    model = build(text("tagging"), norm="pre" if pre else "post", layers=2)
    tokens = torch.randint(0, 11, (2, 7))
    for row, found in zip(tokens, numbers(model(tokens)), strict=True):
        states = embed(model, row)
        for layer in model.encoder:
            states = encode(states, layer, pre)
        if pre:
            assert isinstance(model.encoder_norm, nn.LayerNorm)
            states = normalise(states, model.encoder_norm)
        np.testing.assert_allclose(found, head(model, states), atol=1e-4)


@pytest.mark.parametrize("pre", [True, False])
def test_decoder_attends_to_what_came_before_and_to_the_source(pre: bool) -> None:
    task = text("sequence-to-sequence", length=9, source_length=4)
    model = build(task, norm="pre" if pre else "post", layers=1, decoder_layers=2)
    tokens = torch.randint(0, 11, (1, 9))
    memory = encode(embed(model, tokens[0, :4]), model.encoder[0], pre)
    if pre:
        assert isinstance(model.encoder_norm, nn.LayerNorm)
        memory = normalise(memory, model.encoder_norm)
    states = embed(model, tokens[0, 4:])
    for layer in model.decoder:
        states = decode(states, memory, layer, pre)
    if pre:
        assert isinstance(model.decoder_norm, nn.LayerNorm)
        states = normalise(states, model.decoder_norm)
    np.testing.assert_allclose(numbers(model(tokens))[0], head(model, states), atol=1e-4)


def test_next_token_masks_what_comes_later() -> None:
    model = build(text("next-token", every_position=True))
    tokens = torch.randint(0, 11, (1, 7))
    changed = tokens.clone()
    changed[0, 4:] = (changed[0, 4:] + 1) % 11
    before, after = numbers(model(tokens))[0], numbers(model(changed))[0]
    np.testing.assert_allclose(before[:4], after[:4], atol=1e-6)
    assert np.abs(before[4:] - after[4:]).max() > 1e-3


def test_next_token_at_the_end_is_the_last_of_every_position() -> None:
    last, every = build(text("next-token")), build(text("next-token", every_position=True))
    tokens = torch.randint(0, 11, (2, 7))
    np.testing.assert_allclose(numbers(last(tokens)), numbers(every(tokens))[:, -1], atol=1e-6)


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
@pytest.mark.parametrize("training", [True, False])
def test_padding_after_the_last_token_changes_nothing(pooling: str, training: bool) -> None:
    model = build(text("classification", input_padding=0), pooling=pooling).train(training)
    short = torch.tensor([[3, 7, 2, 9]])
    padded = torch.tensor([[3, 7, 2, 9, 0, 0, 0], [1, 2, 3, 4, 5, 6, 7]])
    np.testing.assert_allclose(numbers(model(padded))[0], numbers(model(short))[0], atol=1e-5)


def test_padding_of_the_source_changes_nothing() -> None:
    short = build(text("sequence-to-sequence", 8, source_length=4, input_padding=0))
    padded = build(text("sequence-to-sequence", 10, source_length=6, input_padding=0))
    tokens = torch.tensor([[3, 7, 2, 9, 1, 5, 6, 4]])
    filled = torch.tensor([[3, 7, 2, 9, 0, 0, 1, 5, 6, 4]])
    np.testing.assert_allclose(numbers(padded(filled)), numbers(short(tokens)), atol=1e-5)


def test_layers_do_not_start_from_the_same_weights() -> None:
    settings = Transformer.Settings(name="transformer", layers=2)
    model = Transformer(settings, text("classification"))
    first, second = (dict(layer.named_parameters()) for layer in model.encoder)
    assert not torch.equal(first["linear1.weight"], second["linear1.weight"])


def test_series_enter_through_a_linear_map() -> None:
    model = build(Task("regression", "series", (7, 3), 2), norm="post", layers=1)
    series = torch.randn(1, 7, 3)
    assert isinstance(model.embedding, nn.Linear)
    weight, bias = numbers(model.embedding.weight), numbers(model.embedding.bias)
    states = numbers(series[0]) @ weight.T + bias + positions_by_formula(7, WIDTH)
    wanted = head(model, encode(states, model.encoder[0], pre=False).mean(0))
    np.testing.assert_allclose(numbers(model(series))[0], wanted, atol=1e-4)


def test_heads_that_do_not_share_the_width_are_refused() -> None:
    with pytest.raises(FedlabError, match=r"^model\.heads: 3 heads cannot share .* = 8 evenly"):
        build(text("classification"), heads=3)


@pytest.mark.parametrize("source_length", [0, 7])
def test_a_source_that_leaves_nothing_to_decode_is_refused(source_length: int) -> None:
    with pytest.raises(FedlabError, match="must hold a source and a target"):
        build(text("sequence-to-sequence", source_length=source_length))


def vit(side: int = 8, **keys: Any) -> VisionTransformer:
    torch.manual_seed(4)
    settings = VisionTransformer.Settings.model_validate(
        {"name": "vit", "width": WIDTH, "heads": HEADS, "depth": 2, **keys}
    )
    return VisionTransformer(settings, Task("classification", "image", (3, side, side), 5))


def picture_tokens(model: VisionTransformer, picture: Array, patch: int) -> Array:
    """Return each patch's pixels times the projection, row by row of patches."""
    projection = model.patch_embedding.proj
    weight, bias = numbers(projection.weight).reshape(WIDTH, -1), numbers(projection.bias)
    side = picture.shape[1] // patch
    corners = [(i * patch, j * patch) for i in range(side) for j in range(side)]
    patches = [picture[:, i : i + patch, j : j + patch].reshape(-1) for i, j in corners]
    return np.array([weight @ pixels + bias for pixels in patches])


@pytest.mark.parametrize("class_token", [True, False])
def test_vit_follows_the_equations(class_token: bool) -> None:
    model = vit(class_token=class_token).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    picture = torch.randn(1, 3, 8, 8)
    tokens = picture_tokens(model, numbers(picture[0]), 4)
    if model.class_token is not None:
        tokens = np.concatenate([numbers(model.class_token)[0], tokens])
    tokens = tokens + numbers(model.positions)[0]
    for block in model.blocks:
        inner = normalise(tokens, block.norm1)
        joint = inner @ numbers(block.attn.qkv.weight).T + numbers(block.attn.qkv.bias)
        q, k, v = np.split(joint, 3, axis=1)
        parts = [slice(h * 4, (h + 1) * 4) for h in range(HEADS)]
        heads = np.concatenate([attend(q[:, p], k[:, p], v[:, p]) for p in parts], axis=1)
        tokens = tokens + heads @ numbers(block.attn.proj.weight).T + numbers(block.attn.proj.bias)
        hidden = normalise(tokens, block.norm2) @ numbers(block.mlp.fc1.weight).T
        hidden = torch.as_tensor(hidden + numbers(block.mlp.fc1.bias))
        active = numbers(functional.gelu(hidden))
        tokens = tokens + active @ numbers(block.mlp.fc2.weight).T + numbers(block.mlp.fc2.bias)
    tokens = normalise(tokens, model.norm)
    feature = tokens[0] if class_token else tokens.mean(0)
    wanted = feature @ numbers(model.head.weight).T + numbers(model.head.bias)  # type: ignore[arg-type]
    np.testing.assert_allclose(numbers(model(picture))[0], wanted, atol=1e-4)


def test_drop_path_drops_whole_branches_in_training_only() -> None:
    model = vit(drop_path=0.9, depth=4)
    pictures = torch.randn(8, 3, 8, 8)
    assert not torch.equal(model(pictures), model(pictures))
    model.eval()
    assert torch.equal(model(pictures), model(pictures))


def test_patches_that_do_not_tile_the_picture_are_refused() -> None:
    with pytest.raises(FedlabError, match=r"^model\.patch_size: patches of 4×4 .* 10×10"):
        vit(side=10)
