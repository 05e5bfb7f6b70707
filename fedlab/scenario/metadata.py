"""What a file of trained weights says of itself: task, labels, preparation, meaning of outputs."""

from __future__ import annotations

from fedlab.data.dataset import Task
from fedlab.models.description import metadata
from fedlab.models.network import Network
from fedlab.scenario.parts import preparation
from fedlab.scenario.schema import Scenario


def model_metadata(scenario: Scenario, task: Task, network: Network) -> dict[str, str]:
    """Return the metadata of ``model.safetensors`` (:mod:`fedlab.models.description`)."""
    prepare = preparation(network, task, scenario.model)
    return metadata(task, prepare, scenario.title, scenario.model.name)
