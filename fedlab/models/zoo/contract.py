"""What every model of the zoo offers, and the sentences for a model that does not fit its task."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import nn

from fedlab.data.dataset import Modality, Task
from fedlab.errors import FedlabError
from fedlab.models.settings import ModelSettings

_SUITED: dict[Modality, str] = {
    "image": "cnn, lenet, vit and mlp take pictures",
    "text": "rnn, lstm, gru and transformer take text",
    "series": "rnn, lstm, gru, transformer and mlp take series, speech-lstm takes recordings",
    "tabular": "linear, mlp, ft-transformer and table-resnet take tables",
}
_PLURALS: dict[Modality, str] = {
    "image": "pictures",
    "text": "text",
    "series": "series",
    "tabular": "tables",
}


_SERVED: dict[str, str] = {
    "classification": "every other model of the zoo",
    "next-token": "rnn, lstm, gru or transformer",
    "tagging": "rnn, lstm, gru or transformer",
    "sequence-to-sequence": "transformer",
    "regression": "linear, mlp or, for series, rnn, lstm, gru",
    "reconstruction": "autoencoder",
    "masked-patches": "vit",
}


class ZooModel(nn.Module):
    """A model of the zoo: built from its settings and the task, called on prepared inputs.

    Attributes:
        kinds: The kinds of task that the model serves.
        modalities: The inputs that it takes.
        has_drop_path: Whether it has residual branches that ``drop_path`` can drop.
        packaged: The asset that holds pretrained weights, for ``pretrained = "package"``.
        can_be_stacked: Whether one forward pass can serve the weights of many clients
            (``torch.vmap``): with ``may_look_at_values`` off it takes the same way whatever the
            values of inputs and weights are, and all that it calls knows a further dimension.
        may_look_at_values: Whether the forward pass may choose its way by the values of inputs.
        head: The task's last layer; ``settings.dropout`` is applied to what enters it.
        stages: Child-module prefixes from input to output, without the head, for ``last:K``. Every
            one holds parameters; a lone normalisation layer counts as no stage.

    Raises:
        FedlabError: On construction, if model and task do not go together.
    """

    Settings: ClassVar[type[ModelSettings]] = ModelSettings
    kinds: ClassVar[tuple[str, ...]] = ("classification", "regression")
    modalities: ClassVar[tuple[Modality, ...]] = ("image", "series", "tabular")
    has_drop_path: ClassVar[bool] = False
    packaged: ClassVar[str | None] = None
    can_be_stacked: ClassVar[bool] = False
    may_look_at_values: bool = True
    head: nn.Module
    stages: tuple[str, ...]

    def __init__(self, settings: ModelSettings, task: Task) -> None:
        super().__init__()
        self._check(settings, task)
        self.dropout = nn.Dropout(settings.dropout)

    def adapted(self, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return weights from elsewhere under this model's names, without what it has no use for.

        What they do not name as the model does, published weights above all, is renamed here.
        """
        return weights

    def _check(self, settings: ModelSettings, task: Task) -> None:
        name = settings.name
        if task.modality not in self.modalities:
            taken = _either([_PLURALS[modality] for modality in self.modalities])
            raise FedlabError(
                f"model.name: '{name}' takes {taken}, and the data set holds "
                f"{_PLURALS[task.modality]}; {_SUITED[task.modality]}"
            )
        # In self-supervised learning another layer takes the place of a classifier's last one.
        kind = "classification" if task.kind == "self-supervised" else task.kind
        if kind not in self.kinds:
            suited = f"; take {_SERVED[task.kind]}" if task.kind in _SERVED else ""
            raise FedlabError(
                f"model.name: '{name}' serves {_either(list(self.kinds))}, and the data set's task "
                f"is {task.kind}{suited}"
            )
        if settings.drop_path and not self.has_drop_path:
            raise FedlabError(
                f"model.drop_path: '{name}' has no residual branches to drop; leave the key out or "
                "set it to 0"
            )


def flat_size(task: Task) -> int:
    """Return the number of values in one input."""
    return math.prod(task.input_shape)


def _either(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
