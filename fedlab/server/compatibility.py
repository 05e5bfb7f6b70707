"""Whether the parts of a scenario go together, once data, network and strategy are known.

Each part is right by itself (the schema says so); what is told here shows only when they meet, and
is told before the first round rather than by every client in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from flwr.serverapp.strategy import Strategy

from clients.supervised import Supervised
from fedlab import registry
from fedlab.attacks.attack import Attack, CollusiveAttack
from fedlab.data.dataset import Task
from fedlab.data.federation import Federation
from fedlab.data.transforms import build_augmentation
from fedlab.data.virtual import GeneratedExamples
from fedlab.errors import FedlabError, unknown
from fedlab.models.network import Network, other_networks
from fedlab.results.metrics import names_of
from fedlab.scenario import Scenario
from fedlab.server.strategy import cohort_size, public_part, trusting_part
from fedlab.training.early_stopping import EarlyStoppingSettings


def check_compatibility(
    scenario: Scenario, federation: Federation, network: Network, strategy: Strategy
) -> None:
    """Check that the scenario's parts go together.

    Raises:
        FedlabError: With every problem found, a line each.
    """
    settings: Any = scenario
    task = federation.dataset.task
    problems = [
        *_cohort(settings.strategy, len(federation)),
        *_malicious(settings.strategy, strategy, len(federation)),
        *_root(settings, strategy),
        *_public(settings, strategy, federation),
        *_attack(settings.attack, task, len(federation)),
        *_attacked(settings, network, strategy),
        *_mods(settings, strategy),
        *_others(settings, task),
        *_pooled(scenario, federation),
        *_strategy_of_client(settings),
        *_personal_part(settings, network),
        *_evaluation_part(settings),
        *_partners(settings, strategy),
        *_stragglers(settings, len(federation)),
        *_unfit(strategy, task),
        *_raised(lambda: _algorithm(settings).criterion(task)),
        *_raised(
            lambda: build_augmentation(settings.data.augmentation, task, network.mean, network.std)
        ),
        *_watched("evaluation.early_stopping", scenario.evaluation.early_stopping, task),
        *_watched("client.early_stopping", settings.client.early_stopping, task),
    ]
    if problems:
        raise FedlabError("\n".join(problems))


def _cohort(strategy: Any, population: int) -> Iterator[str]:
    inner = getattr(strategy, "inner", strategy)
    for key in ("min_train_nodes", "min_evaluate_nodes", "min_available_nodes"):
        wanted = getattr(inner, key, 1)
        if wanted > population:
            yield (
                f"strategy.{key}: {wanted} clients are asked for and the partition has {population}"
            )


def _malicious(settings: Any, strategy: Strategy, population: int) -> Iterator[str]:
    """Tell whether a cohort is too small for the malicious nodes that it shall withstand."""
    cohort, key, what = cohort_size(settings, population), "strategy", "cohort"
    if hasattr(strategy, "inputs"):
        cohort, key, what = strategy.inputs(cohort), "strategy.inner", "set of buckets"
        settings, strategy = settings.inner, strategy.strategy  # type: ignore[attr-defined]
    bound = getattr(strategy, "malicious_bound", None)
    if bound is None:
        return
    least = bound[0] * settings.num_malicious_nodes + bound[1]
    if cohort < least:
        yield (
            f"{key}.num_malicious_nodes: '{settings.name}' withstands "
            f"{settings.num_malicious_nodes} malicious clients in a {what} of {least} or more, and "
            f"the {what} has {cohort}"
        )


def _root(settings: Any, strategy: Strategy) -> Iterator[str]:
    engine = registry.engines.get(settings.engine.name)
    if trusting_part(strategy) is not None and not engine.holds_root:
        yield (
            f"engine.name: the nodes of engine '{settings.engine.name}' are all clients, and "
            "strategy 'fltrust' trains on the server's own data; use engine 'ray' or 'inline'"
        )


def _public(settings: Any, strategy: Strategy, federation: Federation) -> Iterator[str]:
    """Tell whether there are public examples for a strategy that works on them."""
    if public_part(strategy) is None:
        return
    if federation.public is None:
        yield (
            f"strategy.name: '{settings.strategy.name}' distils on public examples, and there are "
            "none; add a table [data.public] with examples = 1000, say"
        )
    elif getattr(settings.client, "public_epochs", 0):
        classes, targets = federation.dataset.task.classes, federation.public.targets
        if targets.is_floating_point() or int(targets.max()) >= classes:
            yield (
                f"data.public.name: '{settings.data.public.name}' has other labels than classes 0 "
                f"to {classes - 1}, which clients learn first; set client.public_epochs = 0"
            )


def _unfit(strategy: Any, task: Task) -> Iterator[str]:
    """Tell what a strategy, and those that it wraps, have against the task."""
    if hasattr(strategy, "check"):
        yield from _raised(lambda: strategy.check(task))
    if hasattr(strategy, "strategy"):
        yield from _unfit(strategy.strategy, task)


def _others(settings: Any, task: Task) -> Iterator[str]:
    """Tell whether further architectures fit the task, and whether anything counts on one alone."""
    if not settings.model.others:
        return
    yield from _raised(lambda: other_networks(settings.model, task, settings.seed))
    if settings.evaluation.baselines:
        yield (
            "evaluation.baselines: they train one architecture, and clients have several "
            "(model.others); leave the key out"
        )


def _pooled(scenario: Scenario, federation: Federation) -> Iterator[str]:
    generated = isinstance(federation.dataset.train, GeneratedExamples)
    if generated and "centralised" in scenario.evaluation.baselines:
        yield (
            "evaluation.baselines: 'centralised' trains on all clients' examples at once, and this "
            "data set makes them client by client; take 'local', or a data set that is stored"
        )


def _attack(settings: Any, task: Task, population: int) -> Iterator[str]:
    """Tell whether the malicious clients are clients, and can attack this task."""
    if settings is None:
        return
    strangers = [client for client in settings.clients if not 0 <= client < population]
    if strangers:
        yield (
            f"attack.clients: there is no client {strangers[0]}; the partition has clients 0 to "
            f"{population - 1}"
        )
    if population - len(set(settings.clients)) < 1 or population < 2:
        yield f"attack: of {population} clients, one at least must be benign"
    yield from _raised(lambda: registry.attacks.get(settings.name)(settings).check(task))


def _attacked(settings: Any, network: Network, strategy: Strategy) -> Iterator[str]:
    """Tell whether what clients send is what an attack on weights would change."""
    if settings.attack is None:
        return
    name, attack = settings.attack.name, registry.attacks.get(settings.attack.name)
    colludes = issubclass(attack, CollusiveAttack)
    if not colludes and attack.corrupted is Attack.corrupted:
        return
    algorithm = registry.clients.get(settings.client.name)
    if network.model.layout.wire_size == 0:
        yield f"attack.name: '{name}' changes the weights that clients send, and none travel here"
    elif not getattr(algorithm, "sends_weights", True):
        yield (
            f"attack.name: '{name}' changes the weights that clients send, and client "
            f"'{settings.client.name}' sends something else in their place; take 'label-flip', or "
            "another client"
        )
    if colludes and getattr(strategy, "has_several_models", False):
        yield (
            f"attack.name: '{name}' compares updates of one global model, and strategy "
            f"'{settings.strategy.name}' has several; take an attack that each client makes by "
            "itself, such as 'sign-flip'"
        )


def _mods(settings: Any, strategy: Strategy) -> Iterator[str]:
    needed = getattr(strategy, "required_mod", None)
    known = registry.strategies
    for mod in settings.client.mods:
        users = [n for n in known.names() if getattr(known.get(n), "required_mod", None) == mod]
        if users and settings.strategy.name not in users:
            yield (
                f"client.mods: '{mod}' waits for a clipping norm, which strategy "
                f"'{settings.strategy.name}' does not send; take {' or '.join(users)}, or leave it "
                "out"
            )
    if needed and needed not in settings.client.mods:
        yield (
            f"strategy.name: '{settings.strategy.name}' needs clients that clip: add "
            f"client.mods = ['{needed}']"
        )


def _strategy_of_client(settings: Any) -> Iterator[str]:
    """Tell whether the strategy has the key whose value the client algorithm counts on."""
    key = getattr(registry.clients.get(settings.client.name), "required_strategy_key", None)
    inner = getattr(settings.strategy, "inner", None)
    if key is None or hasattr(settings.strategy, key) or hasattr(inner, key):
        return
    known = registry.strategies
    having = [name for name in known.names() if key in known.get(name).Settings.model_fields]
    yield (
        f"client.name: '{settings.client.name}' needs a strategy that sends '{key}': set "
        f"strategy.name to {' or '.join(having)}"
    )


def _personal_part(settings: Any, network: Network) -> Iterator[str]:
    """Tell whether the model leaves on its client what the client algorithm counts on."""
    name = settings.client.name
    needed = getattr(registry.clients.get(name), "personal_part", "any")
    personal, size = settings.model.personal, network.model.layout.personal_size
    if needed == "none" and size:
        yield (
            f"client.name: '{name}' works on whole models, and part of this one stays on its "
            "client; set model.personal = 'none' and model.batch_norm = 'train' or 'frozen'"
        )
    elif needed == "batch-norm" and settings.model.batch_norm != "local":
        yield (
            f"model.batch_norm: '{settings.model.batch_norm}' lets batch norm travel, and client "
            f"'{name}' keeps it; set 'local'"
        )
    elif needed == "batch-norm" and not size:
        yield f"client.name: '{name}' keeps batch norm on its client, and the model has none"
    elif needed in ("head", "body", "all") and personal not in (needed, *_patterns(personal)):
        yield (
            f"model.personal: {personal!r} is not what client '{name}' keeps to itself; set "
            f"'{needed}'{'' if needed == 'all' else ' or a list of parameter-name patterns'}"
        )


def _patterns(personal: str | tuple[str, ...]) -> list[tuple[str, ...]]:
    return [personal] if isinstance(personal, tuple) else []


def _evaluation_part(settings: Any) -> Iterator[str]:
    data = settings.data
    if settings.evaluation.federated and not data.client_test and not data.validation:
        yield (
            "evaluation.federated: clients have nothing to be evaluated on; set data.client_test "
            "or data.validation above 0"
        )


def _partners(settings: Any, strategy: Strategy) -> Iterator[str]:
    """Tell whether strategy and client algorithm count on another than they have."""
    algorithm = registry.clients.get(settings.client.name)
    needed = getattr(strategy, "required_client", None)
    if needed and not issubclass(algorithm, registry.clients.get(needed)):
        yield (
            f"strategy.name: '{settings.strategy.name}' counts on what clients of its own send: "
            f"set client.name = '{needed}'"
        )
    inner = getattr(strategy, "strategy", None)
    if getattr(inner, "required_client", None):
        yield (
            f"strategy.inner.name: '{settings.strategy.inner.name}' counts on more than weights, "
            f"and '{settings.strategy.name}' hands on no more: take another inner strategy"
        )
    elif getattr(inner, "has_several_models", False):
        yield (
            f"strategy.inner.name: '{settings.strategy.inner.name}' has several global models, and "
            f"'{settings.strategy.name}' knows of one: take another inner strategy"
        )
    needed = getattr(algorithm, "required_strategy", None)
    if needed and not isinstance(strategy, registry.strategies.get(needed)):
        yield (
            f"client.name: '{settings.client.name}' sends what only its own strategy can combine: "
            f"set strategy.name = '{needed}'"
        )


def _stragglers(settings: Any, population: int) -> Iterator[str]:
    """Tell whether anybody is left when stragglers are dropped, and whether they can do less."""
    stragglers = getattr(settings.client, "stragglers", None)
    if stragglers is None:
        return
    cohort = cohort_size(settings.strategy, population)
    if stragglers.drop and stragglers.in_time(cohort) == 0:
        yield (
            f"client.stragglers.fraction: {stragglers.fraction} of a cohort of {cohort} leaves "
            "nobody; take a smaller fraction or a larger cohort"
        )
    algorithm = registry.clients.get(settings.client.name)
    own = any(getattr(algorithm, n, None) is not getattr(Supervised, n) for n in ("fit", "train"))
    if own and not stragglers.drop:
        yield (
            f"client.stragglers: client '{settings.client.name}' has a training loop of its own, "
            "which stragglers cannot cut short; set client.stragglers.drop = true"
        )


def _algorithm(settings: Any) -> Any:
    return registry.clients.get(settings.client.name)(settings.client)


def _raised(build: Callable[[], object]) -> Iterator[str]:
    """Yield what building a part says against it."""
    try:
        build()
    except FedlabError as error:
        yield str(error)


def _watched(table: str, settings: EarlyStoppingSettings | None, task: Task) -> Iterator[str]:
    if settings is None:
        return
    known = names_of(task)
    if settings.metric not in known:
        yield f"{table}.metric: {unknown('metric', settings.metric, known)}"
