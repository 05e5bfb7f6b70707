"""Bad input, fourth table: data of a user's own, their classes in code, weights and backbones."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli_w
import torch
from PIL import Image
from safetensors.torch import save_file

ROWS = [
    f"{20 + 7 * i % 30},{13 * i % 11},{'yes' if i % 3 else 'no'},{'ab'[i % 2]}" for i in range(40)
]
GOOD = "age,dose,class,site\n" + "\n".join(ROWS) + "\n"
NO_CLASS = GOOD.replace("no", "yes")


def scenario(data: dict, model: dict | None = None) -> None:
    own = {"partition": {"name": "iid", "clients": 2}} | data
    raw = {
        "rounds": 1,
        "data": own,
        "model": model or {"name": "mlp", "hidden": [4]},
        "engine": {"name": "inline"},
    }
    Path("own.toml").write_text(tomli_w.dumps(raw))


@pytest.mark.parametrize(
    ("content", "keys", "sentence"),
    [
        ("", {}, "own.csv is empty; its first line names the columns"),
        ("age,dose,class,site\n", {}, "own.csv has a header and no rows"),
        (NO_CLASS, {}, "are of one class, 'yes' in column 'class'; at least two are needed"),
        (GOOD.replace("age,dose", "age,age", 1), {}, "line 1: two columns are called 'age'"),
        (GOOD + "31,m\n", {}, "line 42: this row has too few fields: 2, and the header has 4"),
        (GOOD + "31,1,yes,a,b\n", {}, "line 42: this row has too many fields: 5"),
        (GOOD + "31,1,,a\n", {}, "line 42, column 'class': there is no target; data.on_error"),
        (GOOD + "inf,1,yes,a\n", {}, "line 42, column 'age': 'inf' is not a number"),
        (GOOD.encode() + b"1\x00,1,yes,a\n", {}, "line 42: there is a zero byte"),
        (GOOD + '31,"1,yes,a\n', {}, "line 42: this row is not CSV"),
        ("class\n" + "yes\nno\n" * 9, {}, "no column is left to learn 'class' from"),
        (GOOD, {"target": "clas"}, "has an unknown column 'clas'. Did you mean 'class'?"),
        (GOOD, {"clients_by": "hospital"}, "data.clients_by: "),
        (GOOD, {"path": "nowhere.csv"}, "data.path: there is no file "),
        (GOOD, {"target": None}, "data.target is missing"),
    ],
)
def test_a_table_that_cannot_serve_is_refused_with_its_place(
    refused, content, keys, sentence
) -> None:
    Path("own.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    data = {"name": "table", "path": "own.csv", "target": "class"} | keys
    scenario({key: value for key, value in data.items() if value is not None})
    (said,) = refused("check", "own.toml")
    assert sentence in said


@pytest.mark.parametrize(
    "content",
    [
        GOOD.encode("utf-16"),
        GOOD.replace("yes", "sí").encode("latin-1"),
        GOOD.replace(",", ";").encode(),
        GOOD.replace(",", "|").encode(),
        GOOD.replace("\n", "\r\n").encode("utf-8-sig"),
        (GOOD + "31,1,perhaps,a\n" + "31,1,yes,\n").encode(),
        (GOOD + "31,1,yes,c\n33,1,yes,c\n35,2,no,c\n").encode(),
    ],
    ids=["utf-16", "latin-1", "semicolons", "bars", "windows", "a rare class", "three rows"],
)
def test_a_table_as_programs_write_it_is_read(typed, content: bytes) -> None:
    Path("own.csv").write_bytes(content)
    scenario({"name": "table", "path": "own.csv", "target": "class"})
    assert typed("check", "own.toml").code == 0


def picture(path: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (32, 32)).save(path)


def two_classes() -> None:
    for name in "ab":
        for number in range(4):
            picture(f"own/{name}/{number}.png")


def flat() -> None:
    for number in range(4):
        picture(f"own/{number}.png")


def one_class() -> None:
    for number in range(4):
        picture(f"own/a/{number}.png")


def one_is_broken() -> None:
    two_classes()
    Path("own/a/x.png").write_bytes(b"no picture")


def hollow() -> None:
    for name in "ab":
        Path("own", name).mkdir(parents=True)


def texts() -> None:
    hollow()
    for name in "ab":
        Path("own", name, "1.txt").write_text("text")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (flat, "own holds no pictures in folders, and needs at least two folders, one for each c"),
        (one_class, "own holds one folder of pictures, and needs at least two folders, one for "),
        (one_is_broken, "own/a/x.png is not a picture in a format that Pillow reads; data.on_err"),
        (hollow, "own/a holds no pictures"),
        (texts, "own/a holds no pictures (left out 2 files: .txt × 2)"),
        (lambda: None, "data.path: there is no folder "),
    ],
)
def test_pictures_that_cannot_serve_are_refused_with_their_place(refused, make, sentence) -> None:
    make()
    scenario({"name": "imagefolder", "path": "own", "image_size": 8})
    (said,) = refused("check", "own.toml")
    assert sentence in said


STATE = {"head.weight": torch.zeros(3, 4)}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"nothing.weight": torch.zeros(2)}, "do not fit the model: it has no "),
        ({}, "holds no dictionary of tensors by name"),
        (b"these are no weights\n", "it begins neither as a safetensors file nor as a torch file"),
        (b"", "it begins neither as a safetensors file nor as a torch file"),
        (b"PK\x03\x04 and no more", "it begins as a torch file does, and is damaged or cut off"),
        (
            (500).to_bytes(8, "little") + b'{"cut": 1',
            "it begins as a safetensors file does, and is damaged or cut off",
        ),
        (None, "; name the folder of a run that finished, or a file of weights"),
    ],
)
def test_weights_that_cannot_be_read_are_said_to_be_what_they_are(
    refused, content, sentence
) -> None:
    path = Path("w.safetensors")
    if content is None:
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        save_file(content, path)
    scenario({"name": "iris"}, {"name": "mlp", "hidden": [4], "pretrained": "w.safetensors"})
    (said,) = refused("check", "own.toml")
    assert said.startswith("model.pretrained: ")
    assert sentence in said


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (
            {"name": "vit_small_patch14_dinov2", "blocks": 1, "image_size": 50},
            "cuts pictures into patches of 14 pixels, which do not tile 50×50; 42 or 56 would fit",
        ),
        ({"name": "resnet10t", "trainable": "last:99"}, "asks for more stages than resnet10t has"),
        ({"name": "resnet10t", "trainable": "heads"}, "'heads' is none of 'all', 'head', "),
        ({"name": "resnet10t", "trainable": ["layer9*"]}, "no parameter is called 'layer9*'; the"),
        ({"name": "resnet10t", "blocks": 2}, "'resnet10t' is no Vision Transformer; leave the k"),
        ({"name": "resnet10t", "pretrained": "package"}, "no package ships weights for 'resnet1"),
        ({"name": "dinov2"}, "model.name: unknown model 'dinov2'. Did you mean 'vit_small_patch"),
    ],
)
def test_a_backbone_that_does_not_fit_is_refused_by_its_key(refused, model, sentence) -> None:
    two_classes()
    scenario({"name": "imagefolder", "path": "own", "image_size": 32}, model)
    (said,) = refused("check", "own.toml")
    assert sentence in said


OWN = """
import torch
from fedlab.data.dataset import Dataset, DataSettings, Examples, Task

class Base:
    class Settings(DataSettings):
        pass
    def __init__(self, settings):
        pass

class NoSettings:
    def __init__(self, settings):
        pass
    def load(self, seed):
        pass

class NoLoad(Base):
    pass

class NoSeed(Base):
    def load(self):
        pass

class NoFile(Base):
    def load(self, seed):
        return open("nowhere.csv")

class WrongKind(Base):
    def load(self, seed):
        return Task("classify", "tabular", (4,), 3)

class NoTest(Base):
    def load(self, seed):
        return Dataset(Task("classification", "tabular", (4,), 3), Examples(torch.zeros(4, 4), 0))

class Ends(Base):
    def load(self, seed):
        raise SystemExit(3)

def function(seed):
    pass
"""


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("NoSettings", "class NoSettings has no Settings"),
        ("NoLoad", "its load raised AttributeError: 'NoLoad' object has no attribute 'load'"),
        ("NoSeed", "its load raised TypeError: NoSeed.load() takes 1 positional argument but 2"),
        ("NoFile", "its load raised FileNotFoundError: [Errno 2] No such file or directory: 'now"),
        ("WrongKind", "its load raised ValueError: kind: 'classify' is none of classification,"),
        ("NoTest", "its load raised TypeError: Dataset.__init__() missing 1 required positional"),
        ("Ends", "its load raised SystemExit: 3"),
        ("function", "this is not a class"),
        ("Missing", "has no 'Missing'"),
    ],
)
def test_a_class_of_ones_own_that_fails_is_named_with_the_reason(refused, name, sentence) -> None:
    Path("own_sources.py").write_text(OWN)
    scenario({"name": f"own_sources:{name}"})
    (said,) = refused("check", "own.toml", "--trust")
    assert f"own_sources:{name}" in said
    assert sentence in said
    assert "data.name" in said
