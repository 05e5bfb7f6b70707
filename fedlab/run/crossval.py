"""K-fold cross-validation of the number of rounds.

The pooled training part is cut into folds of equal size (of equal class shares, where there are
classes). Each fold in turn is the server's test set of a federation whose clients share the other
folds, split by the scenario's own partitioner. The round with the best test metric is the fold's
best iteration; the final fit, on all of the training data, takes the mean over folds of the best
iteration as its number of rounds (Mitchell, "Machine Learning", 1997, section 4.6.5).
In place of random folds, each domain can be left out in turn.

Features that a data source standardised keep the statistics of its whole training part. A
learning-rate schedule over rounds spans the rounds of each run, so the final fit's is the shorter.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import mean, stdev
from typing import Any

import numpy as np

from fedlab import registry, seeding
from fedlab.data.content import content_of
from fedlab.data.dataset import Dataset, Examples, IntArray
from fedlab.data.federation import Federation, domains_of, of_clients, some_of
from fedlab.engine import batch_size
from fedlab.errors import FedlabError
from fedlab.metrics.names import MetricName, headline
from fedlab.run.callbacks import Callback, Fold, RoundOutcome, RunView, StopWhenGoodEnough
from fedlab.run.simulation import Simulation
from fedlab.scenario import Scenario
from fedlab.scenario.parts import load_dataset, load_federation, split


@dataclass(frozen=True)
class CrossValidation:
    """The outcomes of all folds, and the content of ``data.json`` of what was cut into them."""

    folds: tuple[Fold, ...]
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def rounds(self) -> int:
        """Return the mean over folds of the best iteration, rounded half up."""
        return int(mean(fold.best_round for fold in self.folds) + 0.5)

    @property
    def mean(self) -> float:
        """Return the mean over folds of the metric in the best round."""
        return mean(fold.best for fold in self.folds)

    @property
    def std(self) -> float:
        """Return its standard deviation over folds (of a sample: divided by folds − 1)."""
        return stdev(fold.best for fold in self.folds)

    def as_json(self) -> dict[str, Any]:
        """Return the content of ``crossval.json``."""
        return {
            "metric": self.folds[0].metric,
            "mean": self.mean,
            "std": self.std,
            "rounds": self.rounds,
            "folds": [asdict(fold) for fold in self.folds],
        }


def cross_validate(
    scenario: Scenario, folds: int, callbacks: Sequence[Callback] = ()
) -> CrossValidation:
    """Run the scenario once per fold, for as many rounds as it asks for.

    Args:
        scenario: What is run; its early stopping ends a fold's run, too.
        folds: How many parts the training examples are cut into.
        callbacks: Are given the outcome of each fold as soon as its run has ended.

    Raises:
        FedlabError: If the folds are fewer than two or more than the examples, or a run cannot be
            made.
    """
    _check(scenario)
    stopping = scenario.evaluation.early_stopping
    needed = stopping is not None and stopping.on == "validation"
    evaluation = scenario.evaluation.model_copy(update={"federated": needed, "keep_best": False})
    one_fold = scenario.model_copy(update={"evaluation": evaluation})
    results = []
    whole = load_dataset(scenario)
    for number, dataset in enumerate(fold_datasets(whole, folds, scenario.seed)):
        fold = _run_fold(one_fold, split(one_fold, dataset), number + 1, callbacks, _BestRound())
        results.append(fold)
        for callback in callbacks:
            callback.fold_ended(results[-1], folds)
    return CrossValidation(tuple(results), content_of(split(scenario, whole)))


def _check(scenario: Scenario) -> None:
    """Refuse what cannot be run fold by fold.

    Raises:
        FedlabError: If so.
    """
    if registry.engines.get(scenario.engine.name).traits.loads_own_data:
        raise FedlabError(
            f"engine.name: the clients of engine '{scenario.engine.name}' load the scenario's data "
            "by themselves and cannot be given a fold; use --set engine.name=ray"
        )
    if any(not getattr(table, "is_constant", True) for table in scenario.data.shift):
        raise FedlabError(
            "data.shift: it changes with the rounds, and cross-validation looks for the best "
            "number of them; leave first_round, last_round and growing_rounds out"
        )
    if scenario.phases:
        raise FedlabError(
            "phases: cross-validation looks for the best number of rounds, and phases say theirs; "
            "leave phases out, or compare runs on a test set of their own"
        )
    if batch_size.is_open(scenario):
        raise FedlabError(
            "client.batch_size: all folds shall have the same one, and 'auto' is found anew for "
            "each run; set a number"
        )


def leave_one_domain_out(scenario: Scenario, callbacks: Sequence[Callback] = ()) -> CrossValidation:
    """Run the scenario once per domain, on the others' clients, and test it on that domain.

    A domain's clients are those of one natural group of the data, or of one combination of shifts;
    where there are no groups, each client is a domain. All that the domain's clients hold is its
    test set, after the last round: nothing is chosen by it (Gulrajani and Lopez-Paz 2021, "In
    search of lost domain generalization", leave one domain out).

    Args:
        scenario: What is run.
        callbacks: Are given the outcome of each domain as soon as its run has ended.

    Raises:
        FedlabError: If there are fewer than two domains, or a run cannot be made.
    """
    _check(scenario)
    if scenario.data.unlabelled:
        raise FedlabError(
            "data.unlabelled: each domain in turn is left out, so all need their labels; leave the "
            "key out"
        )
    evaluation = scenario.evaluation.model_copy(
        update={"federated": False, "keep_best": False, "early_stopping": None}
    )
    one_fold = scenario.model_copy(update={"evaluation": evaluation})
    whole = load_federation(scenario)
    domains = domains_of(whole)
    if len(domains) < 2:
        raise FedlabError(
            "--leave-out: all clients are of one domain; split the data with data.partition.name = "
            "'natural', or let a table [[data.shift]] make domains"
        )
    results = []
    for number, (name, clients) in enumerate(domains.items(), 1):
        own = set(clients)
        others = of_clients(whole, [c for c in range(len(whole)) if c not in own])
        rows = np.sort(np.concatenate([whole.partition.rows(client) for client in clients]))
        test = some_of(
            _ungrouped(whole.dataset.train.take(rows)),
            scenario.evaluation.test_examples,
            scenario.seed,
            f"left out {name}",
        )
        federation = replace(others, dataset=replace(whole.dataset, test=test))
        fold = _run_fold(one_fold, federation, number, callbacks, _LastRound())
        results.append(replace(fold, left_out=name))
        for callback in callbacks:
            callback.fold_ended(results[-1], len(domains))
    return CrossValidation(tuple(results), content_of(whole))


def final_fit(scenario: Scenario, rounds: int) -> Scenario:
    """Return the scenario that trains on everything for ``rounds`` rounds, neither more nor less.

    Early stopping is left out: it watches the test set, which has no say in a final fit.
    """
    evaluation = scenario.evaluation.model_copy(update={"early_stopping": None})
    return scenario.model_copy(update={"rounds": rounds, "evaluation": evaluation})


def fold_datasets(dataset: Dataset, folds: int, seed: int) -> Iterator[Dataset]:
    """Yield the data set once per fold: the fold as its test set, the others as its training part.

    Folds are stratified for classes, unless every class has fewer examples than there are folds.

    Raises:
        FedlabError: If the folds are fewer than two or more than the examples.
    """
    count = len(dataset.train)
    if folds < 2:
        raise FedlabError(f"--folds: cross-validation needs at least 2 folds, not {folds}")
    if folds > count:
        raise FedlabError(
            f"--folds: {folds} folds cannot be made of {count} training examples; ask for "
            f"{count} at most"
        )
    classes = dataset.train.targets.numpy() if dataset.task.kind == "classification" else None
    for train, test in _split(count, classes, folds, seed):
        yield replace(
            dataset, train=dataset.train.take(train), test=_ungrouped(dataset.train.take(test))
        )


def _split(
    count: int, classes: IntArray | None, folds: int, seed: int
) -> Iterator[tuple[IntArray, IntArray]]:
    from sklearn.model_selection import KFold, StratifiedKFold

    state = seeding.derive(seed, "folds") % 2**32
    rows = np.arange(count)
    if classes is None or np.bincount(classes).max() < folds:
        yield from KFold(folds, shuffle=True, random_state=state).split(rows)
        return
    with warnings.catch_warnings():
        # A class rarer than the folds is spread over as many of them as it can be.
        warnings.filterwarnings("ignore", message="The least populated class")
        yield from StratifiedKFold(folds, shuffle=True, random_state=state).split(rows, classes)


def _ungrouped(examples: Examples) -> Examples:
    """Return the examples as the server has them: nobody's in particular."""
    return examples.without_groups()


def _run_fold(
    scenario: Scenario,
    federation: Federation,
    number: int,
    told: Sequence[Callback],
    watch: _BestRound,
) -> Fold:
    callbacks: list[Callback] = [watch]
    if scenario.evaluation.early_stopping is not None:
        callbacks.append(StopWhenGoodEnough(scenario.evaluation.early_stopping))
    # Clients that never train have no say in the number of rounds.
    with Simulation(scenario, replace(federation, unseen=None)) as simulation:
        for callback in told if number == 1 else ():
            callback.noted(simulation.notes)
        rounds = simulation.rounds(callbacks)
        rounds.run()
    if watch.metric is None:
        raise FedlabError(f"fold {number}: the run was stopped before it was tested on the fold")
    return Fold(
        fold=number,
        train_examples=federation.partition.total,
        test_examples=len(federation.dataset.test),
        rounds=rounds.round,
        best_round=watch.round,
        metric=watch.metric.name,
        best=watch.test[watch.metric.name],
        test=watch.test,
    )


class _BestRound(Callback):
    """Keeps the earliest round with the best value of the metric that the task is judged by."""

    def __init__(self) -> None:
        self.metric: MetricName | None = None
        self.round = 0
        self.test: dict[str, float] = {}

    def round_ended(self, run: RunView, outcome: RoundOutcome) -> None:
        """Compare the round's test metric; round 0 is no training, and so no candidate."""
        test = outcome.record.get("test")
        if test is None or outcome.round == 0:
            return
        self.metric = self.metric or headline(test)
        assert self.metric is not None
        name = self.metric.name
        if not self.test or self.takes(test[name], self.test[name]):
            self.round, self.test = outcome.round, test

    def takes(self, value: float, best: float) -> bool:
        """Return whether a round's value is better than the best before."""
        assert self.metric is not None
        return self.metric.better(value, best)


class _LastRound(_BestRound):
    """Keeps the last round, whatever its value."""

    def takes(self, value: float, best: float) -> bool:
        """Return true."""
        return True
