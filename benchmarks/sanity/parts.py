"""Every strategy and every client with the parts that they need, as small scenarios."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedlab.scenario import Scenario
from fedlab.scenario.loading import check

CLIENTS = 6
BASE: dict[str, Any] = {
    "seed": 3,
    "rounds": 3,
    "data": {
        "name": "digits",
        "train_examples": 480,
        "validation": 0.2,
        "partition": {"name": "iid", "clients": CLIENTS},
    },
    "client": {"batch_size": 16, "epochs": 2, "optimizer": {"lr": 0.05}},
    "evaluation": {"test_examples": 200},
    "engine": {"name": "inline"},
}
BATCH_NORM: dict[str, Any] = {
    "name": "cnn",
    "layers": [{"channels": 8, "kernel_size": 3, "batch_norm": True, "pooling": "max"}],
}
PRETRAINED: dict[str, Any] = {
    "name": "tf_efficientnet_lite0",
    "pretrained": "package",
    "trainable": "last:2",
    "image_size": 32,
    "batch_norm": "train",
}
PRIVATE = {"noise_multiplier": 0.02, "num_sampled_clients": CLIENTS, "inner": {"name": "fedavg"}}
ADAPTIVE = {**PRIVATE, "initial_clipping_norm": 1.0, "clipped_count_stddev": 0.3}
PUBLIC = {"data": {"public": {"examples": 100}}}
LORA = {"name": "lora", "rank": 4, "alpha": 4.0}
ADAPTED = {"trainable": "adapter+head", "adapter": LORA}
WITH_BASE = {"trainable": "adapter+head", "adapter": {**LORA, "base_travels": True}}
PERSONAL = {"model": {"personal": "all"}, "evaluation": {"federated": True}}

STRATEGIES: dict[str, dict[str, Any]] = {
    "afl": {"client": {"name": "afl"}},
    "bucketing": {},
    "bulyan": {},
    "centred-clipping": {},
    "dnc": {"strategy": {"num_malicious_nodes": 1}},
    "domain-means": {"client": {"name": "coral"}},
    "dp-client-adaptive-clipping": {
        "strategy": ADAPTIVE,
        "updates": [{"name": "adaptive-clipping"}],
    },
    "dp-client-fixed-clipping": {
        "strategy": {**PRIVATE, "clipping_norm": 1.0},
        "updates": [{"name": "fixed-clipping"}],
    },
    "dp-server-adaptive-clipping": {"strategy": ADAPTIVE},
    "dp-server-fixed-clipping": {"strategy": {**PRIVATE, "clipping_norm": 1.0}},
    "fedadagrad": {},
    "fedadam": {},
    "fedavg": {},
    "fedavgm": {"strategy": {"server_momentum": 0.5}},
    "feddf": {**PUBLIC, "strategy": {"distillation_steps": 20, "distillation_batch_size": 32}},
    "feddyn": {"client": {"name": "feddyn"}},
    "fedex-lora": {"model": WITH_BASE},
    "fedexp": {},
    "fedgkt": {**PERSONAL, "client": {"name": "fedgkt"}},
    "fedgma": {},
    "fedit": {"model": ADAPTED},
    "fedmd": {
        "data": PUBLIC["data"],
        **PERSONAL,
        "client": {"name": "fedmd", "public_epochs": 1, "private_epochs": 1},
    },
    "fedmedian": {},
    "fedmgda+": {},
    "fednova": {"client": {"name": "fednova"}},
    "fedopt": {},
    "fedprox": {"strategy": {"proximal_mu": 0.1}, "client": {"name": "fedprox"}},
    "fedproto": {**PERSONAL, "client": {"name": "fedproto"}},
    "fedtrimmedavg": {},
    "fedrolex": {"client": {"name": "heterofl", "widths": [0.5, 0.25]}},
    "fedyogi": {},
    "fjord": {"client": {"name": "fjord"}},
    "flora": {"client": {"name": "hetlora"}, "model": WITH_BASE},
    "fl+hc": {"strategy": {"clusters": 2, "warm_up": 1}},
    "fltrust": {"strategy": {"root_examples": 60}},
    "gradual-pruning": {"strategy": {"first": 1, "last": 2, "inner": {"name": "fedavg"}}},
    "heterofl": {"client": {"name": "heterofl"}},
    "hetlora": {"client": {"name": "hetlora"}, "model": ADAPTED},
    "ifca": {"client": {"name": "ifca"}},
    "kd3a": {"client": {"name": "kd3a"}, "data": {"unlabelled": [5]}},
    "krum": {"strategy": {"num_malicious_nodes": 1}},
    # Its default is for networks trained from scratch, and a note says so of pretrained ones.
    "majority-vote": {"strategy": {"lr": 0.003}},
    "meta-sgd": {"client": {"name": "meta-sgd"}},
    "mimelite": {"client": {"name": "mimelite"}},
    "multikrum": {"strategy": {"num_malicious_nodes": 1, "num_nodes_to_select": 3}},
    "norm-bounding": {"strategy": {"noise": 0.001}},
    "pfedme": {"client": {"name": "pfedme", "outer_rate": 0.05}},
    "qfedavg": {"strategy": {"client_learning_rate": 0.05}},
    "rfa": {},
    "semifl": {"client": {"name": "semifl"}, "data": {"unlabelled": [4, 5]}},
    "scaffold": {"client": {"name": "scaffold"}},
}
"""What each strategy needs beside its own defaults."""
ALGORITHMS: dict[str, dict[str, Any]] = {
    "adabn": {"client": {"name": "adabn"}},
    "anil": {"client": {"name": "anil"}},
    "apfl": {"client": {"name": "apfl"}, "evaluation": {"federated": True}},
    "dann": {
        "strategy": {"name": "domain-means"},
        "client": {"name": "dann"},
        "data": {"unlabelled": [5]},
    },
    "ditto": {"client": {"name": "ditto"}, "evaluation": {"federated": True}},
    "fedbabu": {"client": {"name": "fedbabu"}, "model": {"personal": "head"}},
    "fedbn": {"client": {"name": "fedbn"}, "model": {"batch_norm": "local"}},
    "fedmeta": {"client": {"name": "fedmeta"}},
    "fedper": {"client": {"name": "fedper"}, "model": {"personal": "head"}},
    "fedrep": {"client": {"name": "fedrep", "head_epochs": 2}, "model": {"personal": "head"}},
    "fine-tuning": {"client": {"name": "fine-tuning"}},
    "irm": {"client": {"name": "irm"}},
    "lg-fedavg": {"client": {"name": "lg-fedavg"}, "model": {"personal": "body"}},
    "mmd": {"strategy": {"name": "domain-means"}, "client": {"name": "mmd"}},
    "moon": {"client": {"name": "moon"}},
    "per-fedavg": {"client": {"name": "per-fedavg"}},
    "protonet": {"client": {"name": "protonet"}, "evaluation": {"federated": True}},
    "qat": {"client": {"name": "qat", "bits": 4}},
    "reptile": {"client": {"name": "reptile"}},
    "supervised": {},
    "tent": {"client": {"name": "tent"}},
    "worker-momentum": {"client": {"name": "worker-momentum"}},
}
"""Clients that go with any strategy, and what each needs; the others stand in ``STRATEGIES``."""

VIEWS = {"data": {"augmentation": {"further": [{"name": "resized-crop"}, {"name": "flip"}]}}}
SELF_SUPERVISED: dict[str, dict[str, Any]] = {
    name: {**VIEWS, "client": {"name": name, "projection": [16, 8]}}
    for name in ("simclr", "simsiam", "byol", "moco", "fedu", "fedema")
}
"""Clients that learn without labels, and go with any strategy."""


def scenario_of(strategy: str, own: Mapping[str, Any], *changes: Mapping[str, Any]) -> Scenario:
    """Return a small scenario, checked.

    Args:
        strategy: The name of the strategy.
        own: What it, or the client, needs.
        changes: Further tables, laid on in order; the model first.
    """
    raw = copy.deepcopy(BASE)
    for change in (*changes[:1], {"strategy": {"name": strategy}}, own, *changes[1:]):
        _lay(raw, change)
    return check(raw, f"sanity scenario of {strategy}")


def with_trouble(scenario: Scenario, kind: str) -> dict[str, Any]:
    """Return the change that gives client 0 a trouble.

    Args:
        scenario: Whose client it is.
        kind: "idle", to return what it received, or "broken", to send NaN.
    """
    name = scenario.client.name.replace("-", "_")
    return {"client": {"name": f"{__package__}.{kind}:{name}"}}


def model_file(folder: Path) -> dict[str, Any]:
    """Return the batch-norm network with trained weights whose statistics are large.

    Convolutions thirty times as large give running variances in the hundreds, as in networks that
    were trained on pictures of 0 to 255.
    """
    import torch
    from safetensors.torch import load_file, save_file

    from fedlab.run.execution import run
    from fedlab.run.folder import RunFolder

    scenario = scenario_of("fedavg", {}, {"model": BATCH_NORM}, {"rounds": 2})
    done = RunFolder.create(folder, "trained", scenario)
    run(done)
    weights = load_file(done.path / "model.safetensors")
    for name, tensor in weights.items():
        if tensor.ndim == 4 or name.endswith("running_mean"):
            weights[name] = tensor * 30
        elif name.endswith("running_var"):
            weights[name] = tensor * 900
    kept = {n: t.contiguous() for n, t in weights.items() if not n.startswith("head")}
    assert all(torch.isfinite(tensor).all() for tensor in kept.values())
    save_file(kept, folder / "trained.safetensors")
    return {**BATCH_NORM, "pretrained": str(folder / "trained.safetensors")}


def _lay(table: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, Mapping):
            _lay(table.setdefault(key, {}), value)
        else:
            table[key] = copy.deepcopy(value)
