"""Flower's own strategies, by name, with their constructor arguments as settings.

The classes of ``flwr.serverapp.strategy`` are used unchanged; this file specifies which arguments a
scenario may set, their bounds, and which strategies take a weighted mean. Those that need more than
that stand in ``krum.py``, ``coordinatewise.py`` and ``differential_privacy.py``.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, get_type_hints

from flwr.serverapp import strategy as flower
from pydantic import Field, create_model

from fedlab.algorithm.sampling import CohortSampling
from fedlab.algorithm.setup import Setup
from fedlab.algorithm.strategy import (
    InnerStrategySettings,
    StrategySettings,
    Traits,
    attributes_state,
    build_strategy,
)
from fedlab.registry import strategies
from fedlab.settings import Settings

KEYS: dict[str, dict[str, Any]] = {
    "eta": {"gt": 0, "description": "the server's learning rate"},
    "eta_l": {"gt": 0, "description": "the clients' learning rate; nothing is computed from it"},
    "tau": {"gt": 0, "description": "added to √v: the larger, the less adaptive the step"},
    "beta_1": {"ge": 0, "lt": 1, "description": "decay of the first moment"},
    "beta_2": {"ge": 0, "lt": 1, "description": "decay of the second moment"},
    "beta": {"ge": 0, "lt": 0.5, "description": "fraction of values cut off at either end"},
    "q": {
        "ge": 0,
        "description": "0 is plain averaging; larger values even out the clients' accuracies",
    },
    "client_learning_rate": {
        "gt": 0,
        "description": "its inverse estimates the Lipschitz constant of the clients' gradients",
    },
    "proximal_mu": {"ge": 0, "description": "µ of the clients' proximal term"},
    "server_learning_rate": {"gt": 0, "description": "factor of the mean update"},
    "server_momentum": {"ge": 0, "lt": 1, "description": "momentum of the server's step"},
    "num_malicious_nodes": {"ge": 0, "description": "number of malicious clients to tolerate"},
    "num_nodes_to_select": {
        "ge": 1,
        "description": "number of updates that are selected and averaged",
    },
    "noise_multiplier": {
        "ge": 0,
        "description": "standard deviation of the noise over the clipping norm",
    },
    "clipping_norm": {"gt": 0, "description": "largest Euclidean norm of an update"},
    "initial_clipping_norm": {"gt": 0, "description": "the clipping norm of the first round"},
    "num_sampled_clients": {"ge": 1, "description": "clients in a cohort, for the noise"},
    "target_clipped_quantile": {
        "gt": 0,
        "lt": 1,
        "description": "the quantile of update norms that the clipping norm follows",
    },
    "clip_norm_lr": {"gt": 0, "description": "learning rate of the clipping norm"},
    "clipped_count_stddev": {
        "ge": 0,
        "description": "standard deviation of the noise on clipped counts",
    },
    "inner": {"description": "the strategy that is wrapped, a table with its name and keys"},
}
"""Bounds and descriptions of the arguments of Flower's constructors."""
WIRING = {"weighted_by_key", "arrayrecord_key", "configrecord_key", "train_loss_key"}


class FlowerStrategy:
    """Settings and an explicit state for a strategy of Flower's."""

    Settings: ClassVar[type[Settings]]
    traits: ClassVar[Traits] = Traits()
    _fixed: frozenset[str] = frozenset()

    @classmethod
    def from_settings(cls, settings: Any) -> Any:
        """Return the strategy with these settings as its constructor's arguments."""
        arguments = {
            name: getattr(settings, name)
            for name in type(settings).model_fields
            if name not in {"name", "inner"} and _accepts(cls, name)
        }
        if hasattr(settings, "inner"):
            arguments["strategy"] = build_strategy(settings.inner)
        strategy = cls(**arguments)
        transient = getattr(cls, "transient", ())
        strategy._fixed = frozenset({*arguments, *WIRING, *transient, "_fixed"})
        return strategy

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield an objection for each update processor that the strategy lacks."""
        present = [table.name for table in setup.scenario.updates]
        for needed in self.traits.processors:
            if needed not in present:
                yield (
                    f"strategy.name: '{setup.scenario.strategy.name}' needs clients that clip: add "
                    f"[[updates]] with name = '{needed}'"
                )

    def notes(self, setup: Setup) -> Iterator[str]:
        """Yield what a guarantee of privacy leaves out."""
        layout, accepts = setup.network.model.layout, _accepts(type(self), "noise_multiplier")
        if accepts and layout.wire_size > layout.wire_parameters:
            yield (
                f"strategy.name: '{setup.scenario.strategy.name}' clips parameters and adds noise "
                "to them; the running statistics of batch norm are averaged as they are, and the "
                "guarantee does not cover them: model.batch_norm = 'frozen' or 'local' sends none"
            )

    def state_dict(self) -> dict[str, Any]:
        """Return momenta, last weights and other values that change from round to round."""
        state = attributes_state(self, self._fixed)  # type: ignore[arg-type]
        inner = getattr(self, "strategy", None)
        return state | ({"strategy": inner.state_dict()} if inner is not None else {})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that :meth:`state_dict` returned."""
        for name, value in state.items():
            if name == "strategy":
                self.strategy.load_state_dict(value)  # type: ignore[attr-defined]
            else:
                setattr(self, name, value)


def _settings(cls: type[Any], defaults: Mapping[str, Any]) -> type[Settings]:
    """Return settings with the plain arguments of a strategy's constructor as keys.

    Args:
        cls: The strategy.
        defaults: Values that take the place of the constructor's own.
    """
    fields: dict[str, Any] = {}
    arguments = _arguments(cls)
    wraps = "strategy" in arguments
    for name, parameter in arguments.items():
        if name in StrategySettings.model_fields or name in WIRING or _is_callable_argument(name):
            continue
        own = ... if parameter.default is inspect.Parameter.empty else parameter.default
        default = defaults.get(name, own)
        known: dict[str, Any] = KEYS.get(name, {})
        fields[name] = (_annotation(cls, name), Field(default, **known))
    if wraps:
        inner = Field(InnerStrategySettings(), **KEYS["inner"])
        fields["inner"] = (InnerStrategySettings, inner)
    if wraps or not _accepts(cls, "fraction_train"):
        fields["name"] = (str, ...)
        return create_model(f"{cls.__name__}Settings", __base__=Settings, **fields)
    return create_model(f"{cls.__name__}Settings", __base__=StrategySettings, **fields)


def _arguments(cls: type[Any]) -> dict[str, inspect.Parameter]:
    """Return the named arguments of a class's constructor."""
    catch_all = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(cls.__init__).parameters.items()
    return {n: p for n, p in parameters if n != "self" and p.kind not in catch_all}


def _accepts(cls: type[Any], name: str) -> bool:
    """Return whether a constructor takes an argument, by name or as a further keyword."""
    parameters = inspect.signature(cls.__init__).parameters.values()
    return name in _arguments(cls) or any(
        parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters
    )


def _annotation(cls: type[Any], name: str) -> Any:
    try:
        return get_type_hints(cls.__init__).get(name, Any)
    except NameError:
        return Any


def _is_callable_argument(name: str) -> bool:
    return name.endswith("_fn") or name in {"strategy", "accountant", "selection_rule"}


def adapted(
    cls: type[Any],
    summary: str = "",
    equations: str = "",
    defaults: Mapping[str, Any] | None = None,
    **about: Any,
) -> type[Any]:
    """Return a Flower strategy's class with settings and an explicit state.

    This is for Flower's own classes and those of users (``strategy.name = "module:Class"``). A
    class with ``Settings`` is returned unchanged.

    Args:
        cls: The class.
        summary: A one-line description with its paper; default: the first line of its docstring.
        equations: Its computation.
        defaults: Keys whose defaults are not those of the class.
        about: Fields of :class:`Traits`.
    """
    if hasattr(cls, "Settings") or not issubclass(cls, flower.Strategy):
        return cls
    origin = "Flower's" if cls.__module__.startswith("flwr.") else f"{cls.__module__}'s"
    summary = summary or (inspect.getdoc(cls) or "").split("\n", 1)[0]
    about_class = [summary, inspect.cleandoc(equations), f"The class is {origin} {cls.__name__}."]
    content = {
        "__doc__": "\n\n".join(part for part in about_class if part),
        "__module__": __name__,
        "__init__": cls.__init__,
        "Settings": _settings(cls, defaults or {}),
        "traits": Traits(**about),
    }
    return type(cls.__name__, (FlowerStrategy, *_bases(cls)), content)


def _bases(cls: type[Any]) -> tuple[type[Any], ...]:
    """Return the bases: the class, with cohort sampling if it extends FedAvg."""
    if cls is flower.FedAvg:
        return (CohortSampling,)
    return (cls, CohortSampling) if issubclass(cls, flower.FedAvg) else (cls,)


def adopt(
    name: str,
    cls: type[Any],
    summary: str,
    equations: str,
    defaults: Mapping[str, Any] | None = None,
    **about: Any,
) -> None:
    """Register a strategy of Flower's, or one derived from it; see :func:`adapted`."""
    strategies.register(name)(adapted(cls, summary, equations, defaults, **about))


TAU = 0.01
"""Default of τ for adaptive servers, ten times Flower's; Reddi et al. (2021) tune η and τ.

Changes of a weight well below τ are multiplied by η/τ, less what the moments' decay takes off. By
Flower's defaults, η = 0.1 and τ = 10⁻³, those of a network that is fine-tuned grow up to a
hundredfold, and its loss rises. Here η is such that the first steps are shorter than FedAvg's;
momentum makes later ones as long.
"""


# Below, x are the weights sent, and yₖ those that client k reached with nₖ examples.
adopt(
    "fedavg",
    flower.FedAvg,
    "FedAvg: the mean of the clients' weights, by examples (McMahan et al. 2017)",
    "x ← Σ nₖ yₖ / Σ nₖ over the cohort (Algorithm 1).",
    takes_mean=True,
)
adopt(
    "fedavgm",
    flower.FedAvgM,
    "FedAvgM: FedAvg with momentum on the server (Hsu et al. 2019)",
    """
    v ← β v + (x − mean of yₖ) and x ← x − η v, with β server_momentum and η server_learning_rate.
    By Flower's default β is 0, which is FedAvg.
    """,
    defaults={"server_momentum": 0.5},
    takes_mean=True,
)
adopt(
    "fedprox",
    flower.FedProx,
    "FedProx: FedAvg that sends µ of the clients' proximal term (Li et al. 2020)",
    'Algorithm 2; the server averages as FedAvg does. Its clients are "fedprox".',
    takes_mean=True,
)
adopt(
    "fedadam",
    flower.FedAdam,
    "FedAdam: the mean update as Adam's gradient on the server (Reddi et al. 2021)",
    """
    Algorithm 2, with Δ = mean of yₖ − x:

        m ← β₁ m + (1 − β₁) Δ        v ← β₂ v + (1 − β₂) Δ²        x ← x + ηₜ m / (√v + τ)

    m and v start at 0, where the paper's v starts at τ² or more. In round t Flower takes Adam's
    corrected rate of a round later, ηₜ = η √(1 − β₂ᵗ⁺¹) / (1 − β₁ᵗ⁺¹); the paper's is η throughout.
    """,
    defaults={"eta": 0.05, "tau": TAU},
    takes_mean=True,
)
adopt(
    "fedyogi",
    flower.FedYogi,
    "FedYogi: the mean update as Yogi's gradient on the server (Reddi et al. 2021)",
    """
    Algorithm 2, with Δ = mean of yₖ − x:

        m ← β₁ m + (1 − β₁) Δ        v ← v − (1 − β₂) Δ² sign(v − Δ²)        x ← x + η m / (√v + τ)

    m and v start at 0, where the paper's v starts at τ² or more.
    """,
    defaults={"eta": 0.03, "tau": TAU},
    takes_mean=True,
)
adopt(
    "fedadagrad",
    flower.FedAdagrad,
    "FedAdagrad: the mean update as Adagrad's gradient on the server (Reddi et al. 2021)",
    """
    Algorithm 2 with β₁ = 0 and Δ = mean of yₖ − x: v ← v + Δ², then x ← x + η Δ / (√v + τ). v is 0
    at first, where the paper's starts at τ² or more.
    """,
    defaults={"eta": 0.01, "tau": TAU},
    takes_mean=True,
)
adopt(
    "qfedavg",
    flower.QFedAvg,
    "q-FedAvg: more weight for clients with a large loss (Li et al. 2020, q-FFL)",
    """
    Algorithm 2, with 1/L = client_learning_rate and Fₖ a client's loss:

        Δₖ = L (x − yₖ)        hₖ = q Fₖ^(q−1) ‖Δₖ‖² + L Fₖ^q        x ← x − Σ Fₖ^q Δₖ / Σ hₖ

    Fₖ is the mean loss over the client's local steps; the paper's is that at x.
    """,
)
