"""What a client algorithm gets and what it returns; neither knows of messages or engines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from fedlab.data.dataset import Examples, Task
from fedlab.errors import FedlabError
from fedlab.models.network import Network
from fedlab.training.draw import Draw, build_draw
from fedlab.training.loss_scale import LossScale

if TYPE_CHECKING:
    from fedlab.data.transforms import Augmentation, Preparation

Arrays = dict[str, torch.Tensor]
CPU = torch.device("cpu")
Scalar = bool | int | float | str | bytes


@dataclass(frozen=True)
class Assignment:
    """What a message asks of one client.

    Attributes:
        client: The client's number (its partition).
        round: The server's round, from 1.
        wire: (wire_size,) the weights that travelled.
        arrays: Further vectors that the server sent, by name.
        config: Further values that the server sent.
        state: What the client kept from earlier rounds, by name.
    """

    client: int
    round: int
    wire: torch.Tensor
    arrays: Arrays = field(default_factory=dict)
    config: dict[str, Scalar] = field(default_factory=dict)
    state: Arrays = field(default_factory=dict)


@dataclass
class LocalTask:
    """One client's work for one message.

    Attributes:
        client: The client's number (its partition).
        round: The server's round, from 1.
        rounds: How many rounds the scenario has or, in a run of phases, this phase.
        network: The model, holding the received weights and the client's personal part.
        wire: (wire_size,) the weights as they travelled; not to be changed.
        examples, validation: The client's own training and validation parts; in an evaluation its
            test part stands in the place of the validation part, where the scenario has one.
        arrays: Further vectors that the server sent, by name.
        config: Further values that the server sent.
        state: What the client kept from earlier rounds, by name; never sent.
        generator: The source of every random draw for this client and round.
        task: What is learned.
        prepare: Turns stored inputs into what the model takes.
        augment: Random augmentation of prepared batches, or None.
        public: Examples that everybody may look at (``[data.public]``), or None.
        first_round: The first of these rounds: above 1 in a later phase.
        scale: What the loss is multiplied by before each backward pass, in float16.
        micro_batch: How many examples of a batch are computed at once; None: all.
        is_labelled: Whether the targets of ``examples`` are known (``data.unlabelled``).
        has_target: Whether any client of the run is without labels, as a target domain is.
        watch: Called with the loss before each step, where somebody looks on.
    """

    client: int
    round: int
    rounds: int
    network: Network
    wire: torch.Tensor
    examples: Examples
    validation: Examples
    arrays: Arrays
    config: dict[str, Scalar]
    state: Arrays
    generator: torch.Generator
    task: Task
    prepare: Preparation
    augment: Augmentation | None = None
    public: Examples | None = None
    first_round: int = 1
    scale: LossScale | None = None
    micro_batch: int | None = None
    is_labelled: bool = True
    has_target: bool = False
    watch: Callable[[float], None] | None = None

    def cuts(self, batch_size: int) -> bool:
        """Return whether batches of a size are computed in pieces."""
        return self.micro_batch is not None and batch_size > self.micro_batch

    @cached_property
    def received(self) -> torch.Tensor:
        """Return the weights as received, (size,); not to be changed.

        Ask before training: the model's own weights change in place, and they are copied when first
        asked for where part of them stayed on the client.
        """
        model = self.network.model
        return model.weights.clone() if model.layout.personal_size else self.wire

    @property
    def device(self) -> torch.device:
        """Return where the network, the examples and all vectors are."""
        return self.network.model.device

    @cached_property
    def draw(self) -> Draw:
        """Return what makes a batch from prepared inputs and stored targets."""
        return build_draw(self.task)

    @property
    def anchor(self) -> torch.Tensor:
        """Return the trained slice of the received weights."""
        return self.received[self.network.model.layout.trained]


@dataclass(frozen=True)
class Encoded:
    """The weights of an update as they travel.

    Attributes:
        values: What update processors left of the change of the parameters.
        others: Running statistics, and what travels along, by their keys in the message.
    """

    values: torch.Tensor
    others: Arrays

    @property
    def nbytes(self) -> int:
        """Return how many bytes travel."""
        return self.values.nbytes + sum(tensor.nbytes for tensor in self.others.values())


@dataclass
class Update:
    """What one client sends back.

    Attributes:
        weights: (wire_size,) the weights after training.
        examples: How many examples they stand for; the weight in a mean.
        metrics: Numbers for the record, such as the training loss.
        arrays: Further vectors for the server, by name.
        state: What the client keeps for its next round; it replaces the old state.
        encoded: The weights as update processors let them travel, where there are any.
        origin: (wire_size,) the weights that it began from, where they are others than those that
            travelled as such.
    """

    weights: torch.Tensor
    examples: int
    metrics: dict[str, float]
    arrays: Arrays = field(default_factory=dict)
    state: Arrays = field(default_factory=dict)
    encoded: Encoded | None = None
    origin: torch.Tensor | None = None


def is_update(returned: object, device: torch.device = CPU) -> Update:
    """Return what a client algorithm returned as its update.

    Args:
        returned: What it returned.
        device: Where it trained; its tensors may be there, or on the CPU.

    Raises:
        FedlabError: If it is none, or one whose parts are of other types.
    """
    if not isinstance(returned, Update):
        raise FedlabError(f"the client returned {_kind(returned)} in place of an Update")
    if not isinstance(returned.metrics, dict):
        raise FedlabError(f"the update's metrics are {_kind(returned.metrics)}, not a dictionary")
    parts = {"weights": returned.weights, **_named("array", returned.arrays)}
    for name, part in (parts | _named("state", returned.state)).items():
        if not isinstance(part, torch.Tensor):
            raise FedlabError(f"the update's {name} is {_kind(part)}, not a torch tensor")
        if part.requires_grad or part.device not in (device, CPU):
            raise FedlabError(f"the update's {name} is not on {_places(device)} and detached")
    return returned


def _named(what: str, tensors: object) -> dict[str, object]:
    if not isinstance(tensors, Mapping):
        raise FedlabError(f"the update's {what} is {_kind(tensors)}, not a dictionary of tensors")
    return {f"{what} '{name}'": tensor for name, tensor in tensors.items()}


def _places(device: torch.device) -> str:
    return "the CPU" if device == CPU else f"the CPU or '{device}'"


def _kind(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
