"""Settings that Optuna draws, by what the ones before have reached (Akiba et al. 2019, "Optuna").

A trial is a setting with all its seeds, run one after the other; its value is the mean of their
last ones. Trials are kept in an SQLite file of the sweep's folder, so that a search goes on where
it was stopped: trials that were under way then are drawn again and go on in their folders.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from fedlab import files, seeding
from fedlab.errors import FedlabError
from fedlab.metrics.names import MetricName, headline
from fedlab.results.rows import INTERRUPTED, PRUNED, RoundRow
from fedlab.use.sweep.description import Range, Search
from fedlab.use.sweep.jobs import Outcome
from fedlab.use.sweep.members import Member, SweepFolder
from fedlab.use.sweep.points import Point, point_of

STUDY = "sweep"


@dataclass
class Trial:
    """A setting that is being tried.

    Attributes:
        handle: Optuna's trial.
        waiting: The seeds' runs that are still to be begun.
        values: What the ended ones have reached, greater being better.
        watched: The run whose rounds decide whether the trial goes on.
    """

    handle: Any
    waiting: deque[Member]
    watched: Member
    values: list[float] = field(default_factory=list)


class OptunaSource:
    """Draws settings with one of Optuna's samplers.

    Args:
        folder: The sweep's folder.
        search: How settings are drawn.
        added: Called when a setting has been drawn.

    Raises:
        FedlabError: If Optuna is not installed, or its file cannot be used.
    """

    def __init__(
        self, folder: SweepFolder, search: Search, added: Callable[[], None] = lambda: None
    ) -> None:
        self._folder = folder
        self._search = search
        self._added = added
        self._study = _study(folder.path, search)
        self._trials: list[Trial] = []
        self._by_path: dict[Path, Trial] = {}
        self._metric: MetricName | None = None
        self._is_over = False
        self._failed = 0
        self._take_up()

    def _take_up(self) -> None:
        """Draw anew what was under way when the search was stopped, and know what was run."""
        from optuna.trial import TrialState

        for trial in self._study.get_trials(deepcopy=False):
            if trial.state == TrialState.RUNNING:
                self._study.tell(trial.number, state=TrialState.FAIL)
                self._study.enqueue_trial(trial.params)
            elif trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
                self._folder.add([_point(self._search, trial.params)])

    @property
    def left(self) -> int:
        """Return how many settings are still to be drawn; those that fail now count, too."""
        from optuna.trial import TrialState

        counted = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
        done = len(self._study.get_trials(deepcopy=False, states=counted))
        return max(0, self._search.trials - done - self._failed)

    def next(self) -> Member | None:
        """Return the next seed of a trial under way, or the first one of a new setting."""
        if self._is_over:
            return None
        for trial in list(self._trials):
            if (member := self._next_of(trial)) is not None:
                return member
        while self.left:
            trial = self._drawn()
            if (member := self._next_of(trial)) is not None:
                return member
            if trial in self._trials:
                # Another trial runs the same setting: both end with that.
                return None
        return None

    def _next_of(self, trial: Trial) -> Member | None:
        """Return the next run of a trial; what has been run already is taken, and a trial settled.

        Seeds wait for the first, which may be ended early.
        """
        while trial.waiting and trial.waiting[0].is_finished:
            value = self._reached(trial.waiting.popleft())
            trial.values += [] if value is None else [value]
        if not trial.waiting:
            if trial not in self._by_path.values():
                self._settle(trial)
            return None
        member = trial.waiting[0]
        if member.path in self._by_path or not (trial.values or member is trial.watched):
            return None
        self._by_path[member.path] = trial
        return trial.waiting.popleft()

    def _drawn(self) -> Trial:
        handle = self._study.ask()
        params = {key: _suggest(handle, key, space) for key, space in self._search.space.items()}
        members = self._folder.add([_point(self._search, params)])
        self._added()
        trial = Trial(handle, deque(members), members[0])
        self._trials.append(trial)
        return trial

    def watch(self, member: Member, report: dict[str, Any]) -> bool:
        """Tell Optuna of a round; return whether its pruner lets the run go on."""
        trial = self._by_path.get(member.path)
        value = self._value(report["test"], report["clients"])
        if trial is None or member is not trial.watched or value is None or not report["round"]:
            return True
        trial.handle.report(value, report["round"])
        return not trial.handle.should_prune()

    def take(self, outcome: Outcome) -> None:
        """Tell Optuna of a trial whose runs have ended."""
        from optuna.trial import TrialState

        if outcome.reason == INTERRUPTED:
            self._is_over = True
            return
        trial = self._by_path.pop(outcome.member.path)
        if trial not in self._trials:
            return  # another of its seeds has failed
        value = self._reached(outcome.member) if outcome.came_to_its_end else None
        if value is not None:
            trial.values.append(value)
            if not trial.waiting and trial not in self._by_path.values():
                self._settle(trial)
            return
        if outcome.reason == PRUNED:
            self._trials.remove(trial)
            self._study.tell(trial.handle, state=TrialState.PRUNED)
        else:
            self._fail(trial)

    def _settle(self, trial: Trial) -> None:
        if not trial.values:
            self._fail(trial)
            return
        self._trials.remove(trial)
        self._study.tell(trial.handle, fmean(trial.values))

    def _fail(self, trial: Trial) -> None:
        from optuna.trial import TrialState

        self._failed += 1
        self._trials.remove(trial)
        self._study.tell(trial.handle, state=TrialState.FAIL)

    def _reached(self, member: Member) -> float | None:
        """Return the value of a run's last round, greater being better."""
        rows = member.record().rounds
        key = self._search.by
        row = next((r for r in reversed(rows) if (r.test if key == "test" else r.clients)), None)
        return None if row is None else self._value(row.test, _means(row))

    def _value(self, test: dict[str, float], clients: dict[str, float]) -> float | None:
        """Return what decides, greater being better; None where there is no number."""
        found = test if self._search.by == "test" else clients
        self._metric = self._metric or headline(found)
        if self._metric is None or self._metric.name not in found:
            return None
        value = found[self._metric.name]
        if not math.isfinite(value):
            return -math.inf
        return value if self._metric.higher_is_better else -value

    def best(self) -> Point | None:
        """Return the best setting; None where no trial has been run to its end."""
        from optuna.trial import TrialState

        if not self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            return None
        return _point(self._search, self._study.best_params)


def _means(row: RoundRow) -> dict[str, float]:
    return {name: spread.mean for name, spread in row.clients.items()}


def _point(search: Search, params: dict[str, Any]) -> Point:
    keys = {key: _plain(params[key], space) for key, space in search.space.items()}
    return point_of(keys)


def _plain(value: Any, space: Range) -> Any:
    """Return a drawn value as it is written: six digits say enough of a rate."""
    return float(f"{value:.6g}") if isinstance(value, float) and not space.choices else value


def _suggest(trial: Any, key: str, space: Range) -> Any:
    if space.choices:
        return trial.suggest_categorical(key, list(space.choices))
    if space.is_whole:
        return trial.suggest_int(key, space.low, space.high, log=space.log)
    return trial.suggest_float(key, space.low, space.high, log=space.log)


def _study(folder: Path, search: Search) -> Any:
    try:
        import optuna
    except ImportError as error:
        raise FedlabError(
            f"search.sampler = '{search.sampler}' needs Optuna, which is not installed; type: pip "
            "install 'fedlab-sim[sweep]', or set sampler = 'random'"
        ) from error
    optuna.logging.set_verbosity(logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=f"sqlite:///{folder / files.SWEEP_STUDY}",
        study_name=STUDY,
        load_if_exists=True,
        direction="maximize",
        pruner=_pruner(optuna, search),
    )
    study.sampler = _sampler(optuna, search, len(study.get_trials(deepcopy=False)))
    return study


def _sampler(optuna: Any, search: Search, done: int) -> Any:
    """Return the sampler.

    Args:
        optuna: The module.
        search: How settings are drawn.
        done: How many trials there are: with one seed it would draw the first ones again.
    """
    if search.sampler == "qmc":
        # Its place in the sequence is kept with the trials.
        return optuna.samplers.QMCSampler(seed=search.seed)
    kinds = {
        "tpe": optuna.samplers.TPESampler,
        "gp": optuna.samplers.GPSampler,
        "cmaes": optuna.samplers.CmaEsSampler,
    }
    return kinds[search.sampler](seed=seeding.derive(search.seed, "sampler", done) % 2**32)


def _pruner(optuna: Any, search: Search) -> Any:
    kinds = {
        "none": optuna.pruners.NopPruner,
        "median": optuna.pruners.MedianPruner,
        "hyperband": optuna.pruners.HyperbandPruner,
    }
    return kinds[search.pruner]()
