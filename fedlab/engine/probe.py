"""What simple classifiers make of a model's representations: nearest neighbours, a linear probe."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import torch
from torch.nn import functional

from fedlab.algorithm.setup import Setup
from fedlab.data.dataset import Examples
from fedlab.data.federation import Federation, some_of
from fedlab.data.transforms import Preparation
from fedlab.data.virtual import GeneratedExamples
from fedlab.models.network import Network
from fedlab.models.representation import entering_head
from fedlab.scenario import Scenario
from fedlab.scenario.parts import preparation
from fedlab.scenario.schema import ProbeSettings

TEMPERATURE = 0.07
"""Of the neighbours' weights (Wu et al. 2018, section 3.4)."""
ROWS_AT_ONCE = 128
ITERATIONS = 200


def probe_of(scenario: Scenario, federation: Federation) -> ProbeSettings | None:
    """Return how a run's representations are probed, or None where they are not."""
    settings = scenario.evaluation.probe
    if settings is not None:
        return settings
    if federation.dataset.task.kind not in ("self-supervised", "masked-patches"):
        return None
    return ProbeSettings() if _reason_against(federation) is None else None


def objections(setup: Setup) -> Iterator[str]:
    """Yield why the scenario's probe cannot be taken.

    Args:
        setup: All parts of the run.
    """
    if setup.scenario.evaluation.probe is not None:
        reason = _reason_against(setup.federation)
        if reason is not None:
            yield f"evaluation.probe: {reason}; leave the table out"


def _reason_against(federation: Federation) -> str | None:
    train, test = federation.dataset.train, federation.dataset.test
    if len(train) == 0 or len(test) == 0:
        return "the server has no training or no test examples to look at"
    if isinstance(train, GeneratedExamples):
        return "this data set makes training examples client by client, and not for the server"
    targets = test.targets
    if targets.is_floating_point() or targets.ndim != 1 or len(torch.unique(targets)) < 2:
        return "the data set's examples are not of two or more classes"
    return None


class Probe:
    """Classifiers of representations, fitted on some training examples, tried on the test set.

    Args:
        settings: Which, and on how many examples.
        scenario: What is run.
        federation: Its data.
    """

    def __init__(self, settings: ProbeSettings, scenario: Scenario, federation: Federation) -> None:
        self._settings = settings
        self._model = scenario.model
        self._task = federation.dataset.task
        train = federation.dataset.train
        if federation.unlabelled:
            train = train.select(np.flatnonzero(train.targets.numpy() != self._task.padding))
        self.known = some_of(train, settings.examples, scenario.seed, "probe examples")
        self._test = federation.dataset.test

    def measured(self, network: Network, wire: torch.Tensor) -> dict[str, float]:
        """Return the accuracies by name, of weights (wire_size,), which the network then holds."""
        network.model.reset(wire.to(network.model.device))
        network.evaluation_mode()
        prepare = preparation(network, self._task, self._model)
        known, labels = represent(network, self.known, prepare), self.known.targets.cpu()
        tested, wanted = represent(network, self._test, prepare), self._test.targets.cpu()
        found = {}
        if self._settings.linear:
            predicted = by_linear_probe(known, labels, tested)
            found["probe_accuracy"] = float((predicted == wanted).double().mean())
        if self._settings.neighbours:
            predicted = by_neighbours(known, labels, tested, self._settings.neighbours)
            found["knn_accuracy"] = float((predicted == wanted).double().mean())
        return found


@torch.no_grad()
def represent(network: Network, examples: Examples, prepare: Preparation) -> torch.Tensor:
    """Return what enters the head for each example, (N, features), float32 on the CPU.

    Args:
        network: The network, in the mode in which it is to be called.
        examples: The examples.
        prepare: Turns stored inputs into what the network takes.
    """
    device, rows = network.model.device, []
    with entering_head(network) as entered, network.model.precision():
        for stored in examples.blocks(ROWS_AT_ONCE):
            # The whole module: its body may be what follows a frozen part whose features are kept.
            network.model.module(prepare(stored.to(device)))
            values = entered[0]
            # One vector an input: of a sequence the mean over its places.
            rows.append((values.mean(1) if values.ndim == 3 else values.flatten(1)).cpu())
    return torch.cat(rows)


def by_neighbours(
    known: torch.Tensor, labels: torch.Tensor, tested: torch.Tensor, neighbours: int
) -> torch.Tensor:
    """Return the classes (N,) that the nearest neighbours vote for.

    Wu et al. 2018, "Unsupervised Feature Learning via Non-Parametric Instance Discrimination"
    (CVPR), section 3.4: each of the k nearest by the cosine s votes with exp(s / τ).

    Args:
        known: (K, features) representations whose classes are known.
        labels: (K,) their classes.
        tested: (N, features) those to be classified.
        neighbours: k; fewer where fewer are known.
    """
    known, tested = functional.normalize(known, dim=1), functional.normalize(tested, dim=1)
    classes, found = int(labels.max()) + 1, []
    for part in torch.split(tested, ROWS_AT_ONCE):
        near, which = (part @ known.T).topk(min(neighbours, len(known)), dim=1)
        # Shares of the nearest one's weight, which cannot overflow.
        weights = ((near - near[:, :1]) / TEMPERATURE).exp()
        votes = torch.zeros(len(part), classes).scatter_add_(1, labels[which], weights)
        found.append(votes.argmax(1))
    return torch.cat(found)


def by_linear_probe(
    known: torch.Tensor, labels: torch.Tensor, tested: torch.Tensor
) -> torch.Tensor:
    """Return the classes (N,) that logistic regression finds, on standardised features.

    Args:
        known: (K, features) representations whose classes are known.
        labels: (K,) their classes.
        tested: (N, features) those to be classified.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=ITERATIONS))
    with warnings.catch_warnings():
        # Two hundred iterations are what the probe is; they need not be the optimum.
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier.fit(known.numpy(), labels.numpy())
    return torch.from_numpy(classifier.predict(tested.numpy()))
