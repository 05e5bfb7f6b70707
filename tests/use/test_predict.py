"""Predictions: from files and text to classes, numbers and continuations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fedlab.data.dataset import Encoding, Scaling, Task
from fedlab.errors import FedlabError
from fedlab.scenario.parts import load_dataset
from fedlab.use.inputs import read_inputs, stacked
from fedlab.use.loading import Trained, load_trained
from fedlab.use.predict import (
    Continuation,
    Numbers,
    Prediction,
    Ranked,
    Sampling,
    rank,
)
from fedlab.use.predict import predict as predictions
from tests.use.conftest import Train


def predict(trained: Trained, *arguments: Any, **options: Any) -> list[Prediction]:
    return list(predictions(trained, *arguments, **options))


def test_a_picture_file_gets_what_its_stored_picture_gets(
    digits: Trained, digit_pictures: Path
) -> None:
    files = sorted(digit_pictures.glob("*/*.png"), key=lambda file: file.name)[:20]
    found = predict(digits, [str(file) for file in files], top=10)
    scores = digits.outputs(load_dataset(digits.scenario).test.inputs[:20]).double().softmax(1)
    for row, prediction in enumerate(found):
        assert isinstance(prediction, Ranked)
        for label, probability in prediction.classes:
            assert probability == pytest.approx(scores[row, int(label)].item(), abs=1e-6)


def test_the_likeliest_class_comes_first_and_no_more_than_asked(
    digits: Trained, digit_pictures: Path
) -> None:
    file = next(digit_pictures.glob("*/*.png"))
    (prediction,) = predict(digits, [str(file)], top=3)
    assert isinstance(prediction, Ranked)
    probabilities = [probability for _, probability in prediction.classes]
    assert len(probabilities) == 3
    assert probabilities == sorted(probabilities, reverse=True)


def test_colour_pictures_of_any_size_are_fitted(digits: Trained, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGBA", (50, 30), "red").save(tmp_path / "red.png")
    assert stacked(read_inputs(digits.task, [str(tmp_path / "red.png")])).shape == (1, 1, 8, 8)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_a_file_that_is_no_picture_is_named(
    digits: Trained, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(FedlabError, match=r"broken\.png"):
        predict(digits, [str(path)])


def test_a_cut_picture_is_named(digits: Trained, digit_pictures: Path) -> None:
    path = next(digit_pictures.glob("*/*.png"))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(FedlabError, match=path.name):
        predict(digits, [str(path)])


def test_a_missing_picture_is_named(digits: Trained) -> None:
    with pytest.raises(FedlabError, match=r"there is no picture file absent\.png"):
        predict(digits, ["absent.png"])


def test_rows_of_a_table_are_found_by_their_columns_names(iris_run: Path, iris_table: Path) -> None:
    trained = load_trained(iris_run)
    found = predict(trained, [str(iris_table)], top=1)
    assert len(found) == 150
    right = 0
    for row, prediction in enumerate(found):
        assert isinstance(prediction, Ranked)
        right += prediction.classes[0][0] == trained.task.labels[row // 50]
    assert right > 100


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "is empty"),
        ("1,2,3\n", "has 3 columns, and the network takes 4"),
        ("1,2,3,4\n1,2,x,4\n", r"line 2: 'x' is not a number"),
        ("1,2,3,4\n1,2\n", "line 2: this row has too few fields: 2, and the first line has 4"),
        ("1,2,3,4\n1,2,3,4,5\n", "line 2: this row has too many fields"),
        ("1,2,3,4\n1,nan,3,4\n", "line 2: 'nan' is not a number"),
        ("a,b,c,d\n1,2,3,4\n", "unknown column 'sepal length"),
    ],
)
def test_a_table_that_does_not_fit_is_named(
    iris_run: Path, tmp_path: Path, content: str, sentence: str
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(content)
    with pytest.raises(FedlabError, match=sentence):
        predict(load_trained(iris_run), [str(path)])


def test_a_forecast_is_in_the_units_of_the_file(forecast_run: Path, ramp: Path) -> None:
    (prediction,) = predict(load_trained(forecast_run), [str(ramp)])
    assert isinstance(prediction, Numbers)
    ((name, value),) = prediction.values
    assert name == "level + 1"
    # The ramp rises from 1000 to 1199; standardised numbers would lie around 1.
    assert 1100 < value < 1300


def test_a_series_too_short_for_the_window_is_named(forecast_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "short.csv"
    path.write_text("level\n1\n2\n")
    with pytest.raises(FedlabError, match=r"short\.csv has 2 rows, and the network reads 8"):
        predict(load_trained(forecast_run), [str(path)])


def test_texts_are_classified_by_their_words(texts_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_text("rain and wind and rain")
    found = predict(load_trained(texts_run), ["goals and match and goals", str(path)], top=1)
    assert [p.classes[0][0] for p in found if isinstance(p, Ranked)] == ["sport", "weather"]


def test_a_missing_text_file_is_not_taken_for_text(texts_run: Path) -> None:
    with pytest.raises(FedlabError, match=r"there is no text file absent\.txt"):
        predict(load_trained(texts_run), ["absent.txt"])


def test_an_empty_text_is_refused(texts_run: Path) -> None:
    with pytest.raises(FedlabError, match="the text is empty"):
        predict(load_trained(texts_run), [" "])


def test_a_single_score_stands_for_class_one_against_class_zero() -> None:
    task = Task("classification", "tabular", (2,), 1, ("no", "yes"))
    (first, second) = rank(task, torch.tensor([2.0]), top=2)
    assert first[0] == "yes"
    assert first[1] == pytest.approx(torch.tensor(2.0).sigmoid().item(), abs=1e-6)
    assert first[1] + second[1] == pytest.approx(1.0)


@pytest.fixture
def letters(digits: Trained) -> Trained:
    """Return a next-token network, untrained: only its tokens matter."""
    from dataclasses import replace

    from fedlab.data.transforms import build_preparation
    from fedlab.models.network import build_network
    from fedlab.models.zoo.recurrent import Lstm

    tokens = ("<unknown>", *"abcdefgh ")
    task = Task("next-token", "text", (6,), 10, tokens, vocabulary=10, encoding=Encoding(tokens))
    network = build_network(Lstm.Settings(name="lstm", hidden=8), task, seed=1)
    network.evaluation_mode()
    return replace(digits, task=task, network=network, prepare=build_preparation(task))


def continued(letters: Trained, text: str, sampling: Sampling) -> str:
    (prediction,) = predict(letters, [text], sampling=sampling)
    assert isinstance(prediction, Continuation)
    return prediction.text


def test_a_text_continues_for_as_many_tokens_as_asked(letters: Trained) -> None:
    text = continued(letters, "abc", Sampling(length=50, temperature=1.0))
    assert len(text) == 50
    assert set(text) <= set("abcdefgh ")


def test_the_same_seed_draws_the_same_text_and_another_another(letters: Trained) -> None:
    first, again, other = (continued(letters, "abc", Sampling(40, 1.0, seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_temperature_zero_takes_the_likeliest_token(letters: Trained) -> None:
    text = continued(letters, "abcdef", Sampling(1, 0.0))
    scores = letters.outputs(torch.tensor([[1, 2, 3, 4, 5, 6]]))[0]
    scores[0] = -torch.inf
    assert text == letters.task.labels[int(scores.argmax())]


def test_only_the_last_window_of_a_long_text_is_read(letters: Trained) -> None:
    sampling = Sampling(1, 0.0)
    assert continued(letters, "hhhhabcdef", sampling) == continued(letters, "abcdef", sampling)


def test_tokens_without_names_cannot_be_continued(letters: Trained) -> None:
    from dataclasses import replace

    nameless = replace(letters, task=replace(letters.task, encoding=None))
    with pytest.raises(FedlabError, match="tokens without names"):
        predict(nameless, ["abc"])


def test_raw_numbers_come_back_from_scaled_ones() -> None:
    from fedlab.use.predict import raw_targets

    scaling = Scaling(("y",), (10.0,), (2.0,))
    task = Task("regression", "tabular", (1,), 1, encoding=Encoding(targets=scaling))
    assert raw_targets(task, torch.tensor([[3.0]])).item() == pytest.approx(16.0)


def test_each_text_of_a_folder_is_continued(letters: Trained, tmp_path: Path) -> None:
    for name in ("b.txt", "deep/a.txt", ".hidden.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("abc")
    found = predict(letters, [str(tmp_path)], sampling=Sampling(length=2))
    assert [prediction.input for prediction in found] == ["abc", "abc"]


def test_textgenrnns_tokens_are_those_of_training(
    train: Train, tmp_path_factory: pytest.TempPathFactory, asset: Callable[[str], Path]
) -> None:
    asset("textgenrnn")
    file = tmp_path_factory.mktemp("texts") / "texts.csv"
    texts = ["goals, and a match", "rain and wind ☔︎", "A draw", "No cloud"]
    file.write_text("text,label\n" + "".join(f'"{t}",{n % 2}\n' for n, t in enumerate(texts)) * 8)
    data = f'name = "text"\npath = "{file}"\ntokens = "textgenrnn"\npartition.name = "iid"'
    model = 'name = "textgenrnn"\npretrained = "package"\ntrainable = "head"'
    trained = load_trained(train("textgenrnn", f"{data}\npartition.clients = 2", model))
    learned = {tuple(row) for row in load_dataset(trained.scenario).train.inputs.tolist()}
    given = {tuple(row) for row in stacked(read_inputs(trained.task, texts)).long().tolist()}
    assert given == learned
    assert all(
        len(found.classes) == 2 for found in predict(trained, texts) if isinstance(found, Ranked)
    )
