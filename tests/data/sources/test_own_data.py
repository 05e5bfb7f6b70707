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


@pytest.mark.parametrize("held_out", ["val", "Validation", "test"])
def test_imagefolder_tests_on_the_part_that_is_held_out(tmp_path, held_out):
    for part, level in (("train", 5), (held_out, 200)):
        for name in ("a", "b"):
            paint(tmp_path / part / name / "x.png", level)
    data = load("imagefolder", path=str(tmp_path), image_size=4)
    assert data.task.labels == ("a", "b")
    assert data.test.inputs[:, 0].float().mean() == 200
    assert data.train.inputs[:, 0].float().mean() == 5


def test_imagefolder_takes_all_that_pillow_opens_and_tells_the_rest(pictures):
    for suffix in ("ppm", "PGM", "jfif", "jp2", "avif"):
        Image.new("L", (9, 9), 7).save(pictures / "cats" / f"more.{suffix}")
    (pictures / "cats" / "notes.txt").write_text("x")
    (pictures / "dogs" / ".hidden.png").write_bytes(b"no picture")
    data = load("imagefolder", path=str(pictures), image_size=8)
    assert len(data.train) + len(data.test) == 15
    assert data.notes == ("data.path: left out 2 files: .txt × 1, hidden × 1",)


def test_imagefolder_leaves_out_unreadable_pictures_if_asked(pictures):
    (pictures / "cats" / "3.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    (pictures / "dogs" / "4.jpg").write_bytes(b"")
    with pytest.raises(FedlabError, match=r"cats/3\.png .* \(1 more of 10 files cannot be read"):
        load("imagefolder", path=str(pictures))
    data = load("imagefolder", path=str(pictures), on_error="skip", image_size=8)
    assert len(data.train) + len(data.test) == 8
    red = data.train.inputs[:, 0].float().mean((1, 2))
    assert torch.equal(red > 100, data.train.targets == 1)
    assert "left out 2 of 10 files that cannot be read" in data.notes[0]
    assert "4.jpg is not a picture: the file is empty" in data.notes[0]
    for number in (0, 1, 2, 4):
        (pictures / "cats" / f"{number}.png").write_bytes(b"")
    with pytest.raises(FedlabError, match="no picture of the class 'cats' can be read"):
        load("imagefolder", path=str(pictures), on_error="skip")


def test_imagefolder_tells_that_the_first_of_several_frames_is_taken(pictures):
    frames = [Image.new("L", (9, 9), level) for level in (0, 200)]
    frames[0].save(pictures / "cats" / "moving.gif", save_all=True, append_images=frames[1:])
    data = load("imagefolder", path=str(pictures), image_size=8)
    assert "of several frames or pages the first is taken, in 1 file: " in data.notes[0]
    assert data.notes[0].endswith("moving.gif")


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


def test_a_class_with_one_example_is_named(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("text,label\n" + "good,up\nbad,down\n" * 9 + "so so,middle\n")
    with pytest.raises(FedlabError, match="both parts; the class 'middle' has one example"):
        load("text-classification", path=str(path))


def test_text_classification_refuses_what_it_cannot_read(tmp_path, reviews):
    with pytest.raises(FedlabError, match=r"data\.text_column: .* unknown column 'txt'"):
        load("text-classification", path=str(reviews), text_column="txt")
    single = tmp_path / "single.csv"
    single.write_text("text,label\na,x\nb,x\n")
    with pytest.raises(FedlabError, match=r"data\.path: .* a single class"):
        load("text-classification", path=str(single))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FedlabError, match=r"data\.path: .* no text files"):
        load("text-classification", path=str(tmp_path / "empty"))
    with pytest.raises(FedlabError, match=r"data\.path: .*no file .*nowhere"):
        load("text-classification", path=str(tmp_path / "nowhere"))


CSV_FAULTS = [
    ("good,\n", "line 3, column 'label': there is no class"),
    ("good,NaN\n", r"line 3, column 'label': there is no class \('NaN' stands for a missing one"),
    ("good, null \n", "line 3, column 'label': there is no class"),
    (" ,up\n", "line 3, column 'text': there is no text"),
    ("good,up,\ngood,down,extra\n", "line 4: this row has too many fields"),
]


@pytest.mark.parametrize(("rows", "sentence"), CSV_FAULTS)
def test_a_text_without_a_class_or_words_is_refused_by_its_line(tmp_path, rows, sentence):
    path = tmp_path / "x.csv"
    path.write_text("text,label\nfirst,up\n" + rows)
    with pytest.raises(FedlabError, match=rf"data\.path: .*x\.csv, {sentence}"):
        load("text-classification", path=str(path))


@pytest.fixture
def gaps(tmp_path):
    """Return a table of 12 complete rows and three that lack something."""
    path = tmp_path / "gaps.csv"
    rows = [
        f"some words {n}, {'up' if n % 2 else 'down '},{'ann' if n % 3 else ' ann'}"
        for n in range(12)
    ]
    rows += ["words,,ann", "words,NA,ann", "words,up,nan"]
    path.write_text("text,label,author\n" + "\n".join(rows) + "\n")
    return path


def test_rows_that_lack_something_are_left_out_if_asked_and_told(gaps):
    keys = {"group_column": "author", "on_error": "skip", "length": 20}
    data = load("text-classification", path=str(gaps), **keys)
    assert data.task.labels == ("down", "up")
    assert data.train.group_names == ("ann",)
    assert len(data.train) + len(data.test) == 12
    (note,) = data.notes
    assert "left out 3 of 15 rows that cannot be read" in note
    assert "line 14, column 'label': there is no class" in note
    with pytest.raises(FedlabError, match=r"line 14, .* \(2 more of 15 rows cannot be read either"):
        load("text-classification", path=str(gaps), group_column="author")


def test_a_class_may_be_called_na_where_the_scenario_says_so(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("text,label\n" + "one,NA\ntwo,EU\n" * 5)
    data = load("text-classification", path=str(path), missing=[])
    assert data.task.labels == ("EU", "NA")


def write_texts(root, *parts):
    for part in parts:
        for label, text in (("ham", "see you"), ("spam", "buy now")):
            folder = root / part / label
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(4):
                (folder / f"{number}.txt").write_text(f"{text} {part}{number}")


def test_keys_that_change_nothing_with_a_folder_are_told(tmp_path):
    write_texts(tmp_path, "train", "test")
    keys = {"test_fraction": 0.3, "label_column": "class", "length": 20}
    assert load("text-classification", path=str(tmp_path), **keys).notes == (
        "data.test_fraction has no effect: the folder has a part of its own that is held out",
        "data.label_column has no effect: only a CSV file has columns, not a folder",
    )


def test_texts_in_parts_are_tested_on_the_part_that_is_held_out(tmp_path):
    write_texts(tmp_path, "train", "Test")
    data = load("text-classification", path=str(tmp_path), length=20)
    assert data.task.labels == ("ham", "spam")
    tokens = data.task.encoding.tokens
    texts = ["".join(tokens[n] for n in row if n) for row in data.test.inputs]
    assert len(texts) == 8
    assert all("<unknown>est" in text for text in texts)  # "T" is in no text that is learned from


def test_a_text_folder_holds_texts_of_any_case_and_depth_and_no_marks(tmp_path):
    write_texts(tmp_path, "")
    (tmp_path / "ham/deep").mkdir()
    (tmp_path / "ham/deep/x.TXT").write_bytes("\ufeffzebra".encode())
    (tmp_path / "ham/.hidden.txt").write_text("q")
    (tmp_path / "ham/x.pdf").write_text("q")
    data = load("text-classification", path=str(tmp_path), length=9)
    assert len(data.train) + len(data.test) == 9
    assert not {"\ufeff", "q"} & set(data.task.encoding.tokens)
    assert data.notes == ("data.path: left out 2 files: .pdf × 1, hidden × 1",)


def test_a_text_file_that_cannot_be_read_is_refused_or_left_out(tmp_path):
    write_texts(tmp_path, "")
    (tmp_path / "spam/4.txt").write_bytes(b"one\ncaf\xe9\n")
    (tmp_path / "spam/5.txt").write_bytes(b"")
    with pytest.raises(
        FedlabError, match=r"4\.txt cannot be read: line 2 is not UTF-8 .* \(1 more of"
    ):
        load("text-classification", path=str(tmp_path))
    data = load("text-classification", path=str(tmp_path), on_error="skip")
    assert len(data.train) + len(data.test) == 8
    assert "left out 2 of 10 files that cannot be read" in data.notes[0]


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
        ({"columns": ["site"]}, r"line 2, column 'site': 'north' is not a number"),
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


def write_series(path, times, column="when", groups=None):
    groups = groups or ["x"] * len(times)
    rows = [
        f"{time},{n},{group}" for n, (time, group) in enumerate(zip(times, groups, strict=True))
    ]
    path.write_text(f"{column},load,site\n" + "\n".join(rows) + "\n")
    return path


HOURS = [f"2024-01-01 {hour:02}:00" for hour in range(24)]
SHUFFLED = [HOURS[hour * 7 % 24] for hour in range(24)]
SERIES = {"columns": ["load"], "window": 3}


@pytest.mark.parametrize(
    "times",
    [
        SHUFFLED,
        [f"2024-02-{1 + n * 5 % 24:02}T00:00:00Z" for n in range(24)],
        [n * 5 % 24 - 3 for n in range(24)],
        [1_700_000_000_000_000_000 + n * 5 % 24 for n in range(24)],
    ],
    ids=["hours", "zone", "numbers", "nanoseconds"],
)
def test_series_csv_sorts_by_time(tmp_path, times):
    path = write_series(tmp_path / "x.csv", times)
    data = load("series-csv", path=str(path), time="when", **SERIES)
    scaling = data.task.encoding.features
    shown = data.test.inputs[..., 0] * scaling.scale[0] + scaling.offset[0]
    later = [load for _, load in sorted((time, n) for n, time in enumerate(times))][-5:]
    assert shown[0].tolist() == pytest.approx(later[:3], abs=1e-3)
    assert data.task.input_shape == (3, 1)
    assert data.notes == ()


def test_series_csv_sorts_each_series_by_itself(tmp_path):
    path = write_series(tmp_path / "x.csv", SHUFFLED * 2, groups=["b"] * 24 + ["a"] * 24)
    data = load("series-csv", path=str(path), time="when", group="site", **SERIES)
    assert data.train.group_names == ("a", "b")
    for group in (0, 1):
        assert len(data.test.inputs[data.test.groups == group]) == 2


@pytest.mark.parametrize(
    ("times", "sentence"),
    [
        (
            [*HOURS[:23], HOURS[4]],
            r"line 25, column 'when': the time '2024-01-01 04:00' is on line 6",
        ),
        ([*HOURS[:9], "", *HOURS[10:]], "line 11, column 'when': there is no time"),
        (
            [*HOURS[:9], "31.12.2024", *HOURS[10:]],
            "line 11, .* '31.12.2024' is neither a number nor",
        ),
        (
            [*HOURS[:23], HOURS[23] + "Z"],
            "line 25, .* is in a time zone, and the first time is with",
        ),
        ([1, 2, "nan", *range(4, 25)], "line 4, .* 'nan' is not a number, as the first time is"),
    ],
)
def test_series_csv_refuses_a_time_that_says_nothing(tmp_path, times, sentence):
    path = write_series(tmp_path / "x.csv", times)
    with pytest.raises(FedlabError, match=rf"data\.path: .*x\.csv, {sentence}"):
        load("series-csv", path=str(path), time="when", **SERIES)


@pytest.mark.parametrize(
    ("column", "times"), [("when", SHUFFLED), ("Time", list(range(24, 0, -1))), ("at", HOURS[::-1])]
)
def test_series_csv_tells_of_times_that_do_not_ascend(tmp_path, column, times):
    path = write_series(tmp_path / "x.csv", times, column)
    (note,) = load("series-csv", path=str(path), **SERIES).notes
    assert f"the times in column '{column}' do not ascend (line" in note
    assert f"data.time = '{column}' sorts them" in note


def test_series_csv_is_silent_of_times_that_ascend_and_other_columns(tmp_path):
    path = write_series(tmp_path / "x.csv", HOURS)
    assert load("series-csv", path=str(path), **SERIES).notes == ()
    path = write_series(tmp_path / "y.csv", list(range(24, 0, -1)), "wind")
    assert load("series-csv", path=str(path), **SERIES).notes == ()
    path = write_series(tmp_path / "z.csv", HOURS * 2, groups=["b"] * 24 + ["a"] * 24)
    assert load("series-csv", path=str(path), group="site", **SERIES).notes == ()


def test_series_csv_refuses_a_row_without_a_group(tmp_path):
    path = write_series(tmp_path / "x.csv", HOURS, groups=["a"] * 20 + [" "] * 4)
    with pytest.raises(FedlabError, match=r"line 22, column 'site': there is no name"):
        load("series-csv", path=str(path), group="site", **SERIES)


@pytest.mark.parametrize("level", [14.62, 1.0, -1e-9, 3e7])
def test_a_column_that_is_constant_in_training_is_not_divided(tmp_path, level):
    path = tmp_path / "x.csv"
    rows = [f"{n % 5},{level if n < 80 else level + 0.5}" for n in range(100)]
    path.write_text("load,flag\n" + "\n".join(rows) + "\n")
    data = load("series-csv", path=str(path), columns=["load", "flag"], window=3)
    assert data.task.encoding.features.scale[1] == 1.0
    assert data.test.inputs[..., 1].max() == pytest.approx(0.5, abs=1e-6)
