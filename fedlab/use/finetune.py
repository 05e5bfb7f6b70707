"""A scenario that fine-tunes a backbone on a user's own data, by a recipe."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fedlab.data.clients_by import CLIENTS_BY, SITES
from fedlab.data.inspection import Finding, inspect
from fedlab.data.names import shown
from fedlab.data.tokenisers import HUGGING_FACE, TEXTGENRNN
from fedlab.errors import FedlabError
from fedlab.scenario import Scenario
from fedlab.scenario.loading import check, overridden
from fedlab.use.default_backbone import default_backbone
from fedlab.use.recipes import AS_THE_RECIPE_SAYS, Wishes, adapter_of, check_wishes, tables_of
from fedlab.use.scenario_files import check_can_name, unused, write_scenario
from fedlab.use.situations import side_of, situation_of

ABOUT = "Written by 'fedlab finetune'; 'fedlab run' with this file runs it again."
CLIENTS = 5


@dataclass(frozen=True)
class FineTuning:
    """A fine-tuning task: backbone, data, and how to train; None leaves a choice to the recipe.

    Attributes:
        data: A folder or file of the user's own.
        backbone: A timm, torchvision, transformers or zoo model; None: by the kind of data.
        recipe: "auto", "probe" (the head alone), "full" (the whole network at once) or "lora" (an
            adapter beside the frozen network).
        clients: Number of clients; None: the data's own sites, else 5.
        partition: The partitioner that distributes the data; None: sites, else 'iid'.
        image_size: Side in pixels of the backbone's square inputs.
        wishes: Rounds, epochs, learning rate and the like.
        pretrained: As ``model.pretrained``; None takes weights from a package if fedlab knows one,
            else from the library's hub.
        device: Where clients train, as ``engine.device``; None: where the scenario's default is.
        seed: The scenario's.
        overrides: Further keys of the scenario, ``table.key=value`` each.
    """

    data: Path
    backbone: str | None = None
    recipe: str = "auto"
    clients: int | None = None
    partition: str | None = None
    image_size: int | None = None
    wishes: Wishes = AS_THE_RECIPE_SAYS
    pretrained: bool | str | None = None
    device: str | None = None
    seed: int = 0
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Composed:
    """A scenario for a fine-tuning task.

    Attributes:
        content: The keys that are set.
        scenario: The scenario, checked.
        understood: What was made of the data and the options, a line each.
        name: What to call the scenario: by the data and the network.
    """

    content: dict[str, Any]
    scenario: Scenario
    understood: tuple[str, ...]
    name: str = ""


def compose(wanted: FineTuning) -> Composed:
    """Return the scenario of a fine-tuning task.

    Raises:
        FedlabError: If the data do not exist, or the scenario is invalid; the message names every
            problem.
    """
    if not wanted.data.exists():
        raise FedlabError(f"--data: there is no folder or file {shown(wanted.data)}")
    _check_options(wanted)
    try:
        check_can_name(wanted.data.resolve())
    except FedlabError as error:
        raise FedlabError(f"--data: {error}") from error
    finding = _found(wanted)
    backbone = wanted.backbone or default_backbone(finding)
    pretrained = _pretrained(backbone) if wanted.pretrained is None else wanted.pretrained
    if adapter_of(wanted.recipe) and not pretrained:
        raise FedlabError(
            f"--recipe {wanted.recipe}: '{backbone}' has no pretrained weights that an "
            "adapter could be added to; name some (--pretrained), or take --recipe full"
        )
    model = {"name": backbone, "pretrained": pretrained} | adapter_of(wanted.recipe)
    data = _data(wanted, backbone, finding, bool(pretrained))
    raw: dict[str, Any] = {
        "title": f"{backbone} fine-tuned on {wanted.data.resolve().name}",
        "seed": wanted.seed,
        "data": data,
        "model": model,
        **({"engine": {"device": wanted.device}} if wanted.device is not None else {}),
    }
    composed = by_recipe(finding, raw, wanted.recipe, wanted.wishes, wanted.overrides)
    name = f"{wanted.data.resolve().stem}-{backbone.replace('/', '-').replace(':', '-')}"
    if wanted.backbone is not None:
        return replace(composed, name=name)
    return replace(composed, name=name, understood=(_chosen(backbone), *composed.understood))


def by_recipe(
    finding: Finding,
    raw: Mapping[str, Any],
    recipe: str = "auto",
    wishes: Wishes = AS_THE_RECIPE_SAYS,
    overrides: tuple[str, ...] = (),
) -> Composed:
    """Return a scenario that trains a network on a user's data by a recipe.

    Args:
        finding: What the data are.
        raw: The keys that are set already, ``data`` and ``model`` among them.
        recipe: One of ``RECIPES``.
        wishes: What the user says of the training.
        overrides: Further keys, ``table.key=value`` each.

    Raises:
        FedlabError: If the scenario is invalid; the message names every problem.
    """
    data, model = dict(raw["data"]), dict(raw["model"])
    first = {**raw, "rounds": wishes.rounds or 1}
    early = _overridden(first, overrides, ("data.", "model."))
    first_checked = check(early, "finetune", folders=[str(Path.cwd())])
    situation = situation_of(finding, data, first_checked)
    tables = tables_of(recipe, situation, _with_rate(wishes, finding, model))
    content = {key: value for key, value in raw.items() if not isinstance(value, Mapping)}
    content |= {key: tables.pop(key) for key in ("rounds",) if key in tables}
    for table, keys in raw.items():
        if isinstance(keys, Mapping):
            content[table] = {**keys, **tables.pop(table, {})}
    content = overridden(content | tables, overrides)
    checked = copy.deepcopy(content)
    scenario = check(checked, "finetune", folders=[str(Path.cwd())])
    # With whole paths, and without what phases take over from other tables.
    content |= {table: checked[table] for table in ("data", "model")}
    return Composed(content, scenario, _understood(finding, content, scenario))


def _with_rate(wishes: Wishes, finding: Finding, model: Mapping[str, Any]) -> Wishes:
    """Return wishes with the learning rate that the inspector's own network asks for, if it does.

    The user's own wish precedes, and any other network has the recipe's rate.
    """
    proposed = finding.scenario
    rate = proposed.get("client", {}).get("optimizer", {}).get("lr")
    if wishes.rate is None and model["name"] == proposed["model"]["name"]:
        return replace(wishes, rate=rate)
    return wishes


def _check_options(wanted: FineTuning) -> None:
    """Check what does not depend on the data, before they are looked at, which may take long.

    Raises:
        FedlabError: With every problem found.
    """
    check_wishes(wanted.recipe, wanted.wishes)
    partition: dict[str, Any] = {"name": wanted.partition or "iid"}
    if wanted.clients is not None or wanted.partition is None:
        partition["clients"] = CLIENTS if wanted.clients is None else wanted.clients
    stand_in = {"name": "digits", "partition": partition}
    model: dict[str, Any] = {"name": "mlp"}
    if wanted.backbone is not None:
        model = {"name": wanted.backbone, **adapter_of(wanted.recipe)}
    raw: dict[str, Any] = {"rounds": 1, "data": stand_in, "model": model}
    raw |= {} if wanted.device is None else {"engine": {"device": wanted.device}}
    early = _overridden(raw, wanted.overrides, ("data.partition.", "model."))
    check(early, "finetune", folders=[str(Path.cwd())])


def _overridden(
    raw: dict[str, Any], overrides: tuple[str, ...], begin: tuple[str, ...]
) -> dict[str, Any]:
    """Return content with those overrides that begin so."""
    early = (override for override in overrides if override.startswith(begin))
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


def _data(
    wanted: FineTuning, backbone: str, finding: Finding, is_pretrained: bool
) -> dict[str, Any]:
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
        name = wanted.partition or ("natural" if own else "iid")
        clients = wanted.clients
        if clients is None and name != "natural":
            clients = CLIENTS
        data["partition"] = {"name": name} | ({} if clients is None else {"clients": clients})
    library, _, model = backbone.partition(":")
    if finding.kind == "texts" and library == "transformers":
        # Pretrained weights know the tokens of their own tokeniser alone.
        data["tokens"] = f"{HUGGING_FACE}{model}"
    elif finding.kind == "texts" and backbone == TEXTGENRNN and is_pretrained:
        data["tokens"] = TEXTGENRNN
    if finding.kind == "pictures":
        data["image_size"] = wanted.image_size or side_of(backbone, finding, is_pretrained)
        data.pop("channels", None)
    elif wanted.image_size is not None:
        raise FedlabError(
            f"--image-size: {shown(wanted.data)} holds {finding.kind}, not pictures; leave it out"
        )
    return data


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
    if "device" in content.get("engine", {}):
        # Which it is shows in the run: looking for cards here would keep workers from being forked.
        lines.append(f"clients train on engine.device = '{scenario.engine.device}'")
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
    path = output or unused(name)
    write_scenario(path, content, [ABOUT])
    return path


def _chosen(backbone: str) -> str:
    """Return the line on a network that the user has not named."""
    return f"network: {backbone}, as --backbone is not given"


def _pretrained(backbone: str) -> bool | str:
    """Return which weights of a network are taken: a package's, the hub's, or none."""
    from fedlab.models.backbones import describe
    from fedlab.models.timm_backbone import packaged_asset

    if packaged_asset(backbone):
        return "package"
    return backbone.startswith("transformers:") or describe(backbone) is not None
