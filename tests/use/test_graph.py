"""An exported graph that takes raw inputs says what ``predict`` does of the same files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image, ImageOps

from fedlab.data.formats.picture import read_picture
from fedlab.data.transforms import Preparation
from fedlab.errors import FedlabError
from fedlab.use.export import export
from fedlab.use.graph import RawPictures
from fedlab.use.loading import Trained, load_trained
from fedlab.use.predict import Numbers, Ranked, predict
from tests.use.conftest import Train

SIZES = ((40, 50), (8, 8), (5, 9), (300, 200), (33, 31), (64, 128))


def photo(size: tuple[int, int], mode: str, seed: int) -> Image.Image:
    """Return a picture that is smooth, as photographs are: noise of few pixels, enlarged."""
    noise = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).convert(mode)


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Return files of many sizes: in colour, in grey, turned by EXIF data."""
    files = []
    for number, size in enumerate(SIZES):
        picture = photo(size, "L" if number % 3 == 1 else "RGB", number)
        exif = Image.Exif()
        if number % 3 == 2:
            exif[0x0112] = 6
        files.append(tmp_path / f"{number}.png")
        picture.save(files[-1], exif=exif)
    return files


def raw(file: Path) -> np.ndarray:
    """Return what another program decodes."""
    return np.asarray(ImageOps.exif_transpose(Image.open(file)).convert("RGB"))[None]


def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def test_pictures_of_any_size_get_the_probabilities_of_predict(
    digits: Trained, photos: list[Path], tmp_path: Path
) -> None:
    path = export(digits, "onnx", tmp_path / "raw.onnx", with_preprocessing=True)
    running = session(path)
    found = predict(digits, list(map(str, photos)), top=10)
    for file, prediction in zip(photos, found, strict=True):
        assert isinstance(prediction, Ranked)
        logits, probabilities = running.run(None, {"pictures": raw(file)})
        assert logits.shape == probabilities.shape == (1, 10)
        expected = [dict(prediction.classes)[label] for label in digits.task.labels]
        assert probabilities[0] == pytest.approx(expected, abs=2e-3)
    metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    described = json.loads(metadata["graph"])
    assert described["input"] == {
        "name": "pictures", "type": "uint8", "shape": ["batch", "height", "width", 3]
    }  # fmt: skip
    assert described["outputs"] == ["outputs", "probabilities"]


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 12, 20), (3, 64, 48)])
def test_pictures_are_stored_as_the_data_set_stores_them(
    digits: Trained, photos: list[Path], shape: tuple[int, int, int]
) -> None:
    task = replace(digits.task, input_shape=shape)
    module = RawPictures(torch.nn.Identity(), task, Preparation("image"))
    for file in photos:
        stored = read_picture(file, shape).float()
        gap = (module._stored(torch.from_numpy(raw(file).copy()))[0] - stored).abs()
        # Newer Pillows scale rows first where that is quicker: it rounds otherwise.
        assert gap.max() <= 1
        assert gap.mean() < 0.2


@pytest.mark.parametrize(
    ("shape", "prepare"),
    [
        ((3, 16, 16), Preparation("image", 3, 9, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))),
        ((1, 9, 12), Preparation("image", 3, 24, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))),
        ((3, 12, 12), Preparation("image", 1, 16, (0.5,), (0.2,))),
        ((1, 8, 8), Preparation("image")),
    ],
)
def test_the_graph_prepares_as_the_network_is_prepared_for(
    digits: Trained, shape: tuple[int, int, int], prepare: Preparation
) -> None:
    stored = torch.randint(0, 256, (2, *shape), dtype=torch.uint8)
    task = replace(digits.task, input_shape=shape)
    module = RawPictures(torch.nn.Identity(), task, prepare)
    pictures = stored.permute(0, 2, 3, 1).expand(-1, -1, -1, 3)
    assert torch.allclose(module.prepared(pictures), prepare(stored), atol=2e-5)


def test_rows_in_their_own_units_get_the_probabilities_of_predict(
    iris_run: Path, tmp_path: Path
) -> None:
    trained = load_trained(iris_run)
    rows = np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]])
    (tmp_path / "rows.csv").write_text("\n".join(",".join(map(str, row)) for row in rows))
    running = session(export(trained, "onnx", tmp_path / "raw.onnx", with_preprocessing=True))
    _, probabilities = running.run(None, {"numbers": rows})
    found = predict(trained, [str(tmp_path / "rows.csv")])
    for row, prediction in zip(probabilities, found, strict=True):
        assert isinstance(prediction, Ranked)
        expected = [dict(prediction.classes)[label] for label in trained.task.labels]
        assert row == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("missing", ["indicator", "mean"])
def test_a_table_of_numbers_gets_the_forecast_of_predict_with_gaps_and_without(
    train: Train, tmp_path: Path, missing: str
) -> None:
    lines = [f"{row % 7},{'' if row % 9 == 0 else row % 5},{row % 7 + 100.5}" for row in range(60)]
    table = tmp_path / "own.csv"
    table.write_text("\n".join(["a,b,price", *lines]))
    data = (
        f"name = 'table'\npath = '{table}'\ntarget = 'price'\nmissing = '{missing}'\n"
        "partition = { name = 'iid', clients = 2 }"
    )
    trained = load_trained(train(f"numbers-{missing}", data, 'name = "mlp"\nhidden = [4]'))
    running = session(export(trained, "onnx", tmp_path / "raw.onnx", with_preprocessing=True))
    _, values = running.run(None, {"numbers": np.array([[3.0, 1.0], [2.0, np.nan]])})
    (tmp_path / "rows.csv").write_text("b,a\n1,3\n,2\n")
    found = list(predict(trained, [str(tmp_path / "rows.csv")]))
    assert all(isinstance(prediction, Numbers) for prediction in found)
    assert values[:, 0] == pytest.approx([one.values[0][1] for one in found], rel=1e-6)  # type: ignore[union-attr]


def test_a_series_gets_the_forecast_of_predict_in_its_own_units(
    forecast_run: Path, ramp: Path, tmp_path: Path
) -> None:
    trained = load_trained(forecast_run)
    running = session(export(trained, "onnx", tmp_path / "raw.onnx", with_preprocessing=True))
    series = np.arange(1192, 1200, dtype=np.float64)[None, :, None]
    _, values = running.run(["outputs", "values"], {"numbers": series})
    (prediction,) = predict(trained, [str(ramp)])
    assert isinstance(prediction, Numbers)
    assert values[0, 0] == pytest.approx(prediction.values[0][1], rel=1e-6)


def test_what_cannot_be_in_a_graph_is_refused(
    texts_run: Path, digits: Trained, reverse_run: Path, tmp_path: Path
) -> None:
    for run, sentence in ((texts_run, "texts become tokens before"), (reverse_run, "sequence-to-")):
        with pytest.raises(FedlabError, match=f"--with-preprocessing: .*{sentence}"):
            export(load_trained(run), "onnx", tmp_path / "x.onnx", with_preprocessing=True)
    with pytest.raises(FedlabError, match="'onnx' alone has it, and --format is 'torchscript'"):
        export(digits, "torchscript", tmp_path / "x.pt", with_preprocessing=True)
    assert not list(tmp_path.iterdir())
