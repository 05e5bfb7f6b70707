"""Tables of all figures hold what the run folder holds."""

from pathlib import Path

import pytest

from fedlab.errors import FedlabError
from fedlab.results.metric_tables import write_metrics
from fedlab.results.reading import RunRecord

pd = pytest.importorskip("pandas")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_every_figure_is_a_row(finished_run: Path, tmp_path: Path, suffix: str) -> None:
    record = RunRecord.load(finished_run)
    path = tmp_path / f"metrics.{suffix}"
    count = write_metrics([record], path)
    table = pd.read_csv(path) if suffix == "csv" else pd.read_parquet(path)
    assert len(table) == count
    of_test = table[(table.part == "federated") & (table.metric == "test/accuracy")]
    expected = {row.round: row.value("accuracy") for row in record.tested}
    assert dict(zip(of_test["round"], of_test["value"], strict=True)) == pytest.approx(expected)
    assert set(table.part) == {"federated", *(line.baseline for line in record.baselines)}
    assert set(table.seed) == {3}


def test_clients_reports_are_rows(finished_run: Path, tmp_path: Path) -> None:
    record = RunRecord.load(finished_run)
    path = tmp_path / "clients.parquet"
    write_metrics([record], path, of_clients=True)
    table = pd.read_parquet(path)
    last = table[(table.phase == "evaluate") & (table.metric == "accuracy")]
    newest = last[last["round"] == last["round"].max()]
    found = record.client_values("evaluate", "accuracy")
    assert found is not None
    assert dict(zip(newest.client, newest.value, strict=True)) == pytest.approx(found[1])


def test_another_suffix_is_refused(finished_run: Path, tmp_path: Path) -> None:
    with pytest.raises(FedlabError, match=r"has to end in \.csv or \.parquet"):
        write_metrics([RunRecord.load(finished_run)], tmp_path / "metrics.xlsx")
