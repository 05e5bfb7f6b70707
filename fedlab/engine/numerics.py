"""In which numbers networks are computed: what ``engine.precision`` and ``engine.tf32`` ask for.

Weights, gradients, optimisers, losses and all that travels are float32 in any case, and so is what
the server computes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import torch

from fedlab.algorithm.setup import Setup
from fedlab.engine.devices import CPU, here, precisions
from fedlab.errors import described
from fedlab.models.network import Network
from fedlab.scenario.parts import preparation
from fedlab.training.draw import build_draw, merged

LOWER = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""The 16-bit types by what ``engine.precision`` calls them."""
NAMES = {"bf16": "bfloat16", "fp16": "float16"}
FIRST_WITH_TF32 = (8, 0)
"""NVIDIA's compute capability from which on there is TF32."""


def lower_type(engine: Any) -> torch.dtype | None:
    """Return the 16-bit type that networks compute in where that loses little, or None.

    Args:
        engine: Keys of ``[engine]``.
    """
    return LOWER.get(getattr(engine, "precision", "float32"))


def scales_losses(engine: Any) -> bool:
    """Return whether losses are multiplied by a factor, since small gradients would vanish."""
    return lower_type(engine) == torch.float16


def computed_in(engine: Any, device: torch.device) -> str:
    """Return what tells apart the numbers that a network computes; nothing for plain float32.

    Args:
        engine: Keys of ``[engine]``.
        device: Where it computes.
    """
    wanted = getattr(engine, "precision", "float32")
    lower = f"{wanted}|" if wanted in LOWER else ""
    return lower + ("tf32|" if getattr(engine, "tf32", False) and has_tf32(device) else "")


def use_tf32(engine: Any, device: torch.device) -> None:
    """Let this process compute float32 products on a device as the scenario wants them.

    torch's own default is TF32 for convolutions and recurrent layers, and float32 for products of
    matrices.

    Args:
        engine: Keys of ``[engine]``.
        device: The device.
    """
    if device.type != "cuda":
        return
    kind = "tf32" if getattr(engine, "tf32", False) else "ieee"
    torch.backends.cuda.matmul.fp32_precision = kind
    cudnn: Any = torch.backends.cudnn
    cudnn.conv.fp32_precision = kind
    cudnn.rnn.fp32_precision = kind


def has_tf32(device: torch.device) -> bool:
    """Return whether a device multiplies in TF32."""
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_capability(device) >= FIRST_WITH_TF32


def objections(setup: Setup) -> Iterator[str]:
    """Yield why the scenario's device cannot compute its network as ``[engine]`` wants it.

    Args:
        setup: All parts of the run.
    """
    device = here(setup.scenario.engine.device)
    wanted = getattr(setup.scenario.engine, "precision", "float32")
    if wanted not in LOWER or device is None:
        return
    known = precisions(str(device))
    if NAMES[wanted] not in known:
        yield (
            f"engine.precision: '{device}' does not compute in '{wanted}'; it computes in "
            f"{', '.join(known)}"
        )
    elif device == CPU:
        yield from _refused_by_processor(setup, wanted)


def notes(setup: Setup) -> Iterator[str]:
    """Yield what ``[engine]`` asks for and the scenario's device has not.

    Args:
        setup: All parts of the run.
    """
    engine = setup.scenario.engine
    device = here(engine.device)
    if device is None:
        return
    wanted = getattr(engine, "precision", "float32")
    if wanted in LOWER and device == CPU and not _has_units_for(wanted):
        yield (
            f"engine.precision: this processor has no units for '{wanted}', which takes it several "
            "times as long as float32"
        )
    if getattr(engine, "tf32", False) and not has_tf32(device):
        yield f"engine.tf32: '{device}' has no TF32; float32 is computed as float32"


def _has_units_for(wanted: str) -> bool:
    """Return whether this processor has instructions of its own for a 16-bit type."""
    with suppress(AttributeError):
        return bool(getattr(torch.ops.mkldnn, f"_is_mkldnn_{wanted}_supported")())
    return True


def _refused_by_processor(setup: Setup, wanted: str) -> Iterator[str]:
    """Tell whether a layer of the network cannot be computed by this processor, by trying."""
    network, task = setup.network, setup.task
    examples, _ = setup.federation.examples(0)
    if not len(examples):
        return
    draw = build_draw(task)
    prepared = preparation(network, task, setup.scenario.model)(examples.inputs_at(slice(1)))
    inputs, _ = draw(prepared, examples.targets[:1])
    reason = _failure(network, merged(inputs, draw.views), LOWER[wanted])
    if reason is not None:
        yield (
            f"engine.precision: this processor cannot compute '{setup.scenario.model.name}' in "
            f"'{wanted}' ({reason}); set 'float32'"
        )


def _failure(network: Network, inputs: torch.Tensor, lower: torch.dtype) -> str | None:
    """Return what a network's forward pass in a 16-bit type raises, if anything."""
    network.evaluation_mode()
    model = network.model
    before, model.lower = model.lower, lower
    try:
        model.call(inputs)
    except (RuntimeError, TypeError) as error:
        return described(error).partition(". ")[0]
    finally:
        model.lower = before
    return None
