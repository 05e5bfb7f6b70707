"""Quantisation-aware training: clients train the network that is stored (Jacob et al. 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from fedlab.algorithm.client import ClientAlgorithm, ClientSettings
from fedlab.data.dataset import Examples
from fedlab.models.network import Network
from fedlab.registry import clients
from fedlab.training.fake_quantisation import fake_quantisation, quantise
from fedlab.training.task import LocalTask, Update

if TYPE_CHECKING:
    from fedlab.data.transforms import Preparation


class QatSettings(ClientSettings):
    """Keys of ``[client]`` for quantisation-aware training."""

    name: str = "qat"
    bits: int = Field(
        8,
        ge=2,
        le=8,
        description="of each weight in matrices; 'fedlab compress --bits' stores them",
    )
    activation_bits: int | None = Field(
        8,
        ge=2,
        le=8,
        description="of what enters linear layers, by the range of each batch; None: as it is",
    )


@clients.register("qat")
class Qat(ClientAlgorithm):
    """Quantisation-aware training by fake quantisation (Jacob et al. 2018, CVPR).

    "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
    section 3: the forward pass computes with weights W rounded to q(W), and the gradient at q(W)
    moves W (the straight-through estimator),

        q(W)_r = s_r · round(W_r / s_r),    s_r = max |W_r| / (2^(b−1) − 1)

    for each row r (output channel), as ``fedlab compress --bits b`` stores it. What enters linear
    layers is rounded by the range of each batch, as in ``int8.pt``, where the paper keeps moving
    averages of ranges; batch norm is not folded into weights before they are rounded.

    Float weights travel and are averaged. Test figures are those of the rounded network.
    """

    Settings: ClassVar[type[ClientSettings]] = QatSettings
    settings: QatSettings

    def train(self, task: LocalTask) -> Update:
        """Train with rounded weights and activations in the forward pass."""
        settings = self.settings
        with fake_quantisation(task.network, settings.bits, settings.activation_bits):
            return super().train(task)

    def evaluate(self, task: LocalTask) -> dict[str, float]:
        """Return the metrics of the rounded network."""
        quantise(task.network, self.settings.bits)
        return super().evaluate(task)

    def adapt_to_inputs(self, network: Network, examples: Examples, prepare: Preparation) -> None:
        """Round the weights of a network that is about to be tested, whatever its inputs."""
        quantise(network, self.settings.bits)
