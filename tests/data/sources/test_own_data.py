import numpy as np
import pytest
import torch
from PIL import Image

from fedlab.data.dataset import Dataset
from fedlab.errors import FedlabError
from fedlab.registry import datasets


def load(name: str, seed: int = 0, **keys) -> Dataset:
    source = datasets.get(name)
    return source(source.Settings(name=name, **keys)).load(seed)


def paint(path, level: int, size=(10, 6)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level, 0, 255 - level)).save(path)


@pytest.fixture
def pictures(tmp_path):
    for number in range(5):
        paint(tmp_path / "cats" / f"{number}.png", 10 * number)
        paint(tmp_path / "dogs" / f"{number}.jpg", 200 + number)
    return tmp_path


def test_imagefolder_reads_scaled_pictures_of_each_class(pictures):
    data = load("imagefolder", path=str(pictures), image_size=8)
    assert data.task.labels == ("cats", "dogs")
    assert (len(data.train), len(data.test)) == (8, 2)
    assert data.train.inputs.shape == (8, 3, 8, 8)
    red = data.train.inputs[:, 0].float().mean((1, 2))
    assert torch.equal(red > 100, data.train.targets == 1)


def test_imagefolder_takes_a_test_folder_where_there_is_one(pictures):
    for part, level in (("train", 5), ("test", 9)):
        for name in ("a", "b"):
            paint(pictures / "split" / part / name / "x.png", level)
    data = load("imagefolder", path=str(pictures / "split"), image_size=4, channels=1)
    assert (len(data.train), len(data.test)) == (2, 2)
    assert data.train.inputs.shape == (2, 1, 4, 4)


def test_imagefolder_names_a_corrupt_picture(pictures):
    (pictures / "cats" / "3.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    with pytest.raises(FedlabError, match=r"cats/3\.png"):
        load("imagefolder", path=str(pictures))


def test_imagefolder_refuses_folders_without_classes_or_pictures(pictures):
    with pytest.raises(FedlabError, match=r"data\.path: there is no folder"):
        load("imagefolder", path=str(pictures / "nowhere"))
    with pytest.raises(FedlabError, match=r"data\.path: .* at least two folders"):
        load("imagefolder", path=str(pictures / "cats"))
    (pictures / "birds").mkdir()
    with pytest.raises(FedlabError, match=r"data\.path: .*birds holds no pictures"):
        load("imagefolder", path=str(pictures))


def test_imagefolder_refuses_a_test_class_that_was_never_trained(pictures):
    for place in ("train/a", "train/b", "test/a", "test/c"):
        paint(pictures / "split" / place / "x.png", 1)
    with pytest.raises(FedlabError, match=r"test/c is a class without pictures in .*train"):
        load("imagefolder", path=str(pictures / "split"))


@pytest.fixture
def reviews(tmp_path):
    path = tmp_path / "reviews.csv"
    lines = [f'"good film, {n}",up,{"ann" if n % 2 else "bob"}' for n in range(20)]
    lines += [f"Bad film {n},down,{'ann' if n % 2 else 'bob'}" for n in range(20)]
    path.write_text("text,label,author\n" + "\n".join(lines) + "\n")
    return path


def test_text_classification_uses_the_training_vocabulary(reviews):
    data = load("text-classification", path=str(reviews), unit="words", length=6, vocabulary=8)
    task = data.task
    assert task.labels == ("down", "up")
    assert task.vocabulary == 8
    assert task.encoding.tokens[:3] == ("<padding>", "<unknown>", "film")
    assert (len(data.train), len(data.test)) == (32, 8)
    words = [task.encoding.tokens[number] for number in data.train.inputs[0]]
    good = data.train.targets[0] == 1
    assert words[0] == ("good" if good else "bad")
    assert words[-1] == "<padding>"
    assert data.train.groups is None


def test_text_classification_knows_authors(reviews):
    data = load("text-classification", path=str(reviews), group_column="author")
    assert data.train.group_names == ("ann", "bob")
    assert set(data.train.groups.tolist()) == {0, 1}


def test_text_classification_reads_a_folder(tmp_path):
    for label, text in (("ham", "see you"), ("spam", "buy now")):
        (tmp_path / label).mkdir()
        for number in range(4):
            (tmp_path / label / f"{number}.txt").write_text(f"{text} {number}")
    data = load("text-classification", path=str(tmp_path), length=9, test_fraction=0.25)
    assert data.task.labels == ("ham", "spam")
    tokens = data.task.encoding.tokens
    text = "".join(tokens[number] for number in data.train.inputs[0, :7])
    assert text == ("see you" if data.train.targets[0] == 0 else "buy now")


def test_text_classification_refuses_what_it_cannot_read(tmp_path, reviews):
    with pytest.raises(FedlabError, match=r"data\.path: .* unknown column 'txt'"):
        load("text-classification", path=str(reviews), text_column="txt")
    single = tmp_path / "single.csv"
    single.write_text("text,label\na,x\nb,x\n")
    with pytest.raises(FedlabError, match=r"data\.path: .* a single class"):
        load("text-classification", path=str(single))
    with pytest.raises(FedlabError, match=r"data\.path: .* no text files"):
        load("text-classification", path=str(tmp_path))
    with pytest.raises(FedlabError, match=r"data\.path: .*nowhere cannot be read"):
        load("text-classification", path=str(tmp_path / "nowhere"))


@pytest.fixture
def load_curve(tmp_path):
    path = tmp_path / "load.csv"
    rows = [
        f"{site},{step + 1000 * number},{step % 7}"
        for number, site in enumerate(("north", "south"))
        for step in range(50)
    ]
    path.write_text("site,load,day\n" + "\n".join(rows) + "\n")
    return path


def test_series_csv_forecasts_the_steps_after_the_window(load_curve):
    data = load(
        "series-csv", path=str(load_curve), columns=["day", "load"], target="load", window=4,
        horizon=2, group="site",
    )  # fmt: skip
    assert data.task.input_shape == (4, 2)
    assert data.task.outputs == 2
    assert data.train.group_names == ("north", "south")
    features, targets = data.task.encoding.features, data.task.encoding.targets
    shown = data.train.inputs[..., 1].double() * features.scale[1] + features.offset[1]
    wanted = data.train.targets.double() * targets.scale[0] + targets.offset[0]
    torch.testing.assert_close(wanted[:, 0], shown[:, -1] + 1, rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(wanted[:, 1], shown[:, -1] + 2, rtol=1e-4, atol=1e-2)
    assert np.array_equal(shown[:, 0].numpy() >= 999, data.train.groups == 1)


def test_series_csv_tests_on_what_comes_later(load_curve):
    data = load("series-csv", path=str(load_curve), columns=["load"], window=3, group="site")
    features = data.task.encoding.features
    last_trained = data.train.inputs[data.train.groups == 0].max()
    first_tested = data.test.inputs[data.test.groups == 0].min()
    assert first_tested > last_trained
    assert first_tested * features.scale[0] + features.offset[0] == pytest.approx(40, abs=0.1)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"columns": ["laod"]}, r"data\.path: .* unknown column 'laod'\. Did you mean 'load'"),
        ({"columns": ["site"]}, r"row 1 below the header, column 'site': 'north' is not a number"),
        ({"columns": ["load"], "window": 100}, r"data\.window: .* 101 steps .* training part"),
        ({"columns": ["load"], "window": 10, "group": "site"}, r"data\.window: .* test part"),
    ],
)
def test_series_csv_reports_what_is_wrong(load_curve, keys, sentence):
    with pytest.raises(FedlabError, match=sentence):
        load("series-csv", path=str(load_curve), **keys)


def test_ts_files_pad_shorter_series_with_the_mean(tmp_path):
    header = "@classLabel true low high\n@data\n"
    (tmp_path / "a.ts").write_text(header + "1,1,1:low\n3,3:high\n")
    (tmp_path / "b.ts").write_text(header + "1,3,?,1:high\n")
    data = load("ts-files", train=str(tmp_path / "a.ts"), test=str(tmp_path / "b.ts"))
    assert data.task.labels == ("low", "high")
    assert data.train.inputs.shape == (2, 4, 1)
    offset, scale = 9 / 5, np.std([1, 1, 1, 3, 3])
    assert data.train.inputs[1, :, 0].tolist() == pytest.approx(
        [(3 - offset) / scale, (3 - offset) / scale, 0, 0]
    )
    assert data.test.inputs[0, 2, 0] == 0
    assert data.test.targets.tolist() == [1]
