"""A scenario to start from, made of what an inspector found.

Inspectors say how the data are read, and which small network of the zoo suits their kind. Pictures
get a pretrained backbone instead, where its weights are on this machine; small grey ones, such as
handwriting, are learned as well from scratch. How it is trained is the recipes' to say.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedlab.data.clients_by import CLIENTS_BY, SITES
from fedlab.data.inspection import Finding
from fedlab.data.names import shown
from fedlab.errors import FedlabError
from fedlab.use.default_backbone import PICTURES
from fedlab.use.finetune import CLIENTS, by_recipe
from fedlab.use.scenario_files import check_can_name, check_output, write_scenario
from fedlab.use.situations import SMALL_SIDE, are_grey, side_of


def starting_scenario(finding: Finding) -> dict[str, Any]:
    """Return the content of a scenario for what was found, checked.

    Raises:
        FedlabError: If there is none for such data, or the path is no text a scenario can hold.
    """
    if not finding.scenario:
        reason = finding.why_no_scenario or f"no source reads {finding.kind} like these"
        raise FedlabError(f"{shown(finding.path)}: there is no scenario to start from: {reason}")
    check_can_name(finding.path)
    found: dict[str, Any] = copy.deepcopy(dict(finding.scenario))
    data, model = found["data"], found["model"]
    if not any(data.get(key) for key in (CLIENTS_BY, SITES, "partition")):
        data["partition"] = {"name": "iid", "clients": CLIENTS}
    if finding.kind == "pictures" and "task" not in data:
        model = _network_for(finding, data, model)
    title = found.get("title", f"{finding.path.absolute().name}: a start")
    raw: dict[str, Any] = {"title": title, "data": data, "model": model}
    if "evaluation" in found:
        raw["evaluation"] = found["evaluation"]
    return by_recipe(finding, raw).content


def write_start(finding: Finding, output: Path) -> None:
    """Write a scenario to start from.

    Raises:
        FedlabError: If the file exists, cannot be written or is not called ``.toml``, or there is
            no scenario for such data.
    """
    check_output(output)
    about = [f"Written by 'fedlab data inspect' for {finding.examples:,} examples"]
    about += [f"({finding.kind}; {len(finding.classes)} classes, {len(finding.sites)} sites)."]
    lines = [" ".join(about), *finding.notes]
    lines.append(f"'fedlab check {output.name}' checks it, 'fedlab run {output.name}' runs it.")
    write_scenario(output, starting_scenario(finding), lines)


def _network_for(
    finding: Finding, data: dict[str, Any], usual: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the table [model] for pictures; the size of the pictures is set with it."""
    from fedlab.models.backbone_list import has_weights_here

    side = max(finding.details[way]["median"] for way in ("width", "height"))
    if (side <= SMALL_SIDE and are_grey(finding.path)) or not has_weights_here(PICTURES):
        data["image_size"] = side_of(str(usual["name"]), finding, False)
        return dict(usual)
    data["image_size"] = side_of(PICTURES, finding, True)
    data.pop("channels", None)
    return {"name": PICTURES, "pretrained": "package"}
