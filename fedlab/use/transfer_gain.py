"""What does transfer gain? One scenario, with other parts of its network trained, or none given.

Each policy is a scenario of its own on the same clients, data and strategy, for the same number of
rounds: what is trained, and how, is by the recipes of ``fedlab finetune``, since a rate that suits
a head spoils a network. Each is run in a folder below a common one, and goes on where it was
stopped.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fedlab.data.federation import Federation
from fedlab.errors import FedlabError, nearest
from fedlab.models.size import cost_of
from fedlab.results.reading import RunRecord
from fedlab.run.callbacks import Callback
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.simulation import assemble
from fedlab.scenario import Scenario, dumps
from fedlab.scenario.loading import check
from fedlab.scenario.parts import load_federation
from fedlab.use.recipes import Situation, Wishes, tables_of

FEW_RATE = 1e-3
"""Learning rate of norms or biases alone, which take larger steps than whole networks."""
_LEFT_OUT = ("rounds", "phases", "phase", "trackers", "module_folders")
_OF_TRAINING = ("epochs", "steps", "batch_size", "optimizer", "schedule", "clip_norm")


@dataclass(frozen=True)
class Policy:
    """A way to train a network.

    Attributes:
        name: What it is called, and its folder.
        what: What it trains, for a table.
        recipe: One of the recipes of ``fedlab finetune``.
        trainable: What its last phase trains, where the recipe leaves it open.
        rate: The learning rate of the last phase; None leaves it to the recipe.
        is_pretrained: Whether it begins from the pretrained weights.
    """

    name: str
    what: str
    recipe: str
    trainable: str | None = None
    rate: float | None = None
    is_pretrained: bool = True


POLICIES: tuple[Policy, ...] = (
    Policy("random", "all, from random weights", "full", is_pretrained=False),
    Policy("probe", "the head", "probe"),
    Policy("norm", "head, then norms and head", "auto", "norm+head", FEW_RATE),
    Policy("bitfit", "head, then biases and head", "auto", "bias+head", FEW_RATE),
    Policy("lora", "head, then LoRA and head", "lora"),
    Policy("last", "head, then the last third", "auto", "last:K"),
    Policy("full", "all, at once", "full"),
    Policy("recipe", "as 'fedlab finetune' does", "auto"),
)


def policies(names: Sequence[str]) -> tuple[Policy, ...]:
    """Return policies by their names; all, where there are none.

    Raises:
        FedlabError: If one is not known.
    """
    known = {policy.name: policy for policy in POLICIES}
    for name in names:
        if name not in known:
            raise FedlabError(
                f"--policy: '{name}' is none of {', '.join(known)}." + nearest(name, list(known))
            )
    return tuple(known[name] for name in names) or POLICIES


def scenarios(
    scenario: Scenario, wanted: Sequence[Policy], rounds: int | None = None
) -> dict[str, Scenario]:
    """Return each policy's scenario, by its name, all of which can be run.

    Args:
        scenario: What they are made from; its own training is left out.
        wanted: The policies.
        rounds: How many rounds each has; None: as many as the scenario.

    Raises:
        FedlabError: If the scenario has no pretrained weights, or a policy cannot be run.
    """
    if not scenario.model.pretrained:
        raise FedlabError(
            f"model.pretrained: '{scenario.model.name}' begins from random weights in this "
            "scenario, so that there is no transfer to measure; name weights ('package', true, a "
            "file or a run folder)"
        )
    federation = load_federation(scenario)
    situation = situation_of(scenario, federation)
    found = {}
    for policy in wanted:
        try:
            made = _scenario(scenario, policy, situation, rounds or scenario.rounds)
            assemble(made, federation)
        except FedlabError as error:
            raise FedlabError(f"policy '{policy.name}': {error}") from error
        found[policy.name] = made
    return found


def situation_of(scenario: Scenario, federation: Federation) -> Situation:
    """Return what recipes depend on: the scenario's network, and how much its clients hold."""
    task, model = federation.dataset.task, scenario.model
    side = getattr(model, "image_size", None)
    if task.modality == "image" and side is not None:
        task = replace(task, input_shape=(3, side, side))
    cost = cost_of(model, task)
    held = federation.partition.total * (1 - scenario.data.validation - scenario.data.client_test)
    return Situation(
        examples=held / len(federation),
        is_pretrained=True,
        is_transformer=cost.is_transformer,
        has_batch_norm=cost.has_batch_norm,
        stages=cost.stages,
        operations=cost.operations,
        clients=len(federation),
    )


def _scenario(scenario: Scenario, policy: Policy, situation: Situation, rounds: int) -> Scenario:
    raw: dict[str, Any] = tomllib.loads(dumps(scenario))
    raw = {key: value for key, value in raw.items() if key not in _LEFT_OUT}
    trainable = policy.trainable
    if trainable == "last:K":
        trainable = f"last:{max(1, math.ceil(situation.stages / 3))}"
    own = replace(situation, is_pretrained=policy.is_pretrained)
    wishes = Wishes(rounds=rounds, rate=policy.rate, trainable=trainable)
    tables = tables_of(policy.recipe, own, wishes)
    adapter = raw["model"].pop("adapter", None)
    for key in ("trainable", "batch_norm"):
        raw["model"].pop(key, None)
    if not policy.is_pretrained:
        raw["model"]["pretrained"] = False
    for key in _OF_TRAINING:
        raw.get("client", {}).pop(key, None)
    # All policies end with their last round, on the same footing.
    tables.pop("evaluation", None)
    evaluation = {**raw.get("evaluation", {}), "baselines": []}
    evaluation.pop("early_stopping", None)
    for table in ("model", "client"):
        raw[table] = {**raw.get(table, {}), **tables.pop(table, {})}
    if "adapter" in raw["model"] and adapter is not None:
        raw["model"]["adapter"] = adapter
    raw |= {**tables, "evaluation": evaluation, "title": f"{policy.name}: {policy.what}"}
    return check(raw, f"policy '{policy.name}'")


def run_all(
    folder: Path,
    wanted: dict[str, Scenario],
    callbacks: Callable[[str], Sequence[Callback]] = lambda name: (),
) -> Iterator[RunRecord]:
    """Run each scenario in a folder of its name, and yield what was run; finished ones are read.

    Args:
        folder: Holds the run folders; runs that were stopped go on.
        wanted: The scenarios, by name.
        callbacks: Return what else watches a run.

    Raises:
        FedlabError: If a folder holds a run of another scenario, or one cannot be run.
    """
    for name, scenario in wanted.items():
        own = RunFolder.at(folder / name, scenario)
        # None stops early: what has not finished was interrupted, or has failed.
        if RunRecord.load(own.path).status != "finished":
            run(own, callbacks(name))
        record = RunRecord.load(own.path)
        if record.status != "finished":
            return
        yield replace(record, alias=name)
