"""Whether clients are trained stacked, in which way, and how many at a time.

The answer depends on the scenario and the kind of device alone, not on a measurement at the start
of a run: it decides the last bits of the weights, which must not depend on how busy the machine
was. On a CPU, stacked dense networks were faster than the plain loop in every case measured, by a
factor between 1.1 and 20 (docs/results/speed.md), and other networks only while they are tiny: so
those are stacked there where a scenario says a number. On CUDA cards small networks of any kind
are, where one client's steps are too short to keep a card busy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from fedlab.algorithm.client import ClientAlgorithm
from fedlab.data.dataset import Task
from fedlab.data.transforms import augments
from fedlab.engine.numerics import lower_type
from fedlab.engine.pieces import cuts_batches
from fedlab.engine.reports import Decision
from fedlab.engine.stacked.chain import NotStackable, dense_chain
from fedlab.engine.stacked.dense import Dense
from fedlab.engine.stacked.mapped import Mapped, check_mapped, values_of_a_step
from fedlab.models.network import Network
from fedlab.scenario import Scenario
from fedlab.systems.stragglers import local_epochs
from fedlab.training.criterion import AUTO
from fedlab.training.draw import build_draw
from fedlab.training.parameter_groups import is_grouped

if TYPE_CHECKING:
    import torch

    from fedlab.engine.stacked.descent import StackedSteps, StackKind
    from fedlab.training.task import LocalTask

SMALL_COHORT = 100
FEW, MANY = 5, 10
"""Clients at a time where the scenario does not say: many leave a small cohort too few blocks."""
MOST_VALUES = 1 << 23
"""Weights of a stack at most, where the scenario does not say: larger ones gain nothing."""
CARD = "cuda"
"""The kind of device whose calls cost more than small networks' sums."""
MOST_ON_CARD = 32
MOST_VALUES_ON_CARD = 1 << 25
MOST_LAYER_VALUES = 1 << 27
"""On a card: clients, weights, and values that layers put out in a step, of a stack at most."""
SMALL_NETWORK = {CARD: 1 << 22}
SMALL_ELSEWHERE = 50_000
"""Weights of a network whose clients are worth stacking though it is not dense, by kind of device.

On a CPU, ten at a time took, of the time of one by one: a GRU of 8,000 weights 0.2, a CNN of 44,000
0.7, and CNNs of 106,000 and 1.7 million 1.2 and 2."""


@dataclass(frozen=True)
class Stacking:
    """How clients are trained.

    Attributes:
        decision: Whether they are stacked.
        kind: How their network is, where they are.
        clients: How many at a time, or None for a number that fits the cohort.
        values: Weights of one client.
        most: On a card, how many at a time at most; 0 elsewhere.
    """

    decision: Decision
    kind: StackKind | None = None
    clients: int | None = None
    values: int = 1
    most: int = 0

    def length(self, cohort: int) -> int:
        """Return how many clients of a cohort are stacked; 0 where none are."""
        if not self.decision.used:
            return 0
        if self.clients is not None:
            return self.clients
        if self.most:
            # Stacks of one length: every worker of a card, and every card, has as much to do.
            stacks = -(-cohort // self.most)
            return -(-cohort // max(1, stacks))
        usual = FEW if cohort < SMALL_COHORT else MANY
        return max(1, min(usual, -(-cohort // 2), MOST_VALUES // self.values))


def stacking_of(scenario: Scenario, network: Network, task: Task, device: str = "cpu") -> Stacking:
    """Return whether and how the scenario's clients are trained stacked.

    Args:
        scenario: The scenario.
        network: Its network.
        task: What is learned.
        device: The kind of device that clients are trained on, such as "cuda".
    """
    wanted: Any = getattr(scenario.engine, "vectorised", False)
    if wanted is False:
        return Stacking(Decision.against("engine.vectorised is false"))
    clients, size = None if wanted == "auto" else int(wanted), network.model.layout.size
    most = min(MOST_ON_CARD, max(1, MOST_VALUES_ON_CARD // size)) if device == CARD else 0
    try:
        _check_client(scenario, task)
        if network.adapted is not None:
            raise NotStackable("its layers have an adapter")
        kind: StackKind
        try:
            kind = _dense(network, task)
        except NotStackable:
            if clients is None and device != CARD:
                raise
            kind = _mapped(network, task, device)
            if clients is None:
                most = min(most, _fitting(scenario, network, task))
    except NotStackable as error:
        return Stacking(Decision.against(str(error)))
    return Stacking(Decision(True), kind, clients, size, most)


def _dense(network: Network, task: Task) -> Dense:
    if task.kind != "classification":
        raise NotStackable("the task loss is not plain cross-entropy over classes")
    chain = tuple(dense_chain(network.model.body))
    _check_layers(network, chain)
    return Dense(chain)


def _mapped(network: Network, task: Task, device: str) -> Mapped:
    check_mapped(network, task)
    size, small = network.model.layout.size, SMALL_NETWORK.get(device, SMALL_ELSEWHERE)
    if size > small:
        raise NotStackable(f"its {size:,} weights are too many to gain from it on '{device}'")
    return Mapped(network)


def _fitting(scenario: Scenario, network: Network, task: Task) -> int:
    """Return how many clients' steps keep a card busy and are sure to fit.

    Raises:
        NotStackable: If one client's do.
    """
    values = values_of_a_step(network, task, int(scenario.client.batch_size))
    if values > MOST_LAYER_VALUES // 2:
        raise NotStackable("its layers put out enough in a step to keep a card busy")
    return MOST_LAYER_VALUES // values


def _check_client(scenario: Scenario, task: Task) -> None:
    from fedlab import registry

    settings = scenario.client
    if lower_type(scenario.engine) is not None:
        raise NotStackable("stacked networks compute in float32")
    if getattr(scenario.engine, "compile", False):
        raise NotStackable("the network is compiled (engine.compile)")
    if getattr(scenario.engine, "checkpointing", False):
        raise NotStackable("blocks are computed again (engine.checkpointing)")
    if cuts_batches(scenario):
        raise NotStackable("batches are computed in pieces (engine.micro_batch)")
    if getattr(scenario.model, "others", ()):
        raise NotStackable("clients have different architectures")
    algorithm = registry.clients.get(settings.name)
    own = ("train", "fit", "batch_terms", "criterion")
    if not issubclass(algorithm, ClientAlgorithm) or algorithm.overrides(*own):
        raise NotStackable(f"client '{settings.name}' has a training loop of its own")
    if scenario.data.unlabelled:
        raise NotStackable("some clients have no labels")
    if settings.early_stopping is not None:
        raise NotStackable("clients stop early")
    if is_grouped(settings.optimizer):
        raise NotStackable("parameters have learning rates of their own, or are not all decayed")
    if settings.schedule.changes_within_rounds:
        raise NotStackable("the learning rate changes from step to step")
    if augments(scenario.data):
        raise NotStackable("pictures are augmented at random")
    if not build_draw(task).is_plain:
        raise NotStackable("targets are made of the inputs")
    usual = task.conventions.criterion
    named = usual if settings.criterion == AUTO else settings.criterion
    plain = named == "cross-entropy" and not settings.label_smoothing
    plain = plain and settings.class_weights == "none"
    plain = plain and task.kind in ("classification", "next-token", "tagging")
    if not plain or task.outputs < 2:
        raise NotStackable("the task loss is not plain cross-entropy over classes")
    if not registry.optimizers.get(settings.optimizer.name).is_elementwise:
        raise NotStackable(f"optimiser '{settings.optimizer.name}' may mix the weights of clients")


def _check_layers(network: Network, chain: tuple[tuple[str, nn.Module], ...]) -> None:
    trained = {entry.name for entry in network.model.layout.entries}
    held = {f"{name}.{part}" for name, layer in chain for part, _ in layer.named_parameters()}
    if not held:
        raise NotStackable("it has no linear layer")
    if held != trained:
        raise NotStackable("only some of its layers are trained")


def reads_network(algorithm: ClientAlgorithm) -> bool:
    """Return whether a client algorithm may look at the network that training left."""
    return algorithm.overrides("update", "sent", "kept")


def stacked_steps(algorithm: ClientAlgorithm, tasks: Sequence[LocalTask]) -> StackedSteps:
    """Return how a client algorithm's settings descend, for a whole stack of tasks."""
    from fedlab.engine.stacked.descent import StackedSteps
    from fedlab.training.optimizer import build_optimizer

    settings = algorithm.settings
    factor, diagonal = algorithm.rate_factor(tasks[0]), algorithm.preconditioner(tasks[0])
    optimizer = settings.optimizer
    plain = optimizer.name == "sgd" and not optimizer.momentum and diagonal is None
    bare = settings.clip_norm is None and not optimizer.weight_decay

    def make_optimizer(
        parameters: Sequence[nn.Parameter], parts: Sequence[slice]
    ) -> torch.optim.Optimizer:
        diagonals = [
            diagonal[part].view(parameter.shape[1:])
            for parameter, part in zip(parameters, parts, strict=True)
            if diagonal is not None
        ]
        return build_optimizer(optimizer, parameters, factor, diagonals)

    return StackedSteps(
        batch_size=int(settings.batch_size),
        epochs=[local_epochs(task.config, settings.epochs) for task in tasks],
        limit=settings.steps,
        rate=optimizer.lr * factor if plain and bare else None,
        make_optimizer=make_optimizer,
        clip_norm=settings.clip_norm,
        weight_decay=optimizer.weight_decay,
    )
