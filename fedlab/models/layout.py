"""The weights of a model as one contiguous float32 vector.

A :class:`Layout` records the position of each tensor of a model in that vector. A
:class:`FlatModel` binds a module's parameters to views into one buffer of this layout, so that
resetting a resident model is one copy, an update is a slice, and optimisers and regularisers work
on one long vector.

    | personal buffers | personal parameters | shared parameters | shared buffers |
                       |<-------------- trained ---------------->|
                                             |<------------- wire -------------->|

*Trained* parameters are changed by gradients; the *wire* part travels and is averaged; the
*personal* part stays on its client. Frozen parameters and integer buffers are not in the vector,
but for those that an earlier phase of the run trained: they travel among the shared buffers. Last
among these are the *held* ones, frozen weights that the server alone changes: they travel to
clients and not back.

Weights of 2-d convolutions are stored channels last (out, height, width, in), in which order
convolutions on a CPU run up to twice as fast; their views have the usual shape.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import nn


@dataclass(frozen=True)
class Entry:
    """One tensor of the model and its start in the vector."""

    name: str
    shape: tuple[int, ...]
    start: int

    @property
    def stop(self) -> int:
        """Return the position after the last element."""
        return self.start + math.prod(self.shape)

    def place(self, offset: int = 0) -> slice:
        """Return where its values stand in a vector that starts at ``offset`` of the layout."""
        return slice(self.start - offset, self.stop - offset)

    def view(self, vector: torch.Tensor, offset: int = 0) -> torch.Tensor:
        """Return the tensor, a view into a vector that starts at ``offset`` of the layout.

        Of K stacked vectors (K, size) it is the K tensors, (K, *shape).
        """
        part = vector[..., self.place(offset)]
        stacked = vector.shape[:-1]
        if len(self.shape) != 4:
            return part.view(*stacked, *self.shape)
        out, channels, height, width = self.shape
        return part.view(*stacked, out, height, width, channels).movedim(-1, -3)


@dataclass(frozen=True)
class Layout:
    """The position of each tensor of a model in the flat vector.

    Attributes:
        entries: The tensors in the order of the vector.
        size: Length of the whole vector.
        trained: The slice that is trained.
        wire: The slice that travels.
        held: How many values at its end do not travel back.
    """

    entries: tuple[Entry, ...]
    size: int
    trained: slice
    wire: slice
    held: int = 0

    @classmethod
    def of(
        cls,
        module: nn.Module,
        buffers: Iterable[str] = (),
        is_personal: Callable[[str], bool] = lambda name: False,
        carried: Iterable[str] = (),
        held: Iterable[str] = (),
    ) -> Layout:
        """Return the layout of a module whose frozen parameters have ``requires_grad`` off.

        Args:
            module: The model.
            buffers: Names of the floating-point buffers that change in training.
            is_personal: Whether the tensor of this name stays on its client.
            carried: Names of frozen parameters and buffers that travel all the same.
            held: Names of frozen parameters that travel to clients alone.
        """
        parameters = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
        wanted, last = set(buffers), set(held)
        along = set(carried) - last
        all_named = [*module.named_parameters(), *module.named_buffers()]
        floats = [(n, b) for n, b in module.named_buffers() if n in wanted]
        groups = (
            [(n, t) for n, t in floats if is_personal(n)],
            [(n, t) for n, t in parameters if is_personal(n)],
            [(n, t) for n, t in parameters if not is_personal(n)],
            [
                *((n, t) for n, t in floats if not is_personal(n)),
                *((n, t) for n, t in all_named if n in along),
                *((n, t) for n, t in all_named if n in last),
            ],
        )
        entries: list[Entry] = []
        bounds = [0]
        for group in groups:
            for name, tensor in group:
                start = entries[-1].stop if entries else 0
                entries.append(Entry(name, tuple(tensor.shape), start))
            bounds.append(entries[-1].stop if entries else 0)
        return cls(
            tuple(entries),
            bounds[4],
            slice(bounds[1], bounds[3]),
            slice(bounds[2], bounds[4]),
            sum(t.numel() for n, t in all_named if n in last),
        )

    @property
    def wire_size(self) -> int:
        """Return the number of values that travel."""
        return int(self.wire.stop - self.wire.start)

    @cached_property
    def shared_entries(self) -> tuple[Entry, ...]:
        """Return the parameters that are trained and travel."""
        return tuple(e for e in self.entries if self.wire.start <= e.start < self.trained.stop)

    @property
    def trained_names(self) -> frozenset[str]:
        """Return the names of the parameters that are trained."""
        start, stop = self.trained.start, self.trained.stop
        return frozenset(e.name for e in self.entries if start <= e.start < stop)

    @property
    def wire_parameters(self) -> int:
        """Return the number of parameters that travel; running statistics follow them."""
        return int(self.trained.stop - self.wire.start)

    def over_trained(self, shared: torch.Tensor, fill: float = 0.0) -> torch.Tensor:
        """Return a vector over the trained slice from one over the parameters that travel.

        It is ``fill`` for parameters that stay on the client.
        """
        own = self.wire.start - self.trained.start
        return nn.functional.pad(shared, (own, 0), value=fill)

    @property
    def personal_parameters(self) -> slice:
        """Return the slice of trained parameters that stay on a client."""
        return slice(self.trained.start, self.wire.start)

    @property
    def shared_parameters(self) -> slice:
        """Return the slice of trained parameters that travel."""
        return slice(self.wire.start, self.trained.stop)

    @cached_property
    def wire_variances(self) -> tuple[slice, ...]:
        """Return where running variances stand in a wire vector: they cannot be negative."""
        offset = self.wire.start
        return tuple(
            e.place(offset)
            for e in self.entries
            if e.start >= self.trained.stop and e.name.endswith("running_var")
        )

    @property
    def personal_size(self) -> int:
        """Return the number of values that stay on a client."""
        return int(self.wire.start)

    @cached_property
    def fingerprint(self) -> str:
        """Return a hash of the part that travels, which both sides of a message must share."""
        travelling = [
            f"{e.name}:{e.shape}:{e.start - self.wire.start}:channels last"
            for e in self.entries
            if e.start >= self.wire.start
        ]
        return hashlib.sha256("|".join(travelling).encode()).hexdigest()[:16]

    def views(self, vector: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the tensors of a whole vector (``size`` values) by name, without copying."""
        return {e.name: e.view(vector) for e in self.entries}

    def wire_views(self, vector: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the tensors of a wire vector (``wire_size`` values) by name."""
        offset = self.wire.start
        return {e.name: e.view(vector, offset) for e in self.entries if e.start >= offset}


class FlatModel:
    """A module whose trained tensors are views into one vector.

    Attributes:
        module: The model.
        body: Maps a batch to outputs: the module, or the part after its frozen prefix if inputs are
            that prefix's features. It is called by :meth:`call`.
        lower: The 16-bit type that the network computes in where that loses little, as in products
            of matrices; None: float32 alone.
        compiled: What is called in place of ``body``, where that is compiled.
        layout: The positions of its tensors.
        weights: (size,) every value of the layout.
        initial: (personal_size,) a client's own part before its first round.
        parameter: The trained slice as one parameter, for an optimiser; its ``grad`` is the
            gradient that ``backward`` fills through the module's own parameters.
        trained: The module's own trained parameters and their positions.
    """

    def __init__(self, module: nn.Module, layout: Layout) -> None:
        # Frozen weights, which are not in the vector, are converted as well.
        self.module = module.to(memory_format=torch.channels_last)
        self.body: nn.Module = self.module
        self.lower: torch.dtype | None = None
        self.compiled: Callable[[torch.Tensor], torch.Tensor] | None = None
        self.layout = layout
        device = next(module.parameters()).device
        self.weights = torch.empty(layout.size, device=device)
        named = dict(module.named_parameters()) | dict(module.named_buffers())
        views = layout.views(self.weights)
        for name, view in views.items():
            view.copy_(named[name].detach())
        self.initial = self.weights[: layout.wire.start].clone()
        self._start: torch.Tensor | None = None
        self.parameter = nn.Parameter(self.weights[layout.trained])
        gradient = _zeros(self.parameter)
        self.parameter.grad = gradient
        self._gradient = gradient
        self.trained: list[tuple[Entry, nn.Parameter]] = []
        self._bind(views)
        self.bind_gradient()
        self._counters = [
            (b, b.clone()) for b in module.buffers() if not b.is_floating_point() and b.ndim == 0
        ]

    @property
    def device(self) -> torch.device:
        """Return where the weights are."""
        return self.weights.device

    def at(self, device: torch.device) -> FlatModel:
        """Return the model on a device; this one is not to be used any more where that is another.

        Args:
            device: The device.
        """
        return self if self.device == device else FlatModel(self.module.to(device), self.layout)

    def _bind(self, views: dict[str, torch.Tensor]) -> None:
        for entry in self.layout.entries:
            owner, _, attribute = entry.name.rpartition(".")
            module = self.module.get_submodule(owner)
            if attribute in module._buffers:
                module._buffers[attribute] = views[entry.name]
                continue
            parameter = module._parameters[attribute]
            assert parameter is not None
            parameter.data = views[entry.name]
            if entry.start < self.layout.trained.stop:
                self.trained.append((entry, parameter))

    def call(
        self, inputs: torch.Tensor, weights: Mapping[str, torch.Tensor] | None = None
    ) -> torch.Tensor:
        """Return the network's outputs for a batch, in float32, whatever it computes in.

        Args:
            inputs: (B, ...) prepared inputs.
            weights: Tensors to use in place of the module's own, by name.
        """
        network = self.body if self.compiled is None else self.compiled
        if self.lower is None and weights is None:
            outputs: torch.Tensor = network(inputs)
            return outputs
        with self.precision():
            if weights is None:
                outputs = network(inputs)
            else:
                outputs = torch.func.functional_call(self.body, dict(weights), (inputs,))
        return outputs.float()

    def compile(self) -> None:
        """Let torch compile the network as it is when it is next called, for any size of batch."""
        self.compiled = torch.compile(self.body, dynamic=True)

    @contextmanager
    def as_written(self) -> Iterator[None]:
        """Call the network as it is written inside the block: a compiled one heeds no new hooks."""
        before, self.compiled = self.compiled, None
        try:
            yield
        finally:
            self.compiled = before

    def precision(self) -> AbstractContextManager[object]:
        """Return the block in which modules compute in :attr:`lower` where that loses little.

        Weights stay float32, and so do gradients; normalisations and exponentials are computed in
        float32 (torch's autocast, after Micikevicius et al. 2018, "Mixed Precision Training").
        """
        if self.lower is None:
            return nullcontext()
        return torch.autocast(self.device.type, self.lower)

    def keep_start(self) -> None:
        """Keep a copy of the present weights as :attr:`start`."""
        self._start = self.weights.clone()

    @property
    def start(self) -> torch.Tensor:
        """Return (size,) the weights that :meth:`keep_start` kept: those before the first round."""
        assert self._start is not None, "keep_start was not called"
        return self._start

    def bind_gradient(self) -> None:
        """Let ``backward`` accumulate into the gradient's vector."""
        offset = self.layout.trained.start
        for entry, parameter in self.trained:
            parameter.grad = entry.view(self._gradient, offset)

    @contextmanager
    def training(self, part: slice) -> Iterator[None]:
        """Train only a part of the trained slice inside the block.

        Inside it ``parameter``, ``gradient`` and ``layout.trained`` refer to this part.

        Args:
            part: The slice to train, such as ``layout.shared_parameters``.
        """
        before = (self.layout, self.parameter, self._gradient, self.trained)
        start = self.layout.trained.start
        inside = [(e, p) for e, p in self.trained if part.start <= e.start and e.stop <= part.stop]
        outside = [p for e, p in self.trained if not (part.start <= e.start < part.stop)]
        self.layout = replace(self.layout, trained=part)
        self._gradient = self._gradient[part.start - start : part.stop - start]
        self.parameter = nn.Parameter(self.weights[part])
        self.parameter.grad = self._gradient
        self.trained = inside
        for parameter in outside:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            self.layout, self.parameter, self._gradient, self.trained = before
            for parameter in outside:
                parameter.requires_grad_(True)

    @property
    def gradient(self) -> torch.Tensor:
        """Return the gradient of the trained slice, without copying."""
        return self._gradient

    @torch.no_grad()
    def reset(self, wire: torch.Tensor, personal: torch.Tensor | None = None) -> None:
        """Load the received weights and the client's own part, replacing the last client's."""
        start = self.layout.wire.start
        self.weights[start:].copy_(wire)
        self.weights[:start].copy_(self.initial if personal is None else personal)
        for counter, first in self._counters:
            counter.copy_(first)

    def wire(self) -> torch.Tensor:
        """Return a copy of the part that travels."""
        return self.weights[self.layout.wire].clone()

    def personal(self) -> torch.Tensor:
        """Return a copy of the part that stays on the client."""
        return self.weights[: self.layout.personal_size].clone()

    def zero_gradient(self) -> None:
        """Set the gradient to zero, in place."""
        self._gradient.zero_()


def _zeros(parameter: nn.Parameter) -> torch.Tensor:
    """Return zeros for the gradient of a parameter."""
    if parameter.device.type != "cpu":
        return torch.zeros_like(parameter.data)
    # NumPy's take no memory until they are written to, which often never happens.
    return torch.from_numpy(np.zeros(parameter.shape, dtype=np.float32))
