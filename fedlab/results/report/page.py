"""The report of a run: one HTML file that needs no network, and its plots as PNG files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from pydantic import JsonValue

from fedlab import __version__
from fedlab.errors import FedlabError
from fedlab.files import DEPLOYED, PLOTS, REPORT, SHARED_REPORT, write_whole
from fedlab.metrics.quantities import NBSP, bytes_text, count_text, seconds_text
from fedlab.results.baselines import LABELS, baseline_curve, is_federating_worth_it, local_spread
from fedlab.results.drawing import style
from fedlab.results.forks import against_parent
from fedlab.results.privacy import at_home, shared
from fedlab.results.reading import RunRecord
from fedlab.results.report.sections import Picture, Section, sections


@dataclass(frozen=True)
class Tile:
    """A headline figure: label, value, and a note."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Bar:
    """A bar in the comparison with baselines: name, text, and length in per cent."""

    role: str
    label: str
    value: str
    length: float


def write_report(path: Path, share: bool = False) -> Path:
    """Write ``report.html`` and ``plots/*.png`` of the run folder at ``path``; return the report.

    Args:
        path: The run folder.
        share: Write ``report-shared.html`` alone, without what is private.

    Raises:
        FedlabError: If this is not a run folder, a file in it is damaged, or cannot be written.
    """
    record = RunRecord.load(path)
    record = shared(record) if share else at_home(record)
    parts = sections(record)
    page = render(record, parts)
    if share:
        write_whole(path / SHARED_REPORT, page.encode())
        return path / SHARED_REPORT
    if (path / PLOTS).is_symlink():
        # A stranger's folder could have the plots written to any other.
        raise FedlabError(f"{path / PLOTS} is a link to another folder; remove it")
    try:
        (path / PLOTS).mkdir(exist_ok=True)
    except OSError as error:
        raise FedlabError(f"{path / PLOTS} cannot be made: {error.strerror}") from error
    for picture in (picture for part in parts for picture in part.pictures):
        style.save_png(picture.figure, path / PLOTS / f"{picture.name}.png")
    write_whole(path / REPORT, page.encode())
    return path / REPORT


def render(record: RunRecord, parts: list[Section]) -> str:
    """Return the report's HTML."""
    environment = Environment(
        loader=PackageLoader("fedlab.results.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["draw"] = _draw
    return environment.get_template("report.html.j2").render(
        record=record,
        fork=against_parent(record),
        sections=parts,
        command="fedlab deploy run" if record.scenario.engine.name == DEPLOYED else "fedlab run",
        subtitle=subtitle(record),
        verdict=is_federating_worth_it(record),
        tiles=tiles(record),
        bars=bars(record),
        environment=_flat(record.environment),
        light=Markup(style.palette_css(dark=False)),
        dark=Markup(style.palette_css(dark=True)),
        version=__version__,
    )


def subtitle(record: RunRecord) -> str:
    """Return a description of the run in one line."""
    scenario = record.scenario
    model = scenario.model.name
    if scenario.model.pretrained:
        model = f"pretrained {model}"
    parts = [
        f"{model} on {scenario.data.name}" if model else "",
        _clients(record) if record.clients else "",
        " + ".join(name for name in (scenario.strategy.name, scenario.client.name) if name),
        f"{scenario.rounds if scenario.rounds is not None else len(record.rounds)} rounds",
        f"seed {scenario.seed}",
    ]
    return " · ".join(part for part in parts if part)


def _clients(record: RunRecord) -> str:
    """Return how many clients there are, and what they are."""
    if record.scenario.engine.name == DEPLOYED:
        return f"flower deployment × {record.clients:,} sites"
    return f"{record.clients:,} clients ({record.scenario.data.partition.name})"


def tiles(record: RunRecord) -> list[Tile]:
    """Return the headline figures."""
    found = []
    metric, best = record.metric, record.best
    if metric and best:
        last = record.tested[-1]
        note = f"best {metric.text(best.value(metric.name))} in round{NBSP}{best.round}"
        value = metric.text(last.value(metric.name))
        found.append(Tile(f"test {metric.label}, round{NBSP}{last.round}", value, note))
    spread = next((row.clients for row in reversed(record.rounds) if row.clients), {})
    if metric and metric.name in spread:
        mean = metric.text(spread[metric.name].mean)
        worst = metric.text(spread[metric.name].worst_decile)
        found.append(Tile("worst tenth of clients", worst, f"mean client {mean}"))
    rounds = max(len([row for row in record.rounds if row.cohort]), 1)
    each = bytes_text(record.bytes_moved / rounds)
    found.append(Tile("communication", bytes_text(record.bytes_moved), f"{each} a round"))
    each = seconds_text(record.seconds / rounds)
    found.append(Tile("time", seconds_text(record.seconds), f"{each} a round"))
    parameters = record.summary.parameters if record.summary else {}
    if "trained" in parameters:
        total = count_text(parameters.get("total", 0))
        found.append(Tile("trained parameters", count_text(parameters["trained"]), f"of {total}"))
    failed = sum(row.failures for row in record.rounds)
    asked = sum(row.cohort for row in record.rounds)
    found.append(Tile("failures", f"{failed:,}", f"of {asked:,} assignments"))
    return found


def bars(record: RunRecord) -> list[Bar]:
    """Return bars of the run and its baselines at the last evaluated round, if it has baselines."""
    metric = record.metric
    if metric is None or not record.baselines:
        return []
    values = {"federated": record.tested[-1].value(metric.name)}
    labels = {
        "local": "each client alone (mean)",
        "random": "federated, random weights",
        "federated": "federated",
        "centralised": "pooled data",
        **{name: LABELS[name] for name in ("source-only", "target-supervised")},
    }
    local = local_spread(record, metric)
    if local:
        values["local"] = local.mean
    for name in LABELS:
        curve = baseline_curve(record, name, metric)
        if curve:
            values[name] = curve.values[-1]
    longest = 1.0 if metric.is_fraction else max(map(abs, values.values())) or 1.0
    return [
        Bar(name, label, metric.text(values[name]), _length(values[name] / longest))
        for name, label in labels.items()
        if name in values
    ]


def _length(share: float) -> float:
    """Return a bar's length in per cent; 0 for NaN."""
    return 100 * min(max(share, 0.0), 1.0) if share == share else 0.0


def _draw(picture: Picture) -> Markup:
    return Markup(style.inline_svg(picture.figure, picture.name, picture.alt))


def _flat(content: dict[str, JsonValue], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested JSON as pairs of key path and text."""
    pairs: list[tuple[str, str]] = []
    for key, value in content.items():
        if isinstance(value, dict):
            pairs += _flat(value, f"{prefix}{key}.")
        else:
            text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
            pairs.append((f"{prefix}{key}", text))
    return pairs
