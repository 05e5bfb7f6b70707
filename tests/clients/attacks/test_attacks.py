"""Attacks against their papers' equations, worked in NumPy here."""

import struct
from typing import Any

import numpy as np
import pytest
import torch

from clients.attacks.alie import Alie, AlieSettings, largest_shift
from clients.attacks.backdoor import Backdoor, BackdoorSettings
from clients.attacks.bit_flip import BitFlip, BitFlipSettings
from clients.attacks.free_rider import FreeRider, FreeRiderSettings
from clients.attacks.gaussian_noise import GaussianNoise, GaussianNoiseSettings
from clients.attacks.ipm import Ipm, IpmSettings
from clients.attacks.label_flip import LabelFlip, LabelFlipSettings
from clients.attacks.mimic import Mimic, MimicSettings
from clients.attacks.min_max import MinMax, MinMaxSettings
from clients.attacks.sign_flip import SignFlip, SignFlipSettings
from fedlab.attacks.attack import ObservedUpdates
from fedlab.data.dataset import Examples, Task

WHO: dict[str, Any] = {"name": "attack", "fraction": 0.2}
TASK = Task("classification", "image", (1, 4, 4), 10)
RECEIVED = torch.tensor([1.0, -2.0, 0.5])
TRAINED = torch.tensor([1.5, -2.5, 0.25])
OWN = np.array([[1.0, 0.0, 2.0], [3.0, 2.0, 0.0]])
BENIGN = np.array([[2.0, 1.0, 1.0], [4.0, 1.0, 3.0], [0.0, 4.0, 2.0]])
HEARD = ObservedUpdates(OWN, BENIGN, (0, 2, 5))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def examples(count: int = 20) -> Examples:
    inputs = torch.arange(count * 16, dtype=torch.uint8).view(count, 1, 4, 4)
    return Examples(inputs, torch.arange(count) % 10)


def test_label_flip_mirrors_the_classes() -> None:
    attack = LabelFlip(LabelFlipSettings(**WHO))
    flipped = attack.poisoned(examples(), TASK, generator())
    assert flipped.targets.tolist() == [9 - c % 10 for c in range(20)]
    assert torch.equal(flipped.inputs, examples().inputs)


def test_label_flip_of_one_class_leaves_the_others() -> None:
    attack = LabelFlip(LabelFlipSettings(**WHO, source=3, target=7))
    flipped = attack.poisoned(examples(10), TASK, generator())
    assert flipped.targets.tolist() == [0, 1, 2, 7, 4, 5, 6, 7, 8, 9]


def test_sign_flip_goes_the_other_way() -> None:
    attack = SignFlip(SignFlipSettings(**WHO, scale=2.0))
    sent = attack.corrupted(TRAINED, RECEIVED, None, generator())
    assert sent.tolist() == [1.0 - 2 * 0.5, -2.0 + 2 * 0.5, 0.5 + 2 * 0.25]


def test_gaussian_noise_stands_in_the_updates_place_or_beside_it() -> None:
    received, trained = torch.full((10_000,), 3.0), torch.full((10_000,), 5.0)
    for add, mean in ((False, 3.0), (True, 5.0)):
        attack = GaussianNoise(GaussianNoiseSettings(**WHO, deviation=0.5, add=add))
        sent = attack.corrupted(trained, received, None, generator())
        assert sent.mean().item() == pytest.approx(mean, abs=0.02)
        assert sent.std().item() == pytest.approx(0.5, rel=0.03)


def test_bit_flip_flips_bits_of_the_first_values_changes() -> None:
    attack = BitFlip(BitFlipSettings(**WHO, bits=(22, 32), values=2))
    sent = attack.corrupted(TRAINED, RECEIVED, None, generator())
    expected = []
    for change in (0.5, -0.5):
        (bits,) = struct.unpack("<I", struct.pack("<f", change))
        (flipped,) = struct.unpack("<f", struct.pack("<I", bits ^ (1 << 21) ^ (1 << 31)))
        expected.append(flipped)
    assert (sent - RECEIVED).tolist() == [*expected, -0.25]
    assert TRAINED.tolist() == [1.5, -2.5, 0.25]


def test_bit_flips_of_the_paper_make_small_values_enormous() -> None:
    sent = BitFlip(BitFlipSettings(**WHO)).corrupted(TRAINED, RECEIVED, None, generator())
    assert sent[0].item() < -1e15


def test_a_free_rider_repeats_the_last_global_change() -> None:
    attack = FreeRider(FreeRiderSettings(**WHO))
    before = torch.tensor([0.0, -1.0, 1.0])
    sent = attack.corrupted(TRAINED, RECEIVED, before, generator())
    assert sent.tolist() == [2.0, -3.0, 0.0]
    assert torch.equal(attack.corrupted(TRAINED, RECEIVED, None, generator()), RECEIVED)


def test_a_free_rider_may_send_uniform_noise() -> None:
    attack = FreeRider(FreeRiderSettings(**WHO, update="random", reach=0.2))
    sent = attack.corrupted(torch.zeros(5000), torch.zeros(5000), None, generator())
    assert sent.abs().max().item() <= 0.2
    assert sent.var().item() == pytest.approx(0.2**2 / 3, rel=0.05)


def test_the_backdoors_trigger_is_a_bright_square() -> None:
    attack = Backdoor(BackdoorSettings(**WHO, target=7, poisoned=0.25, size=2, boost=4.0))
    poisoned = attack.poisoned(examples(), TASK, generator())
    corners = poisoned.inputs[:, 0, 2:, 2:].reshape(20, 4).eq(255).all(dim=1)
    assert corners.sum().item() == 5
    assert set(poisoned.targets[corners].tolist()) == {7}
    kept = ~corners
    assert torch.equal(poisoned.inputs[kept], examples().inputs[kept])
    assert torch.equal(poisoned.targets[kept], examples().targets[kept])
    unmarked = poisoned.inputs[corners].clone()
    unmarked[..., 2:, 2:] = examples().inputs[corners][..., 2:, 2:]
    assert torch.equal(unmarked, examples().inputs[corners])
    sent = attack.corrupted(TRAINED, RECEIVED, None, generator())
    assert sent.tolist() == [1.0 + 4 * 0.5, -2.0 - 4 * 0.5, 0.5 - 4 * 0.25]


@pytest.mark.parametrize(("knowledge", "known"), [("own", OWN), ("all", BENIGN)])
def test_alie_shifts_the_known_mean_by_deviations(knowledge: Any, known: Any) -> None:
    attack = Alie(AlieSettings(**WHO, knowledge=knowledge, z=1.5))
    mean = sum(known) / len(known)
    deviation = np.sqrt(sum((row - mean) ** 2 for row in known) / len(known))
    np.testing.assert_allclose(
        attack.agreed(HEARD, np.random.default_rng(0)), mean - 1.5 * deviation
    )


def test_alies_shift_is_the_papers() -> None:
    # n = 50, m = 24 (their section 4): s = 26 − 24 = 2, (26 − 2) / 26 = 0.923: z_max = 1.43.
    assert largest_shift(50, 24) == pytest.approx(1.426, abs=1e-3)
    # n = 25, m = 5: s = 13 − 5 = 8, (20 − 8) / 20 = 0.6.
    assert largest_shift(25, 5) == pytest.approx(0.2533, abs=1e-4)


def test_ipm_sends_the_negative_mean() -> None:
    attack = Ipm(IpmSettings(**WHO, epsilon=0.5))
    np.testing.assert_allclose(
        attack.agreed(HEARD, np.random.default_rng(0)), [-0.5 * 2, -0.5 * 2, -0.5 * 2]
    )


@pytest.mark.parametrize("direction", ["unit", "deviation", "sign"])
def test_min_max_goes_as_far_as_benign_updates_are_apart(direction: Any) -> None:
    attack = MinMax(MinMaxSettings(**WHO, direction=direction))
    sent = attack.agreed(HEARD, np.random.default_rng(0))
    mean = BENIGN.mean(axis=0)
    p = {
        "unit": -mean / np.sqrt((mean**2).sum()),
        "deviation": -np.sqrt(((BENIGN - mean) ** 2).mean(axis=0)),
        "sign": -np.sign(mean),
    }[direction]
    diameter = max(np.linalg.norm(a - b) for a in BENIGN for b in BENIGN)
    # The largest factor, by halving as in the paper.
    low, high = 0.0, 100.0
    for _ in range(100):
        middle = (low + high) / 2
        within = max(np.linalg.norm(mean + middle * p - b) for b in BENIGN) <= diameter
        low, high = (middle, high) if within else (low, middle)
    assert low > 0.1
    np.testing.assert_allclose(sent, mean + low * p, rtol=1e-9)


def test_mimic_copies_who_stands_out_in_the_main_direction() -> None:
    attack = Mimic(MimicSettings(**WHO, warmup=2))
    draw = np.random.default_rng(4)
    z = np.random.default_rng(4).normal(size=3)
    mean = BENIGN.mean(axis=0)
    step = sum((x - mean) * np.dot(x - mean, z) for x in BENIGN)
    z = step / np.linalg.norm(step)
    chosen = max(range(3), key=lambda i: BENIGN[i] @ z)
    np.testing.assert_array_equal(attack.agreed(HEARD, draw), BENIGN[chosen])
    second = BENIGN[::-1] * 2
    mean = (mean + second.mean(axis=0)) / 2
    step = sum((x - mean) * np.dot(x - mean, z) for x in second)
    z = (z + step / np.linalg.norm(step)) / 2
    z = z / np.linalg.norm(z)
    chosen = max(range(3), key=lambda i: second[i] @ z)
    heard = ObservedUpdates(OWN, second, (0, 2, 5))
    np.testing.assert_array_equal(attack.agreed(heard, draw), second[chosen])
    np.testing.assert_allclose(attack.direction, z)
    # After the warm-up the client stays, whatever it sends; without it the rule picks another.
    target = (0, 2, 5)[chosen]
    assert attack.target == target
    other = ObservedUpdates(OWN, -second, (0, 2, 5))
    np.testing.assert_array_equal(attack.agreed(other, draw), -second[chosen])
    absent = tuple(c + 10 for c in (0, 2, 5))
    np.testing.assert_array_equal(
        attack.agreed(ObservedUpdates(OWN, second, absent), draw),
        second[max(range(3), key=lambda i: second[i] @ z)],
    )
    assert set(attack.state_dict()) == {"rounds", "mean", "direction", "target"}
