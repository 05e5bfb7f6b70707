import bz2
import gzip
import hashlib
import pickle

import numpy as np
import pytest
import torch

from fedlab import assets
from fedlab.data.dataset import Dataset
from fedlab.data.sources import wrist_sensor
from fedlab.errors import FedlabError
from fedlab.registry import datasets


def load(name: str, seed: int = 0, **keys) -> Dataset:
    source = datasets.get(name)
    return source(source.Settings(name=name, **keys)).load(seed)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_idx_pictures_have_the_published_sizes(asset, name):
    asset(name)
    data = load(name)
    assert (len(data.train), len(data.test)) == (60_000, 10_000)
    assert data.task.input_shape == (1, 28, 28)
    assert data.train.inputs.dtype == torch.uint8
    assert set(data.test.targets.unique().tolist()) == set(range(10))


def test_fashion_mnist_trousers_are_narrow(asset):
    asset("fashion-mnist")
    data = load("fashion-mnist")
    mean = data.test.inputs[data.test.targets == data.task.labels.index("trousers")].float().mean(0)
    assert mean[0, :, :6].mean() < 5 < mean[0, :, 10:18].mean()


def write_idx(path, array: np.ndarray) -> None:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    content = bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture
def own_mnist(tmp_path, monkeypatch):
    folder = tmp_path / "mnist"
    folder.mkdir()
    for stem, count in (("train", 6), ("t10k", 4)):
        pictures = np.arange(count * 4).reshape(count, 2, 2)
        write_idx(folder / f"{stem}-images-idx3-ubyte.gz", pictures)
        write_idx(folder / f"{stem}-labels-idx1-ubyte", np.arange(count))
    monkeypatch.setenv("FEDLAB_DATA", str(tmp_path))
    return folder


def test_the_users_own_files_come_first_plain_or_gzipped(own_mnist):
    data = load("mnist")
    assert data.train.inputs.flatten().tolist() == list(range(24))
    assert data.test.targets.tolist() == [0, 1, 2, 3]


def test_labels_that_do_not_belong_to_the_pictures_are_refused(own_mnist):
    write_idx(own_mnist / "train-labels-idx1-ubyte", np.arange(5))
    with pytest.raises(FedlabError, match="do not belong together"):
        load("mnist")


def test_labels_beyond_the_classes_are_refused(own_mnist):
    write_idx(own_mnist / "train-labels-idx1-ubyte", np.arange(6) + 7)
    with pytest.raises(FedlabError, match="labels beyond the 10 classes"):
        load("mnist")


@pytest.fixture
def own_usps(tmp_path, monkeypatch):
    folder = tmp_path / "usps"
    folder.mkdir()
    row = " ".join(f"{place}:{-1 if place <= 128 else 1}" for place in range(1, 257))
    for name, count in (("usps.bz2", 3), ("usps.t.bz2", 2)):
        lines = "".join(f"{number + 1} {row}\n" for number in range(count))
        (folder / name).write_bytes(bz2.compress(lines.encode()))
    monkeypatch.setenv("FEDLAB_DATA", str(tmp_path))
    return folder


def test_usps_is_read_through_torchvision(own_usps):
    data = load("usps")
    assert data.train.inputs.shape == (3, 1, 16, 16)
    assert data.train.targets.tolist() == [0, 1, 2]
    assert data.test.inputs[0, 0, 0].tolist() == [0] * 16
    assert data.test.inputs[0, 0, 15].tolist() == [255] * 16


def test_a_damaged_torchvision_file_is_reported_in_a_sentence(own_usps):
    (own_usps / "usps.bz2").write_bytes(b"no bz2")
    with pytest.raises(FedlabError, match=r"data set 'usps': the files in .* cannot be read"):
        load("usps")


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_pictures_come_channels_first(tmp_path, monkeypatch, name):
    import torchvision.datasets as library

    own = getattr(library, name.upper())
    folder = tmp_path / name / own.base_folder
    folder.mkdir(parents=True)
    picture = np.arange(3 * 32 * 32) % 251
    batch = {"data": np.stack([picture] * 2).astype(np.uint8)}
    batch["labels" if name == "cifar10" else "fine_labels"] = [3, 1]
    for file, _ in own.train_list + own.test_list:
        (folder / file).write_bytes(pickle.dumps(batch))
    names = [f"class {number}" for number in range(10 if name == "cifar10" else 100)]
    (folder / own.meta["filename"]).write_bytes(pickle.dumps({own.meta["key"]: names}))
    # Made-up files have other checksums; torchvision's own check is not what is tested.
    monkeypatch.setattr(own, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    monkeypatch.setenv("FEDLAB_DATA", str(tmp_path))
    data = load(name)
    assert data.test.inputs.shape == (2, 3, 32, 32)
    assert data.test.inputs[0].flatten().tolist() == picture.tolist()
    assert data.test.targets.tolist() == [3, 1]
    assert data.task.labels == tuple(names)


def test_emnist_letters_are_upright_and_counted_from_zero(tmp_path, monkeypatch):
    folder = tmp_path / "emnist" / "EMNIST" / "raw"
    folder.mkdir(parents=True)
    for file in assets.find("emnist").files:
        is_pictures = "images" in file.path
        array = (
            np.arange(2 * 28 * 28).reshape(2, 28, 28) % 256 if is_pictures else np.array([1, 26])
        )
        write_idx(tmp_path / "emnist" / file.path, array)
    monkeypatch.setenv("FEDLAB_DATA", str(tmp_path))
    data = load("emnist", split="letters")
    stored = torch.arange(28 * 28).view(28, 28) % 256
    assert torch.equal(data.train.inputs[0, 0].long(), stored.T)
    assert data.train.targets.tolist() == [0, 25]
    assert data.task.outputs == 26
    assert (data.task.labels[0], data.task.labels[25]) == ("a", "z")


def test_shakespeare_roles_are_clients_that_predict_characters(asset):
    asset("shakespeare")
    data = load("shakespeare", length=20, stride=50)
    names = data.train.group_names
    assert len(names) > 430
    assert "HAM, Hamlet" in names
    assert data.train.inputs.dtype == torch.int16
    tokens = data.task.encoding.tokens
    rows = np.flatnonzero(data.train.groups == names.index("HAM, Hamlet"))
    spoken = "".join(tokens[number] for number in data.train.inputs[rows[0]])
    assert spoken == "A little more than k"
    assert tokens[data.train.targets[rows[0]]] == "i"
    assert set(data.test.groups.tolist()) == set(range(len(names)))


def test_shakespeare_can_ask_for_every_position(asset):
    asset("shakespeare")
    data = load("shakespeare", length=30, stride=30, predict="every", min_characters=40_000)
    assert data.task.every_position
    assert data.train.targets.shape == data.train.inputs.shape
    assert torch.equal(data.train.targets[:, :-1], data.train.inputs[:, 1:].long())


def test_shakespeare_in_textgenrnns_characters_has_none_unknown(asset):
    asset("shakespeare")
    asset("textgenrnn")
    data = load("shakespeare", vocabulary="textgenrnn", stride=80, min_characters=20_000)
    assert data.task.vocabulary == data.task.outputs == 465
    assert (data.train.inputs == 0).float().mean() < 0.001


def test_shakespeare_of_some_plays_has_their_roles_and_the_characters_of_all(asset):
    asset("shakespeare")
    whole = load("shakespeare", stride=200)
    some = load("shakespeare", stride=200, plays=["macbeth", "hamlet"])
    assert {name.rpartition(", ")[2] for name in some.train.group_names} == {"Hamlet", "Macbeth"}
    assert some.task.encoding == whole.task.encoding
    kept = np.isin(whole.train.groups, [whole.train.group_names.index(n) for n in
                                        some.train.group_names])  # fmt: skip
    assert torch.equal(some.train.inputs, whole.train.inputs[torch.from_numpy(kept)])


def test_shakespeare_refuses_a_play_that_it_has_not():
    with pytest.raises(ValueError, match="unknown play 'hamlett'"):
        load("shakespeare", plays=["hamlett"])


def test_shakespeare_refuses_limits_that_no_role_meets(asset):
    asset("shakespeare")
    with pytest.raises(FedlabError, match=r"data\.min_characters: no role says 1000000"):
        load("shakespeare", min_characters=1_000_000)


@pytest.mark.parametrize(
    ("name", "train", "test", "shape", "classes"),
    [
        ("japanese-vowels", 270, 370, (29, 12), 9),
        ("basic-motions", 40, 40, (100, 6), 4),
        ("italy-power-demand", 67, 1029, (24, 1), 2),
        ("arrow-head", 36, 175, (251, 1), 3),
        ("gun-point", 50, 150, (150, 1), 2),
        ("osu-leaf", 200, 242, (427, 1), 6),
    ],
)
def test_archive_series_have_the_published_sizes(asset, name, train, test, shape, classes):
    asset(name)
    data = load(name)
    assert (len(data.train), len(data.test)) == (train, test)
    assert data.task.input_shape == shape
    assert data.task.outputs == classes
    assert torch.isfinite(data.train.inputs).all()


def test_wrist_sensor_has_ten_subjects_and_seven_exercises(asset):
    asset("wrist-sensor")
    data = load("wrist-sensor")
    assert data.task.input_shape == (100, 6)
    assert data.task.outputs == 7
    assert len(data.train.group_names) == 10
    assert np.bincount(data.train.groups, minlength=10).min() > 0
    assert set(data.test.targets.unique().tolist()) == set(range(7))


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    """Write a small file in the sensor data's format, and make it the known one."""
    generator = np.random.default_rng(0)
    content = {
        "X": [generator.normal(size=(60, 6)) for _ in range(8)],
        "y": np.arange(8) % 4,
        "subject": np.array([3, 3, 5, 5, 8, 8, 9, 9]),
        "X_labels": ["ax", "ay", "az", "gx", "gy", "gz"],
        "y_labels": ["a", "b", "c", "d"],
    }
    folder = tmp_path / "wrist-sensor"
    folder.mkdir()
    path = folder / "watch_dataset.npy"
    np.save(path, content, allow_pickle=True)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(wrist_sensor, "SHA256", digest)
    monkeypatch.setenv("FEDLAB_DATA", str(tmp_path))
    return path


def test_wrist_sensor_cuts_windows_and_keeps_subjects_apart(recordings):
    data = load("wrist-sensor", window=12, stride=12)
    assert data.task.input_shape == (12, 6)
    assert data.train.group_names == ("subject 3", "subject 5", "subject 8", "subject 9")
    assert np.bincount(data.train.groups).tolist() == [8] * 4
    assert len(data.test) == 8
    assert data.train.targets[:4].tolist() == [0] * 4


def test_wrist_sensor_keeps_unseen_subjects_for_the_test(recordings):
    data = load("wrist-sensor", window=20, stride=20, test_subjects=1)
    assert len(set(data.test.groups.tolist())) == 1
    assert not set(data.test.groups.tolist()) & set(data.train.groups.tolist())
    with pytest.raises(FedlabError, match=r"data\.test_subjects: 4 of 4"):
        load("wrist-sensor", test_subjects=4)
    with pytest.raises(FedlabError, match=r"data\.window: no recording has 61 steps"):
        load("wrist-sensor", window=61)


def test_wrist_sensor_refuses_a_pickle_of_other_content(recordings):
    recordings.write_bytes(recordings.read_bytes() + b" ")
    with pytest.raises(FedlabError, match="is a pickle and not the known one"):
        load("wrist-sensor")


class Payload:
    def __reduce__(self):
        return print, ("the pickle ran code",)


def test_wrist_sensor_runs_no_code_even_from_the_known_pickle(recordings, monkeypatch, capsys):
    np.save(recordings, {"X": Payload()}, allow_pickle=True)
    digest = hashlib.sha256(recordings.read_bytes()).hexdigest()
    monkeypatch.setattr(wrist_sensor, "SHA256", digest)
    with pytest.raises(FedlabError, match=r"asks for builtins\.print"):
        load("wrist-sensor")
    assert "ran code" not in capsys.readouterr().out
