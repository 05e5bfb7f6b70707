"""Recipes: how to fine-tune a backbone on so many examples over so many clients.

A recipe is chosen once and written out in the scenario, key by key; nothing of it is hidden.

``probe`` trains the new head alone, on features that are computed once. ``full`` trains the whole
network. ``auto`` trains the head first and the network then, from that head: a head of random
weights sends gradients into the network that spoil what it knows (Kumar et al. 2022, "Fine-Tuning
can Distort Pretrained Features and Underperform Out-of-Distribution"). Steps are AdamW's, clipped,
over one cosine; batch norm keeps its statistics, which small batches of few clients would spoil.
Without pretrained weights there is nothing to preserve, and one phase trains everything.
``lora`` trains the head first as well, and low-rank products beside frozen weights then (Hu et al.
2022): of a network's bytes a hundredth travels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from fedlab.errors import FedlabError

Recipe = Literal["auto", "probe", "full", "lora"]
RECIPES: tuple[str, ...] = get_args(Recipe)

ROUNDS, HEAD_FIRST_ROUNDS, SCRATCH_ROUNDS = 10, 12, 20
HEAD_SHARE = 1 / 6
"""Of all rounds: on cached features a head is soon trained, at next to no cost, and whole rounds
are what improves; there are as many of them as without the head's."""
HEAD_STEPS, WHOLE_STEPS, SCRATCH_STEPS = 60, 20, 30
"""Least local steps of a client in a round: fewer, and rounds are spent on too little."""
MOST_EPOCHS = 20
AFFORDABLE = 3.2e13
"""Operations of training the whole network, about half an hour on two cores: more, and the last
third of its blocks is trained, on features of the others that are computed once."""
HEAD_RATE, CNN_RATE, TRANSFORMER_RATE, SCRATCH_RATE = 3e-3, 3e-4, 1e-4, 1e-3
LAYER_DECAY = 0.8
ADAPTER = "adapter+head"
ADAPTER_RATE = 1e-3
RANK, ALPHA = 8, 16.0


@dataclass(frozen=True)
class Situation:
    """What a recipe depends on.

    Attributes:
        examples: Training examples of a client, on average.
        is_pretrained: Whether the backbone's weights are.
        is_transformer: Whether it is a Transformer, which wants smaller steps than a CNN.
        has_batch_norm: Whether it keeps statistics of batches.
        stages: How many blocks it has that can be trained by themselves.
        operations: Of one example's forward pass.
        clients: How many there are.
        augmentation: Keys of ``[data.augmentation]`` that keep what these data are.
        metric: What rounds are compared by.
    """

    examples: float
    is_pretrained: bool
    is_transformer: bool = False
    has_batch_norm: bool = False
    stages: int = 0
    operations: float = 0.0
    clients: int = 1
    augmentation: dict[str, Any] | None = None
    metric: str = "accuracy"


@dataclass(frozen=True)
class Wishes:
    """What a user says of the training, None where the recipe decides.

    Attributes:
        rounds: Of the whole run.
        epochs: Local epochs a round of the last phase.
        rate: Learning rate of the last phase.
        batch_size: Of the last phase.
        trainable: What the last phase trains.
    """

    rounds: int | None = None
    epochs: int | None = None
    rate: float | None = None
    batch_size: int | None = None
    trainable: str | None = None


AS_THE_RECIPE_SAYS = Wishes()


def check_wishes(recipe: str, wishes: Wishes) -> None:
    """Check that there is such a recipe, and that what shall be trained goes with it.

    Raises:
        FedlabError: If not.
    """
    if recipe not in RECIPES:
        known = ", ".join(f"'{name}'" for name in RECIPES)
        raise FedlabError(f"--recipe: '{recipe}' is none of {known}")
    trainable = wishes.trainable
    if recipe == "probe" and trainable not in (None, "head"):
        raise FedlabError(
            f"--recipe probe trains the head alone, and --trainable {trainable} something else; "
            "leave one of them out"
        )
    if recipe == "lora" and not (trainable or ADAPTER).startswith("adapter+"):
        raise FedlabError(
            f"--recipe lora trains an adapter beside the frozen network, and --trainable "
            f"{trainable} does not; 'adapter+norm+head' or 'adapter+bias+head' trains more"
        )


def adapter_of(recipe: str) -> dict[str, Any]:
    """Return the keys of ``[model]`` that say which adapter a recipe trains, if it trains one."""
    return {"adapter": {"name": "lora", "rank": RANK, "alpha": ALPHA}} if recipe == "lora" else {}


def tables_of(recipe: str, situation: Situation, wishes: Wishes) -> dict[str, Any]:
    """Return the tables of a scenario that train by a recipe.

    Args:
        recipe: One of ``RECIPES``.
        situation: What is trained, on what.
        wishes: What the user says of it.
    """
    if not situation.is_pretrained and recipe != "probe":
        return _scratch(situation, wishes)
    if recipe == "lora":
        return _adapted(situation, wishes)
    # A single round is one phase, and a new head comes first.
    usual = "head" if wishes.rounds == 1 else None
    if recipe == "probe" or (recipe == "auto" and (wishes.trainable or usual) == "head"):
        return _one_phase(situation, _head(situation, wishes, _or(wishes.rounds, ROUNDS)))
    rounds = _or(wishes.rounds, ROUNDS)
    if recipe == "full" or rounds < 2:
        return _one_phase(situation, _whole(situation, wishes, rounds, wishes.trainable or "all"))
    return _head_first(situation, wishes, _or(wishes.rounds, HEAD_FIRST_ROUNDS))


def _one_phase(situation: Situation, phase: dict[str, Any]) -> dict[str, Any]:
    """Return the tables of a run that trains the same throughout."""
    trainable = phase["trainable"]
    return {
        "rounds": phase["rounds"],
        "model": _frozen(situation, trainable),
        "client": phase["client"],
        "evaluation": _evaluation(situation.metric),
    } | _augmented(situation, trainable)


def _head_first(situation: Situation, wishes: Wishes, rounds: int) -> dict[str, Any]:
    """Return the tables of a run in two phases: the head, and then more of the network."""
    last = _after_the_head(rounds)
    trainable = wishes.trainable or _affordable(situation, wishes, last)
    whole = _whole(situation, wishes, last, trainable)
    if trainable == "all":
        del whole["trainable"]
    plain = {"augmentation": False} if situation.augmentation else {}
    return {
        "model": _frozen(situation, "all"),
        "evaluation": _evaluation(situation.metric),
        "phases": [
            _first_head(situation, rounds - last) | plain,
            {"name": "network" if trainable == "all" else "last blocks", **whole},
        ],
    } | _augmented(situation, trainable)


def _adapted(situation: Situation, wishes: Wishes) -> dict[str, Any]:
    """Return the tables of a run that trains the head, and LoRA and the head then.

    Where training through all blocks would take long, the last third of them is adapted.
    """
    rounds = _or(wishes.rounds, HEAD_FIRST_ROUNDS)
    last = _after_the_head(rounds) if rounds > 1 else rounds
    trainable = wishes.trainable or ADAPTER
    model = _frozen(situation, trainable) | adapter_of("lora")
    affordable = _affordable(situation, wishes, last)
    if affordable != "all":
        model["adapter"]["last"] = int(affordable.removeprefix("last:"))
    phase = _whole(situation, wishes, last, trainable)
    optimizer = {"name": "adamw", "lr": _or(wishes.rate, ADAPTER_RATE), "weight_decay": 0.01}
    phase["client"]["optimizer"] = optimizer
    if rounds < 2:
        return _one_phase(situation, phase) | {"model": model}
    del phase["trainable"]
    return {
        "model": model,
        "evaluation": _evaluation(situation.metric),
        "phases": [_first_head(situation, rounds - last), {"name": "adapter", **phase}],
    }


def _after_the_head(rounds: int) -> int:
    """Return how many of a run's rounds are left when the head has had its share."""
    return rounds - max(1, round(HEAD_SHARE * rounds))


def _first_head(situation: Situation, rounds: int) -> dict[str, Any]:
    """Return the phase that trains the head, by the recipe: wishes are of the last phase."""
    return {"name": "head", **_head(situation, AS_THE_RECIPE_SAYS, rounds)}


def _affordable(situation: Situation, wishes: Wishes, rounds: int) -> str:
    """Return what can be trained at a cost that most can afford: all, or the last third."""
    epochs = _whole_epochs(situation, wishes)
    examples = situation.examples * situation.clients * epochs * rounds
    if 3 * situation.operations * examples <= AFFORDABLE or situation.stages < 3:
        return "all"
    return f"last:{math.ceil(situation.stages / 3)}"


def _or(wish: Any, usual: Any) -> Any:
    """Return what the user says, and else what is usual; 0 is refused where it is checked."""
    return usual if wish is None else wish


def _frozen(situation: Situation, trainable: str) -> dict[str, Any]:
    """Return keys of [model]: statistics of small batches would spoil those of pretraining."""
    norms = {"batch_norm": "frozen"} if situation.has_batch_norm else {}
    return norms | ({} if trainable == "all" else {"trainable": trainable})


def _augmented(situation: Situation, trainable: str) -> dict[str, Any]:
    """Return the augmentation, where inputs have to be computed anew in any case."""
    if trainable != "all" or not situation.augmentation:
        return {}
    return {"data": {"augmentation": dict(situation.augmentation)}}


def _evaluation(metric: str) -> dict[str, Any]:
    """Return keys of [evaluation]: the run ends with the round that clients found best."""
    stopping = {"on": "validation", "metric": metric, "restore_best": True}
    return {"federated": True, "early_stopping": stopping}


def _head(situation: Situation, wishes: Wishes, rounds: int) -> dict[str, Any]:
    batch = _or(wishes.batch_size, 32)
    return {
        "rounds": rounds,
        "trainable": "head",
        "client": {
            "epochs": _or(wishes.epochs, _epochs(situation, batch, HEAD_STEPS)),
            "batch_size": batch,
            "optimizer": {"name": "adamw", "lr": _or(wishes.rate, HEAD_RATE)},
            "schedule": {"name": "cosine", "over": "run"},
        },
    }


def _whole_epochs(situation: Situation, wishes: Wishes) -> int:
    epochs: int = _or(wishes.epochs, _epochs(situation, _or(wishes.batch_size, 16), WHOLE_STEPS))
    return epochs


def _whole(situation: Situation, wishes: Wishes, rounds: int, trainable: str) -> dict[str, Any]:
    return {
        "rounds": rounds,
        "trainable": trainable,
        "client": {
            "epochs": _whole_epochs(situation, wishes),
            "batch_size": _or(wishes.batch_size, 16),
            "clip_norm": 1.0,
            "label_smoothing": 0.1,
            "optimizer": {
                "name": "adamw",
                "lr": _or(wishes.rate, TRANSFORMER_RATE if situation.is_transformer else CNN_RATE),
                "layer_decay": LAYER_DECAY,
                "weight_decay": 0.05,
                "decay_norms_and_biases": False,
            },
            "schedule": {"name": "cosine", "over": "run", "warmup": 0.1},
        },
    }


def _scratch(situation: Situation, wishes: Wishes) -> dict[str, Any]:
    batch = _or(wishes.batch_size, 32)
    rounds = _or(wishes.rounds, SCRATCH_ROUNDS)
    tables: dict[str, Any] = {
        "rounds": rounds,
        "client": {
            "epochs": _or(wishes.epochs, _epochs(situation, batch, SCRATCH_STEPS)),
            "batch_size": batch,
            "clip_norm": 1.0,
            "optimizer": {"name": "adamw", "lr": _or(wishes.rate, SCRATCH_RATE)},
            "schedule": {"name": "cosine", "over": "run", "warmup": 0.05},
        },
        "evaluation": _evaluation(situation.metric),
    }
    if wishes.trainable is not None:
        tables["model"] = {"trainable": wishes.trainable}
    return tables | _augmented(situation, "all")


def _epochs(situation: Situation, batch: int, steps: int) -> int:
    """Return local epochs that make so many steps of a client's examples."""
    an_epoch = max(1, math.ceil(situation.examples / max(1, batch)))
    return min(MOST_EPOCHS, math.ceil(steps / an_epoch))
