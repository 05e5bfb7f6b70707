"""``fedlab show``: a scenario, resolved, or the keys of one of its parts by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedlab.cli.completion import part_names, shown
from fedlab.cli.options import Set
from fedlab.cli.trust import Trust
from fedlab.errors import FedlabError, unknown
from fedlab.files import SCENARIO
from fedlab.registry import KINDS
from fedlab.trust import own_code

if TYPE_CHECKING:
    from pydantic import BaseModel

SINGULARS = {kind.singular: kind.registry for kind in KINDS}


def show(
    scenario: Annotated[
        str,
        typer.Argument(
            help="a built-in scenario's name, a TOML file, a run folder, or a kind of part",
            autocompletion=shown,
        ),
    ],
    name: Annotated[
        str | None,
        typer.Argument(
            help=f"of a part: its name; kinds are {', '.join(SINGULARS)}",
            autocompletion=part_names,
        ),
    ] = None,
    overrides: Set = None,
    toml: Annotated[bool, typer.Option("--toml", help="print plain TOML")] = False,
    trust: Trust = False,
) -> None:
    """Show a scenario, a run's figures, or a part's keys: fedlab show strategy fedadam."""
    from fedlab.terminal import PlainConsole

    if name is None and not overrides and not toml and (Path(scenario) / SCENARIO).is_file():
        _show_run(Path(scenario))
        return
    if name is None:
        with own_code(trust):
            _show_scenario(scenario, overrides or [], toml)
        return
    if scenario not in SINGULARS:
        raise FedlabError(unknown("kind", scenario, list(SINGULARS)))
    if overrides or toml:
        raise FedlabError("--set and --toml go with a scenario, not with a part's name")
    console = PlainConsole()
    # Whoever types the name of a class knows it.
    with own_code(allowed=True):
        about, rows = _part(scenario, name)
    console.say(f"{about}\n")
    if rows:
        console.rows(("key", "type and range", "default", "what it is"), rows)


def _show_scenario(scenario: str, overrides: list[str], toml: bool) -> None:
    from rich.table import Table

    from fedlab.errors import one_line
    from fedlab.scenario import dumps, load_with_origins
    from fedlab.terminal import PlainConsole

    loaded = load_with_origins(scenario, overrides)
    if toml:
        typer.echo(dumps(loaded.scenario), nl=False)
        return
    table = Table("key", "value", "set in", title=one_line(loaded.scenario.title) or loaded.name)
    content = loaded.scenario.model_dump(mode="json", exclude_none=True)
    for key, value in _without_repeated(dict(_leaves(content, ""))).items():
        origin = _origin(key, loaded.origins)
        table.add_row(key, _text(value), origin, style="dim" if origin == "default" else None)
    PlainConsole().print(table)


def _show_run(path: Path) -> None:
    """Print what a run reached: the last tested round's metrics, and each site's."""
    from fedlab.metrics.names import metric_name
    from fedlab.results.reading import RunRecord
    from fedlab.results.sites import site_figures
    from fedlab.terminal import PlainConsole

    record = RunRecord.load(path)
    console = PlainConsole()
    done = record.rounds[-1].round if record.rounds else 0
    console.say(f"{record.title}: {record.status}, {done} rounds, {record.clients:,} clients")
    if record.tested:
        last = record.tested[-1]
        rows = [(metric_name(n).label, metric_name(n).text(v)) for n, v in last.test.items()]
        console.rows(("metric", f"test set, round {last.round}"), rows)
    sites = site_figures(record)
    if sites is not None:
        console.say(f"\n{sites.sentence}")
        console.rows(*sites.table())


def _part(kind: str, name: str) -> tuple[str, list[tuple[str, ...]]]:
    """Return what a part is, in words, and its keys: name, type, default, what it is."""
    import inspect

    found = SINGULARS[kind].get(name)
    about = (inspect.getdoc(found) or name).partition("\n\nAttributes:")[0]
    settings = getattr(found, "Settings", None)
    return about, [row for row in (_keys(settings, "") if settings else ()) if row[0] != "name"]


def _keys(settings: type[BaseModel], prefix: str) -> Iterator[tuple[str, ...]]:
    """Yield the keys of settings, those of tables inside after a dot."""
    from fedlab.scenario.reference import keys

    for name, kind, default, about in keys(settings):
        inner = _table_of(settings.model_fields[name].annotation)
        if inner is None or about:
            yield f"{prefix}{name}", *(text.replace("`", "") for text in (kind, default, about))
        if inner is not None:
            yield from _keys(inner, f"{prefix}{name}.")


def _table_of(annotation: Any) -> type[BaseModel] | None:
    """Return the settings of a key that is a table, or may be one."""
    from typing import get_args

    from pydantic import BaseModel

    kinds = (annotation, *get_args(annotation))
    tables = (kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel))
    return next(tables, None)


def _leaves(table: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield the keys of a table and its values; tables of a list are numbered, as --set has it."""
    for key, value in table.items():
        inner = value
        if isinstance(value, list) and any(isinstance(item, dict) for item in value):
            inner = {str(number): item for number, item in enumerate(value)}
        if isinstance(inner, dict) and inner:
            yield from _leaves(inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _without_repeated(values: dict[str, Any]) -> dict[str, Any]:
    """Return values without those of a phase that are as in the scenario's own tables."""

    def is_repeated(key: str) -> bool:
        own = key.partition(".")[2].partition(".")[2]
        return key.startswith("phases.") and own in values and values[own] == values[key]

    return {key: value for key, value in values.items() if not is_repeated(key)}


def _origin(key: str, origins: dict[str, str]) -> str:
    while key:
        if key in origins:
            return origins[key]
        key = key.rpartition(".")[0]
    return "default"


def _text(value: Any) -> str:
    text = str(value).strip()
    return text if len(text) <= 200 else text[:197] + "..."
