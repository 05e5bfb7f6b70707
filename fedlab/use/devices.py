"""On which device a trained network is used."""

from __future__ import annotations

from collections.abc import Callable

import torch

from fedlab.engine.devices import CPU, here, resolved
from fedlab.engine.numerics import lower_type, use_tf32
from fedlab.errors import FedlabError
from fedlab.use.loading import Trained

OPTION = "--device"


def on_its_device(trained: Trained, wanted: str | None, tell: Callable[[str], object]) -> Trained:
    """Return a trained network on a device of this machine.

    On the run's own device it computes in the run's precision, and elsewhere in float32.

    Args:
        trained: The network.
        wanted: The device, as ``engine.device`` takes it; None for the run's own, or the CPU where
            that is not here.
        tell: Is given a sentence where it is not.

    Raises:
        FedlabError: If there is no such device, or the model does not fit into its memory.
    """
    device = _own(trained, tell) if wanted is None else resolved(wanted, OPTION)
    engine = trained.scenario.engine
    # Float32 is computed as the run computed it, whatever torch's own default is.
    use_tf32(engine, device)
    try:
        placed = trained.at(device)
    except torch.OutOfMemoryError as error:
        raise FedlabError(
            f"{OPTION}: the model does not fit into the memory of '{device}'; {OPTION} cpu does"
        ) from error
    placed.network.model.lower = lower_type(engine) if device == here(engine.device) else None
    return placed


def _own(trained: Trained, tell: Callable[[str], object]) -> torch.device:
    """Return the device of the run, or the CPU where that is not on this machine."""
    own = trained.scenario.engine.device
    device = here(own)
    if device is None:
        tell(
            f"the run's engine.device, '{own}', is not on this machine: the CPU computes, whose "
            f"last digits are others; {OPTION} takes another device"
        )
    return device or CPU
