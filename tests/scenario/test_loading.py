from pathlib import Path

import pytest

from fedlab.errors import FedlabError, FedlabErrors
from fedlab.scenario import built_in, dumps, load, load_with_origins, loads

MINIMAL = """
rounds = 2
[data]
name = "digits"
[data.partition]
name = "iid"
clients = 4
[model]
name = "mlp"
"""


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", built_in())
def test_every_built_in_scenario_is_valid_and_has_a_title(name: str) -> None:
    assert load(name).title


def test_a_scenario_survives_being_written_and_read(tmp_path: Path) -> None:
    scenario = load(write(tmp_path, "a.toml", MINIMAL))
    assert dumps(loads(dumps(scenario))) == dumps(scenario)


def test_overrides_are_typed_and_win(tmp_path: Path) -> None:
    path = write(tmp_path, "a.toml", MINIMAL)
    scenario = load(path, ["client.optimizer.lr=0.25", "rounds=7", "model.activation=tanh"])
    assert scenario.client.optimizer.lr == 0.25  # type: ignore[attr-defined]
    assert scenario.rounds == 7
    assert scenario.model.activation == "tanh"  # type: ignore[attr-defined]


def test_extends_lays_a_file_on_another_and_origins_say_which(tmp_path: Path) -> None:
    write(tmp_path, "base.toml", MINIMAL)
    path = write(tmp_path, "b.toml", 'extends = "base.toml"\nseed = 3\n[client]\nepochs = 4\n')
    loaded = load_with_origins(path, ["rounds=9"])
    assert (loaded.scenario.seed, loaded.scenario.rounds) == (3, 9)
    assert loaded.origins["client.epochs"] == "b.toml"
    assert loaded.origins["model.name"] == "base.toml"
    assert loaded.origins["rounds"] == "--set"


def test_a_mistake_is_reported_with_the_file_or_option_that_made_it(tmp_path: Path) -> None:
    base = write(tmp_path, "base.toml", MINIMAL + "[client]\nepochs = -1\n")
    path = write(tmp_path, "b.toml", 'extends = "base.toml"\nseed = "x"\n[client]\nbatch = 4\n')
    with pytest.raises(FedlabErrors) as error:
        load(path, ["rounds=0"])
    assert sorted(error.value.sentences) == [
        "--set rounds: it must be at least 1, not 0",
        f"{path}: client.batch: there is no such key. Did you mean 'batch_size'?",
        f"{path}: seed: a whole number belongs here, not 'x'",
        f"{base}: client.epochs: it must be at least 0, not -1",
    ]


def test_a_table_that_nobody_knows_is_of_the_option_that_wrote_it(tmp_path: Path) -> None:
    path = write(tmp_path, "a.toml", MINIMAL + "[client]\nepochs = 1\n")
    with pytest.raises(FedlabErrors, match=r"^--set client\.optimiser: there is no such key"):
        load(path, ["client.optimiser.lr=1"])


def test_a_renamed_table_keeps_the_keys_that_the_new_name_knows(tmp_path: Path) -> None:
    text = MINIMAL + "[client]\nepochs = 3\n[strategy]\nname = 'fedadam'\neta = 0.5\n"
    path = write(tmp_path, "a.toml", text + "fraction_train = 0.5\n")
    scenario = load(path, ["strategy.name=fedprox", "strategy.proximal_mu=0.1"])
    assert scenario.strategy.fraction_train == 0.5  # type: ignore[attr-defined]
    assert not hasattr(scenario.strategy, "eta")


def test_a_circle_of_extends_is_named(tmp_path: Path) -> None:
    write(tmp_path, "a.toml", 'extends = "b.toml"')
    path = write(tmp_path, "b.toml", 'extends = "a.toml"')
    with pytest.raises(FedlabError, match="circle"):
        load(path)


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    text = MINIMAL.replace("rounds = 2", "rounds = -1\nseeed = 3") + "[client]\nbatchsize = 3\n"
    with pytest.raises(FedlabError) as caught:
        load(write(tmp_path, "a.toml", text))
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert any("rounds" in line for line in lines)
    assert any("'seed'" in line for line in lines)
    assert any("'batch_size'" in line for line in lines)


def test_an_engine_table_without_a_name_is_rays(tmp_path: Path) -> None:
    scenario = load(write(tmp_path, "a.toml", MINIMAL), ["engine.workers=3"])
    assert scenario.engine.name == "ray"  # type: ignore[attr-defined]
    assert scenario.engine.workers == 3  # type: ignore[attr-defined]


WRAPPED = """
rounds = 1
[data]
name = "iris"
[data.partition]
name = "iid"
clients = 3
[model]
name = "linear"
[strategy]
name = "bucketing"
[strategy.inner]
"""


def test_the_table_of_a_wrapped_strategy_may_leave_out_its_name() -> None:
    inner = loads(f"{WRAPPED}iterations = 5").strategy.inner  # type: ignore[attr-defined]
    assert (inner.name, inner.iterations, inner.smoothing) == ("rfa", 5, 1e-6)


def test_a_wrapped_strategy_may_require_keys() -> None:
    keys = 'name = "qfedavg"\nclient_learning_rate = 0.1'
    inner = loads(WRAPPED + keys).strategy.inner  # type: ignore[attr-defined]
    assert (inner.name, inner.client_learning_rate) == ("qfedavg", 0.1)
    with pytest.raises(FedlabError, match=r"strategy\.inner\.client_learning_rate is missing"):
        loads(f'{WRAPPED}name = "qfedavg"')
