"""A trained network, loaded from a run folder with all that is needed to use it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from fedlab.copying import to_device, to_host
from fedlab.data import task_file
from fedlab.data.dataset import Task
from fedlab.determinism import deterministic
from fedlab.errors import FedlabError, one_line
from fedlab.files import BEST, MODEL, SCENARIO, SUMMARY, TASK
from fedlab.models.compact import expanded
from fedlab.models.network import Network, build_network, without_merged
from fedlab.results.parsing import read_object
from fedlab.results.rows import Summary
from fedlab.run.folder import RunFolder
from fedlab.run.same_data import check_task
from fedlab.scenario import Scenario
from fedlab.scenario.parts import load_dataset, preparation, task_of
from fedlab.scenario.phases import phase_at, phases_of

if TYPE_CHECKING:
    from fedlab.data.transforms import Preparation


@dataclass(frozen=True)
class Trained:
    """A trained network, ready for use.

    Attributes:
        folder: The folder of the run that trained it.
        task: The task that it was trained for.
        network: The network in evaluation mode.
        prepare: Converts stored inputs to inputs of the network.
        phase: The phase of the run that its weights are from; without phases, the scenario.
        weights: The file that its weights are from.
    """

    folder: RunFolder
    task: Task
    network: Network
    prepare: Preparation
    phase: Scenario
    weights: Path

    @property
    def scenario(self) -> Scenario:
        """Return the scenario of the run."""
        return self.folder.scenario

    @property
    def device(self) -> torch.device:
        """Return where the network is."""
        return self.network.model.device

    def at(self, device: torch.device) -> Trained:
        """Return the same network on a device; this one is not to be used any more."""
        return self if device == self.device else replace(self, network=self.network.at(device))

    def computing(self) -> AbstractContextManager[None]:
        """Compute inside the block as the run did: with the same bits each time, if it says so."""
        return deterministic(self.device, self.scenario.engine.deterministic)

    @torch.no_grad()
    def outputs(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the network's outputs for stored inputs, (N, ...), before any softmax.

        Inputs and outputs are on the CPU, wherever the network is.
        """
        with self.computing():
            placed = self.prepare(to_device(inputs, self.device))
            return to_host(self.network.model.call(placed))


def load_trained(path: Path, best: bool = False) -> Trained:
    """Return the network that the run at ``path`` trained.

    Neither the training data nor the pretrained weights are needed, unless the run folder lacks its
    ``task.json``: then the data set is loaded for its task.

    Args:
        path: The run folder.
        best: With the weights of the round that was best on the clients' validation parts, not
            those of the run's end.

    Raises:
        FedlabError: If this is not the folder of a finished run, or if its weights do not fit its
            scenario.
    """
    folder = RunFolder.open(path)
    weights = _weights_of(folder, best)
    described = path / TASK
    if described.is_file():
        task = task_file.read(described)
    else:
        task = task_of(folder.scenario, load_dataset(folder.scenario).task)
        check_task(folder, task)
    model = folder.scenario.model
    # The run's own weights are loaded next: pretrained ones are not needed.
    settings = without_merged(model.model_copy(update={"pretrained": False}))
    try:
        network = build_network(settings, task, folder.scenario.seed)
    except (RuntimeError, MemoryError, OverflowError) as error:
        # Damaged files may ask for any size.
        raise FedlabError(
            f"{path}: the model that {SCENARIO} and {TASK} describe cannot be built: "
            f"{one_line(str(error), 200) or type(error).__name__}"
        ) from error
    _fill(network, weights)
    network.evaluation_mode()
    phase = _phase_of(folder, best)
    return Trained(folder, task, network, preparation(network, task, model), phase, weights)


def _weights_of(folder: RunFolder, best: bool) -> Path:
    """Return the file of a finished run's weights.

    Raises:
        FedlabError: If it is not there, with what would help.
    """
    path = folder.path
    if not (path / MODEL).is_file():
        raise FedlabError(
            f"{path} holds no {MODEL}: the run did not finish; "
            f"continue it with 'fedlab resume {path}'"
        )
    if best and not (path / BEST).is_file():
        evaluation = folder.scenario.evaluation
        wanted = "data.validation above 0"
        if not (evaluation.federated and evaluation.keep_best):
            wanted = "evaluation.federated = true (and evaluation.keep_best)"
        raise FedlabError(
            f"--best: {path} holds no {BEST}: no round was judged by the clients' validation "
            f"parts; a run with {wanted} keeps the best one's weights"
        )
    return path / (BEST if best else MODEL)


def _phase_of(folder: RunFolder, best: bool) -> Scenario:
    """Return the phase of a finished run that the weights in one of its files are from."""
    phases = phases_of(folder.scenario)
    summary = read_object(folder.path / SUMMARY, Summary) if len(phases) > 1 else None
    if summary is None:
        return phases[-1]
    kept = summary.best_by_validation
    is_kept = kept is not None and (best or kept.restored)
    return phases[phase_at(phases, kept.round if kept and is_kept else summary.rounds)]


def _fill(network: Network, path: Path) -> None:
    """Copy a file's tensors into the network, all of them or none."""
    try:
        state = expanded(load_file(path))
    except (SafetensorError, OSError) as error:
        raise FedlabError(f"{path} is not a whole safetensors file: {error}") from error
    module = network.model.module
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise FedlabError(
                f"{path} does not fit the scenario's model: '{name}' is "
                f"{_shape(found.get(name))} in the file and {_shape(expected.get(name))} in the "
                "model"
            )
    module.load_state_dict(state)


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else str(list(shape))
