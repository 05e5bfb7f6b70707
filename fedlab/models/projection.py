"""What stands in the place of a model's last layer while it learns without labels."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from fedlab.data.dataset import Projection
from fedlab.errors import FedlabError


class ProjectionHead(nn.Module):
    """The projection g and, where there is one, the predictor q, both with batch norm.

    Hidden layers are linear layers without bias, batch norm and ReLU, as in SimCLR (Chen et al.
    2020, section 2.1; Grill et al. 2020 for q); a linear layer follows, whose outputs are
    normalised over the batch where the projection says so (Chen and He 2021).

    Args:
        features: Size of the representations that enter it.
        projection: The sizes.
    """

    def __init__(self, features: int, projection: Projection) -> None:
        super().__init__()
        *hidden, outputs = projection.sizes
        layers = [*_layers(features, hidden)]
        entering = hidden[-1] if hidden else features
        if projection.normalises_outputs:
            layers.append(nn.Linear(entering, outputs, bias=False))
            layers.append(nn.BatchNorm1d(outputs, affine=False))
        else:
            layers.append(nn.Linear(entering, outputs))
        self.projector = nn.Sequential(*layers)
        self.predictor: nn.Sequential | None = None
        if projection.prediction:
            last = nn.Linear(projection.prediction[-1], outputs)
            self.predictor = nn.Sequential(*_layers(outputs, projection.prediction), last)

    def forward(self, representations: torch.Tensor) -> torch.Tensor:
        """Return g(h), (N, outputs), or g(h) and q(g(h)) side by side, (N, 2 outputs)."""
        projected: torch.Tensor = self.projector(representations)
        if self.predictor is None:
            return projected
        return torch.cat([projected, self.predictor(projected)], dim=-1)


def put_in_place_of_head(module: nn.Module, head: str, projection: Projection, name: str) -> None:
    """Replace a model's last layer by a projection of what enters it, in place.

    Args:
        module: The model.
        head: The name of its last layer.
        projection: What takes its place.
        name: The model's, for messages.

    Raises:
        FedlabError: If nothing says how many values enter that layer.
    """
    present = module.get_submodule(head)
    linear = [m for m in present.modules() if isinstance(m, nn.Linear)]
    if not linear:
        raise FedlabError(
            f"model.name: the last layer of '{name}' is {type(present).__name__}, of which fedlab "
            "does not know how many values enter it; self-supervised learning needs a model that "
            "ends in a linear layer"
        )
    owner, _, own = head.rpartition(".")
    setattr(module.get_submodule(owner), own, ProjectionHead(linear[0].in_features, projection))


def has_projection(module: nn.Module, head: str) -> bool:
    """Return whether a projection stands in the place of a model's last layer."""
    return any(n == head and isinstance(m, ProjectionHead) for n, m in module.named_modules())


def _layers(entering: int, sizes: Iterable[int]) -> list[nn.Module]:
    """Return hidden layers of these sizes."""
    layers: list[nn.Module] = []
    for size in sizes:
        layers += [nn.Linear(entering, size, bias=False), nn.BatchNorm1d(size), nn.ReLU()]
        entering = size
    return layers
