"""Checks of a device, a JSON line each: ``python -m benchmarks.devices.checks SECTION DEVICE``.

``parity``: after a few rounds, networks of several kinds have the weights that they have on the
CPU, to float tolerance. ``determinism``: one scenario ends in the same bits inline, with one worker
and several, and after it was resumed. ``memory``: a batch that does not fit names one that does.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from fedlab.engine.worker.worker import Worker
from fedlab.errors import AssetMissing, FedlabError, described
from fedlab.run.simulation import Simulation
from fedlab.scenario import Scenario, loads
from fedlab.scenario.parts import load_federation
from fedlab.training.task import Assignment

ROOT = Path(__file__).parents[2]
TOLERANCE = 0.01
"""Of the distance that training covers: how far apart two devices may end."""
CAP = 1_500_000_000
"""Bytes that the check of memory leaves this process of a card."""
BASE = """
rounds = {rounds}
seed = 1
[data]
{data}
partition = {{name = "iid", clients = 4}}
[client]
batch_size = 16
{client}
[evaluation]
test_examples = 32
[engine]
name = "inline"
[model]
{model}
"""
DIGITS = 'name = "digits"\ntrain_examples = 400'
PICTURES = {
    "MLP": 'name = "mlp"\nhidden = [64]',
    "CNN with batch norm": 'name = "cnn"\nlayers = [{channels = 16, padding = "same", '
    'batch_norm = true, pooling = "max"}]',
    "CNN": 'name = "cnn"',
    "EfficientNet-Lite0, pretrained": 'name = "tf_efficientnet_lite0"\npretrained = "package"\n'
    'image_size = 64\nbatch_norm = "frozen"',
    "ViT-S (DINOv2), pretrained": 'name = "vit_small_patch14_dinov2"\npretrained = "package"\n'
    "image_size = 56\nblocks = 2",
}
SEQUENCES = {"GRU": 'name = "gru"\nhidden = 32\nembedding = 8'}
RATES = {"EfficientNet-Lite0, pretrained": 0.003, "ViT-S (DINOv2), pretrained": 0.001}
LARGE = 4096
Line = dict[str, Any]


def parity(device: str, quick: bool) -> Iterator[Line]:
    """Yield how far from the CPU's each network's weights are, over how far they moved."""
    for name, model in (PICTURES | SEQUENCES).items():
        if quick and "pretrained" in name:
            yield {"case": name, "ok": None, "says": "left out of a quick run"}
            continue
        data = DIGITS
        if name in SEQUENCES:
            data = 'name = "long-range"\nnoise_steps = 20\ntrain_examples = 200'
        client = f"optimizer = {{lr = {RATES.get(name, 0.05)}}}"
        if "pretrained" in name:
            data, client = data.replace("400", "64"), f"{client}\nsteps = 2"
        text = BASE.format(rounds=2, data=data, client=client, model=model)
        yield {"case": name, **_tried(lambda text=text: _apart(text, device))}  # type: ignore[misc]


def _tried(check: Callable[[], Line]) -> Line:
    try:
        return check()
    except AssetMissing as missing:
        return {"ok": None, "says": f"left out: {missing}"}
    except Exception as error:
        return {"ok": False, "says": described(error)}


def _on(device: str, text: str) -> Scenario:
    """Return the scenario, whose clients are trained on this device."""
    return loads(text.replace('name = "inline"', f'name = "inline"\ndevice = "{device}"'))


def _apart(text: str, device: str) -> Line:
    ends = []
    for where in ("cpu", device):
        scenario = _on(where, text)
        with Simulation(scenario) as simulation:
            rounds = simulation.rounds()
            rounds.run()
            ends.append(torch.as_tensor(rounds.weights))
            begun = torch.as_tensor(simulation.initial_weights)
            stacked = str(simulation.engine.stacking.decision)
    apart, moved = (float(torch.linalg.vector_norm(ends[0] - w)) for w in (ends[1], begun))
    return {
        "ok": apart <= TOLERANCE * moved,
        "figure": apart / moved if moved else None,
        "says": f"{apart / moved:.1e} of the way that training went; clients stacked: {stacked}",
    }


ROUNDS = 4
RESUMED = "inline, resumed after round 2"
WAYS = {
    "inline": ["engine.name=inline"],
    "ray, 2 workers": ["engine.name=ray", "engine.workers=2"],
    RESUMED: ["engine.name=inline", "rounds=2"],
    "ray, 1 worker": ["engine.name=ray", "engine.workers=1"],
    "ray, 3 workers": ["engine.name=ray", "engine.workers=3"],
}
COMPARED = {"CNN with batch norm": tuple(WAYS), "CNN": tuple(WAYS)[:2]}
"""Ways of each network. Without batch norm, clients are stacked on a CUDA card."""


def determinism(device: str, quick: bool) -> Iterator[Line]:
    """Yield whether each way of running a scenario ends in the bits of the first."""
    client = "optimizer = {lr = 0.05, momentum = 0.9}"
    for model, ways in list(COMPARED.items())[: 1 if quick else None]:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "same.toml"
            text = BASE.format(rounds=ROUNDS, data=DIGITS, client=client, model=PICTURES[model])
            file.write_text(text.replace("clients = 4", "clients = 8"))
            first: str | None = None
            for way in ways[: 3 if quick else None]:
                line = _tried(lambda file=file, way=way: _digest(file, way, device))  # type: ignore[misc]
                first = first or line.get("digest")
                yield {"case": f"{model}: {way}", **_compared(line, first)}


def _compared(line: Line, first: str | None) -> Line:
    if "digest" not in line:
        return line
    same = line["digest"] == first
    return {**line, "ok": same, "says": f"{'the same' if same else 'OTHER'} bits"}


def _digest(file: Path, way: str, device: str) -> Line:
    """Return the digest of the weights that a run ends with."""
    program = str(Path(sys.executable).parent / "fedlab")
    with tempfile.TemporaryDirectory() as runs:
        keys = [f"engine.device={device}", *WAYS[way]]
        options = [option for key in keys for option in ("--set", key)]
        _command([program, "run", str(file), "--json", "--runs", runs, *options])
        (run,) = Path(runs).iterdir()
        if way == RESUMED:
            _command([program, "resume", str(run), "--rounds", str(ROUNDS), "--json"])
        content = (run / "model.safetensors").read_bytes()
        return {"digest": hashlib.sha256(content).hexdigest()}


def _command(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FedlabError(((done.stderr or done.stdout).strip() or "failed").splitlines()[-1])


def memory(device: str, quick: bool) -> Iterator[Line]:
    """Yield whether a batch that does not fit is refused with one that does."""
    case = f"a batch of {LARGE} pictures through a ResNet-18"
    kind = torch.device(device)
    if kind.type != "cuda":
        yield {"case": case, "ok": None, "says": f"the memory of '{device}' cannot be capped"}
        return
    whole = torch.cuda.get_device_properties(kind).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, CAP / whole), kind)
    yield {"case": case, **_tried(lambda: _refused(device))}


def _refused(device: str) -> Line:
    try:
        _train_one(device, LARGE)
    except FedlabError as error:
        named = re.search(r"set client\.batch_size = (\d+)", str(error))
        if named is None:
            return {"ok": False, "says": str(error)}
        torch.cuda.empty_cache()
        _train_one(device, int(named[1]))
        return {"ok": True, "figure": int(named[1]), "says": f"refused; {named[1]} fit, as named"}
    return {"ok": False, "says": f"it fitted into {CAP / 1e9:.1f} GB, so nothing was checked"}


def _train_one(device: str, batch_size: int) -> None:
    data = f'name = "benchmarks.devices.pictures:Generated"\npictures = {LARGE}\nvalidation = 0.0'
    text = BASE.format(
        rounds=1,
        data=data,
        client="steps = 1",
        model='name = "torchvision/resnet18"',
    )
    text = text.replace("batch_size = 16", f"batch_size = {batch_size}")
    text = text.replace("clients = 4", "clients = 1")
    scenario = _on(device, text)
    worker = Worker(scenario, load_federation(scenario))
    worker.train(Assignment(0, 1, worker.network.model.wire().cpu()))


SECTIONS: dict[str, Callable[[str, bool], Iterator[Line]]] = {
    "parity": parity,
    "determinism": determinism,
    "memory": memory,
}


def main() -> None:
    """Print a line for each case of a section as soon as it is known."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.devices.checks")
    parser.add_argument("section", choices=SECTIONS)
    parser.add_argument("device")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for line in SECTIONS[arguments.section](arguments.device, arguments.quick):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
