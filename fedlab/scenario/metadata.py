"""What a file of trained weights says of itself: task, labels, preparation, meaning of outputs."""

from __future__ import annotations

import json
from typing import Any

from fedlab import __version__
from fedlab.data import task_file
from fedlab.data.dataset import Task
from fedlab.models.network import Network
from fedlab.scenario.parts import preparation
from fedlab.scenario.schema import Scenario

VALUES = {"regression", "reconstruction"}
"""Kinds of tasks whose outputs are the values themselves."""


def model_metadata(scenario: Scenario, task: Task, network: Network) -> dict[str, str]:
    """Return the metadata of ``model.safetensors``, each value as text or JSON.

    Keys: "fedlab" (version), "title", "model", "task" (as in ``task.json``), "labels",
    "preprocessing" (from stored inputs to the network's) and "outputs".
    """
    return {
        "fedlab": __version__,
        "title": scenario.title,
        "model": scenario.model.name,
        "task": json.dumps(json.loads(task_file.dumps(task)), ensure_ascii=False),
        "labels": json.dumps(list(task.labels), ensure_ascii=False),
        "preprocessing": json.dumps(_preprocessing(scenario, task, network)),
        "outputs": _outputs(task),
    }


def _outputs(task: Task) -> str:
    if task.kind in VALUES:
        scaled = task.encoding is not None and task.encoding.targets is not None
        return "values, scaled as task.encoding.targets says" if scaled else "values"
    if task.kind == "classification" and task.outputs == 1:
        return "one logit: above 0 for the second class"
    return "logits, before any softmax"


def _preprocessing(scenario: Scenario, task: Task, network: Network) -> dict[str, Any]:
    """Return the constants of the preparation, for pictures in the order in which they apply."""
    if task.modality != "image":
        kind = "int64 tokens" if task.modality == "text" else "float32 numbers"
        return {"input": kind, "shape": ["batch", *task.input_shape]}
    prepare = preparation(network, task, scenario.model)
    channels = prepare.channels or task.input_shape[0]
    size = prepare.image_size
    height, width = (size, size) if size is not None else task.input_shape[1:]
    return {
        "input": "float32 pictures",
        "shape": ["batch", channels, height, width],
        "channels": "grey" if channels == 1 else "RGB" if channels == 3 else f"{channels}",
        "divide_by": 255,
        "resize": "bicubic" if (height, width) != tuple(task.input_shape[1:]) else "none",
        "mean": list(prepare.mean or [0.0] * channels),
        "std": list(prepare.std or [1.0] * channels),
    }
