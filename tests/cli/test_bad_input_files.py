"""Bad input, second table: commands, scenario files, data files, weights and run folders."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

BINARY = bytes(range(256))
DATA = 'name = "iris"'


def write(path: str, content: str | bytes) -> None:
    """Write a file of the present folder, and the folders above it."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["runn", "scenario.toml"], "No such command 'runn'. Did you mean 'run'?"),
        (["run", "scenario.toml", "--sett", "x=1"], "No such option '--sett'. Did you mean '--se"),
        (["run"], "Missing argument 'SCENARIO' ('fedlab run --help' has more)"),
        (["run", "quikstart"], "unknown scenario 'quikstart'. Did you mean 'quickstart'?"),
        (["run", "nothere.toml"], "there is no scenario file nothere.toml"),
        (["run", "."], ". is a folder; a scenario is a TOML file"),
        (["run", "scenario.toml", "--set", "rounds"], "--set rounds: write it as table.key=value"),
        (["run", "scenario.toml", "--set", "=3"], "--set =3: write it as table.key=value"),
        (["run", "scenario.toml", "--set", "client..lr=3"], "write it as table.key=value"),
        (["run", "scenario.toml", "--set", "rounds=3\nseed=4"], "sets more than one key"),
        (["run", "scenario.toml", "--set", "rounds.x=3"], "rounds: a whole number belongs here"),
        (["run", "scenario.toml", "--set=client=3", "--set=client.epochs=1"], "is not a table"),
        (["run", "scenario.toml", "--runs", "scenario.toml"], "cannot be made in scenario.toml"),
        (["crossval", "scenario.toml", "--folds", "x"], "'--folds': 'x' is not a valid integer"),
        (["crossval", "scenario.toml", "--folds", "1"], "--folds: cross-validation needs at least"),
        (["crossval", "scenario.toml", "--folds", "500"], "ask for 120 at most"),
        (["list", "modells"], "unknown kind 'modells'. Did you mean 'models'?"),
        (["assets", "get", "cifr10"], "unknown asset 'cifr10'. Did you mean 'cifar10'?"),
        (["assets", "get", "usps"], "type `FEDLAB_OFFLINE=0 fedlab assets get usps`"),
        (["run", "scenario.toml", "--set", "data.name=usps"], "fedlab assets get usps`"),
        (["data", "partition", "scenario.toml", "--output", "no/a.png"], "no/a.png cannot be wri"),
        (
            ["finetune", "--data", "no", "--backbone", "resnet18"],
            "--data: there is no folder or fi",
        ),
        (["finetune", "--data", ".", "--backbone", "resnet8"], "Did you mean 'resnet18'?"),
        (["finetune", "--data", ".", "--backbone", "mlp", "--clients", "0"], "data.partition.clie"),
    ],
)
def test_a_wrong_command_line_is_refused_with_the_right_one(
    refused, words: list[str], sentence: str
) -> None:
    (told,) = refused(*words)
    assert sentence in told


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("rounds = = 3", "b.toml is not valid TOML: Invalid value (at line 1, column 10)"),
        (BINARY, "b.toml is no text file"),
        ('extends = "c.toml"', "b.toml: extends goes in a circle"),
        ('extends = "quikstart"', "b.toml: extends: unknown scenario 'quikstart'. Did you mean"),
        ('extends = "nope.toml"', "b.toml: extends: there is no scenario file nope.toml"),
        ("extends = 3", "b.toml: extends: 3 is not a scenario's name or path"),
        ('extends = "scenario.toml"\nmodel = 3', "b.toml: model: this is a table, not 3"),
    ],
)
def test_a_scenario_file_that_cannot_be_read_is_reported(refused, content, sentence: str) -> None:
    write("b.toml", content)
    write("c.toml", 'extends = "b.toml"')
    (told,) = refused("check", "b.toml")
    assert sentence in told


def test_an_empty_scenario_misses_what_every_scenario_needs(refused) -> None:
    write("b.toml", "")
    assert refused("check", "b.toml") == [
        "b.toml: [model] is missing",
        "b.toml: [data] is missing",
        "b.toml: rounds is missing",
    ]


def pictures() -> None:
    for name in ("a/1", "a/2", "b/1", "b/2"):
        Path("pictures", name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(f"pictures/{name}.png")
    write("pictures/b/2.png", b"no picture")


TEXTS = 'name = "text-classification"\npath = "t.csv"'
SERIES = 'name = "series-csv"\npath = "t.csv"\ncolumns = ["x"]'


@pytest.mark.parametrize(
    ("data", "make", "sentence"),
    [
        (
            'name = "imagefolder"',
            None,
            "b.toml: data: path is missing; name one folder or file (pat",
        ),
        ('name = "imagefolder"\npath = "no"', None, "data.path: there is no folder HERE/no"),
        ('name = "imagefolder"\npath = "."', None, "needs at least two folders, one for each cla"),
        ('name = "imagefolder"\npath = "pictures"', pictures, "pictures/b/2.png is not a picture"),
        ('name = "ts-files"\ntrain = "x.ts"\ntest = "y.ts"', None, "data.train: there is no file"),
        (TEXTS, None, "data.path: there is no file HERE/t.csv"),
        (TEXTS, "", "data.path: HERE/t.csv is empty; its first line names the columns"),
        (TEXTS, "text,label\n", "data.path: HERE/t.csv has a header and no rows"),
        (TEXTS, "text,lable,x\na,b,c\n", "say which of 'lable', 'x' holds the classes or scores"),
        (TEXTS, "text,lable\na,b\n", "t.csv holds texts of a single class, 'b'"),
        (TEXTS, "text,label\na,b\n", "t.csv holds texts of a single class"),
        (TEXTS, BINARY, "data.path: HERE/t.csv, line 1: there is a zero byte"),
        (SERIES, "x\n1\ntwo\n3\n", "t.csv, line 3, column 'x': 'two' is not a number"),
        (SERIES, "x\n1\n2\n3\n", "shorten the window"),
    ],
)
def test_data_that_cannot_be_read_are_reported_with_their_place(
    refused, data: str, make: str | bytes | Callable[[], None] | None, sentence: str
) -> None:
    if callable(make):
        make()
    elif make is not None:
        write("t.csv", make)
    write("b.toml", Path("scenario.toml").read_text().replace(DATA, data))
    (told,) = refused("run", "b.toml")
    assert sentence in told.replace(str(Path.cwd()), "HERE")


def misshapen() -> None:
    save_file({"head.weight": torch.zeros(3, 4), "head.bias": torch.zeros(3)}, "w.safetensors")


def more_than_tensors() -> None:
    torch.save({"weights": Path("nothing")}, "w.pt")


@pytest.mark.parametrize(
    ("source", "make", "sentence"),
    [
        ("w.safetensors", None, "model.pretrained: there is no 'HERE/w.safetensors'; say true for"),
        ("w.safetensors", lambda: write("w.safetensors", BINARY), "cannot be read as weights"),
        ("w.safetensors", misshapen, "do not fit the model: it has no 'hidden.0.0.weight'"),
        ("w.pt", lambda: write("w.pt", b"nothing"), "model.pretrained: 'HERE/w.pt'"),
        ("w.pt", more_than_tensors, "model.pretrained: 'HERE/w.pt' holds more than tensors"),
        (".", None, "model.pretrained: the folder 'HERE' holds no model.safetensors"),
    ],
)
def test_weights_that_do_not_serve_are_reported_with_their_file(
    refused, source: str, make: Callable[[], None] | None, sentence: str
) -> None:
    if make:
        make()
    (told,) = refused("run", "scenario.toml", "--set", f'model.pretrained="{source}"')
    assert sentence in told.replace(str(Path.cwd()), "HERE")


USES = (["resume"], ["report"], ["evaluate"], ["export"], ["predict", "1.csv"], ["compare", "a"])


@pytest.mark.parametrize("use", USES, ids=lambda use: use[0])
@pytest.mark.parametrize("folder", ["a", "nowhere", "scenario.toml"])
def test_what_is_no_run_folder_is_refused(refused, use: list[str], folder: str) -> None:
    Path("a").mkdir()
    (told,) = refused(use[0], folder, *use[1:])
    assert told.startswith((f"{folder} is not a run folder", f"there is no run folder {folder}"))


@pytest.mark.parametrize("content", ["x = [", BINARY])
@pytest.mark.parametrize("use", USES, ids=lambda use: use[0])
def test_a_runs_damaged_scenario_is_reported_with_its_file(refused, use, content) -> None:
    write("a/scenario.toml", content)
    (told,) = refused(use[0], "a", *use[1:])
    assert told.startswith("a/scenario.toml")


@pytest.mark.parametrize("use", [["evaluate"], ["export"], ["predict", "1.csv"]])
def test_of_an_unfinished_run_the_way_to_resume_is_given(refused, use: list[str]) -> None:
    write("a/scenario.toml", Path("scenario.toml").read_text())
    (told,) = refused(use[0], "a", *use[1:])
    assert "continue it with 'fedlab resume a'" in told


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run", "scenario.toml", "--set", "model.nam=mlp"], "Did you mean 'name'?"),
        (["resume", "nowhere"], "there is no run folder nowhere"),
    ],
)
def test_a_process_of_its_own_ends_with_the_sentence_and_code_2(
    desk: Path, words: list[str], sentence: str
) -> None:
    program = "from fedlab.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ")
    assert sentence in line
