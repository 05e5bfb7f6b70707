"""The base of client algorithms: descent on task loss + terms, with hooks that change it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, SerializeAsAny, model_validator

from fedlab import registry
from fedlab.algorithm.setup import Setup, raised
from fedlab.algorithm.strategy import cohort_size, own_traits, traits_of
from fedlab.data.dataset import Examples, Task
from fedlab.metrics.names import GLOBAL
from fedlab.models.narrow import narrowed, places
from fedlab.models.network import Network, build_network
from fedlab.settings import Settings
from fedlab.systems.stragglers import StragglerSettings, local_epochs
from fedlab.training.criterion import Criterion, CriterionName, build_criterion
from fedlab.training.early_stopping import EarlyStopping, EarlyStoppingSettings, unknown_metric
from fedlab.training.evaluation import evaluate
from fedlab.training.loop import Fit, Steps, fit
from fedlab.training.optimizer import OptimizerSettings, ScheduleSettings, build_optimizer
from fedlab.training.parameter_groups import groups_of, is_grouped, with_own_rates
from fedlab.training.task import Arrays, LocalTask, Update
from fedlab.training.terms import L1, L2, BatchTerm, Objective, ParameterTerm, l2_sp

if TYPE_CHECKING:
    from fedlab.data.transforms import Preparation


class ClientSettings(Settings):
    """Keys of ``[client]`` that every client algorithm has."""

    name: str = "supervised"
    epochs: int = Field(1, ge=0, le=10**6, description="local epochs a round")
    steps: int | None = Field(
        None, ge=1, le=10**6, description="local steps a round, instead of epochs"
    )
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        32,
        description="examples per step; 'auto': on a device the largest power of two that fits its "
        "memory beside the model, up to the largest client, found before the first round by trying "
        "(without terms of a client algorithm's own) and written into the run's scenario; 32 on "
        "the CPU. Other sizes are other results, and the largest is not the one that learns best",
    )
    optimizer: SerializeAsAny[OptimizerSettings] = OptimizerSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    criterion: CriterionName = Field("auto", description="the task loss")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="for cross-entropy")
    class_weights: Literal["none", "balanced"] = Field(
        "none",
        description="'balanced' multiplies an example's loss by (examples of all clients) / "
        "(number of classes · examples of its class), for cross-entropy",
    )
    l1: float = Field(0.0, ge=0, description="adds l1 · ‖w‖₁ to the objective")
    l2: float = Field(0.0, ge=0, description="adds l2/2 · ‖w‖² to the objective")
    l2_sp: float = Field(
        0.0,
        ge=0,
        description="adds l2_sp/2 · ‖w − w⁰‖² over what is below the head, w⁰ being the weights "
        "before the first round: the pretrained ones (L2-SP, Li et al. 2018)",
    )
    l2_sp_head: float = Field(
        0.0, ge=0, description="adds l2_sp_head/2 · ‖w‖² over the head, L2-SP's second term"
    )
    clip_norm: float | None = Field(None, gt=0, description="largest gradient norm of a step")
    early_stopping: EarlyStoppingSettings | None = Field(
        None, description="ends a client's epochs by what its validation examples say"
    )
    stragglers: StragglerSettings | None = Field(
        None, description="makes some of each cohort too slow for their round"
    )

    @model_validator(mode="after")
    def _has_work(self) -> ClientSettings:
        if self.epochs == 0 and self.steps is None:
            raise ValueError("epochs = 0 leaves nothing to do; set epochs or steps to 1 or more")
        return self

    @model_validator(mode="after")
    def _stragglers_have_less_to_do(self) -> ClientSettings:
        partial = self.stragglers is not None and not self.stragglers.drop
        if partial and (self.steps is not None or self.epochs < 2):
            raise ValueError(
                "stragglers do fewer epochs than the others: set epochs to 2 or more and leave out "
                "steps, or set stragglers.drop = true"
            )
        return self


PersonalPart = Literal["any", "none", "head", "body", "all", "batch-norm"]


class ClientAlgorithm:
    """Mini-batch descent on the client's examples, FedAvg's client (McMahan et al. 2017)."""

    Settings: ClassVar[type[ClientSettings]] = ClientSettings
    required_strategy_key: ClassVar[str | None] = None
    """Key of ``[strategy]`` whose value the server must send; None where any strategy does."""
    personal_part: ClassVar[PersonalPart] = "any"
    """What of the model must stay on its client, by ``model.personal`` or ``model.batch_norm``."""
    required_strategy: ClassVar[str | None] = None
    """Name of the strategy that its replies are meant for; None where any can combine them."""

    takes_parameter_groups: ClassVar[bool] = True
    """Whether parameters may learn at rates of their own, and some be left undecayed."""
    couples_examples: ClassVar[bool] = False
    """Whether what it descends is no mean over a batch's examples, so that a batch cannot be
    computed in pieces (``engine.micro_batch``)."""
    serves_alone: ClassVar[bool] = False
    """Whether baselines train by it, and not by plain supervised descent: what it learns is
    something else."""
    learns_without_labels: ClassVar[bool] = False
    """Whether clients without labels (``data.unlabelled``) have something to train on; those of
    other algorithms send nothing, and are evaluated only."""
    sends_weights: ClassVar[bool] = True
    """Whether it sends weights, or else something that stands in their place."""

    def __init__(self, settings: ClientSettings) -> None:
        self.settings = settings

    @classmethod
    def overrides(cls, *names: str) -> bool:
        """Return whether this algorithm has one of these methods of its own."""
        return any(getattr(cls, name) is not getattr(ClientAlgorithm, name) for name in names)

    @property
    def widths(self) -> tuple[float, ...]:
        """Return the widths of the clients' models, in turn; empty where all have the whole one.

        A client gets and sends the weights of its own model alone, of a strategy that knows where
        these stand (trait ``sub_models``).
        """
        return ()

    def learned(self, own: Task) -> Task:
        """Return what is learned of data whose own task is ``own``: that task.

        An algorithm that learns something else, such as what needs no labels, returns another.
        """
        return own

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield a sentence for each reason why the algorithm cannot work with the other parts.

        Args:
            setup: All parts of the run.
        """
        settings = setup.scenario
        yield from self._strategy_key(settings)
        yield from self._widths(setup)
        yield from self._personal_part(settings, setup.network)
        if self.required_strategy and not isinstance(
            setup.strategy, registry.strategies.get(self.required_strategy)
        ):
            yield (
                f"client.name: '{settings.client.name}' sends what only its own strategy can "
                f"combine: set strategy.name = '{self.required_strategy}'"
            )
        yield from self._stragglers(settings, setup.population)
        yield from self._parameter_groups(settings, setup.network)
        yield from raised(lambda: self.criterion(setup.task))
        yield from unknown_metric("client.early_stopping", self.settings.early_stopping, setup.task)

    def _strategy_key(self, settings: Any) -> Iterator[str]:
        """Tell whether the strategy has the key whose value the algorithm counts on."""
        key, inner = self.required_strategy_key, getattr(settings.strategy, "inner", None)
        if key is None or hasattr(settings.strategy, key) or hasattr(inner, key):
            return
        known = registry.strategies
        having = [name for name in known.names() if key in known.get(name).Settings.model_fields]
        yield (
            f"client.name: '{settings.client.name}' needs a strategy that sends '{key}': set "
            f"strategy.name to {' or '.join(having)}"
        )

    def _widths(self, setup: Setup) -> Iterator[str]:
        """Tell whether the strategy and all of the model go with narrower models."""
        if not self.widths:
            return
        name, network = setup.scenario.client.name, setup.network
        if not traits_of(setup.strategy).sub_models:
            known = registry.strategies
            having = [n for n in known.names() if own_traits(known.get(n)).sub_models]
            yield (
                f"client.name: '{name}' has clients with narrower models, whose weights only some "
                f"strategies can combine: set strategy.name to {' or '.join(having)}"
            )
        module, layout = network.model.module, network.model.layout
        travelling = {entry.name for entry in layout.entries if entry.start >= layout.wire.start}
        left = [n for n, t in module.state_dict().items() if n not in travelling and t.ndim]
        if left:
            yield (
                f"client.name: '{name}' has clients whose narrower models are parts of the whole "
                f"one, and '{left[0]}' does not travel; set model.trainable = 'all', "
                "model.personal = 'none' and model.batch_norm = 'train'"
            )
        yield from raised(lambda: self._try_narrow(setup))
        for key, wanted in (
            ("updates", setup.scenario.updates),
            ("evaluation.unseen_clients", setup.scenario.evaluation.unseen_clients),
            ("evaluation.baselines", setup.scenario.evaluation.baselines),
            ("client.batch_size", self.settings.batch_size == "auto"),
        ):
            if wanted:
                yield f"{key}: it is for clients with one model, and those of '{name}' have several"

    def _try_narrow(self, setup: Setup) -> None:
        """Build the narrower models, and find their weights among the whole one's.

        Raises:
            FedlabError: If the model has no narrower form, or one of other tensors.
        """
        for width in self.widths:
            settings = narrowed(setup.scenario.model, width)
            network = build_network(settings, setup.task, setup.scenario.seed)
            places(setup.network.model.layout, network.model.layout)

    def _personal_part(self, settings: Any, network: Network) -> Iterator[str]:
        """Tell whether the model leaves on its client what the algorithm counts on."""
        name, needed = settings.client.name, self.personal_part
        personal, size = settings.model.personal, network.model.layout.personal_size
        if needed == "none" and size:
            yield (
                f"client.name: '{name}' works on whole models, and part of this one stays on its "
                "client; set model.personal = 'none' and model.batch_norm = 'train' or 'frozen'"
            )
        elif needed == "batch-norm" and settings.model.batch_norm != "local":
            yield (
                f"model.batch_norm: '{settings.model.batch_norm}' lets batch norm travel, and "
                f"client '{name}' keeps it; set 'local'"
            )
        elif needed == "batch-norm" and not size:
            yield f"client.name: '{name}' keeps batch norm on its client, and the model has none"
        elif needed in ("head", "body", "all") and personal not in (needed, *_patterns(personal)):
            yield (
                f"model.personal: {personal!r} is not what client '{name}' keeps to itself; set "
                f"'{needed}'{'' if needed == 'all' else ' or a list of parameter-name patterns'}"
            )

    def _stragglers(self, settings: Any, population: int) -> Iterator[str]:
        """Tell whether anybody is left when stragglers are dropped, or can do less."""
        stragglers = self.settings.stragglers
        if stragglers is None:
            return
        cohort = cohort_size(settings.strategy, population)
        if stragglers.drop and stragglers.in_time(cohort) == 0:
            yield (
                f"client.stragglers.fraction: {stragglers.fraction} of a cohort of {cohort} leaves "
                "nobody; take a smaller fraction or a larger cohort"
            )
        if self.overrides("fit", "train") and not stragglers.drop:
            yield (
                f"client.stragglers: client '{settings.client.name}' has a training loop of its "
                "own, which stragglers cannot cut short; set client.stragglers.drop = true"
            )

    def _parameter_groups(self, settings: Any, network: Network) -> Iterator[str]:
        """Tell whether parameters can learn at rates of their own, or be left undecayed."""
        optimizer = self.settings.optimizer
        layered = optimizer.layer_decay < 1
        if is_grouped(optimizer) and not self.takes_parameter_groups:
            key, usual = ("layer_decay", "1") if layered else ("decay_norms_and_biases", "true")
            yield (
                f"client.optimizer.{key}: client '{settings.client.name}' takes steps of its own, "
                f"which have one rate and one decay for all parameters; leave it at {usual}"
            )
        if layered and not network.stages:
            yield (
                f"client.optimizer.layer_decay: '{settings.model.name}' has no stages below its "
                "head that could learn more slowly; leave it at 1"
            )

    def parameter_terms(self, task: LocalTask) -> Sequence[ParameterTerm]:
        """Return the terms of the objective that depend on the parameters alone."""
        terms: list[ParameterTerm] = []
        if self.settings.l1:
            terms.append(L1(self.settings.l1))
        if self.settings.l2:
            terms.append(L2(self.settings.l2))
        if self.settings.l2_sp or self.settings.l2_sp_head:
            terms.append(l2_sp(task.network, self.settings.l2_sp, self.settings.l2_sp_head))
        return terms

    def batch_terms(self, task: LocalTask) -> Sequence[BatchTerm]:
        """Return the terms of the objective that depend on each batch."""
        return ()

    def train(self, task: LocalTask) -> Update:
        """Train on the client's examples and return the weights reached."""
        return self.update(task, self.fit(task))

    def update(self, task: LocalTask, fitted: Fit) -> Update:
        """Return what the client sends and keeps, from the network as training left it."""
        weights = task.network.model.wire() if fitted.wire is None else fitted.wire
        metrics = {"train_loss": fitted.loss, "steps": float(fitted.steps)}
        return Update(
            weights=weights,
            examples=len(task.examples),
            metrics=metrics,
            arrays=self.sent(task, fitted),
            state=self.kept(task, fitted),
        )

    def sent(self, task: LocalTask, fitted: Fit) -> Arrays:
        """Return further vectors for the server."""
        return {}

    def kept(self, task: LocalTask, fitted: Fit) -> Arrays:
        """Return what the client keeps for its next round."""
        return task.state

    def fit(self, task: LocalTask) -> Fit:
        """Descend the local objective, in place."""
        return self.descend(task, self.objective(task), self.steps(task))

    def objective(self, task: LocalTask) -> Objective:
        """Return the local objective: task loss + terms."""
        return Objective(
            self.criterion(task.task), self.parameter_terms(task), self.batch_terms(task)
        )

    def steps(self, task: LocalTask) -> Steps:
        """Return how the settings descend what the network trains at present."""
        diagonal = self.preconditioner(task)
        return replace(
            self._steps(task, self.settings.optimizer, self.rate_factor(task), diagonal),
            epochs=local_epochs(task.config, self.settings.epochs),
            limit=self.settings.steps,
            schedule=self._within_rounds(task),
        )

    def _steps(
        self,
        task: LocalTask,
        optimizer: OptimizerSettings,
        factor: float = 1.0,
        diagonal: torch.Tensor | None = None,
    ) -> Steps:
        """Return one epoch of descent by an optimiser, at one rate times ``factor``."""
        settings, groups = self.settings, groups_of(task.network, optimizer)
        built = build_optimizer(
            optimizer,
            [group.parameter for group in groups],
            factor,
            () if diagonal is None else (diagonal,),
        )
        return Steps(
            with_own_rates(built, [group.factor for group in groups]),
            int(settings.batch_size),
            clip_norm=settings.clip_norm,
            weight_decay=optimizer.weight_decay,
            decayed=[group.decayed for group in groups] if is_grouped(optimizer) else None,
        )

    def adapt(self, task: LocalTask, steps: int, rate: float | None) -> None:
        """Take steps on the examples of a client that has never trained, in place.

        They descend the task loss and the scenario's penalties, at a rate without schedule; what an
        algorithm adds for clients that take part is left out, since this one has kept nothing.

        Args:
            task: The client's; it begins with the received weights.
            steps: How many; 0 leaves the weights as they are.
            rate: The learning rate (``evaluation.unseen_rate``); None: the client's.
        """
        if steps:
            changes = {} if rate is None else {"lr": rate}
            descent = self._steps(task, self.settings.optimizer.model_copy(update=changes))
            terms = ClientAlgorithm.parameter_terms(self, task)
            objective = Objective(self.criterion(task.task), terms)
            fit(task, objective, replace(descent, limit=steps))

    def _within_rounds(self, task: LocalTask) -> Callable[[int, int], float] | None:
        """Return the learning rate's factor by (step, number of steps), or None for 1."""
        schedule, done = self.settings.schedule, task.round - task.first_round
        if schedule.over == "rounds":
            return None
        if schedule.over == "steps":
            return schedule.factor
        return lambda taken, steps: schedule.factor(done * steps + taken, task.rounds * steps)

    def descend(self, task: LocalTask, objective: Objective, steps: Steps) -> Fit:
        """Descend an objective in place, with early stopping where the settings ask for it."""
        stopping = self.settings.early_stopping
        if stopping is None or len(task.validation) == 0:
            return fit(task, objective, steps)
        return fit(
            task,
            objective,
            steps,
            EarlyStopping(stopping),
            lambda: self.measured(task).get(stopping.metric, math.nan),
        )

    def rate_factor(self, task: LocalTask) -> float:
        """Return what the learning rate is multiplied by in this round."""
        schedule = self.settings.schedule
        if schedule.over != "rounds":
            return 1.0
        return schedule.factor(task.round - task.first_round, task.rounds)

    def preconditioner(self, task: LocalTask) -> torch.Tensor | None:
        """Return what each trained parameter's step is multiplied by, (trained,); None for 1.

        It goes with plain sgd, and depends on what the server sent to all clients of the round.
        """
        return None

    def criterion(self, task: Task) -> Criterion:
        """Return the task loss."""
        settings = self.settings
        weighs = settings.class_weights == "balanced"
        return build_criterion(settings.criterion, task, settings.label_smoothing, weighs)

    def evaluate(self, task: LocalTask) -> dict[str, float]:
        """Return what federated evaluation reports of the client.

        Where part of the model stays on its client, this is the metrics of the received weights
        with the client's own part and, as "global_...", with that part as it was initialised: what
        a newcomer without training would get.
        """
        model = task.network.model
        own = self.measured(task)
        size = model.layout.personal_size
        if not size:
            return own
        model.weights[:size].copy_(model.initial[:size])
        return own | of_global_model(self.measured(task))

    def adapt_to_inputs(self, network: Network, examples: Examples, prepare: Preparation) -> None:
        """Adapt a network, in place, to inputs that it is about to be tested on; never to labels.

        Called before the server's test examples are looked at, shard by shard. Most do nothing.
        """

    def measured(self, task: LocalTask) -> dict[str, float]:
        """Return the metrics of the network as it is on the client's validation part."""
        evaluation = evaluate(
            task.network, task.validation, task.task, task.prepare, self.criterion(task.task)
        )
        return evaluation.compute()


def _patterns(personal: str | tuple[str, ...]) -> list[tuple[str, ...]]:
    return [personal] if isinstance(personal, tuple) else []


def of_global_model(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return metrics under the global model's names, as opposed to a personalised one's."""
    return {f"{GLOBAL}{name}": value for name, value in metrics.items()}
