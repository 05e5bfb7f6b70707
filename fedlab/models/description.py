"""What a trained network takes and gives, so that another program gets the same answers from it.

The description is JSON of the schema that ``docs/exported-models.md`` documents. Exported files and
``model.safetensors`` have it in their metadata, under ``preprocessing``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fedlab import __version__
from fedlab.data import task_file
from fedlab.data.dataset import Encoding, Scaling, Task
from fedlab.data.log_mel import described as described_sound

if TYPE_CHECKING:
    from fedlab.data.transforms import Preparation

SCHEMA = "fedlab-model/1"
INPUTS, OUTPUTS = "inputs", "outputs"

Step = dict[str, Any]


def metadata(task: Task, prepare: Preparation, title: str, model: str) -> dict[str, str]:
    """Return the metadata of a file of weights, each value as text or JSON.

    Keys: "fedlab" (version), "title", "model", "task" (as in ``task.json``), "labels", and
    "preprocessing", the description of :func:`describe`.

    Args:
        task: What the network was trained for.
        prepare: How stored inputs become the network's.
        title: The scenario's title.
        model: The model's name.
    """
    return {
        "fedlab": __version__,
        "title": title,
        "model": model,
        "task": json.dumps(json.loads(task_file.dumps(task))),
        "labels": json.dumps(list(task.labels), ensure_ascii=False),
        "preprocessing": json.dumps(describe(task, prepare), ensure_ascii=False),
    }


def describe(task: Task, prepare: Preparation) -> dict[str, Any]:
    """Return what the network takes, the steps from raw data to it, and what its outputs are."""
    return {
        "schema": SCHEMA,
        "inputs": {
            "name": INPUTS,
            "type": "int64" if task.modality == "text" else "float32",
            "shape": ["batch", *prepared_shape(task, prepare)],
            "axes": _axes(task),
        },
        "steps": list(_steps(task, prepare)),
        "outputs": _outputs(task),
    }


def prepared_shape(task: Task, prepare: Preparation) -> tuple[int, ...]:
    """Return the shape of one input of the network."""
    if task.modality != "image":
        return task.input_shape
    channels, height, width = task.input_shape
    side = prepare.image_size
    return (prepare.channels or channels, side or height, side or width)


def _axes(task: Task) -> list[str]:
    axes = {
        "image": ["channel", "row", "column"],
        "text": ["token"],
        "series": ["step", "column"],
        "tabular": ["feature"],
    }[task.modality]
    return ["batch", *axes]


def _steps(task: Task, prepare: Preparation) -> Iterator[Step]:
    """Yield the steps from raw data to the network's inputs, in order."""
    encoding = task.encoding or Encoding()
    if task.modality == "image":
        yield from _of_pictures(task, prepare)
    elif task.modality == "text":
        yield from _of_text(task, encoding)
    elif encoding.table is not None:
        yield {"step": "encode table", **dataclasses.asdict(encoding.table)}
    else:
        if encoding.sound is not None:
            yield from _of_sound(encoding)
        if encoding.features is not None:
            yield {"step": "standardise", "formula": "(x - offset) / scale"} | _of(
                encoding.features
            )


def _of_pictures(task: Task, prepare: Preparation) -> Iterator[Step]:
    channels, height, width = task.input_shape
    mode = {1: "L", 3: "RGB"}.get(channels, str(channels))
    yield {
        "step": "decode",
        "orientation": "as EXIF says",
        "transparent": "on white",
        "colours": "sRGB, where the file has a profile",
        "depth": "8 bits a channel; 16 bits are divided by 257",
        "frames": "the first",
    }
    yield {
        "step": "resize and crop",
        "size": [width, height],
        "crop": "the largest centred part of this aspect ratio, with fractions of pixels",
        "interpolation": "bicubic (a = -0.5), antialiased",
        "rounding": "to 8 bits after each direction, columns first",
        "same_as": "PIL.ImageOps.fit(picture, size, PIL.Image.Resampling.BICUBIC)",
    }
    yield {"step": "convert", "mode": mode, "grey": "(19595 R + 38470 G + 7471 B) / 65536"}
    yield {"step": "transpose", "to": ["channel", "row", "column"], "channel_order": mode}
    yield {"step": "divide", "by": 255}
    if prepare.channels == 1 and channels == 3:
        yield {"step": "grey", "formula": "0.2989 R + 0.587 G + 0.114 B"}
    side = prepare.image_size
    if side is not None and (height, width) != (side, side):
        shrinks = side < max(height, width)
        yield {
            "step": "resize",
            "size": [side, side],
            "interpolation": f"bicubic (a = {-0.5 if shrinks else -0.75})",
            "antialias": shrinks,
            "clip": [0, 1],
            "same_as": "torchvision.transforms.v2.functional.resize, on float tensors",
        }
    if prepare.channels == 3 and channels == 1:
        yield {"step": "repeat", "channels": 3}
    if prepare.mean is not None and prepare.std is not None:
        yield {
            "step": "normalise",
            "formula": "(x - mean) / std, by channel",
            "mean": list(prepare.mean),
            "std": list(prepare.std),
        }


def _of_text(task: Task, encoding: Encoding) -> Iterator[Step]:
    if encoding.tokenizer:
        yield {
            "step": "tokenise",
            "library": "tokenizers.Tokenizer.from_str",
            "tokenizer": encoding.tokenizer,
        }
    elif encoding.tokens:
        yield {
            "step": "tokenise",
            "unit": encoding.unit,
            "tokens": list(encoding.tokens),
            "unknown": encoding.unknown,
        }
    yield {
        "step": "fit length",
        "length": task.input_shape[0],
        "longer": "the first tokens",
        "padding": task.input_padding,
        "padded_at": "the end",
    }


def _of_sound(encoding: Encoding) -> Iterator[Step]:
    assert encoding.sound is not None
    sound = described_sound(encoding.sound)
    yield {"step": "decode", "scale": "-1 to 1", "channels": "their mean"}
    yield {
        "step": "resample",
        "sample_rate": sound["sample_rate"],
        "same_as": "scipy.signal.resample_poly",
    }
    yield {
        "step": "amplify",
        "to_dbfs": sound["least_volume_dbfs"],
        "formula": "x · 10^(to_dbfs / 20) / rms(x), where that is louder",
    }
    yield {
        "step": "fit length",
        "samples": sound["samples"],
        "longer": "cut around the middle",
        "shorter": "padded with zeros at the end",
    }
    yield {
        "step": "log-mel spectrogram",
        "formula": "ln(mel power + added_before_logarithm)",
        "window_function": "Hann, periodic",
        "centred": "padded with zeros by half a window on both sides",
        "mel_scale": "Slaney, bands of area 1",
        "same_as": "log of librosa.feature.melspectrogram(power=2.0)",
        **{
            key: sound[key]
            for key in (
                "window_samples",
                "hop_samples",
                "mel_bands",
                "lowest_hertz",
                "highest_hertz",
                "added_before_logarithm",
            )
        },
    }


def _outputs(task: Task) -> dict[str, Any]:
    """Return what the network's outputs are."""
    shape: list[int | str] = ["batch", task.outputs]
    found: dict[str, Any] = {"name": OUTPUTS, "shape": shape, "labels": list(task.labels)}
    if task.kind == "classification" and task.outputs == 1:
        return found | {"are": "logits", "of": "the second label", "activation": "sigmoid"}
    if task.kind == "classification":
        return found | {"are": "logits", "activation": "softmax over the last axis"}
    if task.kind == "regression":
        targets = task.encoding.targets if task.encoding is not None else None
        if targets is None:
            return found | {"are": "numbers"}
        return (
            found | {"are": "scaled numbers", "formula": "output · scale + offset"} | _of(targets)
        )
    if task.kind == "masked-patches":
        return found | {"are": "values of patches", "shape": ["batch", "patch", task.outputs]}
    if task.kind == "self-supervised":
        return found | {"are": "projections"}
    if task.kind == "reconstruction":
        return found | {"are": "inputs", "shape": ["batch", "as the inputs, perhaps flat"]}
    if task.kind in ("tagging", "sequence-to-sequence") or task.every_position:
        found["shape"] = ["batch", "token", task.outputs]
    return found | {"are": "logits", "activation": "softmax over the last axis"}


def _of(scaling: Scaling) -> dict[str, Any]:
    return {
        "columns": list(scaling.columns),
        "offset": list(scaling.offset),
        "scale": list(scaling.scale),
    }
