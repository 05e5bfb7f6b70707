"""The report of a run: one HTML file that needs no network, and its plots as PNG files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fedlab import __version__
from fedlab.errors import FedlabError
from fedlab.files import DEPLOYED, PLOTS, REPORT, SHARED_REPORT, write_whole
from fedlab.results.baselines import LABELS, baseline_curve, is_federating_worth_it, local_spread
from fedlab.results.drawing import style
from fedlab.results.forks import against_parent
from fedlab.results.headings import pairs_of, subtitle, tiles
from fedlab.results.privacy import at_home, shared
from fedlab.results.reading import RunRecord
from fedlab.results.report.sections import Picture, Section, sections


@dataclass(frozen=True)
class Bar:
    """A bar in the comparison with baselines: name, text, and length in per cent."""

    role: str
    label: str
    value: str
    length: float


@dataclass(frozen=True)
class Drawn:
    """A picture in both of its forms: an element of the page, and a PNG file."""

    svg: str
    png: bytes


Draw = Callable[[Sequence[Picture]], Sequence[Drawn]]


def draw_one(picture: Picture) -> Drawn:
    """Draw a picture."""
    figure = picture.figure
    return Drawn(style.inline_svg(figure, picture.name, picture.alt), style.png_bytes(figure))


def draw_each(pictures: Sequence[Picture]) -> list[Drawn]:
    """Draw pictures one after the other."""
    return [draw_one(picture) for picture in pictures]


def write_report(path: Path, share: bool = False, draw: Draw = draw_each) -> Path:
    """Write ``report.html`` and ``plots/*.png`` of the run folder at ``path``; return the report.

    Args:
        path: The run folder.
        share: Write ``report-shared.html`` alone, without what is private.
        draw: Draws the pictures.

    Raises:
        FedlabError: If this is not a run folder, a file in it is damaged, or cannot be written.
    """
    record = RunRecord.load(path)
    record = shared(record) if share else at_home(record)
    parts = sections(record)
    pictures = [picture for part in parts for picture in part.pictures]
    if share:
        svgs = {p: style.inline_svg(p.figure, p.name, p.alt) for p in pictures}
        write_whole(path / SHARED_REPORT, render(record, parts, svgs).encode())
        return path / SHARED_REPORT
    if (path / PLOTS).is_symlink():
        # A stranger's folder could have the plots written to any other.
        raise FedlabError(f"{path / PLOTS} is a link to another folder; remove it")
    try:
        (path / PLOTS).mkdir(exist_ok=True)
    except OSError as error:
        raise FedlabError(f"{path / PLOTS} cannot be made: {error.strerror}") from error
    drawn = list(zip(pictures, draw(pictures), strict=True))
    page = render(record, parts, {picture: found.svg for picture, found in drawn})
    for picture, found in drawn:
        write_whole(path / PLOTS / f"{picture.name}.png", found.png)
    write_whole(path / REPORT, page.encode())
    return path / REPORT


def render(record: RunRecord, parts: Sequence[Section], svgs: Mapping[Picture, str]) -> str:
    """Return the report's HTML.

    Args:
        record: The run.
        parts: The sections.
        svgs: The pictures, each as an element of the page.
    """
    environment = Environment(
        loader=PackageLoader("fedlab.results.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["draw"] = partial(_draw, svgs)
    return environment.get_template("report.html.j2").render(
        record=record,
        fork=against_parent(record),
        sections=parts,
        command="fedlab deploy run" if record.scenario.engine.name == DEPLOYED else "fedlab run",
        subtitle=subtitle(record),
        verdict=is_federating_worth_it(record),
        tiles=tiles(record),
        bars=bars(record),
        environment=pairs_of(record.environment),
        light=Markup(style.palette_css(dark=False)),
        dark=Markup(style.palette_css(dark=True)),
        version=__version__,
    )


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


def _draw(svgs: Mapping[Picture, str], picture: Picture) -> Markup:
    return Markup(svgs[picture])
