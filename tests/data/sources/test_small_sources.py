import numpy as np
import pytest
import torch

from fedlab.data.dataset import Dataset
from fedlab.errors import FedlabError
from fedlab.registry import datasets


def load(name: str, seed: int = 0, **keys) -> Dataset:
    source = datasets.get(name)
    return source(source.Settings(name=name, **keys)).load(seed)


def test_digits_have_sixteen_grey_levels_and_all_classes():
    data = load("digits")
    assert len(data.train) + len(data.test) == 1797
    assert data.train.inputs.dtype == torch.uint8
    assert data.train.inputs.max() == 255
    assert len(data.train.inputs.unique()) == 17
    shares = [
        np.bincount(part.targets, minlength=10) / len(part) for part in (data.train, data.test)
    ]
    assert np.abs(shares[0] - shares[1]).max() < 0.005


def test_the_seed_decides_the_test_set():
    first, again, other = (load("digits", seed).test.inputs for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("name", "rows", "features", "classes"),
    [("iris", 150, 4, 3), ("wine", 178, 13, 3), ("breast-cancer", 569, 30, 2)],
)
def test_tables_are_standardised_by_their_training_part(name, rows, features, classes):
    data = load(name)
    assert len(data.train) + len(data.test) == rows
    assert data.task.input_shape == (features,)
    assert data.task.outputs == classes == len(data.task.labels)
    torch.testing.assert_close(data.train.inputs.mean(0), torch.zeros(features), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        data.train.inputs.std(0, correction=0), torch.ones(features), atol=1e-4, rtol=0
    )
    assert data.test.inputs.mean(0).abs().max() > 1e-3


def test_the_scaling_of_a_table_leads_back_to_its_numbers():
    from sklearn.datasets import load_diabetes

    data = load("diabetes")
    encoding = data.task.encoding
    raw = data.test.inputs.double() * torch.tensor(encoding.features.scale)
    raw += torch.tensor(encoding.features.offset)
    known = load_diabetes(scaled=False).data
    assert all(np.isclose(known, row.numpy(), rtol=1e-4).all(1).any() for row in raw)
    assert encoding.features.columns[:2] == ("age", "sex")
    assert data.train.targets.shape == (353, 1)
    assert data.task.kind == "regression"


def test_too_few_examples_for_a_stratified_test_are_refused():
    with pytest.raises(FedlabError, match=r"data\.test_fraction: 0\.001 of 150"):
        load("iris", test_fraction=0.001)


@pytest.mark.parametrize(
    ("function", "truth"), [("and", [0, 0, 0, 1]), ("or", [0, 1, 1, 1]), ("xor", [0, 1, 1, 0])]
)
def test_logic_is_the_truth_table(function, truth):
    numbers = load("logic", function=function, copies=3)
    assert numbers.test.targets.tolist() == [[float(value)] for value in truth]
    assert numbers.train.inputs.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]] * 3
    classes = load("logic", function=function, task="classification")
    assert classes.train.targets.tolist() == truth
    assert classes.task.outputs == 2
    binary = load("logic", function=function, task="binary")
    assert binary.train.targets.tolist() == truth
    assert (binary.task.outputs, binary.task.classes) == (1, 2)


def test_long_range_class_is_the_first_token_whatever_the_noise():
    data = load("long-range", symbols=3, noise_symbols=2, noise_steps=7, train_examples=300)
    tokens = data.train.inputs
    assert tokens.shape == (300, 8)
    assert data.task.vocabulary == 5
    assert torch.equal(tokens[:, 0].long(), data.train.targets)
    assert set(tokens[:, 1:].unique().tolist()) == {3, 4}
    assert not torch.equal(
        tokens[:100], load("long-range", 1, symbols=3, noise_steps=7).train.inputs
    )


def test_reverse_targets_are_the_source_backwards():
    data = load("reverse", length=5, symbols=9, train_examples=50)
    source, decoder = data.train.inputs[:, :5], data.train.inputs[:, 5:]
    assert data.task.source_length == 5
    assert torch.equal(data.train.targets, source.flip(1).long())
    assert (decoder[:, 0] == 0).all()
    assert torch.equal(decoder[:, 1:].long(), data.train.targets[:, :-1])
    assert source.min() == 1
    assert source.max() == data.task.vocabulary - 1 == 9


def test_every_source_says_what_it_is_and_has_described_settings():
    for name in datasets.names():
        assert datasets.summary(name).endswith(".")
        fields = datasets.get(name).Settings.model_fields
        for key, field in fields.items():
            assert key == "name" or field.description, f"{name}: {key} has no description"
