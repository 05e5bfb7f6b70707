"""The best round by the clients' validation parts, and its weights.

The server's test set has no say: what is chosen by it can no longer be tested on it.
``checkpoints/best`` holds the weights of the best round so far, in a file that never changes and
that checkpoints name, so that a run that is killed and resumed ends with the same.
"""

from __future__ import annotations

import logging
import math
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file

from fedlab.metrics.names import headline, metric_name
from fedlab.run import checkpoint
from fedlab.run.callbacks import Callback, RoundOutcome, RunView
from fedlab.run.folder import RunFolder
from fedlab.wire.archive import write_arrays

logger = logging.getLogger(__name__)

_WEIGHTS = "weights"


@dataclass(frozen=True)
class Best:
    """The best round so far.

    Attributes:
        round: Its number.
        metric: The metric that rounds are compared by.
        value: Its value.
        loss: The loss, which decides between equal values; NaN where clients report none.
    """

    round: int
    metric: str
    value: float
    loss: float


class BestWeights(Callback):
    """Keeps the weights of the round that was best on the clients' validation parts.

    Rounds are compared by the metric that early stopping watches, where it watches the validation
    parts, and else by the first of accuracy, perplexity, … that clients report. Of equal values,
    which small validation parts often give, the one with the lower loss is better, and then the
    earlier one.
    """

    name = "best"

    def __init__(self, folder: RunFolder) -> None:
        settings = folder.scenario.evaluation
        stopping = settings.early_stopping
        watched = stopping is not None and stopping.on == "validation"
        self._folder = folder
        self._metric = stopping.metric if stopping is not None and watched else None
        self._keeps = settings.federated and settings.keep_best
        self.best: Best | None = None

    def round_ended(self, run: RunView, outcome: RoundOutcome) -> None:
        """Compare the round, and write its weights where it is the best so far."""
        means = outcome.record.get("validation", {})
        if not self._keeps or run.weights.numel() == 0:
            return
        found = self._judged(outcome.round, means)
        if found is not None and (self.best is None or _is_better(found, self.best)):
            self.best = found
            self._write(run.weights)

    def weights(self) -> torch.Tensor | None:
        """Return (wire_size,) the weights of the best round, or None where none was judged.

        Raises:
            FedlabError: If their file is gone or damaged.
        """
        if self.best is None:
            return None
        return torch.from_numpy(load_file(self._path(self.best.round))[_WEIGHTS])

    def state(self) -> dict[str, Any]:
        """Return which round is the best; its file is named by it."""
        return {} if self.best is None else asdict(self.best)

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint; values of another metric cannot be compared with."""
        self.best = None
        if (
            not self._keeps
            or not state
            or (self._metric is not None and state["metric"] != self._metric)
        ):
            return
        self.best = Best(**state)
        try:
            self.weights()
        except (OSError, SafetensorError, KeyError):
            logger.warning(
                f"{self._path(self.best.round)} cannot be read: the best round is chosen among "
                "those that follow"
            )
            self.best = None

    def _judged(self, number: int, means: dict[str, float]) -> Best | None:
        metric = self._metric
        if metric is None:
            found = headline(means)
            metric = found.name if found is not None else ""
        value = means.get(metric, math.nan)
        if math.isnan(value):
            return None
        return Best(number, metric, value, means.get("loss", math.nan))

    def _path(self, number: int) -> Path:
        return self._folder.best_weights / f"round-{number:05d}.safetensors"

    def _write(self, weights: torch.Tensor) -> None:
        assert self.best is not None
        path = self._path(self.best.round)
        with self._folder.writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_arrays(path, {_WEIGHTS: weights.numpy()})
        self._drop_unnamed(path)

    def _drop_unnamed(self, new: Path) -> None:
        """Remove the files that no checkpoint names any more."""
        named = {new}
        try:
            for extra in checkpoint.extras(self._folder.checkpoints):
                if extra.get(self.name):
                    named.add(self._path(extra[self.name]["round"]))
        except (OSError, ValueError, KeyError):
            return  # a damaged checkpoint may name any of them
        for path in self._folder.best_weights.iterdir():
            if path not in named:
                with suppress(OSError):
                    path.unlink()


def _is_better(new: Best, old: Best) -> bool:
    if new.metric != old.metric:
        return True
    if new.value != old.value:
        return metric_name(new.metric).better(new.value, old.value)
    return new.loss < old.loss or (math.isnan(old.loss) and not math.isnan(new.loss))
