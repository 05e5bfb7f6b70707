"""Weights in fewer bytes: pruned, as whole numbers of 8 bits, or as factors of low rank.

A compact state dict holds, in the place of a tensor NAME, what it is made of again:

    NAME:shape            (dimensions,) int64
    NAME:int8, :scale     numbers −127…127, and what each row's are multiplied by, (rows,) float32
    NAME:packed, :bits    in their place numbers of so many bits, −n…n as 0…2n, first bit first
    NAME:values           float32 numbers, where they are not int8
    NAME:mask             one bit a number, first bit first: the others are 0 and stand nowhere
    NAME:left, :right     (rows, r) and (r, columns), whose product it is

Rows are the first dimension. Tensors that are no matrices stand there as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch

from fedlab.errors import FedlabError
from fedlab.models.quantisation import is_matrix, largest_level, levels

State = dict[str, torch.Tensor]
WHOLE_BYTES = 8
"""Bits of numbers that are stored as int8."""


def pruned(state: Mapping[str, torch.Tensor], fraction: float) -> State:
    """Return a state dict whose smallest weights are 0 (Han et al. 2015), by magnitude, globally.

    Args:
        state: The weights.
        fraction: How many of all numbers in matrices, from 0 to 1.
    """
    matrices = [name for name, tensor in state.items() if is_matrix(tensor)]
    sizes = torch.cat([state[name].abs().flatten() for name in matrices])
    count = round(fraction * len(sizes))
    chosen = torch.zeros(len(sizes), dtype=torch.bool)
    chosen[sizes.argsort(stable=True)[:count]] = True
    new, start = dict(state), 0
    for name in matrices:
        own = chosen[start : start + state[name].numel()].view(state[name].shape)
        new[name] = state[name].masked_fill(own, 0.0)
        start += own.numel()
    return new


def compacted(
    state: Mapping[str, torch.Tensor], bits: int | None = None, rank: float | None = None
) -> State:
    """Return a compact state dict.

    Args:
        state: The weights; zeros take a bit each where that is fewer bytes.
        bits: Of the whole numbers, 2 to 8, that numbers become, with a scale a row: the nearest
            multiple; None keeps them.
        rank: Which fraction of its full rank each matrix has in its best approximation (Eckart and
            Young 1936); None keeps matrices. One that its factors would not make smaller stays.
    """
    compact: State = {}
    for name, tensor in state.items():
        if not is_matrix(tensor):
            compact[name] = tensor.contiguous()
            continue
        matrix = tensor.detach().reshape(len(tensor), -1)
        own: State = {}
        kept = 0 if rank is None else max(1, math.ceil(rank * min(matrix.shape)))
        if kept and kept * sum(matrix.shape) < matrix.numel():
            u, s, v = torch.linalg.svd(matrix, full_matrices=False)
            own = {"left": (u[:, :kept] * s[:kept]).contiguous(), "right": v[:kept].contiguous()}
        else:
            own = _numbers(matrix, bits)
        own["shape"] = torch.tensor(tensor.shape)
        compact |= {f"{name}:{part}": value for part, value in own.items()}
    return compact


def _numbers(matrix: torch.Tensor, bits: int | None) -> State:
    """Return what stands for a matrix (rows, columns)."""
    flat, found = matrix.flatten(), {}
    if bits is not None:
        numbers, found["scale"] = levels(matrix, bits)
        flat = numbers.to(torch.int8).flatten()
    present, each = flat != 0, flat.itemsize if bits is None else bits / 8
    if int(present.sum()) * each + len(flat) / 8 < len(flat) * each:
        found["mask"] = torch.from_numpy(np.packbits(present.numpy()))
        flat = flat[present]
    if bits is None or bits == WHOLE_BYTES:
        return {**found, "values" if bits is None else "int8": flat.contiguous()}
    return {**found, "packed": _packed(flat, bits), "bits": torch.tensor(bits)}


def _packed(numbers: torch.Tensor, bits: int) -> torch.Tensor:
    """Return whole numbers of so many bits, one after the other, in bytes."""
    positive = (numbers.numpy().astype(np.int16) + largest_level(bits)).astype(np.uint8)
    each = np.unpackbits(positive[:, None], axis=1)[:, 8 - bits :]
    return torch.from_numpy(np.packbits(each))


def _unpacked(packed: torch.Tensor, bits: int, count: int) -> torch.Tensor:
    """Return (count,) the whole numbers that were packed."""
    each = np.unpackbits(packed.numpy(), count=count * bits).reshape(count, bits)
    whole = np.packbits(np.pad(each, ((0, 0), (8 - bits, 0))), axis=1)[:, 0]
    return torch.from_numpy(whole.astype(np.float32)) - largest_level(bits)


def expanded(compact: Mapping[str, torch.Tensor]) -> State:
    """Return the state dict that a compact one stands for; any other is returned as it is.

    Raises:
        FedlabError: If a part of a tensor is missing, or of another size.
    """
    state: State = {}
    for key, tensor in compact.items():
        name, _, part = key.partition(":")
        if not part:
            state[name] = tensor
        elif part == "shape":
            try:
                state[name] = _expanded(name, compact).reshape(tensor.tolist())
            except (KeyError, RuntimeError, ValueError, IndexError) as error:
                raise FedlabError(
                    f"the parts of the compact tensor '{name}' do not fit together; write the file "
                    "again with 'fedlab compress'"
                ) from error
    return state


def _expanded(name: str, compact: Mapping[str, torch.Tensor]) -> torch.Tensor:
    def part(of: str) -> torch.Tensor | None:
        return compact.get(f"{name}:{of}")

    left, right, scale, mask = part("left"), part("right"), part("scale"), part("mask")
    if left is not None and right is not None:
        return left @ right
    size = math.prod(compact[f"{name}:shape"].tolist())
    present = torch.ones(size, dtype=torch.bool)
    if mask is not None:
        present = torch.from_numpy(np.unpackbits(mask.numpy(), count=size).astype(bool))
    numbers, packed = part("values"), part("packed")
    if packed is not None:
        flat = _unpacked(packed, int(compact[f"{name}:bits"]), int(present.sum()))
    else:
        flat = (compact[f"{name}:int8"] if numbers is None else numbers).float()
    if mask is not None:
        whole = torch.zeros(size)
        whole[present] = flat
        flat = whole
    return flat if scale is None else flat.view(len(scale), -1) * scale.unsqueeze(1)
