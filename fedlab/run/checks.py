"""Whether the parts of a scenario go together, once data, network and strategy are known.

Each part says in ``objections(setup)`` what speaks against the others. They are collected here,
together with what concerns the evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from flwr.serverapp.strategy import Strategy

from fedlab import registry
from fedlab.algorithm.setup import EngineTraits, Setup, raised
from fedlab.algorithm.strategy import objections_of
from fedlab.data.federation import Federation
from fedlab.data.transforms import build_augmentation
from fedlab.data.unseen_settings import KEY
from fedlab.data.virtual import GeneratedExamples
from fedlab.engine import probe
from fedlab.errors import FedlabError, FedlabErrors, described
from fedlab.models.adapters.adapt import Adapted
from fedlab.models.adapters.layers import caller_of
from fedlab.models.layout import Layout
from fedlab.models.network import Network, other_networks
from fedlab.run import downlink
from fedlab.run.callbacks import objections_of_trackers
from fedlab.run.strategy_faults import told
from fedlab.scenario import Scenario
from fedlab.scenario.parts import preparation, update_chain
from fedlab.scenario.schema import SITES
from fedlab.training import lone_examples
from fedlab.training.draw import build_draw
from fedlab.training.early_stopping import unknown_metric


def setup_of(
    scenario: Scenario, federation: Federation, network: Network, strategy: Strategy
) -> Setup:
    """Return all parts of a run, for each of them to object to."""
    engine: EngineTraits = registry.engines.get(scenario.engine.name).traits
    attack = None
    if scenario.attack is not None:
        attack = registry.attacks.get(scenario.attack.name)(scenario.attack)
    algorithm = registry.clients.get(scenario.client.name)(scenario.client)
    return Setup(scenario, federation, network, strategy, algorithm, attack, engine)


@contextmanager
def in_phase(scenario: Scenario) -> Iterator[None]:
    """Let problems say which phase they are found in, where it is not the first one.

    Raises:
        FedlabErrors: As they were, with the phase before each.
    """
    try:
        yield
    except FedlabError as error:
        span = scenario.phase
        if span is None or span.number == 0:
            raise
        raise FedlabErrors(
            f"phases.{span.number} ('{span.name}'): {line}" for line in str(error).splitlines()
        ) from error


def check_phases(layouts: Sequence[Layout], adapted: Adapted | None) -> None:
    """Check that one phase trains the adapter, and that what clients keep in one fits the next.

    Args:
        layouts: That of each phase's network.
        adapted: What the network's adapter is, if it has one.

    Raises:
        FedlabError: If not.
    """
    if adapted and all(adapted.parameters.isdisjoint(own.trained_names) for own in layouts):
        raise FedlabError(
            "phases: none of them trains anything of the adapter; let one have trainable = "
            "'adapter+head', or leave out [model.adapter]"
        )
    others = any(layout != layouts[0] for layout in layouts)
    if others and any(layout.personal_size for layout in layouts):
        raise FedlabError(
            "phases: where part of the model stays on its client (model.personal, "
            "model.batch_norm = 'local'), all phases have to train the same parameters; leave "
            "phases.trainable out, or let all of the model travel"
        )


def check_compatibility(setup: Setup) -> None:
    """Check that the parts of a run go together.

    Raises:
        FedlabErrors: With every problem found, a line each.
    """
    settings = setup.scenario
    with told(settings.strategy.name, settings.client.name, "objections", 0):
        spoken = list(objections_of(setup))
    problems = [
        *spoken,
        *_of(setup.attack, setup),
        *_of(setup.algorithm, setup),
        *_of(registry.engines.get(setup.scenario.engine.name), setup),
        *update_chain(setup.scenario, setup.network.model.layout).objections(setup),
        *downlink.objections(setup.scenario, setup),
        *_inputs(setup),
        *_adapter(setup),
        *_lone_examples(setup),
        *_unlabelled(setup),
        *_drift(setup),
        *_baselines(setup),
        *_evaluation(setup),
        *_unseen(setup),
        *objections_of_trackers(settings),
    ]
    if problems:
        raise FedlabErrors(problems)


def _of(part: Any, setup: Setup) -> Iterator[str]:
    """Yield a part's objections; one of somebody else's may have no such method, or raise in it."""
    if not hasattr(part, "objections"):
        return
    try:
        yield from part.objections(setup)
    except FedlabError:
        raise
    except (Exception, SystemExit) as error:
        cls = part if isinstance(part, type) else type(part)
        raise FedlabError(
            f"class {cls.__name__} cannot say what speaks against the run: its 'objections' raised "
            f"{described(error)}"
        ) from error


def _inputs(setup: Setup) -> Iterator[str]:
    """Tell whether further architectures and the augmentation fit the task."""
    settings, task, network = setup.scenario, setup.task, setup.network
    if settings.model.others:
        yield from raised(lambda: other_networks(settings.model, task, settings.seed))
    yield from raised(
        lambda: build_augmentation(settings.data.augmentation, task, network.mean, network.std)
    )


def _adapter(setup: Setup) -> Iterator[str]:
    """Tell whether an adapter is trained, and whether all of its layers are called as such."""
    adapted, module = setup.network.adapted, setup.network.model.module
    if adapted is None:
        return
    trained = setup.network.model.layout.trained_names
    if adapted.parameters.isdisjoint(trained) and setup.scenario.phase is None:
        yield (
            f"model.trainable: with {setup.scenario.model.trainable!r} nothing of the adapter is "
            "trained; leave the key out, or [model.adapter]"
        )
    layers = {name: module.get_submodule(name) for name in adapted.layers}
    called = _called(setup, adapted)
    idle = [name for name in adapted.layers if name not in called]
    if idle:
        yield (
            f"model.adapter.targets: '{idle[0]}' ({type(layers[idle[0]]).__name__}) is not called "
            f"as a layer by this model, so that an adapter has no effect there ({len(idle)} such "
            "layers); name others"
        )


@torch.no_grad()
def _called(setup: Setup, adapted: Adapted) -> set[str]:
    """Return which adapted layers are called when the model computes one example."""
    network, found = setup.network, set()

    def note(name: str) -> Callable[..., None]:
        return lambda *_: found.add(name)

    below = dict(network.model.module.named_modules())
    hooks = [caller_of(below, name).register_forward_hook(note(name)) for name in adapted.layers]
    network.evaluation_mode()
    try:
        network.model.module(_one_example(setup))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _one_example(setup: Setup) -> torch.Tensor:
    """Return one client's first example as the network takes it."""
    whole, rows = setup.federation.examples(0)[0].located()
    prepare = preparation(setup.network, setup.task, setup.scenario.model)
    return prepare(whole.inputs_at(rows[:1]))


def _lone_examples(setup: Setup) -> Iterator[str]:
    """Tell whether a batch may be of one example, where the model cannot be trained on it."""
    scenario, federation = setup.scenario, setup.federation
    yield from lone_examples.objections(
        setup.network,
        _one_example(setup),
        build_draw(setup.task).views,
        getattr(scenario.client, "batch_size", 0),
        federation,
    )


def _unlabelled(setup: Setup) -> Iterator[str]:
    """Tell what speaks against clients without labels."""
    scenario, missing = setup.scenario, setup.federation.unlabelled
    bounds = {"source-only", "target-supervised"} & set(scenario.evaluation.baselines)
    if bounds and not missing and not scenario.data.unlabelled:
        yield (
            f"evaluation.baselines: '{min(bounds)}' is a bound of adaptation to clients without "
            "labels, and all have some; name those without in data.unlabelled"
        )
    if len(missing) == setup.population and not setup.algorithm.learns_without_labels:
        yield (
            f"data.unlabelled: client '{scenario.client.name}' learns by labels, and no client has "
            "any; name fewer, or set client.name to one that learns without"
        )
    if missing and "local" in scenario.evaluation.baselines:
        yield (
            "evaluation.baselines: 'local' lets each client learn alone by its labels, and some "
            "have none (data.unlabelled); take 'source-only' and 'target-supervised'"
        )
    if missing and scenario.client.class_weights == "balanced":
        yield (
            "client.class_weights: 'balanced' counts the labels of all clients, and some have none "
            "(data.unlabelled); set it to 'none'"
        )
    if missing and scenario.data.task == "reconstruction":
        yield "data.unlabelled: a reconstruction is learned without labels; leave the key out"
    if missing and scenario.attack is not None:
        yield "data.unlabelled: attacks need the labels of all clients; leave [attack] out"


def _drift(setup: Setup) -> Iterator[str]:
    """Tell what speaks against shifts that change with the rounds."""
    scenario = setup.scenario
    if setup.federation.drift is None:
        return
    if "local" in scenario.evaluation.baselines:
        yield (
            "evaluation.baselines: 'local' trains each client at once, and its examples change "
            "with the rounds (data.shift); take 'centralised'"
        )
    if scenario.evaluation.probe is not None:
        yield (
            "evaluation.probe: it looks at examples as they are stored, and they change with the "
            "rounds (data.shift); leave the table out"
        )


def _baselines(setup: Setup) -> Iterator[str]:
    """Tell why the scenario's baselines cannot be run."""
    wanted = setup.scenario.evaluation.baselines
    if wanted and setup.scenario.model.others:
        yield (
            "evaluation.baselines: they train one architecture, and clients have several "
            "(model.others); leave the key out"
        )
    if "centralised" in wanted and isinstance(setup.federation.dataset.train, GeneratedExamples):
        yield (
            "evaluation.baselines: 'centralised' trains on all clients' examples at once, and this "
            "data set makes them client by client; take 'local', or a data set that is stored"
        )


def _evaluation(setup: Setup) -> Iterator[str]:
    """Tell whether there is anything to evaluate clients on, and a metric to stop by."""
    settings = setup.scenario
    data, evaluation = settings.data, settings.evaluation
    if evaluation.federated and not data.client_test and not data.validation:
        yield (
            "evaluation.federated: clients have nothing to be evaluated on; set data.client_test "
            "or data.validation above 0"
        )
    stopping = evaluation.early_stopping
    if stopping is not None and stopping.on == "validation":
        if not evaluation.federated:
            yield (
                "evaluation.early_stopping.on: 'validation' is what clients say in federated "
                "evaluation; set evaluation.federated = true"
            )
        elif not data.validation:
            yield (
                "evaluation.early_stopping.on: clients have no validation parts; set "
                "data.validation above 0"
            )
    yield from probe.objections(setup)
    yield from unknown_metric("evaluation.early_stopping", stopping, setup.task)


def _unseen(setup: Setup) -> Iterator[str]:
    """Tell why clients that never train cannot be evaluated."""
    settings = setup.scenario
    if not settings.evaluation.unseen_clients:
        return
    if settings.data.name == SITES:
        yield f"{KEY}: sites bring their own data, and all of them train; leave the key out"
    elif setup.engine.loads_own_data:
        yield (
            f"{KEY}: engine '{settings.engine.name}' has a node for each client that trains, and "
            "none for others; set engine.name = 'ray' or 'inline', or leave the key out"
        )
    if not settings.data.client_test and not settings.data.validation:
        yield (
            f"{KEY}: these clients have nothing to be tested on; set data.client_test or "
            "data.validation above 0"
        )
