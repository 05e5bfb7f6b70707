"""Early stopping: when a watched number has stopped improving, or is good enough."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from fedlab.errors import unknown
from fedlab.metrics.names import metric_name
from fedlab.settings import Settings

if TYPE_CHECKING:
    from fedlab.data.dataset import Task


class EarlyStoppingSettings(Settings):
    """Keys of ``[client.early_stopping]``; ``[evaluation.early_stopping]`` has more."""

    metric: str = Field("loss", description="the watched metric")
    patience: int | None = Field(
        None, ge=1, description="epochs or evaluated rounds without improvement"
    )
    minimum_change: float = Field(0.0, ge=0, description="what counts as an improvement")
    threshold: float | None = Field(None, description="stop once the metric is this good")

    @model_validator(mode="after")
    def _has_a_rule(self) -> EarlyStoppingSettings:
        if not self._does_something():
            raise ValueError("early stopping needs patience, threshold, or both")
        return self

    def _does_something(self) -> bool:
        """Return whether the keys have any effect."""
        return self.patience is not None or self.threshold is not None


class RunStoppingSettings(EarlyStoppingSettings):
    """Keys of ``[evaluation.early_stopping]``."""

    on: Literal["test", "validation"] = Field(
        "test",
        description="'test': the server's test set; 'validation': the mean over clients' "
        "validation parts, weighted by examples (needs evaluation.federated)",
    )
    restore_best: bool = Field(
        False,
        description="end with the weights of the best round by the validation parts, not the last "
        "one's; goes with on = 'validation', and needs no rule to stop by",
    )

    @model_validator(mode="after")
    def _the_test_set_chooses_nothing(self) -> RunStoppingSettings:
        if self.restore_best and self.on == "test":
            raise ValueError(
                "restore_best: weights that were chosen by the test set would be tested on what "
                "they were chosen by; set on = 'validation'"
            )
        return self

    def _does_something(self) -> bool:
        return self.restore_best or super()._does_something()


class EarlyStopping:
    """Watches one number, update by update.

    Attributes:
        best: The best value so far.
        waited: Updates since the best value.
    """

    def __init__(self, settings: EarlyStoppingSettings) -> None:
        self._settings = settings
        self._sign = 1.0 if metric_name(settings.metric).higher_is_better else -1.0
        self.best: float | None = None
        self.waited = 0

    def update(self, value: float) -> bool:
        """Take a new value; return whether it is the best so far."""
        gain = None if self.best is None else self._sign * (value - self.best)
        improved = gain is None or gain > self._settings.minimum_change
        if improved:
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        return improved

    def reason(self) -> str | None:
        """Return why to stop now, or None to go on."""
        settings = self._settings
        if self.best is None:
            return None
        if settings.threshold is not None and self._sign * (self.best - settings.threshold) >= 0:
            return f"{settings.metric} reached {self.best:.4g}"
        if settings.patience is not None and self.waited >= settings.patience:
            return f"{settings.metric} has not improved for {self.waited}"
        return None

    def state(self) -> dict[str, float | int | None]:
        """Return what a checkpoint keeps."""
        return {"best": self.best, "waited": self.waited}

    def restore(self, state: dict[str, float | int | None]) -> None:
        """Go on from a checkpoint's state."""
        self.best = state["best"]
        self.waited = int(state["waited"] or 0)


def unknown_metric(table: str, settings: EarlyStoppingSettings | None, task: Task) -> Iterator[str]:
    """Yield what is wrong with the metric that early stopping shall watch.

    Args:
        table: Its table in the scenario.
        settings: Its keys, or None where nothing stops early.
        task: What is learned.
    """
    # The scenario's schema imports this module, and would import torch with it.
    from fedlab.metrics.evaluation import names_of

    if settings is None:
        return
    known = names_of(task)
    if settings.metric not in known:
        yield f"{table}.metric: {unknown('metric', settings.metric, known)}"
