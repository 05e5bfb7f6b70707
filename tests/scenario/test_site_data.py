"""A site, the server and a simulation see one federation, each what it may see."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fedlab.errors import FedlabError
from fedlab.scenario import Scenario
from fedlab.scenario.parts import load_federation
from fedlab.scenario.site import load_site
from fedlab.scenario.site_data import (
    Pooled,
    federation_at,
    pooled_of,
    read_site,
    schema_federation,
    site_statistics,
)
from tests.data.sites.files import PICTURES, TABLE, site_of_pictures, site_of_rows, some_rows
from tests.shared import scenario_with


def of_tables(folder: Path, **keys: object) -> Scenario:
    files = [str(site_of_rows(folder, n, some_rows(20 + 9 * k, k))) for k, n in enumerate("abc")]
    data = {"partition": None, **TABLE, "sites": 3, "site_files": files, **keys}
    return scenario_with({"data": data})


def test_each_site_sees_the_rows_that_the_simulation_gives_it(tmp_path: Path) -> None:
    scenario = of_tables(tmp_path)
    whole = load_federation(scenario)
    sites = [load_site(Path(file)) for file in scenario.data.site_files]
    read = [read_site(scenario, site) for site in sites]
    pooled = pooled_of(scenario, [site_statistics(scenario, r, k, 3) for k, r in enumerate(read)])
    for client, rows in enumerate(read):
        own = federation_at(scenario, rows, client, 3, pooled)
        for mine, same in zip(own.examples(client), whole.examples(client), strict=True):
            assert torch.equal(mine.inputs, same.inputs)
            assert torch.equal(mine.targets, same.targets)
        assert own.dataset.task == whole.dataset.task
        with pytest.raises(FedlabError, match="stay there"):
            own.rows((client + 1) % 3)


def test_numbers_are_scaled_by_all_sites_training_rows_together(tmp_path: Path) -> None:
    whole = load_federation(of_tables(tmp_path))
    ages = whole.dataset.train.inputs[whole.pooled_rows(), 0].double()
    assert ages.mean().item() == pytest.approx(0, abs=1e-6)
    assert ages.std(correction=0).item() == pytest.approx(1, abs=1e-6)


def test_the_server_knows_numbers_of_examples_and_no_row(tmp_path: Path) -> None:
    scenario = of_tables(tmp_path)
    server = schema_federation(scenario, [20, 29, 38], [0, 0, 0], Pooled())
    whole = load_federation(scenario)
    assert [server.part_sizes(k) for k in range(3)] == [whole.part_sizes(k) for k in range(3)]
    assert not server.dataset.train.inputs.any()
    assert server.dataset.train.inputs.shape == (87, *whole.dataset.task.input_shape)
    assert len(server.dataset.test) == 0
    with pytest.raises(FedlabError, match="stay there"):
        server.partition.rows(0)


def test_a_site_that_permits_no_statistics_is_named(tmp_path: Path) -> None:
    scenario = of_tables(tmp_path)
    site_of_rows(tmp_path, "b", some_rows(20, 1), permissions="")
    with pytest.raises(FedlabError, match=r"site b: \[permissions\] statistics is false"):
        load_federation(scenario)


def test_given_statistics_need_no_permission(tmp_path: Path) -> None:
    columns = {"age": {"mean": 50.0, "deviation": 10.0, "optional": True}}
    for number, name in enumerate("abc"):
        site_of_rows(tmp_path, name, some_rows(20, number), permissions="")
    files = [str(tmp_path / f"{name}.toml") for name in "abc"]
    data = {**TABLE, "columns": columns, "statistics": "given", "sites": 3, "site_files": files}
    whole = load_federation(scenario_with({"data": {"partition": None, **data}}))
    first = float((tmp_path / "a.csv").read_text().splitlines()[1].split(",")[0])
    assert whole.dataset.train.inputs[0, 0].item() == pytest.approx((first - 50) / 10)


def test_the_servers_own_test_data_are_encoded_like_the_sites(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("\n".join(["age,ward,ill", *some_rows(7, 9)]) + "\n")
    test = {"name": "table", "path": str(tmp_path / "test.csv"), "target": "ill"}
    whole = load_federation(of_tables(tmp_path, test=test))
    assert len(whole.dataset.test) == 7
    assert whole.dataset.test.inputs.shape[1:] == whole.dataset.train.inputs.shape[1:]


def test_what_a_site_holds_out_is_its_test_part_and_is_not_learned(tmp_path: Path) -> None:
    site_of_pictures(tmp_path / "b", "train", {"red": 6, "blue": 4})
    site_of_pictures(tmp_path / "b", "test", {"green": 3})
    for name in ("train", "test"):
        (tmp_path / "b" / f"{name}.toml").unlink()
    files = [site_of_pictures(tmp_path, "a", {"red": 10}), site_of_pictures(tmp_path, "b", {})]
    keys = {"sites": 2, "site_files": [*map(str, files)], "client_test": 0.2}
    whole = load_federation(scenario_with({"data": {"partition": None, **PICTURES, **keys}}))
    assert whole.part_sizes(0) == (7, 1, 2)
    assert whole.part_sizes(1) == (9, 1, 3)
    assert whole.evaluation_examples(1).targets.tolist() == [1, 1, 1]
    learned = np.concatenate([whole.rows(1)[0], whole.rows(1)[1]])
    assert 1 not in whole.dataset.train.targets[learned]


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"partition": {"name": "iid", "clients": 3}}, "data.partition: the sites hold their"),
        ({"train_examples": 10}, "data.train_examples: nobody has all sites' examples"),
        ({"columns": {}}, "data.*columns is missing"),
        ({"image_size": 32}, "image_size: it is for data of kind pictures, and kind is 'table'"),
        ({"site_files": ["one.toml"]}, "site_files: 1 files, and sites = 3"),
        ({"statistics": "given"}, "columns.age: with statistics = 'given'"),
        ({"test": {"name": "tabel"}}, "data.test.name: unknown data set 'tabel'"),
    ],
)
def test_a_schema_that_does_not_fit_is_refused_with_its_key(
    tmp_path: Path, keys: dict[str, object], sentence: str
) -> None:
    with pytest.raises(FedlabError, match=sentence):
        load_federation(of_tables(tmp_path, **keys))


def test_class_counts_leave_only_where_both_sides_say_so(tmp_path: Path) -> None:
    scenario = of_tables(tmp_path, collect=["class_counts"])
    with pytest.raises(FedlabError, match=r"site a: \[permissions\] class_counts is false"):
        load_federation(scenario)
    quiet = site_statistics(
        of_tables(tmp_path), read_site(scenario, load_site(tmp_path / "a.toml")), 0, 3
    )
    assert quiet.class_counts == ()
