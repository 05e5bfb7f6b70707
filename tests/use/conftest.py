"""One small run, trained once, that the tests of this room use."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from sklearn.datasets import load_iris

from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.scenario.parts import load_dataset
from fedlab.use.loading import Trained, load_trained
from tests.shared import scenario_with

BASE = {
    "rounds": 2,
    "seed": 3,
    "client": {"batch_size": 16, "epochs": 5, "optimizer": {"lr": 0.1, "momentum": 0.9}},
}

SCENARIOS = {
    "digits": (
        'name = "digits"',
        'name = "cnn"\nlayers = [{channels = 8, kernel_size = 3, batch_norm = true}]',
    ),
    "iris": ('name = "iris"', 'name = "mlp"\nhidden = [8]'),
}

Train = Callable[[str, str, str], Path]


@pytest.fixture(scope="session")
def train(tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Return a function that trains on (name, keys of data, keys of model) and returns the run."""
    trained: dict[str, Path] = {}

    def folder(name: str, data: str, model: str) -> Path:
        if name not in trained:
            scenario = scenario_with(BASE, title=name, data=data, model=model)
            run_folder = RunFolder.create(tmp_path_factory.mktemp("runs"), name, scenario)
            run(run_folder)
            trained[name] = run_folder.path
        return trained[name]

    return folder


@pytest.fixture(scope="session")
def digits_run(train: Train) -> Path:
    return train("digits", *SCENARIOS["digits"])


@pytest.fixture(scope="session")
def digits(digits_run: Path) -> Trained:
    return load_trained(digits_run)


@pytest.fixture(scope="session")
def iris_run(train: Train) -> Path:
    return train("iris", *SCENARIOS["iris"])


@pytest.fixture
def digit_pictures(digits: Trained, tmp_path: Path) -> Path:
    """Return a folder of class folders that hold the digits of the test set as PNG files."""
    root = tmp_path / "pictures"
    test = load_dataset(digits.scenario).test
    for number, (pixels, target) in enumerate(zip(test.inputs, test.targets, strict=True)):
        folder = root / str(target.item())
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[0].numpy()).save(folder / f"{number:04}.png")
    return root


@pytest.fixture
def iris_table(tmp_path: Path) -> Path:
    """Return a CSV file of all irises, raw, the columns in another order and one more."""
    bunch = load_iris()
    path = tmp_path / "iris.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["note", *reversed(bunch.feature_names), "label"])
        for row, target in zip(bunch.data, bunch.target, strict=True):
            writer.writerow(["a flower", *reversed(row), bunch.target_names[target]])
    return path


@pytest.fixture(scope="session")
def ramp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a CSV file with one column that rises evenly from 1000 to 1199."""
    path = tmp_path_factory.mktemp("series") / "ramp.csv"
    path.write_text("level\n" + "".join(f"{1000 + step}\n" for step in range(200)))
    return path


@pytest.fixture(scope="session")
def forecast_run(train: Train, ramp: Path) -> Path:
    data = f'name = "series-csv"\npath = "{ramp}"\ncolumns = ["level"]\nwindow = 8'
    return train("forecast", data, 'name = "mlp"\nhidden = [8]')


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a CSV file of short texts of two classes that share no noun, of different lengths."""
    path = tmp_path_factory.mktemp("texts") / "texts.csv"
    nouns = {"sport": ("goals", "match", "team"), "weather": ("rain", "wind", "cloud")}
    pairs = [(a, b) for a in range(3) for b in range(3)]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for label, words in nouns.items():
            for a, b in pairs * 8:
                writer.writerow([f"{words[a]} and {words[b]}" if a != b else words[a], label])
    return path


def texts_data(path: Path) -> str:
    return f'name = "text-classification"\npath = "{path}"\nunit = "words"\nlength = 6'


@pytest.fixture(scope="session")
def texts_run(train: Train, texts: Path) -> Path:
    return train("texts", texts_data(texts), 'name = "lstm"\nhidden = 16\nembedding = 8')


@pytest.fixture(scope="session")
def backwards_run(train: Train, texts: Path) -> Path:
    model = 'name = "lstm"\nhidden = 8\nembedding = 8\nbidirectional = true'
    return train("backwards", texts_data(texts), model)


@pytest.fixture(scope="session")
def remember_run(train: Train) -> Path:
    data = 'name = "long-range"\nnoise_steps = 6\ntrain_examples = 90\ntest_examples = 40'
    return train("remember", data, 'name = "lstm"\nhidden = 8\nlayers = 2\nbidirectional = true')


@pytest.fixture(scope="session")
def reverse_run(train: Train) -> Path:
    data = 'name = "reverse"\nlength = 4\ntrain_examples = 90\ntest_examples = 40'
    model = 'name = "transformer"\nwidth = 16\nheads = 2\nlayers = 1\nfeedforward = 16'
    return train("reverse", data, model)
