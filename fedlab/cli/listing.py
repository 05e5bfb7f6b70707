"""``fedlab list``: list scenarios, data sets, models, algorithms, engines and devices."""

from __future__ import annotations

from typing import Annotated

import typer

from fedlab.cli.completion import kinds
from fedlab.errors import FedlabError, shortened, unknown
from fedlab.registry import KINDS, criteria, draws, metrics, optimizers, unlearning

PLURALS = {kind.plural: kind.registry for kind in KINDS} | {
    "criteria": criteria,
    "optimizers": optimizers,
    "metrics": metrics,
    "draws": draws,
    "unlearning": unlearning,
}

_NOTE = (
    "The weights of these need no hub: they come in a package (`model.pretrained = 'package'`). "
    "The size is that of all weights as they travel, in float32. `fedlab list backbones PATTERN` "
    "also shows timm's and torchvision's models, whose weights a hub has (`model.pretrained = "
    "true`)."
)
_HUB = (
    "A hub's weights are fetched where `model.pretrained = true`. timm has several sets of weights "
    "of some models, with a tag after the name: `fedlab list backbones 'NAME.*'`."
)


def listing(
    kind: Annotated[
        str,
        typer.Argument(
            help=f"scenarios, backbones, devices, {', '.join(PLURALS)}", autocompletion=kinds
        ),
    ] = "scenarios",
    pattern: Annotated[
        str | None, typer.Argument(help="part of a name, or a pattern with * and ?: 'resnet1*'")
    ] = None,
) -> None:
    """List the built-in scenarios, or all parts of another kind, one line each.

    Backbones are those with weights that need no hub; with a pattern, also those of the libraries.
    """
    from fedlab.terminal import PlainConsole

    if kind == "backbones":
        _backbones(pattern)
        return
    if kind == "scenarios":
        headers, rows = ["group", "scenario", "what it shows"], _scenarios()
    elif kind == "devices":
        headers, rows = ["device", "what it is", "memory", "precisions"], _devices()
    elif kind in PLURALS:
        known = PLURALS[kind]
        headers = [known.kind, "what it is"]
        rows = [[name, known.summary(name)] for name in known.names()]
    else:
        raise FedlabError(unknown("kind", kind, ["scenarios", "backbones", "devices", *PLURALS]))
    if pattern is not None:
        rows = _fitting(rows, pattern, kind)
    PlainConsole().rows(headers, rows)


def _fitting(rows: list[list[str]], pattern: str, kind: str) -> list[list[str]]:
    """Return the rows with a pattern or part of a text in one of their columns."""
    from fnmatch import fnmatchcase

    wanted = pattern.lower() if set(pattern) & set("*?") else f"*{pattern.lower()}*"
    found = [row for row in rows if any(fnmatchcase(text.lower(), wanted) for text in row)]
    if not found:
        raise FedlabError(f"none of `fedlab list {kind}` fits '{shortened(pattern)}'")
    return found


def _backbones(pattern: str | None) -> None:
    from fedlab.models.backbone_list import matching, offline
    from fedlab.terminal import PlainConsole

    found = offline() if pattern is None else matching(pattern)
    console = PlainConsole()
    headers = ("backbone", "parameters", "size", "input", "licence", "weights")
    console.rows(
        headers,
        [
            (about.name, *_size(about.parameters), about.inputs, about.licence, about.weights)
            for about in found
        ],
    )
    console.say(f"\n{_NOTE if pattern is None else _HUB}")


def _size(parameters: int | None) -> tuple[str, str]:
    """Return the number of parameters, and the size of a file of them."""
    if parameters is None:
        return "", ""
    return f"{parameters / 1e6:,.1f} M", f"{4 * parameters / 1e6:,.0f} MB"


def _devices() -> list[list[str]]:
    """Return name, model, memory and precisions of each device of this machine."""
    from fedlab.engine.devices import described

    return [
        [
            device.name,
            device.model,
            "" if device.memory is None else f"{device.memory / 1e9:,.1f} GB",
            ", ".join(device.precisions),
        ]
        for device in described()
    ]


def _scenarios() -> list[list[str]]:
    """Return group, name and title of each built-in scenario; a group is named once."""
    import tomllib

    from fedlab.scenario import built_in

    rows = []
    for name, path in built_in().items():
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        group = content.get("group") or (
            path.parent.name if path.parent.name != "scenarios" else ""
        )
        rows.append([group, name, content.get("title", "")])
    rows.sort(key=lambda row: (row[0] != "start", row))
    groups = ["", *(row[0] for row in rows)]
    return [
        [group if group != before else "", *rest]
        for before, (group, *rest) in zip(groups, rows, strict=False)
    ]
