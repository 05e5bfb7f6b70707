"""A scenario that fine-tunes a backbone on a folder of pictures."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from fedlab.data.names import readable, shown
from fedlab.errors import FedlabError
from fedlab.files import check_replaceable, write_whole
from fedlab.scenario import Scenario
from fedlab.scenario.loading import check, overridden

HEADER = "# Written by 'fedlab finetune'; 'fedlab run' with this file runs it again.\n"


@dataclass(frozen=True)
class FineTuning:
    """A fine-tuning task: backbone, data, and how to train.

    Attributes:
        data: A folder with one subfolder of pictures per class.
        backbone: A timm, torchvision or zoo model.
        clients: Number of clients.
        partition: The partitioner that distributes the pictures.
        rounds: Rounds of federated training.
        image_size: Side in pixels of the square inputs of the backbone.
        trainable: As ``model.trainable``.
        pretrained: As ``model.pretrained``; None takes weights from a package if fedlab knows one,
            else from the library's hub.
        overrides: Further keys of the scenario, ``table.key=value`` each.
    """

    data: Path
    backbone: str
    clients: int = 5
    partition: str = "iid"
    rounds: int = 5
    image_size: int = 112
    trainable: str = "all"
    pretrained: bool | str | None = None
    overrides: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return a name for the scenario."""
        return f"{self.data.resolve().name}-{self.backbone.replace('/', '-')}"


def compose(wanted: FineTuning) -> tuple[dict[str, Any], Scenario]:
    """Return the keys that are set, and the validated scenario.

    Raises:
        FedlabError: If the folder does not exist, or the scenario is invalid; the message names
            every problem.
    """
    if not wanted.data.is_dir():
        raise FedlabError(f"--data: there is no folder {shown(wanted.data)}")
    if readable(str(wanted.data.resolve())) != str(wanted.data.resolve()):
        raise FedlabError(
            f"--data: the name of {shown(wanted.data)} is not UTF-8, as a scenario file has to be; "
            "rename the folder"
        )
    raw = {
        "title": f"{wanted.backbone} fine-tuned on {wanted.data.resolve().name}",
        "rounds": wanted.rounds,
        "data": {
            "name": "imagefolder",
            "path": str(wanted.data.resolve()),
            "image_size": wanted.image_size,
            "partition": {"name": wanted.partition, "clients": wanted.clients},
            "augmentation": {"flip": True, "crop_padding": max(1, wanted.image_size // 16)},
        },
        "model": {
            "name": wanted.backbone,
            "pretrained": _pretrained(wanted),
            "trainable": wanted.trainable,
        },
        "client": {"batch_size": 16, "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9}},
        "evaluation": {"federated": True},
    }
    content = overridden(raw, wanted.overrides)
    return content, check(content, "finetune", folders=[str(Path.cwd())])


def write(content: dict[str, Any], name: str, output: Path | None) -> Path:
    """Write the scenario and return the file: ``output``, or an unused name in the current folder.

    Raises:
        FedlabError: If the file exists, its folder does not, or it cannot be written.
    """
    final = output or _free(name)
    if final.suffix != ".toml":
        raise FedlabError(f"--output: {final} should end in .toml")
    if final.is_file():
        raise FedlabError(f"--output: {final} is there already; run it with 'fedlab run {final}'")
    check_replaceable(final, "--output")
    write_whole(final, (HEADER + tomli_w.dumps(content)).encode())
    return final


def _free(name: str) -> Path:
    """Return the first of name.toml, name-2.toml, ... that does not exist."""
    number = 1
    while os.path.lexists(path := Path(f"{name}{'' if number == 1 else f'-{number}'}.toml")):
        number += 1
    return path


def _pretrained(wanted: FineTuning) -> bool | str:
    from fedlab.models.backbones import describe
    from fedlab.models.timm_backbone import packaged_asset

    if wanted.pretrained is not None:
        return wanted.pretrained
    if describe(wanted.backbone) is None:
        return False
    return "package" if packaged_asset(wanted.backbone) else True
