"""What recipes depend on, found out about a user's data and a network for them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedlab.data.inspection import Contents, Finding
from fedlab.errors import FedlabError
from fedlab.scenario import Scenario
from fedlab.use.recipes import Situation

if TYPE_CHECKING:
    from fedlab.data.dataset import Modality

LARGEST_SIDE = 224
"""Pixels that backbones of larger pictures get, too: the cost grows with the square."""
SMALLEST_SIDE, SMALL_SIDE = 16, 64
"""Pixels of pictures for a network without pretrained weights."""
LOOKED_AT = 32
"""Pictures that are looked at for whether they are grey."""
TOKENS_A_WORD, USUAL_WORDS = 1.3, 100
"""Of tokenisers of pretrained models, on English."""
ANY_VOCABULARY = 1 << 18
"""As large as those of pretrained models: embeddings cost nothing to look up."""


def situation_of(finding: Finding, data: Mapping[str, Any], scenario: Scenario) -> Situation:
    """Return what a recipe depends on.

    Args:
        finding: What the data are.
        data: The table ``[data]``.
        scenario: The scenario so far: data, partition and model.
    """
    held_out = finding.details.get("held_out", 0) or finding.examples * 0.2
    training = (finding.examples - held_out) * (1 - scenario.data.validation)
    clients = getattr(scenario.data.partition, "clients", None) or max(1, len(finding.sites))
    situation = Situation(
        examples=training / clients,
        clients=clients,
        is_pretrained=bool(scenario.model.pretrained),
        # Accuracy on the few rows that clients of a table hold out is the same in many rounds.
        metric="accuracy" if finding.classes and finding.kind != "table" else "loss",
    )
    if finding.kind == "pictures":
        side = data["image_size"]
        situation = replace(situation, augmentation=_augmentation(finding.path, side))
        return _with_cost(situation, scenario, "image", (3, side, side))
    if scenario.model.name.startswith("transformers:"):
        tokens = round(TOKENS_A_WORD * finding.details.get("words", USUAL_WORDS))
        return _with_cost(situation, scenario, "text", (max(1, tokens),))
    return situation


def side_of(backbone: str, finding: Finding, is_pretrained: bool) -> int:
    """Return the side of the backbone's inputs: as in pretraining, up to 224 pixels."""
    from fedlab.models.backbones import input_side

    side = input_side(backbone) if is_pretrained else None
    if side is not None:
        return min(side, LARGEST_SIDE)
    sides = [finding.details.get(way, {}).get("median", SMALL_SIDE) for way in ("width", "height")]
    return int(min(SMALL_SIDE, max(SMALLEST_SIDE, *sides)))


def _with_cost(
    situation: Situation, scenario: Scenario, modality: Modality, shape: tuple[int, ...]
) -> Situation:
    """Return a situation with what the backbone takes for inputs of this shape."""
    if not situation.is_pretrained:
        return situation
    from fedlab.data.dataset import Task
    from fedlab.models.size import cost_of

    vocabulary = ANY_VOCABULARY if modality == "text" else 0
    task = Task("classification", modality, shape, outputs=2, vocabulary=vocabulary)
    cost = cost_of(scenario.model, task)
    return replace(
        situation,
        operations=cost.operations,
        stages=cost.stages,
        is_transformer=cost.is_transformer,
        has_batch_norm=cost.has_batch_norm,
    )


def _augmentation(path: Path, side: int) -> dict[str, Any]:
    """Return an augmentation that keeps what pictures show.

    Grey ones are handwriting, print and scans more often than photographs: mirrored, they may show
    something else.
    """
    shifted = {"crop_padding": max(1, side // 16)}
    return shifted if are_grey(path) else {"flip": True, **shifted}


def are_grey(path: Path) -> bool:
    """Return whether some of a folder's pictures, at even distances, are all without colour."""
    from fedlab.data.formats.picture import picture_suffixes, read_picture

    files = [f for f in Contents(path).files if f.suffix.lower() in picture_suffixes()]
    for file in files[:: max(1, math.ceil(len(files) / LOOKED_AT))]:
        try:
            picture = read_picture(file, (3, SMALLEST_SIDE, SMALLEST_SIDE))
        except FedlabError:
            continue
        if (picture != picture[:1]).any():
            return False
    return True
