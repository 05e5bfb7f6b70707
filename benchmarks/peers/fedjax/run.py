"""A workload on FedJAX, with its own federated averaging and its compiled backend.

FOLDER/.venv/bin/python FOLDER/run.py SCENARIO.toml FOLDER_OF_FASHION_MNIST
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import fedjax
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

sys.path.append(str(Path(__file__).parents[1]))

from workload import load_workload, report

# FedJAX 0.0.17 uses a name that JAX has since removed; its repository uses the new one.
jax.tree_map = jax.tree_util.tree_map


def network(batch: dict[str, Any]) -> Any:
    """Return the outputs (N, 10) of the CNN of McMahan et al. 2017."""
    layers = hk.Sequential(
        [
            hk.Conv2D(32, 5),
            jax.nn.relu,
            hk.MaxPool(2, 2, "VALID"),
            hk.Conv2D(64, 5),
            jax.nn.relu,
            hk.MaxPool(2, 2, "VALID"),
            hk.Flatten(),
            hk.Linear(512),
            jax.nn.relu,
            hk.Linear(10),
        ]
    )
    return layers(batch["x"])


def build(name: str) -> fedjax.Model:
    """Return the model; FedJAX itself includes the 2NN of McMahan et al."""
    if name == "mcmahan-2nn":
        return fedjax.models.emnist.create_dense_model(only_digits=True, hidden_units=200)
    return fedjax.create_model_from_haiku(
        hk.transform(network),
        sample_batch={"x": np.zeros((1, 28, 28, 1), np.float32), "y": np.zeros(1, np.int64)},
        train_loss=lambda batch, outputs: fedjax.metrics.unreduced_cross_entropy_loss(
            batch["y"], outputs
        ),
        eval_metrics={"accuracy": fedjax.metrics.Accuracy()},
    )


def examples(pictures: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Return a batch in the format of FedJAX's models."""
    return {"x": pictures[..., None], "y": labels}


def main() -> None:
    """Run a workload's rounds."""
    work = load_workload()
    model = build(work.model)

    def loss(parameters: Any, batch: dict[str, Any], key: Any) -> Any:
        return jnp.mean(model.train_loss(batch, model.apply_for_train(parameters, batch, key)))

    fedjax.set_for_each_client_backend("jit")
    algorithm = fedjax.algorithms.fed_avg.federated_averaging(
        jax.jit(jax.grad(loss)),
        fedjax.optimizers.sgd(work.rate),
        fedjax.optimizers.sgd(1.0),
        fedjax.ShuffleRepeatBatchHParams(batch_size=work.batch_size, seed=work.seed),
    )
    clients = fedjax.InMemoryFederatedData(
        {f"{number:04}": examples(*part) for number, part in enumerate(work.clients)}
    )
    sampler = fedjax.client_samplers.UniformGetClientSampler(clients, work.cohort, work.seed)
    state = algorithm.init(model.init(jax.random.PRNGKey(work.seed)))
    for number in range(1, work.rounds + 1):
        state, _ = algorithm.apply(state, sampler.sample())
        jax.block_until_ready(state.params)
        report(round=number)
    batches = fedjax.padded_batch_client_datasets(
        [fedjax.ClientDataset(examples(*work.test))], batch_size=500
    )
    metrics = fedjax.evaluate_model(model, state.params, batches)
    report(accuracy=float(metrics["accuracy"]))


if __name__ == "__main__":
    main()
