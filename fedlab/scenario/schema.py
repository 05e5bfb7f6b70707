"""The schema of a scenario: the fixed tables, and those whose keys depend on a ``name``."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, create_model, model_validator

from fedlab import registry
from fedlab.errors import FedlabError
from fedlab.scenario.phase_settings import PhaseSettings, PhaseSpan
from fedlab.scenario.problems import shown
from fedlab.settings import Settings
from fedlab.training.early_stopping import RunStoppingSettings

if TYPE_CHECKING:
    from fedlab.algorithm.client import ClientSettings
    from fedlab.algorithm.processing import ProcessorSettings
    from fedlab.attacks.attack import AttackSettings
    from fedlab.models.settings import ModelSettings

Baseline = Literal["centralised", "local", "random"]
RoundCount = Annotated[int, Field(ge=1, le=10**6, description="rounds of federated training")]


class EvaluationSettings(Settings):
    """Keys of ``[evaluation]``."""

    every: int = Field(1, ge=1, description="rounds between evaluations; the last always counts")
    test_examples: int | None = Field(
        None,
        ge=1,
        description="how many of the server's test examples to use, drawn once; default: all",
    )
    federated: bool = Field(
        False,
        description="also evaluate on clients' own test parts (data.client_test), or on their "
        "validation parts where they have none",
    )
    metrics: tuple[str, ...] = Field(
        (),
        description="what is reported beside the loss, such as accuracy, balanced_accuracy, "
        "macro_f1, auroc, auprc, calibration_error, brier; rmse, mae, r2; default: what suits the "
        "data set's task",
    )
    baselines: tuple[Baseline, ...] = Field(
        (), description="'centralised', 'local', 'random': is federating worth it?"
    )
    early_stopping: RunStoppingSettings | None = None
    keep_best: bool = Field(
        True,
        description="with federated: keep the weights of the round that was best on clients' "
        "validation parts (best.safetensors); clients that are evaluated on test parts are then "
        "evaluated on their validation parts, too",
    )
    minimum_replies: int = Field(
        1, ge=1, description="the run stops, its checkpoint whole, when fewer clients answer"
    )
    tensorboard: bool = Field(False, description="also write TensorBoard event files")

    @model_validator(mode="after")
    def _the_best_is_kept_to_be_restored(self) -> EvaluationSettings:
        stopping = self.early_stopping
        if stopping is not None and stopping.restore_best and not self.keep_best:
            raise ValueError(
                "keep_best: early_stopping.restore_best returns to the weights that it keeps; "
                "leave it true"
            )
        return self

    @property
    def looks_at_validation(self) -> bool:
        """Whether something is chosen by what clients' validation parts say of each round."""
        stopping = self.early_stopping
        stops = stopping is not None and stopping.on == "validation"
        return self.federated and (self.keep_best or stops)


class DataKeys(Settings):
    """Keys of ``[data]`` that the federation adds to a source's own."""

    task: Literal["own", "reconstruction"] = Field(
        "own",
        description="what is learned: the data set's own task, or its inputs again, without labels",
    )
    partition: SerializeAsAny[Settings]
    validation: float = Field(
        0.1, ge=0, lt=1, description="fraction of each client's part kept for validation"
    )
    client_test: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="fraction of each client's part kept for its own test, which nothing is "
        "trained or stopped on; federated evaluation is on it, or on the validation part where it "
        "is 0",
    )
    train_examples: int | None = Field(
        None, ge=1, description="how many of the training examples to use, drawn once; default: all"
    )
    augmentation: SerializeAsAny[Settings] | None = None
    public: SerializeAsAny[Settings] | None = Field(
        None,
        description="examples that the server and every client may look at and nobody owns; "
        "strategies that distil need them, others leave them alone",
    )


class Scenario(Settings):
    """One federated experiment."""

    title: str = Field("", description="one line, shown by 'fedlab list'")
    description: str = ""
    group: str = Field("", description="where 'fedlab list' shows it; default: its folder")
    seed: int = Field(0, ge=0, le=2**63 - 1, description="every random draw derives from it")
    rounds: RoundCount
    module_folders: tuple[str, ...] | None = Field(
        None,
        description="where modules are looked for that the scenario names (module:Class), before "
        "Python's own path; default: beside its file, then in the current folder, and a run "
        "records where it found them",
    )
    if TYPE_CHECKING:
        # What a type checker may rely on. At run time each table has the settings class that its
        # name asks for; importing all of their bases here would import torch with the schema.
        model: ModelSettings
        client: ClientSettings
        attack: AttackSettings | None = None
        updates: tuple[ProcessorSettings, ...] = ()
        # A data set's keys are mixed with DataKeys, a wrapper's strategy has no key in common with
        # others but its name, and engines and trackers stand above this room.
        data: Any
        strategy: Any
        engine: Any
        trackers: tuple[Any, ...] = ()
    else:
        data: SerializeAsAny[DataKeys]
        model: SerializeAsAny[Settings]
        client: SerializeAsAny[Settings]
        strategy: SerializeAsAny[Settings]
        engine: SerializeAsAny[Settings]
        updates: tuple[SerializeAsAny[Settings], ...] = Field(
            (),
            description="what happens to updates on their way to the server, a table with a name "
            "and keys each: in order on the client, undone in reverse",
        )
        attack: SerializeAsAny[Settings] | None = Field(
            None, description="what malicious clients do, and which they are"
        )
        trackers: tuple[SerializeAsAny[Settings], ...] = Field(
            (),
            description="where the run's figures are sent beside its folder, a table with a name "
            "and keys each",
        )
    evaluation: EvaluationSettings = EvaluationSettings()
    phases: tuple[PhaseSettings, ...] = Field(
        (),
        description="parts of the run, one after the other, each of which trains something else "
        "or in another way; their rounds add up to the run's, which may be left out",
    )
    phase: PhaseSpan | None = Field(
        None, description="which of the phases this is; fedlab says so to its workers"
    )

    @property
    def first_round(self) -> int:
        """Return the first round: above 1 in a later phase of a run."""
        return self.phase.first if self.phase else 1

    @property
    def own_rounds(self) -> int:
        """Return how many rounds there are: of a phase, its own."""
        return self.rounds - self.first_round + 1


DEFAULT_NAMES = {"client": "supervised", "strategy": "fedavg", "engine": "ray"}


def schema_for(raw: dict[str, Any]) -> tuple[type[Scenario], list[str]]:
    """Return the schema whose tables fit the names in ``raw``, and problems with those names.

    A table whose name is unknown is left out of the check (its problem is already reported).
    """
    problems: list[str] = []
    fields: dict[str, Any] = {}
    tables = {
        "model": _model_settings,
        "client": _registered("clients"),
        "strategy": _registered("strategies"),
        "engine": _registered("engines"),
    }
    if raw.get("attack") is not None:
        tables["attack"] = _registered("attacks")
    for table, find in tables.items():
        fields[table] = _field(raw, table, find, problems)
    fields["data"] = _data_field(raw, problems)
    for table in ("updates", "trackers"):
        if raw.get(table) and isinstance(raw[table], list):
            each = _each(raw[table], table, _registered(table), problems)
            # Baselines are written without processors.
            fields[table] = (_exactly(each), ...)
    if raw.get("phases") and isinstance(raw["phases"], list):
        fields["phases"] = (_phases(raw["phases"], tables["client"], problems), ...)
    if not problems:
        problems += _processors_out_of_order(raw.get("updates"))
    return create_model("Scenario", __base__=Scenario, **fields), problems


def _phases(tables: list[Any], find: Any, problems: list[str]) -> Any:
    """Return the annotation of a list of phases, each with all keys of its own client table."""
    kinds: list[Any] = []
    for number, phase in enumerate(tables):
        content = phase.get("client") if isinstance(phase, dict) else None
        found: list[str] = []
        client = _settings(content or {}, "client", find, found)
        problems += [f"phases.{number}.{problem}" for problem in found]
        if client is None:
            kinds.append(Any)
            continue
        keys = _exactly(_with_optimizer(client, content or {}))
        kinds.append(create_model("Phase", __base__=PhaseSettings, client=(keys | None, None)))
    return tuple[tuple(kinds)]  # type: ignore[misc]


def _processors_out_of_order(tables: Any) -> list[str]:
    """Return which update processor, by known names, is given what it cannot take."""
    names = [table["name"] for table in tables] if isinstance(tables, list) else []
    return [
        f"updates.{number}: '{then}' takes numbers, and '{first}' before it leaves codes; let "
        f"'{first}' be the last one"
        for number, (first, then) in enumerate(pairwise(names), 1)
        if getattr(registry.updates.get(first), "gives", "values") == "codes"
    ]


def _registered(kind: str) -> Any:
    return lambda name: _settings_of(getattr(registry, kind).get(name), name)


def _settings_of(found: Any, name: str) -> type[Settings]:
    """Return the nested settings class of a registered class, or of a ``module:Class``."""
    settings = getattr(found, "Settings", None)
    if not (isinstance(settings, type) and issubclass(settings, Settings)):
        raise FedlabError(
            f"'{name}' has no nested class Settings that extends fedlab.settings.Settings, so a "
            "scenario cannot say its keys"
        )
    return settings


def _model_settings(name: str) -> type[Settings]:
    from fedlab.models.transformers_settings import TransformersSettings, is_transformers

    if is_transformers(name):
        return TransformersSettings
    if ":" in name or name in registry.models:
        return _settings_of(registry.models.get(name), name)
    # timm and torchvision take seconds to import.
    from fedlab.models.backbones import BackboneSettings, describe, unknown_model

    if describe(name) is None:
        raise FedlabError(unknown_model(name))
    return BackboneSettings


def _field(raw: dict[str, Any], table: str, find: Any, problems: list[str]) -> Any:
    """Return the pydantic field of one table: the settings class that its name asks for."""
    settings = _settings(raw.get(table), table, find, problems)
    if settings is None:
        return (Any, None)
    settings = _with_inner(settings, raw.get(table) or {}, table, find, problems)
    settings = _with_others(settings, raw.get(table) or {}, table, find, problems)
    settings = _with_optimizer(settings, raw.get(table) or {})
    if table in DEFAULT_NAMES and table not in raw:
        return (_exactly(settings), settings.model_validate({"name": DEFAULT_NAMES[table]}))
    return (_exactly(settings), ...)


def _exactly(settings: Any) -> Any:
    """Return the annotation of a field that holds, and writes, all keys of ``settings``."""
    return SerializeAsAny[settings]  # type: ignore[misc]


def _settings(content: Any, table: str, find: Any, problems: list[str]) -> type[Settings] | None:
    """Return the settings class for a table's content, or None where that cannot be said."""
    default = DEFAULT_NAMES.get(table)
    if content is None and default is None:
        problems.append(f"[{table}] is missing")
        return None
    if content is not None and not isinstance(content, dict):
        problems.append(f"{table}: this is a table, not {shown(content)}")
        return None
    name = (content or {}).get("name", default)
    if name is None:
        problems.append(f"{table}.name is missing")
        return None
    if not isinstance(name, str):
        problems.append(f"{table}.name: {shown(name)} is not a name")
        return None
    try:
        found: type[Settings] = find(name)
    except FedlabError as error:
        problems.append(f"{table}.name: {error}")
        return None
    return found


def _with_inner(
    settings: type[Settings], content: dict[str, Any], table: str, find: Any, problems: list[str]
) -> type[Settings]:
    """Return a wrapper's settings with all keys of the strategy that it wraps under ``inner``."""
    field = settings.model_fields.get("inner")
    if field is None:
        return settings
    default = {"name": field.default.name}
    inner = content.get("inner", {})
    where = f"{table}.inner"
    own = _settings(default | inner if isinstance(inner, dict) else inner, where, find, problems)
    if own is None:
        keys: Any = (Any, None)
    else:
        own = _with_inner(own, inner, where, find, problems)
        own = create_model(own.__name__, __base__=own, name=(str, default["name"]))
        # Keys that the inner strategy requires are in the table; without one, its defaults will do.
        keys = (_exactly(own), ... if inner else own.model_validate(default))
    return create_model(settings.__name__, __base__=settings, inner=keys)


def _with_others(
    settings: type[Settings], content: dict[str, Any], table: str, find: Any, problems: list[str]
) -> type[Settings]:
    """Return a model's settings with all keys of each of its ``others``."""
    others = content.get("others")
    if "others" not in settings.model_fields or not others or not isinstance(others, list):
        return settings
    each = _each(others, f"{table}.others", find, problems)
    return create_model(settings.__name__, __base__=settings, others=(each, ...))


def _with_optimizer(settings: type[Settings], content: dict[str, Any]) -> type[Settings]:
    """Return a client's settings with the keys of its optimiser, where that has some of its own."""
    from fedlab.training.optimizer import OptimizerSettings

    field, optimizer = settings.model_fields.get("optimizer"), content.get("optimizer")
    name = optimizer.get("name") if isinstance(optimizer, dict) else None
    if field is None or not isinstance(field.default, OptimizerSettings):
        return settings
    if not isinstance(name, str):
        return settings
    try:
        own = registry.optimizers.get(name).Settings
    except FedlabError:
        return settings  # The field's own check says what is wrong.
    if own is OptimizerSettings:
        return settings
    return create_model(settings.__name__, __base__=settings, optimizer=(_exactly(own), ...))


def _each(tables: list[Any], where: str, find: Any, problems: list[str]) -> Any:
    """Return the annotation of a list of tables, each with the keys that its name asks for."""
    kinds = [
        _settings(table, f"{where}.{number}", find, problems) for number, table in enumerate(tables)
    ]
    return tuple[tuple(Any if kind is None else _exactly(kind) for kind in kinds)]  # type: ignore[misc]


def _data_field(raw: dict[str, Any], problems: list[str]) -> Any:
    source = _settings(raw.get("data"), "data", _registered("datasets"), problems)
    if source is None:
        return (Any, None)
    content = raw["data"]
    in_names = "{client}" in str(content.get("pattern"))
    has_clients = bool(content.get("clients_by") or content.get("sites") or in_names)
    usual = {"name": "natural" if has_clients else "iid"}
    partition = _settings(
        content.get("partition", usual),
        "data.partition",
        _registered("partitioners"),
        problems,
    )
    keys = {"augmentation": _augmentation_field(content.get("augmentation"), problems)}
    keys["public"] = _public_field(content.get("public"), problems)
    if partition is None:
        keys["partition"] = (Any, None)
    elif "partition" in content:
        keys["partition"] = (_exactly(partition), ...)
    elif has_clients:
        keys["partition"] = (_exactly(partition), partition.model_validate(usual))
    else:
        problems.append("[data.partition] is missing")
        keys["partition"] = (Any, None)
    data = create_model("Data", __base__=(source, DataKeys), **keys)
    return (_exactly(data), ...)


def _augmentation_field(content: Any, problems: list[str]) -> Any:
    """Return the field of ``[data.augmentation]``, with all keys of each further change."""
    from fedlab.data.transforms import AugmentationSettings

    further = content.get("further") if isinstance(content, dict) else None
    if not further or not isinstance(further, list):
        return (AugmentationSettings | None, None)
    where = "data.augmentation.further"
    each = _each(further, where, _registered("augmentations"), problems)
    whole = create_model("Augmentation", __base__=AugmentationSettings, further=(each, ...))
    return (_exactly(whole), ...)


def _public_field(content: Any, problems: list[str]) -> Any:
    """Return the field of ``[data.public]``: with a name, that data set's keys are known, too."""
    from fedlab.data.public import PublicSettings

    if not isinstance(content, dict) or content.get("name") is None:
        return (PublicSettings | None, None)
    source = _settings(content, "data.public", _registered("datasets"), problems)
    if source is None:
        return (Any, None)
    return (create_model("Public", __base__=(source, PublicSettings)) | None, None)
