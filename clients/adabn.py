"""AdaBN: batch norm takes the statistics of the inputs that are tested (Li et al. 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedlab.algorithm.test_time import AdaptingClient, estimate_statistics
from fedlab.data.dataset import Examples
from fedlab.models.network import Network
from fedlab.registry import clients

if TYPE_CHECKING:
    from fedlab.data.transforms import Preparation


@clients.register("adabn")
class AdaBn(AdaptingClient):
    """AdaBN: batch norm takes the target's statistics (Li et al. 2016, arXiv 1603.04779).

    "Revisiting batch normalization for practical domain adaptation", Algorithm 1: each neuron's
    mean and variance are computed anew over the target's inputs, and scale and shift stay as the
    source has trained them. The statistics are means over batches of about 128, layer after layer
    in one pass, in which the layers below are normalised by the batch. No label is looked at.
    """

    def adapt_to_inputs(self, network: Network, examples: Examples, prepare: Preparation) -> None:
        """Estimate the statistics of batch norm anew."""
        estimate_statistics(network, examples, prepare)
