"""Clients that clip bound their updates as Flower's own client mods do."""

from typing import Any

import numpy as np
import pytest
import torch
from flwr.supercore.differential_privacy import compute_adaptive_clip_model_update

from fedlab import registry
from fedlab.algorithm.processing import Payload, Received

NAMES = ["fixed-clipping", "adaptive-clipping"]
GENERATOR = torch.Generator()


def received(size: int, norm: float) -> Received:
    return Received(torch.zeros(size), 1, {"clipping_norm": norm}, {}, {})


def clipped(name: str, update: torch.Tensor, norm: float) -> Payload:
    found: Any = registry.updates.get(name)
    return found(found.Settings(name=name)).encode(update, received(len(update), norm), GENERATOR)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("norm", [0.5, 3.0, 1000.0])
def test_an_update_is_clipped_to_the_same_bits_as_by_flower(name: str, norm: float) -> None:
    update = torch.randn(1001, generator=torch.Generator().manual_seed(3))
    trained = [update.numpy().copy()]
    is_shortened = compute_adaptive_clip_model_update(
        trained, [np.zeros(1001, np.float32)], clipping_norm=norm
    )
    payload = clipped(name, update, norm)
    np.testing.assert_array_equal(payload.values.numpy(), trained[0])
    expected = {"norm_bit": int(is_shortened)} if name == "adaptive-clipping" else {}
    assert payload.metrics == expected
    assert is_shortened == (norm < 100)


@pytest.mark.parametrize("name", NAMES)
def test_a_client_that_did_not_move_is_no_error(name: str) -> None:
    assert not clipped(name, torch.zeros(4), 2.0).values.any()
