"""The schema that fits a scenario: the tables whose keys depend on a ``name``, put together.

A named table (a data set, a model, a client algorithm …) has the keys of the settings class that
its name is registered with; some of them hold further named tables.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field, SerializeAsAny, create_model

from fedlab import registry
from fedlab.errors import FedlabError
from fedlab.scenario.phase_settings import PhaseSettings
from fedlab.scenario.problems import shown
from fedlab.scenario.schema import DataKeys, Scenario
from fedlab.settings import Settings

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
    for table, kind in (("updates", "updates"), ("downlink", "updates"), ("trackers", "trackers")):
        if raw.get(table) and isinstance(raw[table], list):
            find = _fed_back if table == "downlink" else _registered(kind)
            each = _each(raw[table], table, find, problems)
            # Baselines are written without processors.
            fields[table] = (_exactly(each), ...)
    if raw.get("phases") and isinstance(raw["phases"], list):
        fields["phases"] = (_phases(raw["phases"], tables["client"], problems), ...)
    if not problems:
        for table in ("updates", "downlink"):
            problems += processors_out_of_order(raw.get(table), table)
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


def _fed_back(name: str) -> type[Settings]:
    """Return the keys of a processor of the downlink, whose error is always fed back."""
    settings: type[Settings] = _registered("updates")(name)
    if "error_feedback" not in settings.model_fields:
        return settings
    always: Any = (Literal[True], Field(True, description="on the downlink, always"))
    return create_model(settings.__name__, __base__=settings, error_feedback=always)


def processors_out_of_order(tables: Any, key: str) -> list[str]:
    """Return which update processors, by known names, are given what they cannot take.

    Args:
        tables: The content of ``[[updates]]`` or of another list of processors.
        key: Its key.
    """
    names = [table["name"] for table in tables] if isinstance(tables, list) else []
    gives = {name: getattr(registry.updates.get(name), "gives", "values") for name in names}
    problems = []
    for number, then in enumerate(names[1:], 1):
        takes = getattr(registry.updates.get(then), "takes", "values")
        first = names[number - 1]
        others = [name for name in names[:number] if gives[name] != "update"]
        if gives[first] == "codes" and takes != "bytes":
            problems.append(
                f"{key}.{number}: '{then}' takes numbers, and '{first}' before it leaves codes; "
                f"let '{first}' be the last one"
            )
        elif takes == "update" and others:
            problems.append(
                f"{key}.{number}: '{then}' takes a number for each parameter, and '{others[0]}' "
                f"before it leaves others; let '{then}' be the first one"
            )
    return problems


def _registered(kind: str) -> Any:
    return lambda name: _settings_of(getattr(registry, kind).get(name), name)


def registered_settings(
    content: Any, table: str, kind: str, problems: list[str]
) -> type[Settings] | None:
    """Return the settings class for a table's content, or None where that cannot be said.

    Args:
        content: The table.
        table: Its key, for messages.
        kind: The registry in which its name is.
        problems: Is added what is wrong with the name.
    """
    return _settings(content, table, _registered(kind), problems)


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
    settings = _with_adapter(settings, raw.get(table) or {}, table, problems)
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


def _with_adapter(
    settings: type[Settings], content: dict[str, Any], table: str, problems: list[str]
) -> type[Settings]:
    """Return a model's settings with all keys of its adapter, where it has one."""
    adapter = content.get("adapter")
    if "adapter" not in settings.model_fields or adapter is None:
        return settings
    own = _settings(adapter, f"{table}.adapter", _registered("adapters"), problems)
    keys: Any = Any if own is None else _exactly(own)
    return create_model(settings.__name__, __base__=settings, adapter=(keys, ...))


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
    kinds = []
    for number, table in enumerate(tables):
        at = f"{where}.{number}"
        kind = _settings(table, at, find, problems)
        kinds.append(kind and _with_adapter(kind, table, at, problems))
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
    if content.get("shift") and isinstance(content["shift"], list):
        each = _each(content["shift"], "data.shift", _registered("shifts"), problems)
        keys["shift"] = (each, ...)
    # Of .ts files it is a file's path.
    if _is_table(source, "test"):
        keys["test"] = _test_field(content.get("test"), problems)
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


def _is_table(source: type[Settings], key: str) -> bool:
    """Return whether a key of a data set holds a table."""
    field = source.model_fields.get(key)
    return field is not None and any(
        isinstance(part, type) and issubclass(part, Settings)
        for kind in get_args(field.annotation)
        for part in (kind, *get_args(kind))
    )


def _test_field(content: Any, problems: list[str]) -> Any:
    """Return the field of ``[data.test]``, with the keys of the data set that it names."""
    if content is None:
        return (Any, None)
    source = _settings(content, "data.test", _registered("datasets"), problems)
    return (Any, None) if source is None else (_exactly(source), ...)


def _public_field(content: Any, problems: list[str]) -> Any:
    """Return the field of ``[data.public]``: with a name, that data set's keys are known, too."""
    from fedlab.data.public import PublicSettings

    if not isinstance(content, dict) or content.get("name") is None:
        return (PublicSettings | None, None)
    source = _settings(content, "data.public", _registered("datasets"), problems)
    if source is None:
        return (Any, None)
    return (create_model("Public", __base__=(source, PublicSettings)) | None, None)
