"""A scenario that fine-tunes a backbone on a user's own data, by a recipe."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tomli_w

from fedlab.data.clients_by import CLIENTS_BY, SITES
from fedlab.data.inspection import Contents, Finding, inspect
from fedlab.data.names import readable, shown
from fedlab.errors import FedlabError
from fedlab.files import check_replaceable, write_whole
from fedlab.scenario import Scenario
from fedlab.scenario.loading import check, overridden
from fedlab.use.recipes import AS_THE_RECIPE_SAYS, RECIPES, Situation, Wishes, tables_of

HEADER = "# Written by 'fedlab finetune'; 'fedlab run' with this file runs it again.\n"
LARGEST_SIDE = 224
"""Pixels that backbones of larger pictures get, too: the cost grows with the square."""
SMALLEST_SIDE, SMALL_SIDE = 16, 64
"""Pixels of pictures for a network without pretrained weights."""
LOOKED_AT = 32
"""Pictures that are looked at for whether they are grey."""
CLIENTS = 5


@dataclass(frozen=True)
class FineTuning:
    """A fine-tuning task: backbone, data, and how to train; None leaves a choice to the recipe.

    Attributes:
        data: A folder or file of the user's own.
        backbone: A timm, torchvision, transformers or zoo model.
        recipe: "auto", "probe" (the head alone) or "full" (the whole network at once).
        clients: Number of clients; None: the data's own sites, else 5.
        partition: The partitioner that distributes the data; None: sites, else 'iid'.
        image_size: Side in pixels of the backbone's square inputs.
        wishes: Rounds, epochs, learning rate and the like.
        pretrained: As ``model.pretrained``; None takes weights from a package if fedlab knows one,
            else from the library's hub.
        seed: The scenario's.
        overrides: Further keys of the scenario, ``table.key=value`` each.
    """

    data: Path
    backbone: str
    recipe: str = "auto"
    clients: int | None = None
    partition: str | None = None
    image_size: int | None = None
    wishes: Wishes = AS_THE_RECIPE_SAYS
    pretrained: bool | str | None = None
    seed: int = 0
    overrides: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return a name for the scenario."""
        backbone = self.backbone.replace("/", "-").replace(":", "-")
        return f"{self.data.resolve().stem}-{backbone}"


@dataclass(frozen=True)
class Composed:
    """A scenario for a fine-tuning task.

    Attributes:
        content: The keys that are set.
        scenario: The scenario, checked.
        understood: What was made of the data and the options, a line each.
    """

    content: dict[str, Any]
    scenario: Scenario
    understood: tuple[str, ...]


def compose(wanted: FineTuning) -> Composed:
    """Return the scenario of a fine-tuning task.

    Raises:
        FedlabError: If the data do not exist, or the scenario is invalid; the message names every
            problem.
    """
    if wanted.recipe not in RECIPES:
        known = ", ".join(f"'{name}'" for name in RECIPES)
        raise FedlabError(f"--recipe: '{wanted.recipe}' is none of {known}")
    if not wanted.data.exists():
        raise FedlabError(f"--data: there is no folder or file {shown(wanted.data)}")
    if readable(str(wanted.data.resolve())) != str(wanted.data.resolve()):
        raise FedlabError(
            f"--data: the name of {shown(wanted.data)} is not UTF-8, as a scenario file has to be; "
            "rename it"
        )
    _check_options(wanted)
    finding = _found(wanted)
    model = {"name": wanted.backbone, "pretrained": _pretrained(wanted)}
    data = _data(wanted, finding, bool(model["pretrained"]))
    raw: dict[str, Any] = {
        "title": f"{wanted.backbone} fine-tuned on {wanted.data.resolve().name}",
        "seed": wanted.seed,
    }
    first = {**raw, "rounds": wanted.wishes.rounds or 1, "data": data, "model": model}
    early = _overridden(first, wanted, ("data.", "model."))
    first_checked = check(early, "finetune", folders=[str(Path.cwd())])
    situation = _situation(wanted, finding, data, first_checked)
    tables = tables_of(wanted.recipe, situation, wanted.wishes)
    raw |= {key: tables.pop(key) for key in ("rounds",) if key in tables}
    raw |= {"data": data | tables.pop("data", {}), "model": model | tables.pop("model", {})}
    content = overridden(raw | tables, wanted.overrides)
    checked = copy.deepcopy(content)
    scenario = check(checked, "finetune", folders=[str(Path.cwd())])
    # With whole paths, and without what phases take over from other tables.
    content |= {table: checked[table] for table in ("data", "model")}
    return Composed(content, scenario, _understood(finding, content, scenario))


def _check_options(wanted: FineTuning) -> None:
    """Check what does not depend on the data, before they are looked at, which may take long.

    Raises:
        FedlabError: With every problem found.
    """
    trainable = wanted.wishes.trainable
    if wanted.recipe == "probe" and trainable not in (None, "head"):
        raise FedlabError(
            f"--recipe probe trains the head alone, and --trainable {trainable} something else; "
            "leave one of them out"
        )
    partition: dict[str, Any] = {"name": wanted.partition or "iid"}
    if wanted.clients is not None or wanted.partition is None:
        partition["clients"] = CLIENTS if wanted.clients is None else wanted.clients
    stand_in = {"name": "digits", "partition": partition}
    raw = {"rounds": 1, "data": stand_in, "model": {"name": wanted.backbone}}
    early = _overridden(raw, wanted, ("data.partition.", "model."))
    check(early, "finetune", folders=[str(Path.cwd())])


def _overridden(raw: dict[str, Any], wanted: FineTuning, begin: tuple[str, ...]) -> dict[str, Any]:
    """Return content with those overrides that begin so."""
    early = (override for override in wanted.overrides if override.startswith(begin))
    return overridden(copy.deepcopy(raw), tuple(early))


def _found(wanted: FineTuning) -> Finding:
    """Return what the data are.

    Raises:
        FedlabError: If no source learns from such data.
    """
    try:
        finding = inspect(wanted.data)
    except FedlabError as error:
        raise FedlabError(f"--data: {error}") from error
    if not finding.scenario:
        reason = finding.why_no_scenario or f"nothing is learned from {finding.kind} like these"
        raise FedlabError(f"--data: {shown(wanted.data)}: {reason}")
    if "task" in finding.scenario["data"] and finding.kind == "pictures":
        raise FedlabError(
            f"--data: {shown(wanted.data)} holds pictures without classes ({finding.layout}); "
            "fine-tuning needs one subfolder of pictures per class"
        )
    return finding


def _data(wanted: FineTuning, finding: Finding, is_pretrained: bool) -> dict[str, Any]:
    """Return the table [data]."""
    data = copy.deepcopy(dict(finding.scenario["data"]))
    own = any(data.get(key) for key in (CLIENTS_BY, SITES))
    sites = len(finding.sites)
    if own and wanted.partition is None and wanted.clients not in (None, sites):
        raise FedlabError(
            f"--clients {wanted.clients}: {shown(wanted.data)} holds {sites} sites, which are the "
            f"clients; --partition natural --clients {wanted.clients} takes so many of them, "
            f"--partition iid --clients {wanted.clients} deals all examples out anew"
        )
    if wanted.partition is not None or wanted.clients is not None or not own:
        if own and wanted.partition not in ("natural", None):
            data.pop(CLIENTS_BY, None)
        name = wanted.partition or ("natural" if own else "iid")
        clients = wanted.clients
        if clients is None and name != "natural":
            clients = CLIENTS
        data["partition"] = {"name": name} | ({} if clients is None else {"clients": clients})
    if finding.kind == "pictures":
        data["image_size"] = wanted.image_size or _side(wanted.backbone, finding, is_pretrained)
        data.pop("channels", None)
    elif wanted.image_size is not None:
        raise FedlabError(
            f"--image-size: {shown(wanted.data)} holds {finding.kind}, not pictures; leave it out"
        )
    return data


def _side(backbone: str, finding: Finding, is_pretrained: bool) -> int:
    """Return the side of the backbone's inputs: as in pretraining, up to 224 pixels."""
    from fedlab.models.backbones import input_side

    side = input_side(backbone) if is_pretrained else None
    if side is not None:
        return min(side, LARGEST_SIDE)
    sides = [finding.details.get(way, {}).get("median", SMALL_SIDE) for way in ("width", "height")]
    return int(min(SMALL_SIDE, max(SMALLEST_SIDE, *sides)))


def _situation(
    wanted: FineTuning, finding: Finding, data: Mapping[str, Any], scenario: Scenario
) -> Situation:
    """Return what the recipe depends on."""
    held_out = finding.details.get("held_out", 0) or finding.examples * 0.2
    training = (finding.examples - held_out) * (1 - scenario.data.validation)
    clients = getattr(scenario.data.partition, "clients", None) or max(1, len(finding.sites))
    situation = Situation(
        examples=training / clients,
        clients=clients,
        is_pretrained=bool(scenario.model.pretrained),
        metric="accuracy" if finding.classes else "loss",
    )
    if finding.kind == "pictures":
        side = data["image_size"]
        situation = replace(situation, augmentation=_augmentation(wanted.data, side))
        return _with_cost(situation, scenario, (3, side, side), max(2, len(finding.classes)))
    if wanted.backbone.startswith("transformers:"):
        return replace(situation, is_transformer=True)
    return situation


def _with_cost(
    situation: Situation, scenario: Scenario, shape: tuple[int, ...], outputs: int
) -> Situation:
    """Return a situation with what the backbone takes for pictures of this shape."""
    if not situation.is_pretrained:
        return situation
    from fedlab.data.dataset import Task
    from fedlab.models.size import cost_of

    cost = cost_of(scenario.model, Task("classification", "image", shape, outputs))
    return replace(
        situation,
        operations=cost.operations,
        stages=cost.stages,
        is_transformer=cost.is_transformer,
    )


def _augmentation(path: Path, side: int) -> dict[str, Any]:
    """Return an augmentation that keeps what pictures show.

    Grey ones are handwriting, print and scans more often than photographs: mirrored, they may show
    something else.
    """
    shifted = {"crop_padding": max(1, side // 16)}
    return shifted if _are_grey(path) else {"flip": True, **shifted}


def _are_grey(path: Path) -> bool:
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


def _understood(finding: Finding, content: dict[str, Any], scenario: Scenario) -> tuple[str, ...]:
    """Return what was made of the data and the options."""
    classes, sites = len(finding.classes), len(finding.sites)
    held = [f"{finding.examples:,} {'' if finding.kind == 'pictures' else 'examples of '}"]
    parts = [f"{classes} classes" if classes else "", f"{sites} sites" if sites else ""]
    about = ", ".join([f"{held[0]}{finding.kind}", *(part for part in parts if part)])
    size = content["data"].get("image_size")
    at = f" at {size}×{size} pixels" if size else ""
    lines = [f"{about} ({finding.layout})" if finding.layout else about]
    phases = scenario.phases or (None,)
    for phase in phases:
        client: Any = (phase.client if phase else None) or scenario.client
        trained = (phase.trainable if phase else None) or scenario.model.trainable
        what = {"all": "the whole network", "head": "the head"}.get(str(trained), str(trained))
        rounds = phase.rounds if phase else scenario.rounds
        optimizer = client.optimizer
        lines.append(
            f"{rounds} round{'s' if rounds > 1 else ''} of {what}{at}: {optimizer.name} at "
            f"{optimizer.lr:g}, {_counted(client)} a round"
        )
    return (*lines, *finding.notes)


def _counted(client: Any) -> str:
    if client.steps is not None:
        return f"{client.steps} local steps"
    return f"{client.epochs} local epoch{'s' if client.epochs > 1 else ''}"


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
    if packaged_asset(wanted.backbone):
        return "package"
    return wanted.backbone.startswith("transformers:") or describe(wanted.backbone) is not None
