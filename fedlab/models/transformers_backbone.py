"""Models of Hugging Face's transformers library as backbones for texts, with a new head.

Source: Wolf et al. 2020, "Transformers: state-of-the-art natural language processing"; the mean of
the last states that stands for a text is that of Reimers and Gurevych 2019, "Sentence-BERT".

transformers takes seconds to import, and is imported where a model is built.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from fedlab.assets import hugging_face
from fedlab.data.dataset import Task
from fedlab.errors import FedlabError, one_line, unknown
from fedlab.models.backbone import Backbone, start_small
from fedlab.models.transformers_settings import TransformersSettings
from fedlab.models.weight_files import read_weights
from fedlab.models.weights import fit_weights
from fedlab.models.zoo.sequence import PoolingName, pool

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

_KEY = "model.name"
_DROPOUTS = ("dropout", "dropout_prob", "dropout_rate", "pdrop")
"""How the keys of a configuration end that are rates of dropout."""
_NORMS = ("norm", "ln_f")


class TextEncoder(nn.Module):
    """A model of transformers that takes tokens alone, and gives one vector for each text.

    The mask of attention is found from the padding at the end. It is a module of its own so that,
    frozen, it is the prefix whose features are cached.

    Args:
        body: The model.
        padding: The token that fills up short texts, or None.
        pooling: What of the last states stands for a text.
    """

    rests_when_frozen = True

    def __init__(
        self, body: PreTrainedModel, padding: int | None, pooling: Literal["mean", "first", "last"]
    ) -> None:
        super().__init__()
        self.body = body
        self._padding = padding
        self._pooling = pooling

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return (N, width) for tokens (N, T)."""
        valid = self._valid(tokens)
        if not (torch.compiler.is_exporting() or torch.jit.is_tracing()):  # type: ignore[attr-defined, no-untyped-call]
            # What is padding in every text of the batch need not be computed.
            longest = int(valid.sum(1).max())
            tokens, valid = tokens[:, :longest], valid[:, :longest]
        found = self.body(input_ids=tokens, attention_mask=valid.long())
        states: torch.Tensor = found.last_hidden_state
        if self._pooling == "first":
            return states[:, 0]
        name: PoolingName = self._pooling
        return pool(states, valid, name)

    def _valid(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return (N, T), true up to each text's last token that is not padding."""
        if self._padding is None:
            return torch.ones_like(tokens, dtype=torch.bool)
        later = (tokens != self._padding).long().flip(1).cumsum(1).flip(1) > 0
        return torch.cat([torch.ones_like(later[:, :1]), later[:, 1:]], dim=1)


class TextModel(nn.Module):
    """An encoder and a head."""

    def __init__(self, encoder: TextEncoder, width: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, outputs)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return (N, outputs) for tokens (N, T)."""
        outputs: torch.Tensor = self.head(self.dropout(self.encoder(tokens)))
        return outputs


def build(settings: TransformersSettings, task: Task) -> Backbone:
    """Return the model that ``settings`` name, with a new head for the task.

    New weights are drawn from torch's global generator.

    Raises:
        FedlabError: If model, task and weights do not go together, or the weights are not to be
            had.
    """
    _check(settings, task)
    _be_quiet()
    body = _body(settings, task)
    width = getattr(body.config, "hidden_size", None)
    if not isinstance(width, int):
        raise FedlabError(f"{_KEY}: '{settings.name}' does not say the size of its states")
    encoder = TextEncoder(body, task.input_padding, settings.pooling)
    module = TextModel(encoder, width, task.outputs, settings.dropout)
    if settings.pretrained:
        start_small(module, "head")
    source = settings.pretrained
    if isinstance(source, str) and source != "package" and not _is_model_folder(source):
        fit_weights(module, read_weights(source, module.state_dict()), "head", source)
    stages = tuple(_stages(body, "encoder.body."))
    for name in stages:
        module.get_submodule(name).rests_when_frozen = True  # type: ignore[assignment]
    return Backbone(module, "head", stages, (), (), 0)


def check_weights(settings: TransformersSettings) -> None:
    """Check that the weights are on this machine, or the hub may be asked for them.

    Raises:
        FedlabError: If not.
    """
    if settings.pretrained is True:
        hugging_face.check_at_hand(settings.model, _KEY)


def _check(settings: TransformersSettings, task: Task) -> None:
    if find_spec("transformers") is None:
        raise FedlabError(
            f"{_KEY}: '{settings.name}' needs the package transformers: pip install "
            "'fedlab-sim[huggingface]'"
        )
    if task.modality != "text":
        raise FedlabError(
            f"{_KEY}: '{settings.name}' takes text, and the data set's inputs are {task.modality}; "
            "`fedlab list models` shows models for those"
        )
    if task.kind not in ("classification", "regression"):
        raise FedlabError(
            f"{_KEY}: '{settings.name}' serves classification and regression, and the data set's "
            f"task is {task.kind}"
        )
    if settings.drop_path:
        raise FedlabError(
            f"model.drop_path: '{settings.name}' has no stochastic depth; leave the key out"
        )
    if settings.batch_norm != "train":
        raise FedlabError(f"model.batch_norm: '{settings.name}' has no batch norm; leave it out")
    if settings.pretrained and not (task.encoding is not None and task.encoding.tokenizer):
        raise FedlabError(
            f"data.tokens: pretrained weights know the tokens of their own tokeniser alone; say "
            f"data.tokens = 'huggingface:{settings.model}'"
        )


def _be_quiet() -> None:
    """Keep transformers from drawing bars and reporting what is as it should be."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers.utils import logging

    library: Any = logging  # its functions have no annotations
    library.set_verbosity_error()
    library.disable_progress_bar()


def _body(settings: TransformersSettings, task: Task) -> PreTrainedModel:
    """Return the model without a head, pretrained or new: an encoder, or a decoder alone."""
    folder = _weights_folder(settings)
    config = _config(settings, task, folder)
    try:
        body = _new(config) if folder is None else _loaded(folder, config, settings)
    except FedlabError:
        raise
    except (ValueError, OSError, RuntimeError, KeyError, TypeError, ImportError) as error:
        raise FedlabError(
            f"{_KEY}: transformers cannot build '{settings.name}': {one_line(str(error), 200)}"
        ) from error
    if body.config.is_encoder_decoder:
        encoder: PreTrainedModel = body.get_encoder()
        return encoder
    return body


def _weights_folder(settings: TransformersSettings) -> Path | None:
    """Return the folder that the weights come from, as transformers wrote it, or None."""
    source = settings.pretrained
    if not source:
        return None
    if source == "package" and hugging_face.packaged(settings.model) is None:
        raise FedlabError(
            f"model.pretrained: no package ships weights of '{settings.model}'; say true for those "
            f"of the hub or of its folder ({hugging_face.offline_models()})"
        )
    if source is True or source == "package":
        return hugging_face.folder_of(settings.model, _KEY)
    return Path(source).expanduser() if _is_model_folder(source) else None


def _is_model_folder(source: bool | str) -> bool:
    return isinstance(source, str) and (Path(source).expanduser() / "config.json").is_file()


def _config(settings: TransformersSettings, task: Task, folder: Path | None) -> PretrainedConfig:
    from transformers import CONFIG_MAPPING, AutoConfig

    keys = _keys(settings, folder)
    kind = keys.pop("model_type")
    if kind not in CONFIG_MAPPING:
        raise FedlabError(f"{_KEY}: {unknown('kind of model', str(kind), CONFIG_MAPPING.keys())}")
    try:
        config: PretrainedConfig = AutoConfig.for_model(kind, **keys)
        _adapt(config, settings, task)
    except (ValueError, TypeError, AttributeError) as error:
        raise FedlabError(f"model.architecture: {one_line(str(error), 200)}") from error
    _check_sizes(config, settings, task)
    return config


def _keys(settings: TransformersSettings, folder: Path | None) -> dict[str, Any]:
    """Return the configuration: what the scenario says, else the folder's or the hub's."""
    if settings.architecture is not None:
        keys = dict(_lists(settings.architecture))
    elif folder is not None:
        keys = hugging_face.configuration(folder, _KEY)
    elif _is_kind(settings.model):
        keys = {}
    else:
        found = hugging_face.folder_of(settings.model, _KEY, weights=False)
        keys = hugging_face.configuration(found, _KEY)
    return {"model_type": settings.model} | keys


def _is_kind(model: str) -> bool:
    from transformers import CONFIG_MAPPING

    return model in CONFIG_MAPPING


def _lists(value: Any) -> Any:
    """Return a scenario's content as JSON has it: lists for tuples."""
    if isinstance(value, dict):
        return {key: _lists(part) for key, part in value.items()}
    return [_lists(part) for part in value] if isinstance(value, tuple) else value


def _adapt(config: PretrainedConfig, settings: TransformersSettings, task: Task) -> None:
    """Set what the scenario says otherwise, and the sizes that the data decide."""
    if settings.blocks is not None:
        if settings.blocks > config.num_hidden_layers:
            raise FedlabError(
                f"model.blocks: '{settings.name}' has {config.num_hidden_layers} layers, and "
                f"{settings.blocks} are asked for"
            )
        config.num_hidden_layers = settings.blocks
    if settings.layer_dropout is not None:
        for key, value in config.to_dict().items():
            if isinstance(value, float) and key.endswith(_DROPOUTS):
                setattr(config, key, settings.layer_dropout)
    if not (task.encoding is not None and task.encoding.tokenizer):
        # Tokens of the data set's own: characters or words.
        config.vocab_size = task.vocabulary
    if task.input_padding is not None:
        config.pad_token_id = task.input_padding
    config.use_cache = False


def _check_sizes(config: PretrainedConfig, settings: TransformersSettings, task: Task) -> None:
    if task.vocabulary > config.vocab_size:
        raise FedlabError(
            f"data.tokens: the data set has {task.vocabulary} tokens, and '{settings.name}' knows "
            f"{config.vocab_size}; say data.tokens = 'huggingface:{settings.model}'"
        )
    positions = getattr(config, "max_position_embeddings", None)
    if not isinstance(positions, int) or positions < 1:
        return
    # RoBERTa and its kin count positions from behind the padding token's number.
    taken = 1 + (config.pad_token_id or 0) if "roberta" in config.model_type else 0
    if task.input_shape[0] > positions - taken:
        raise FedlabError(
            f"data.length: texts have up to {task.input_shape[0]} tokens, and '{settings.name}' "
            f"reads {positions - taken} at most"
        )


def _new(config: PretrainedConfig) -> PreTrainedModel:
    from transformers import AutoModel

    auto: Any = AutoModel
    try:
        # A pooling layer of BERT's is not used.
        body: PreTrainedModel = auto.from_config(config, add_pooling_layer=False)
    except TypeError:
        body = auto.from_config(config)
    return body


def _loaded(
    folder: Path, config: PretrainedConfig, settings: TransformersSettings
) -> PreTrainedModel:
    from transformers import AutoModel

    keys: dict[str, Any] = {
        "config": config,
        "dtype": torch.float32,
        "local_files_only": True,
        "output_loading_info": True,
        "trust_remote_code": False,
        "ignore_mismatched_sizes": False,
    }
    try:
        body, report = AutoModel.from_pretrained(str(folder), add_pooling_layer=False, **keys)
    except TypeError:
        body, report = AutoModel.from_pretrained(str(folder), **keys)
    missing = sorted(set(report["missing_keys"]))
    if missing:
        more = f" ({len(missing) - 1} more are missing)" if len(missing) > 1 else ""
        raise FedlabError(
            f"model.pretrained: the weights in {folder} do not fit '{settings.name}': there is no "
            f"'{missing[0]}'{more}"
        )
    loaded: PreTrainedModel = body
    return loaded


def _stages(module: nn.Module, prefix: str) -> Iterator[str]:
    """Yield the prefixes of a model's stages from input to output: embeddings, then layers."""
    lists = [m for m in module.modules() if isinstance(m, nn.ModuleList) and len(m)]
    longest = max(lists, key=lambda layers: (len(layers), _count(layers)), default=None)
    if longest is None:
        yield from (f"{prefix}{n}" for n, m in module.named_children() if _count(m))
        return
    yield from _around(module, longest, prefix)


def _around(module: nn.Module, layers: nn.ModuleList, prefix: str) -> Iterator[str]:
    for name, child in module.named_children():
        if child is layers:
            yield from (f"{prefix}{name}.{number}" for number in range(len(layers)))
        elif any(inner is layers for inner in child.modules()):
            yield from _around(child, layers, f"{prefix}{name}.")
        elif _count(child) and not any(word in name.lower() for word in _NORMS):
            yield f"{prefix}{name}"


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
