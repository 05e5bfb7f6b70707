"""Keys of ``[model]`` that every model has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializeAsAny, model_validator

from fedlab.models.adapters.settings import AdapterSettings
from fedlab.settings import IsPath, Settings

ADAPTER = "adapter+"
"""What stands before a value of ``trainable`` where the adapter is trained, too."""


class ModelSettings(Settings):
    """Settings shared by every model; a zoo family's own settings extend this class."""

    name: str = Field(
        description="a zoo model, any timm or torchvision model, or transformers:MODEL of Hugging "
        "Face"
    )
    pretrained: bool | Annotated[str, IsPath(words=("package",))] = Field(
        False,
        description="true: the library's hub; 'package': weights from a package; "
        "a path to a safetensors or torch file, or path#key for the tensors under one of its keys; "
        "or a run folder",
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout rate before the head")
    drop_path: float = Field(
        0.0, ge=0, lt=1, description="stochastic depth in the backbone, if it supports it"
    )
    trainable: str | tuple[str, ...] = Field(
        "all",
        description="'all', 'head', 'last:K' (head and last K stages), 'norm+head' (head, scales "
        "and shifts of all normalisation), 'bias+head' (head and all biases: BitFit, Ben Zaken et "
        "al. 2022), or a list of parameter-name patterns; with an adapter one of these but 'all' "
        "after 'adapter+', by default 'adapter+head'",
    )
    adapter: SerializeAsAny[AdapterSettings] | None = Field(
        None, description="what is trained beside the layers of the frozen model, a table"
    )
    personal: Literal["none", "head", "body", "all"] | tuple[str, ...] = Field(
        "none",
        description="part that never leaves its client: 'head', 'body' (all but the head), 'all', "
        "or a list of parameter-name patterns",
    )
    batch_norm: Literal["train", "frozen", "local"] = Field(
        "train",
        description="'train': statistics travel and are averaged; 'frozen': they remain as "
        "pretrained; 'local': batch-norm layers never leave their client",
    )
    others: tuple[SerializeAsAny[Settings], ...] = Field(
        (),
        description="further architectures, a table with a name and keys each: client k has number "
        "k modulo their count, [model] itself being number 0; goes with personal = 'all'",
    )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Return how many units each hidden layer has, from input to output.

        It is empty where they cannot be chosen one by one, as of models that libraries build.
        """
        return ()

    def with_sizes(self, sizes: Sequence[int]) -> ModelSettings:
        """Return the settings of the same model with other sizes of its hidden layers.

        Its tensors have the same names. The weights are drawn, as files would not fit.

        Args:
            sizes: As many as :attr:`sizes` has.
        """
        raise NotImplementedError

    @model_validator(mode="before")
    @classmethod
    def _an_adapter_is_trained(cls, keys: Any) -> Any:
        if isinstance(keys, dict) and keys.get("adapter") is not None:
            return {"trainable": f"{ADAPTER}head"} | keys
        return keys

    @model_validator(mode="after")
    def _an_adapter_leaves_the_rest_frozen(self) -> Self:
        named = isinstance(self.trainable, str) and self.trainable.startswith(ADAPTER)
        if self.adapter is None and named:
            raise ValueError(
                f"trainable: '{self.trainable}' trains an adapter, and there is none; add a table "
                "[model.adapter] with name = 'lora', say"
            )
        if self.adapter is not None and self.trainable in ("all", f"{ADAPTER}all"):
            raise ValueError(
                f"trainable: '{self.trainable}' trains the weights that an adapter leaves frozen; "
                "leave the key out ('adapter+head'), or leave out [model.adapter]"
            )
        return self

    @model_validator(mode="after")
    def _others_never_travel(self) -> Self:
        if self.others and self.personal != "all":
            raise ValueError(
                "others: weights of different architectures have no mean; set personal = 'all', "
                "with a client algorithm that sends something else"
            )
        if any(getattr(other, "others", ()) for other in self.others):
            raise ValueError("others: list all architectures in one list, none within another")
        return self
