"""Synthetic(α, β): what its clients share and in what they differ."""

import numpy as np
import torch

from fedlab.data.dataset import Dataset
from fedlab.registry import datasets


def load(seed: int = 0, **keys) -> Dataset:
    source = datasets.get("synthetic")
    return source(source.Settings(name="synthetic", **keys)).load(seed)


def means(data: Dataset) -> np.ndarray:
    """Return each client's mean input, (clients, 60)."""
    groups, inputs = data.train.groups, data.train.inputs.numpy()
    return np.stack([inputs[groups == k].mean(0) for k in range(groups.max() + 1)])


def test_each_client_holds_at_least_fifty_examples():
    data = load(clients=100)
    train, test = (np.bincount(part.groups) for part in (data.train, data.test))
    sizes = train + test
    assert sizes.min() >= 50
    np.testing.assert_array_equal(train, (sizes * 0.9).astype(int))
    logs = np.log(sizes - 50 + 0.5)
    assert 3.3 < np.median(logs) < 4.7
    assert sizes.max() > 10 * np.median(sizes)
    assert data.train.inputs.dtype == torch.float32
    assert data.train.inputs.shape[1:] == data.task.input_shape == (60,)
    assert data.task.outputs == 10


def test_inputs_spread_less_from_one_dimension_to_the_next():
    data = load()
    largest = np.bincount(data.train.groups).argmax()
    variance = data.train.inputs[data.train.groups == largest].var(0).numpy()
    np.testing.assert_allclose(variance, np.arange(1, 61) ** -1.2, rtol=0.2)


def test_beta_sets_apart_the_centers_of_clients():
    together, apart = (means(load(beta=beta, clients=200)).mean(1).std() for beta in (0.0, 1.0))
    assert abs(together - 60**-0.5) < 0.03
    assert 0.85 < apart < 1.2


def test_client_sizes_depend_on_the_seed_not_on_alpha_and_beta():
    one, other = load(alpha=0.0, beta=0.0), load(alpha=1.0, beta=1.0)
    np.testing.assert_array_equal(one.train.groups, other.train.groups)
    assert not torch.equal(one.train.inputs, other.train.inputs)
    assert torch.equal(one.train.inputs, load(alpha=0.0, beta=0.0).train.inputs)


def test_one_softmax_model_fits_the_iid_clients_alone():
    from sklearn.linear_model import LogisticRegression

    def best_of_one_model(data: Dataset) -> float:
        few = slice(None, None, max(1, len(data.train) // 1500))
        model = LogisticRegression(C=100.0, max_iter=1000)
        model.fit(data.train.inputs[few].numpy(), data.train.targets[few].numpy())
        return model.score(data.test.inputs.numpy(), data.test.targets.numpy())

    assert best_of_one_model(load(iid=True)) > 0.9
    assert best_of_one_model(load(alpha=0.0, beta=0.0)) < 0.87
