"""What one process holds to run clients: one model instance, the data, the client algorithm."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from fedlab import registry, seeding
from fedlab.data.dataset import Examples
from fedlab.data.federation import Federation
from fedlab.data.on_device import on_device
from fedlab.data.transforms import (
    Preparation,
)
from fedlab.determinism import deterministic
from fedlab.engine.devices import model_of, resolved
from fedlab.engine.features.cache import (
    AS_STORED,
    features_of,
    opened,
    split_network,
    with_features,
    write_rows,
)
from fedlab.engine.numerics import scales_losses, use_tf32
from fedlab.engine.pieces import micro_batch
from fedlab.engine.stacked.decision import reads_network, stacked_steps, stacking_of
from fedlab.engine.stacked.descent import Descent
from fedlab.engine.stacked.loop import fit_stacked
from fedlab.engine.worker.architectures import Architecture, architectures_of
from fedlab.engine.worker.compiling import compile_networks
from fedlab.engine.worker.contained import SharedChanged, contained
from fedlab.engine.worker.device_memory import taken_and_free
from fedlab.engine.worker.malicious import RECEIVED, count_success, poisoned
from fedlab.engine.worker.out_of_memory import (
    does_not_fit,
    does_not_fit_stacked,
    fitting_model,
    largest_batch,
)
from fedlab.engine.worker.outgoing import PERSONAL, Outgoing
from fedlab.engine.worker.placement import Placement
from fedlab.engine.worker.time_limit import ClientTimeout, TimeLimit
from fedlab.engine.worker.unseen import is_unseen, metrics_after_steps
from fedlab.metrics.evaluation import undefined_metrics
from fedlab.metrics.names import BEFORE, GLOBAL, REPEATED_STEPS, VALIDATION
from fedlab.metrics.sites import reported_groups
from fedlab.models.given import Given
from fedlab.models.layout import Layout
from fedlab.process import give_back_freed_memory
from fedlab.scenario import Scenario
from fedlab.scenario.parts import (
    adversary_of,
    update_chain,
    widths_of,
)
from fedlab.systems.stragglers import local_epochs
from fedlab.training.evaluation import evaluate
from fedlab.training.loop import Fit
from fedlab.training.loss_scale import LossScale
from fedlab.training.task import Assignment, LocalTask, Update, is_update
from fedlab.wire.checks import (
    check_numbers,
)
from fedlab.wire.protocol import UPDATE

logger = logging.getLogger(__name__)


class Worker:
    """Runs clients of one scenario, one after the other, in one process.

    The model instance is resident: each client resets it in place, so that nothing passes from one
    client to the next. Every random draw of a client comes from (seed, round, client).

    Attributes:
        scenario: The scenario.
        device: Where it trains and evaluates: the one it was given, or what the scenario says.
        federation: The data of all clients; only the asked client's rows are touched.
        network: The resident model; of several architectures, the first.
        algorithm: The client algorithm.
        adversary: Which clients attack, and how; None where nobody does.
        updates: What happens to updates on their way.
        stacking: Whether and how clients are trained at once.
        time_limit: How long one client may take.
        watch: Called with the loss before each step of a client, where somebody looks on.
    """

    def __init__(
        self,
        scenario: Scenario,
        federation: Federation,
        device: str | None = None,
        given: Sequence[Given | None] = (),
    ) -> None:
        task = federation.dataset.task
        self.scenario = scenario
        self.watch: Callable[[float], None] | None = None
        own: str = getattr(scenario.engine, "device", "cpu")
        self.device = resolved(own if device is None else device)
        seeding.seed_also(self.device)
        self._placement = Placement(self.device)
        use_tf32(scenario.engine, self.device)
        with fitting_model(self.device):
            self._architectures = architectures_of(scenario, task, self.device, given)
        # After the model, which has to fit: examples may also stay where they are.
        self.federation = on_device(federation, self.device)
        self.network = self._architectures[0].network
        self.algorithm = registry.clients.get(scenario.client.name)(scenario.client)
        self._are_narrower = bool(widths_of(scenario))
        self.adversary = adversary_of(scenario, len(federation))
        self.updates = update_chain(scenario, self.network.model.layout)
        self.stacking = stacking_of(scenario, self.network, task, self.device.type)
        self._outgoing = Outgoing(self._placement, self.adversary, self.updates, scenario.seed)
        self.time_limit = TimeLimit(getattr(scenario.engine, "client_timeout", None))
        if self._compiles:
            compile_networks(self._architectures, scenario, self.federation)
        # A module's own first weights were freed when it was bound to one vector.
        give_back_freed_memory()

    @property
    def prepare(self) -> Preparation:
        """Return what turns stored inputs into what the network takes."""
        return self._architectures[0].prepare

    @property
    def _compiles(self) -> bool:
        return bool(getattr(self.scenario.engine, "compile", False))

    def device_model(self) -> str:
        """Return what this worker trains on, as its maker calls it."""
        return model_of(self.device)

    def device_memory(self) -> tuple[int, int]:
        """Return the most bytes that this process has taken of its device, and those free there."""
        return taken_and_free(self.device)

    def _architecture(self, client: int) -> Architecture:
        # The first is the server's; clients that all have a narrower one have it not.
        dealt = self._architectures[1:] if self._are_narrower else self._architectures
        return dealt[client % len(dealt)]

    def layout_of(self, client: int) -> Layout:
        """Return where each tensor of a client's own model stands in its vector."""
        return self._architecture(client).network.model.layout

    def largest_batch(self, client: int, most: int, sharing: int) -> int:
        """Return the largest power of two of examples, up to ``most``, of which a step fits.

        Args:
            client: Whose examples are tried.
            most: How many at most.
            sharing: How many workers share the device.

        Raises:
            FedlabError: If not even a batch of two fits.
        """
        asked = self._placement.assignment(Assignment(client, 1, self.network.model.wire().cpu()))
        with self._deterministic(), self._seeded("largest batch", asked):
            return largest_batch(self.algorithm, self._training_task(asked), most, sharing)

    def compute_features(self, part: str, draft: str, start: int, stop: int) -> None:
        """Write what the frozen prefix makes of rows ``start`` to ``stop`` into a file."""
        write_rows(draft, start, self.feature_rows(part, start, stop))

    def feature_rows(self, part: str, start: int, stop: int) -> np.ndarray[Any, Any]:
        """Return what the frozen prefix makes of rows ``start`` to ``stop``."""
        parts, prepare = split_network(self.scenario, self.network, self.federation)
        examples = getattr(self.federation.dataset, part)
        precision = self.network.model.precision()
        with self._deterministic():
            return features_of(parts, prepare, examples, start, stop, precision)

    def use_features(self, paths: Mapping[str, str]) -> None:
        """Work from now on with the features in these files, by part, and the rest of the model."""
        self.use_feature_rows(list(paths), *(opened(path) for path in paths.values()))

    def use_feature_rows(self, names: Sequence[str], *rows: np.ndarray[Any, Any]) -> None:
        """Work from now on with these features of the named parts, and the rest of the model."""
        parts, _ = split_network(self.scenario, self.network, self.federation)
        self.network.model.body = parts.rest
        features = dict(zip(names, rows, strict=True))
        self.federation = on_device(with_features(self.federation, features), self.device)
        self._architectures[0] = replace(self._architectures[0], prepare=AS_STORED)
        task = self.federation.dataset.task
        self.stacking = stacking_of(self.scenario, self.network, task, self.device.type)
        if self._compiles:
            compile_networks(self._architectures, self.scenario, self.federation)

    @property
    def sums_on_device(self) -> bool:
        """Return whether updates that are added up stay on the device until that is done."""
        return self._outgoing.stays_on_device

    def train(self, assignment: Assignment, is_summed: bool = False) -> Update:
        """Train one client from the received weights; return its update with its new state.

        Args:
            assignment: What is asked of it.
            is_summed: Whether the update is only added to others: it may stay on the device.

        Raises:
            BadReply: If the update is of another shape than the weights, or not finite.
        """
        with self.local_task(assignment) as task:
            start = time.perf_counter()
            update = is_update(self._trained(task), self.device)
            update.metrics["seconds"] = time.perf_counter() - start
            if task.scale is not None:
                update.metrics[REPEATED_STEPS] = float(task.scale.repeated)
            return self._checked(update, assignment, is_summed)

    @contextmanager
    def local_task(self, assignment: Assignment) -> Iterator[LocalTask]:
        """Yield one client's training task, its network holding the received weights.

        Args:
            assignment: What is asked of it.
        """
        placed = self._placement.assignment(assignment)
        with self._contained(placed), self._seeded("client", assignment):
            yield self._training_task(placed)

    def _checked(self, update: Update, assignment: Assignment, is_summed: bool) -> Update:
        model = self._architecture(assignment.client).network.model
        return self._outgoing.checked(update, assignment, model, is_summed)

    def _trained(self, task: LocalTask) -> object:
        """Return what the algorithm returns; one that learns by labels alone needs some.

        Raises:
            FedlabError: If a batch does not fit into the device's memory.
        """
        if not task.is_labelled and not self.algorithm.learns_without_labels:
            # An update of no examples has no weight in any mean, and no strategy sees it.
            return Update(task.wire.clone(), 0, {}, state=task.state)
        with suppress(torch.OutOfMemoryError):
            return self.algorithm.train(task)
        raise does_not_fit(self.algorithm, task)

    def _deterministic(self) -> AbstractContextManager[None]:
        return deterministic(self.device, self.scenario.engine.deterministic)

    @contextmanager
    def _contained(self, *assignments: Assignment, draws: bool = False) -> Iterator[None]:
        """Keep clients' code, inside the block, from changing what other clients use, too."""
        shared = {
            id(tensor): tensor for a in assignments for tensor in (a.wire, *a.arrays.values())
        }
        stored = self.federation.dataset.train.shared
        with contained([*shared.values(), *stored], draws=draws), self._deterministic():
            yield

    def train_block(
        self, assignments: Sequence[Assignment]
    ) -> Iterator[tuple[int, Update | Exception]]:
        """Train a block's clients; yield each one's number and its update, or what it raised.

        Where the network can be stacked they are trained at once; should that fail, one after the
        other, so that the one that fails is found.
        """
        if self.stacking.decision.used:
            try:
                with self._contained(*assignments, draws=True):
                    updates = self.time_limit.run(
                        len(assignments), self._train_stacked, assignments
                    )
            except SharedChanged:
                raise
            except torch.OutOfMemoryError:
                logger.warning(does_not_fit_stacked(len(assignments), self.device))
            except Exception:
                logger.debug("a stack of clients failed; running them apart", exc_info=True)
            else:
                yield from updates
                return
        for assignment in assignments:
            try:
                yield assignment.client, self.time_limit.run(1, self.train, assignment, True)
            except Exception as error:
                yield assignment.client, error

    def _train_stacked(
        self, assignments: Sequence[Assignment]
    ) -> list[tuple[int, Update | Exception]]:
        start = time.perf_counter()
        tasks, terms, vectors = [], [], []
        ordered = sorted(assignments, key=self._work, reverse=True)
        for assignment in ordered:
            placed = self._placement.assignment(assignment)
            task = self._training_task(placed, is_stacked=True)
            tasks.append(task)
            terms.append(self.algorithm.parameter_terms(task))
            vectors.append(task.received)
        steps = stacked_steps(self.algorithm, tasks)
        assert self.stacking.kind is not None
        fits, stack = fit_stacked(self.stacking.kind, tasks, vectors, terms, steps)
        seconds = (time.perf_counter() - start) / len(tasks)
        updates: dict[int, Update | Exception] = {}
        for k, (assignment, task, fitted) in enumerate(zip(ordered, tasks, fits, strict=True)):
            try:
                with self._contained(assignment):
                    reached = self._reached(stack, k, fitted)
                    update = is_update(self.algorithm.update(task, reached), self.device)
                    update.metrics["seconds"] = seconds
                    updates[task.client] = self._checked(update, assignment, True)
            except (ClientTimeout, SharedChanged):
                raise
            except Exception as error:
                updates[task.client] = error
        return [(a.client, updates[a.client]) for a in assignments]

    def _reached(self, stack: Descent, client: int, fitted: Fit) -> Fit:
        """Return a fit with the weights that a client of a stack reached, or in the network."""
        model = self.network.model
        if model.layout.personal_size or reads_network(self.algorithm):
            stack.write(client, model.weights)
            return fitted
        wire = torch.empty(model.layout.size, device=self.device)
        stack.write(client, wire)
        return replace(fitted, wire=wire)

    def _work(self, assignment: Assignment) -> tuple[int, int]:
        """Return a client's steps and examples."""
        settings = self.scenario.client
        size = self.federation.part_sizes(assignment.client)[0]
        epochs = local_epochs(assignment.config, settings.epochs)
        return math.ceil(size / int(settings.batch_size)) * epochs, size

    def evaluate(self, assignment: Assignment) -> tuple[int, dict[str, float]]:
        """Return the number of examples that a client is evaluated on and the metrics on them."""
        assignment = self._placement.assignment(assignment)
        with self._contained(assignment), self._seeded("evaluation", assignment):
            asked = assignment.client, assignment.round
            examples, validation = self.federation.examples_in(*asked)
            own = self.federation.evaluation_examples_in(*asked)
            if len(own) == 0:
                return 0, {}
            if is_unseen(self.federation, assignment.client):
                settings = self.scenario.evaluation
                begun = partial(self._task, assignment, examples, own)
                metrics = metrics_after_steps(self.algorithm, settings, self.federation, begun)
                check_numbers(metrics)
                return len(own), metrics
            metrics = self.algorithm.evaluate(self._task(assignment, examples, own))
            check_numbers(metrics)
            chooses = self.scenario.evaluation.looks_at_validation
            if chooses and self.federation.client_test and len(validation):
                metrics = metrics | self._on_validation(assignment, examples, validation)
            return len(own), metrics | undefined_metrics(self.federation.dataset.task, metrics)

    def _on_validation(
        self, assignment: Assignment, examples: Examples, validation: Examples
    ) -> dict[str, float]:
        """Return the metrics on the validation part of a client that has a test part, too."""
        found = self.algorithm.evaluate(self._task(assignment, examples, validation))
        check_numbers(found)
        others = (GLOBAL, BEFORE)
        return {f"{VALIDATION}{n}": v for n, v in found.items() if not n.startswith(others)}

    def evaluate_rows(
        self, wire: torch.Tensor, start: int, stop: int, server_round: int = 0
    ) -> dict[str, torch.Tensor]:
        """Return the metrics' sums of the weights on rows ``start`` to ``stop`` of the test set.

        They are as they are in a round, where shifts change with the rounds; 0: before the first.
        """
        self.network.model.reset(self._placement.shared(wire))
        test = self.federation.dataset.test
        part = self.federation.test_in(start, stop, server_round)
        task = self.federation.dataset.task
        criterion = self.algorithm.criterion(task)
        groups = reported_groups(test)
        sites = None if groups is None else groups[start:stop]
        with self._deterministic():
            self.algorithm.adapt_to_inputs(self.network, part, self.prepare)
            evaluation = evaluate(self.network, part, task, self.prepare, criterion, sites=sites)
            if self.adversary is not None and self.adversary.attack.has_trigger:
                count_success(evaluation, self.network, part, self.prepare, self.adversary)
        state: dict[str, torch.Tensor] = evaluation.state()
        return state

    def _seeded(self, purpose: str, assignment: Assignment) -> AbstractContextManager[None]:
        return seeding.scope(self.scenario.seed, purpose, assignment.round, assignment.client)

    def _training_task(self, assignment: Assignment, is_stacked: bool = False) -> LocalTask:
        """Return a client's task on its own examples, or on what it poisons of them."""
        examples, validation = self.federation.examples_in(assignment.client, assignment.round)
        task = self._task(assignment, examples, validation, is_stacked)
        if self.adversary is None:
            return task
        return poisoned(task, self.adversary, self.scenario.seed)

    def _task(
        self,
        assignment: Assignment,
        examples: Examples,
        validation: Examples,
        is_stacked: bool = False,
    ) -> LocalTask:
        own = {
            name: t
            for name, t in assignment.state.items()
            if name != RECEIVED and not name.startswith(f"{UPDATE}.")
        }
        architecture = self._architecture(assignment.client)
        network = architecture.network
        personal = own.pop(PERSONAL, None)
        if not is_stacked or network.model.layout.personal_size:
            network.model.reset(assignment.wire, personal)
        generator = seeding.torch_generator(
            self.scenario.seed, "batches", assignment.round, assignment.client
        )
        return LocalTask(
            client=assignment.client,
            round=assignment.round,
            rounds=self.scenario.own_rounds,
            first_round=self.scenario.first_round,
            network=network,
            wire=assignment.wire,
            examples=examples,
            validation=validation,
            arrays=assignment.arrays,
            config=assignment.config,
            state=own,
            generator=generator,
            task=self.federation.dataset.task,
            prepare=architecture.prepare,
            augment=architecture.augment,
            public=self.federation.public,
            scale=LossScale() if scales_losses(self.scenario.engine) else None,
            micro_batch=micro_batch(self.scenario.engine),
            watch=self.watch,
            is_labelled=assignment.client not in self.federation.unlabelled,
            has_target=bool(self.federation.unlabelled),
        )
