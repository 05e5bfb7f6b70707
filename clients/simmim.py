"""SimMIM: hidden patches are told from the rest of a picture (Xie et al. 2022, CVPR)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from fedlab.algorithm.client import ClientAlgorithm, ClientSettings
from fedlab.algorithm.self_supervised import unused_keys
from fedlab.algorithm.setup import Setup
from fedlab.data.dataset import Masking, Task
from fedlab.errors import FedlabError
from fedlab.registry import clients


class SimmimSettings(ClientSettings):
    """Keys of ``[client]`` for SimMIM."""

    name: str = "simmim"
    patch_size: int = Field(
        4, ge=1, le=256, description="side of a hidden patch in pixels, that of the model's patches"
    )
    hidden: float = Field(0.6, gt=0, lt=1, description="share of the patches that are hidden")


@clients.register("simmim")
class Simmim(ClientAlgorithm):
    """SimMIM: a simple framework for masked image modelling (Xie et al. 2022, CVPR).

    A linear layer on every patch's vector of the zoo's Vision Transformer gives its pixels; the
    loss is the mean absolute error of the hidden ones (equation 1). Hidden pixels are 0 in the
    input, where the paper has a learned token in the place of a patch's vector. The representation
    of a picture is the mean of its patches' vectors.
    """

    Settings: ClassVar[type[ClientSettings]] = SimmimSettings
    settings: SimmimSettings
    serves_alone: ClassVar[bool] = True

    def learned(self, own: Task) -> Task:
        """Return the task of telling what is hidden.

        Raises:
            FedlabError: If the inputs are no pictures that consist of such patches.
        """
        name, side = self.settings.name, self.settings.patch_size
        if own.modality != "image" or own.kind == "reconstruction":
            raise FedlabError(
                f"client.name: '{name}' hides patches of pictures, and this data set's task is "
                f"{own.kind} on {own.modality} inputs"
            )
        channels, height, width = own.input_shape
        if height % side or width % side or height * width == side * side:
            raise FedlabError(
                f"client.patch_size: patches of {side}×{side} pixels do not tile pictures of "
                f"{height}×{width}; take a smaller divisor of both sides"
            )
        return Task(
            "masked-patches",
            own.modality,
            own.input_shape,
            channels * side * side,
            encoding=own.encoding,
            masking=Masking(side, self.settings.hidden),
        )

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield what speaks against the run, keys without effect among it."""
        yield from super().objections(setup)
        yield from unused_keys(self.settings)
