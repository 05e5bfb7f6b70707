"""Which devices a run's clients were trained on, from which round on, in ``environment.json``.

The same scenario and seed give the same bits on one kind of device; on another the last ones
differ. A run may go on there, and both its record and its user are told.
"""

from __future__ import annotations

from typing import Any

from fedlab import files
from fedlab.engine.devices import CPU, resolved
from fedlab.engine.ray.start import address_of
from fedlab.errors import FedlabError
from fedlab.results.parsing import Anything, read_object
from fedlab.run.folder import RunFolder

DEVICES = "devices"
"""Key of ``environment.json``: the devices by the round from which on they were used."""
FROM, ON_CPU = "from round ", f"({CPU.type})"


def check_device(folder: RunFolder) -> None:
    """Check that a run that goes on finds its device on this machine.

    Raises:
        FedlabError: With the command that goes on on another device.
    """
    settings: Any = folder.scenario.engine
    if folder.is_deployed or (hasattr(settings, "address") and address_of(settings) is not None):
        return
    try:
        resolved(settings.device)
    except FedlabError as error:
        raise FedlabError(
            f"{error}; 'fedlab resume {folder.path} --set engine.device=auto' goes on with what is "
            "here, and its weights are then not, bit for bit, those of a run on one kind of device"
        ) from error


def record_devices(folder: RunFolder, used: str, done: int) -> list[str]:
    """Write down what clients are trained on, where that is not the last thing written.

    Args:
        folder: The run folder, locked.
        used: The devices' names; empty where each client's machine has its own.
        done: The rounds that are done.

    Returns:
        What the user should know: that bits are not those of a run on one kind of device.
    """
    found = read_object(folder.path / files.ENVIRONMENT, Anything)
    content: dict[str, Any] = {} if found is None else dict(found.root)
    held = content.get(DEVICES)
    known = {
        begin: str(names)
        for begin, names in (held.items() if isinstance(held, dict) else ())
        if _round_of(begin) <= done
    }
    last = next(reversed(known.values()), None)
    if not used:
        return []
    entries = known if last == used else {**known, f"{FROM}{done + 1}": used}
    if entries != held:
        folder.write_json(files.ENVIRONMENT, {**content, DEVICES: entries})
    if last is None or last == used or (last.endswith(ON_CPU) and used.endswith(ON_CPU)):
        return []
    return [
        f"from round {done + 1} on clients train on {used}, and until then on {last}: the run can "
        "go on, but its weights are not, bit for bit, those of a run on one kind of device"
    ]


def _round_of(begin: str) -> int:
    number = begin.removeprefix(FROM)
    return int(number) if number.isdecimal() else 0
