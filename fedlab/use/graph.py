"""Networks that take raw inputs: the preparation as a part of an exported graph.

What is inside is what can be computed from numbers; decoding of files, and what is said in words
(texts, categories), is not.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from fedlab.data.dataset import Encoding, Scaling, Task
from fedlab.errors import FedlabError
from fedlab.use.resizing import pillow_weights, resizing

if TYPE_CHECKING:
    from fedlab.data.transforms import Preparation

_RED, _GREEN, _BLUE, _WHOLE = 19595, 38470, 7471, 65536
"""Pillow's weights of the colours in a grey value (ITU-R BT.601)."""


class RawNetwork(nn.Module):
    """A network from raw inputs to outputs, and to what they mean.

    Args:
        network: The network.
        task: Its task.
        prepare: How stored inputs become the network's.

    Attributes:
        input_name: What the graph calls its input.
        free_axes: The input's axes of any length, by number.
        inside: What the graph does with raw inputs, in words.
        outside: What a program does before.
    """

    input_name: ClassVar[str]
    free_axes: ClassVar[dict[int, str]] = {0: "batch"}
    inside: ClassVar[str]
    outside: ClassVar[str]

    def __init__(self, network: nn.Module, task: Task, prepare: Preparation) -> None:
        super().__init__()
        self.network = network
        self.task = task
        targets = task.encoding.targets if task.encoding is not None else None
        self.offset, self.factor = _scaling(targets, task.outputs)

    @abstractmethod
    def prepared(self, raw: torch.Tensor) -> torch.Tensor:
        """Return the network's inputs."""

    @abstractmethod
    def example(self) -> torch.Tensor:
        """Return two raw inputs."""

    def described(self) -> dict[str, Any]:
        """Return what the graph takes, does and gives, for the metadata."""
        raw = self.example()
        shape = [self.free_axes.get(axis, size) for axis, size in enumerate(raw.shape)]
        return {
            "input": {
                "name": self.input_name,
                "type": str(raw.dtype).removeprefix("torch."),
                "shape": shape,
            },
            "steps_inside": self.inside,
            "before": self.outside,
            "outputs": self.output_names,
        }

    @property
    def output_names(self) -> list[str]:
        """Return the names of the two outputs."""
        return ["outputs", "values" if self.task.kind == "regression" else "probabilities"]

    def forward(self, raw: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the network's outputs, and probabilities or numbers in units of the targets."""
        outputs = self.network(self.prepared(raw))
        if self.task.kind == "regression":
            return outputs, outputs.double() * self.factor + self.offset
        if self.task.outputs == 1:
            one = torch.sigmoid(outputs)
            return outputs, torch.cat([1 - one, one], dim=1)
        return outputs, outputs.softmax(-1)


class RawPictures(RawNetwork):
    """Takes (N, H, W, 3) uint8 RGB pictures of any size, upright: what ``predict`` decodes."""

    input_name = "pictures"
    free_axes: ClassVar[dict[int, str]] = {0: "batch", 1: "height", 2: "width"}
    inside = "resize and crop, convert, transpose, divide, resize, repeat, normalise"
    outside = (
        "decode the file: upright by EXIF, transparency on white, colours in sRGB, 8 bits; as RGB, "
        "rows × columns × 3"
    )

    def __init__(self, network: nn.Module, task: Task, prepare: Preparation) -> None:
        super().__init__(network, task, prepare)
        self._channels, self._height, self._width = task.input_shape
        if self._channels not in (1, 3):
            raise FedlabError(
                f"--with-preprocessing: these pictures have {self._channels} channels, neither "
                "grey nor colour"
            )
        self._prepare = prepare
        self._matrices = resizing(prepare, self._height, self._width)

    def example(self) -> torch.Tensor:
        """Return two black pictures."""
        return torch.zeros(2, self._height + 3, self._width + 5, 3, dtype=torch.uint8)

    def prepared(self, raw: torch.Tensor) -> torch.Tensor:
        """Return the network's pictures, (N, C, H, W) float32."""
        batch = self._stored(raw) / 255
        if self._prepare.channels == 1 and self._channels == 3:
            weights = torch.tensor([0.2989, 0.587, 0.114]).view(1, 3, 1, 1)
            batch = (batch * weights).sum(1, keepdim=True)
        if self._matrices is not None:
            rows, columns = self._matrices
            batch = (rows @ batch @ columns.T).clamp(0, 1)
        if self._prepare.channels == 3 and self._channels == 1:
            batch = batch.expand(-1, 3, -1, -1)
        if self._prepare.mean is not None and self._prepare.std is not None:
            mean, std = (torch.tensor(s) for s in (self._prepare.mean, self._prepare.std))
            batch = (batch - mean.view(1, -1, 1, 1)) / std.view(1, -1, 1, 1)
        return batch

    def _stored(self, raw: torch.Tensor) -> torch.Tensor:
        """Return the pictures as the data set stores them, (N, C, H, W), in steps of 1 to 255.

        It is PIL.ImageOps.fit with the bicubic filter, as far as Pillow scales columns first.
        """
        # Counted along the axes: in a graph, sizes are no tensors.
        rows, columns = (torch.arange(raw.shape[axis], dtype=torch.float64) for axis in (1, 2))
        height, width = ((axis >= 0).double().sum() for axis in (rows, columns))
        ratio = self._width / self._height
        used_rows = torch.minimum(height, width / ratio)
        used_columns = torch.minimum(width, ratio * height)
        along = pillow_weights(columns, width, used_columns, self._width)
        down = pillow_weights(rows, height, used_rows, self._height)
        batch = raw.permute(0, 3, 1, 2).float()
        batch = _rounded(batch @ along.T)
        batch = _rounded(down @ batch)
        if self._channels == 3:
            return batch
        red, green, blue = batch[:, 0:1], batch[:, 1:2], batch[:, 2:3]
        grey = red * _RED + green * _GREEN + blue * _BLUE + _WHOLE // 2
        return (grey / _WHOLE).floor()


def _rounded(batch: torch.Tensor) -> torch.Tensor:
    return (batch + 0.5).floor().clamp(0, 255)


class RawNumbers(RawNetwork):
    """Takes (N, ..., F) numbers in their own units: rows of a table, or windows of series."""

    input_name = "numbers"
    inside = "standardise"
    outside = "read the columns, in the order of the metadata"

    def __init__(self, network: nn.Module, task: Task, prepare: Preparation) -> None:
        super().__init__(network, task, prepare)
        features = task.encoding.features if task.encoding is not None else None
        self._offset, self._scale = _scaling(features, task.input_shape[-1])

    def example(self) -> torch.Tensor:
        """Return two inputs."""
        return torch.zeros(2, *self.task.input_shape, dtype=torch.float64)

    def prepared(self, raw: torch.Tensor) -> torch.Tensor:
        """Return the numbers as the network takes them, float32."""
        return ((raw - self._offset) / self._scale).float()


class RawTable(RawNetwork):
    """Takes (N, columns) numbers of a table in their own units, NaN where there is none."""

    input_name = "numbers"
    inside = "encode table"
    outside = "read the columns, in the order of the metadata; NaN stands for a missing value"

    def __init__(self, network: nn.Module, task: Task, prepare: Preparation) -> None:
        super().__init__(network, task, prepare)
        assert task.encoding is not None
        assert task.encoding.table is not None
        self._table = task.encoding.table

    def example(self) -> torch.Tensor:
        """Return two rows."""
        return torch.zeros(2, len(self._table.columns), dtype=torch.float64)

    def prepared(self, raw: torch.Tensor) -> torch.Tensor:
        """Return the rows as ``TableEncoding.encode`` does, float32."""
        fitted, columns = self._table.fitted, self._table.columns
        fill, offset, scale, mean, deviation = (
            torch.tensor(values, dtype=torch.float64)
            for values in (fitted.fill, fitted.offset, fitted.scale, fitted.mean, fitted.deviation)
        )
        absent = raw.isnan()
        filled = (
            raw if self._table.missing in ("drop", "refuse") else torch.where(absent, fill, raw)
        )
        features = torch.cat([(filled - offset) / scale, absent.double()], dim=1)
        # A column's number, and after it the mark of a missing one.
        pairs = [(at, at + len(columns)) if c.indicator else (at,) for at, c in enumerate(columns)]
        features = features[:, [place for pair in pairs for place in pair]]
        return (((features - mean) / deviation) if fitted.mean else features).float()


def _scaling(scaling: Scaling | None, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    if scaling is None:
        zeros = torch.zeros(columns, dtype=torch.float64)
        return zeros, zeros + 1
    return (
        torch.tensor(scaling.offset, dtype=torch.float64),
        torch.tensor(scaling.scale, dtype=torch.float64),
    )


def with_preprocessing(network: nn.Module, task: Task, prepare: Preparation) -> RawNetwork:
    """Return the network with the preparation of raw inputs before it.

    Raises:
        FedlabError: If these inputs cannot be prepared in a graph; the message says what can.
    """
    encoding = task.encoding or Encoding()
    reason = ""
    if task.kind not in ("classification", "regression"):
        reason = f"it serves classification and regression, and this run's task is {task.kind}"
    elif task.modality == "text":
        reason = "a graph takes numbers, and texts become tokens before"
    elif encoding.table is not None and encoding.table.by_client:
        reason = "each client's rows are scaled by its own statistics before the graph"
    elif encoding.table is not None and any(c.kind != "number" for c in encoding.table.columns):
        reason = "a graph takes numbers, and a table's words and dates become numbers before"
    elif encoding.sound is not None:
        reason = "recordings become spectrograms before the graph"
    if reason:
        raise FedlabError(
            f"--with-preprocessing: {reason}; leave it out, and the metadata say what a program "
            "has to do"
        )
    own = RawTable if encoding.table is not None else RawNumbers
    make: Callable[..., Any] = RawPictures if task.modality == "image" else own
    found: RawNetwork = make(network, task, prepare)
    return found.eval()
