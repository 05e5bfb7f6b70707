"""Plots show the numbers of the run; the lines are asked, not the pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from fedlab.metrics.names import metric_name
from fedlab.results.drawing import plots
from fedlab.results.drawing.style import LIGHT, PALETTE, inline_svg, png_bytes
from fedlab.results.reading import RunRecord
from fedlab.results.rows import RoundRow

ACCURACY = metric_name("accuracy")


@pytest.fixture(scope="module")
def record(finished_run: Path) -> RunRecord:
    return RunRecord.load(finished_run)


def lines(figure: Figure) -> dict[str, np.ndarray]:
    return {str(line.get_label()): np.asarray(line.get_ydata()) for line in figure.axes[0].lines}


def test_curves_show_the_run_and_its_baselines(record: RunRecord) -> None:
    found = lines(plots.draw_curves(record, ACCURACY))
    assert found["federated"].tolist() == [row.value("accuracy") for row in record.tested]
    pooled = [b.test["accuracy"] for b in record.baselines if b.baseline == "centralised"]
    assert found["pooled data"].tolist() == pooled
    assert "each alone" in found


def test_spread_shows_mean_and_worst_tenth_of_every_round(record: RunRecord) -> None:
    found = lines(plots.draw_spread(record, "clients", ACCURACY))
    spreads = [row.clients["accuracy"] for row in record.rounds if row.clients]
    assert found["mean"].tolist() == [spread.mean for spread in spreads]
    assert found["worst tenth"].tolist() == [spread.worst_decile for spread in spreads]


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5], list(np.linspace(0, 1, 3000))])
def test_a_histogram_counts_every_client(values: list[float]) -> None:
    axes = plots.draw_histogram(values, ACCURACY).axes[0]
    assert sum(bar.get_height() for bar in axes.patches) == len(values)


def test_communication_adds_up_over_rounds_without_evaluation() -> None:
    rounds = [
        RoundRow(
            round=n, bytes_down=10**6, bytes_up=10**6, test={"accuracy": n / 4} if n % 2 else {}
        )
        for n in (1, 2, 3)
    ]
    run = RunRecord(Path("run"), "", rounds=rounds)
    assert plots.communication(run, ACCURACY) == ([2.0, 6.0], [0.25, 0.75])


def test_seconds_that_no_phase_claims_are_other() -> None:
    seconds = {"train": 2.0, "evaluate": 1.0, "checkpoint": 0.5, "total": 4.0}
    run = RunRecord(Path("run"), "", rounds=[RoundRow(round=1, seconds=seconds)])
    rounds, found = plots.phase_seconds(run)
    assert rounds == [1]
    assert {phase: values.tolist() for phase, values in found.items()} == {
        "train": [2.0],
        "evaluate": [1.0],
        "checkpoint": [0.5],
        "other": [1.0],
    }


@pytest.mark.parametrize("rounds", [1, 30, 500])
def test_seconds_are_drawn_for_any_number_of_rounds(rounds: int) -> None:
    rows = [RoundRow(round=n, seconds={"train": 1.0, "total": 1.2}) for n in range(rounds)]
    figure = plots.draw_seconds(RunRecord(Path("run"), "", rounds=rows))
    assert png_bytes(figure, 40).startswith(b"\x89PNG")


@pytest.mark.parametrize("classes", [2, 10, 26, 200])
def test_confusion_is_shaded_by_share_of_the_true_class(classes: int) -> None:
    matrix = np.eye(classes, dtype=int) * 8
    matrix[0, 1] = 8
    figure = plots.draw_confusion([f"class {n}" for n in range(classes)], matrix.tolist())
    shades = figure.axes[0].images[0].get_array()
    assert shades is not None
    assert shades[1, 1, 3] == pytest.approx(0.9)
    assert shades[0, 1, 3] == pytest.approx(0.9 * 0.5**0.5)
    assert shades[1, 0, 3] == 0


def test_no_two_roles_share_a_colour() -> None:
    assert len({light for light, _ in PALETTE.values()}) == len(PALETTE)


def test_inline_svg_holds_no_fixed_colour_of_the_palette(record: RunRecord) -> None:
    text = inline_svg(plots.draw_curves(record, ACCURACY), "curve", 'a "quoted" <word>')
    assert not any(color in text for color in LIGHT.values())
    assert 'aria-label="a &quot;quoted&quot; &lt;word&gt;"' in text


def test_drawing_leaves_no_trace_in_matplotlib(record: RunRecord) -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    png_bytes(plots.draw_curves(record, ACCURACY), 40)
    assert dict(mpl.rcParams) == before
