"""What the user should know before the first round: whatever a scenario asks and cannot get.

What must not be is an objection (:mod:`fedlab.run.checks`); what may be, and does not do what it
seems to, is a note. A data set says its own in ``Dataset.notes``, a part in ``notes(setup)``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fedlab import registry
from fedlab.algorithm.setup import Setup
from fedlab.algorithm.strategy import cohort_size, traits_of
from fedlab.data.clients_by import CLIENTS_BY, SITES
from fedlab.data.description import described_clients
from fedlab.data.transforms import augments
from fedlab.engine.features.cache import CannotCache, check_it_pays, split_network
from fedlab.models.selection import BatchNorm
from fedlab.scenario import Scenario
from fedlab.scenario.phases import evaluated_rounds, phases_of

_OURS = {"sgd", "adam", "adamw", "rmsprop"}
_OPTIMIZER_KEYS = {
    "momentum": {"sgd", "rmsprop"},
    "alpha": {"rmsprop"},
    "betas": {"adam", "adamw"},
}


def notes_on(setup: Setup, run: Scenario) -> list[str]:
    """Return what the user should know of a run before its first round, a sentence each.

    Args:
        setup: All parts of the run, or of one of its phases.
        run: The scenario of the whole run.
    """
    found = [
        *setup.federation.dataset.notes,
        *_own_parts(setup),
        *_evaluation(setup, run),
        *_data(setup),
        *_model(setup),
        *_features(setup),
        *_client(setup),
        *_unlabelled(setup),
        *_drift(setup, run),
    ]
    engine = registry.engines.get(setup.scenario.engine.name)
    for part in (setup.strategy, setup.algorithm, setup.attack, engine):
        found += _of(part, setup)
    return list(dict.fromkeys(found))


def _of(part: Any, setup: Setup) -> Iterator[str]:
    """Yield a part's notes, where it has any."""
    if hasattr(part, "notes"):
        yield from part.notes(setup)


def _own_parts(setup: Setup) -> Iterator[str]:
    """Tell what is asked of clients' own validation and test parts that have no example."""
    data, evaluation = setup.scenario.data, setup.scenario.evaluation
    clients = described_clients(setup.federation.partition)
    sizes = [setup.federation.part_sizes(client) for client in clients]
    part, key, number = "validation", "data.validation", 1
    if data.client_test:
        part, key, number = "test", "data.client_test", 2
    if evaluation.federated:
        empty = sum(size[number] == 0 for size in sizes)
        yield from _without(empty, len(sizes), part, "federated evaluation", key)
    if setup.scenario.client.early_stopping is not None:
        empty = sum(size[1] == 0 for size in sizes)
        users = "client.early_stopping"
        yield from _without(empty, len(sizes), "validation", users, "data.validation")


def _without(empty: int, clients: int, part: str, user: str, key: str) -> Iterator[str]:
    if not empty:
        return
    who = "no client" if empty == clients else f"{empty:,} of {clients:,} clients"
    none = f"{who} has a {part} example" if empty == clients else f"{who} have no {part} example"
    where = "" if empty == clients else " there"
    yield f"{none}: {user} has nothing to look at{where}; raise {key}, or ask for fewer clients"


def _evaluation(setup: Setup, run: Scenario) -> Iterator[str]:
    """Tell which keys of ``[evaluation]`` do nothing in a run of so few rounds and clients."""
    scenario, evaluation = setup.scenario, setup.scenario.evaluation
    if evaluation.every > run.rounds:
        yield (
            f"evaluation.every = {evaluation.every} is more than rounds = {run.rounds}: the model "
            "is evaluated before the first round and after the last one "
            f"{'of each phase ' if run.phases else ''}only"
        )
    stopping = evaluation.early_stopping
    watched_from = phases_of(run)[-1].first_round
    evaluated = sum(number >= watched_from for number in evaluated_rounds(run))
    on_test = stopping is not None and stopping.on == "test"
    if on_test and not len(setup.federation.dataset.test):
        yield "evaluation.early_stopping has nothing to look at: the server has no test set"
    elif (
        stopping is not None
        and stopping.threshold is None
        and (stopping.patience or 0) >= evaluated
    ):
        yield (
            f"evaluation.early_stopping.patience = {stopping.patience} cannot end a "
            f"{'last phase' if run.phases else 'run'} of {evaluated} evaluated "
            f"round{'s' * (evaluated != 1)} early; lower it, or raise rounds"
        )
    cohort = cohort_size(scenario.strategy, setup.population)
    if evaluation.minimum_replies > cohort:
        yield (
            f"evaluation.minimum_replies = {evaluation.minimum_replies} is more than a cohort "
            f"({cohort}): every client of a cohort has to answer"
        )
    yield from _unseen(setup)
    if "random" in evaluation.baselines and scenario.model.pretrained is False:
        yield (
            "evaluation.baselines: 'random' is the run itself where model.pretrained is false; "
            "leave it out"
        )


def _unseen(setup: Setup) -> Iterator[str]:
    """Tell which clients never train, and which keys say something of such clients in vain."""
    evaluation, unseen = setup.scenario.evaluation, setup.federation.unseen
    if unseen is None:
        for key in ("unseen_steps", "unseen_shots", "unseen_rate"):
            if getattr(evaluation, key) != type(evaluation).model_fields[key].default:
                yield f"evaluation.{key} has no effect: evaluation.unseen_clients is 0"
        return
    names = ", ".join(unseen.names[:5]) + (", ..." if len(unseen.names) > 5 else "")
    yield (
        f"{len(unseen):,} clients never train{f' ({names})' if names else ''}: the "
        f"{setup.population:,} others are numbered from 0 without them"
    )


def _data(setup: Setup) -> Iterator[str]:
    """Tell which keys of ``[data]`` ask for more than there is, or for what nobody looks at."""
    data, evaluation = setup.scenario.data, setup.scenario.evaluation
    held = setup.federation.dataset
    public = 0 if data.public is None or data.public.name is not None else data.public.examples
    for key, asked, found in (
        ("data.train_examples", data.train_examples, len(held.train) + public),
        ("evaluation.test_examples", evaluation.test_examples, len(held.test)),
    ):
        if asked is not None and found < asked:
            yield f"{key} = {asked} is more than there are: all {found} are used"
    chosen = next((key for key in (CLIENTS_BY, SITES) if getattr(data, key, None)), None)
    if chosen is not None and data.partition.name != "natural":
        yield (
            f"data.{chosen} does not decide who is a client: '{data.partition.name}' "
            "(data.partition) deals all examples out anew; with 'natural' its sites are the clients"
        )
    if data.public is not None and not traits_of(setup.strategy).needs_public:
        yield (
            f"data.public: strategy '{setup.scenario.strategy.name}' does not look at public "
            "examples"
            + ("; clients are without them all the same, so leave the table out" if public else "")
        )
    changes = data.augmentation
    if changes is not None and not (changes.further or list(changes.changes())):
        yield "data.augmentation changes nothing: every key of it is off"
    if changes is not None and changes.mixup and setup.scenario.client.batch_size == 1:
        yield "data.augmentation.mixup has nothing to mix: client.batch_size is 1"


def _model(setup: Setup) -> Iterator[str]:
    """Tell which keys of ``[model]`` find nothing in the model."""
    model, modules = setup.scenario.model, setup.network.model.module.modules()
    if model.batch_norm != "train" and not any(isinstance(m, BatchNorm) for m in modules):
        yield f"model.batch_norm = '{model.batch_norm}': '{model.name}' has no batch norm"
    if setup.network.model.layout.held and traits_of(setup.strategy).statistics != "own":
        yield (
            "model.adapter.base_travels: the weights under the adapter travel to the clients, and "
            f"strategy '{setup.scenario.strategy.name}' does not change them; 'fedex-lora' and "
            "'flora' do"
        )


def _features(setup: Setup) -> Iterator[str]:
    """Tell what random changes of pictures cost, where a frozen prefix would be computed once."""
    scenario, network = setup.scenario, setup.network
    if scenario.model.trainable == "all" or not augments(scenario.data):
        return
    plain = scenario.data.model_copy(update={"augmentation": None})
    bare = scenario.model_copy(update={"data": plain})
    try:
        check_it_pays(bare, setup.federation)
        split_network(bare, network, setup.federation)
    except CannotCache:
        return
    parameters = list(network.model.module.parameters())
    frozen = sum(p.numel() for p in parameters if not p.requires_grad)
    share = frozen / sum(p.numel() for p in parameters)
    yield (
        f"data.augmentation changes pictures at random, so that the frozen {100 * share:.0f} % of "
        f"'{scenario.model.name}' are computed anew for every picture in every round; without it "
        "(--set data.augmentation=none) they are computed once, and rounds take a fraction of the "
        "time"
    )


def _unlabelled(setup: Setup) -> Iterator[str]:
    """Tell that clients without labels do not train, where they do not."""
    count = len(setup.federation.unlabelled)
    if count and not setup.algorithm.learns_without_labels:
        yield (
            f"data.unlabelled: client '{setup.scenario.client.name}' learns by labels, so that "
            f"{count} of {setup.population} clients are evaluated and not trained"
        )


def _client(setup: Setup) -> Iterator[str]:
    """Tell which keys of ``[client]`` do nothing beside the others."""
    client, rounds = setup.scenario.client, setup.scenario.own_rounds
    stopping, schedule, optimizer = client.early_stopping, client.schedule, client.optimizer
    if client.steps is not None and client.epochs != 1:
        yield f"client.epochs = {client.epochs}: client.steps = {client.steps} takes its place"
    waits = stopping is not None and client.steps is None and stopping.threshold is None
    if waits and stopping.patience >= client.epochs:
        yield (
            f"client.early_stopping.patience = {stopping.patience} cannot end {client.epochs} "
            "epochs early; lower it, or raise client.epochs"
        )
    is_short = rounds == 1 or (schedule.name == "step" and schedule.every >= rounds)
    if schedule.over == "rounds" and schedule.name != "constant" and is_short:
        yield f"client.schedule: the rate does not change within {rounds} round{'s' * (rounds > 1)}"
    yield from _fine_tuning(setup)
    for key, users in _OPTIMIZER_KEYS.items():
        usual = type(optimizer).model_fields[key].default
        if getattr(optimizer, key) != usual and optimizer.name in _OURS - users:
            yield f"client.optimizer.{key}: '{optimizer.name}' has no such key"


def _fine_tuning(setup: Setup) -> Iterator[str]:
    """Tell which keys of fine-tuning find nothing to work on."""
    model, client, network = setup.scenario.model, setup.scenario.client, setup.network
    optimizer = client.optimizer
    below = {network.depths[entry.name] for entry, _ in network.model.trained} - {0}
    if optimizer.layer_decay < 1 and network.stages and not below:
        yield "client.optimizer.layer_decay: nothing below the head is trained"
    if not optimizer.decay_norms_and_biases and not optimizer.weight_decay:
        yield "client.optimizer.decay_norms_and_biases: weight_decay is 0, and nothing is decayed"
    if client.l2_sp and model.pretrained is False:
        yield (
            "client.l2_sp pulls the weights back to where they began, which is random: "
            "model.pretrained is false"
        )


def _drift(setup: Setup, run: Scenario) -> Iterator[str]:
    """Tell of shifts that never begin, and that rounds are measured on different examples."""
    for number, table in enumerate(run.data.shift):
        first = getattr(table, "first_round", 1)
        if first > run.rounds:
            yield (
                f"data.shift.{number}.first_round = {first} is after the last of {run.rounds} "
                "rounds: nothing is shifted by it"
            )
    if setup.federation.drift is not None and setup.scenario.evaluation.looks_at_validation:
        yield (
            "data.shift changes the examples with the rounds, so that the round with the best "
            "metric may be one of easier examples: best.safetensors, and early stopping, choose by "
            "it all the same"
        )
