import pytest
import torch

from fedlab.data.augmentation import Change, ChangeSettings
from fedlab.data.augmentations.flip import Flip
from fedlab.data.augmentations.mixup import Mixup
from fedlab.data.dataset import Task
from fedlab.data.transforms import (
    Augmentation,
    AugmentationSettings,
    Preparation,
    build_augmentation,
    build_preparation,
)
from fedlab.errors import FedlabError
from fedlab.scenario import dumps, loads
from tests.shared import scenario_with

GREY = Task("classification", "image", (1, 8, 8), 10)
TOKENS = Task("next-token", "text", (5,), 30, vocabulary=30)
TABLE = Task("regression", "tabular", (4,), 1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int = 6, channels: int = 1, size: int = 8) -> torch.Tensor:
    shape = (count, channels, size, size)
    return torch.randint(256, shape, generator=generator(), dtype=torch.uint8)


def augmentation(task: Task = GREY, mean=None, std=None, **keys) -> Augmentation:
    built = build_augmentation(AugmentationSettings(**keys), task, mean, std)
    assert built is not None
    return built


def test_pictures_become_numbers_from_0_to_1():
    prepared = build_preparation(GREY)(torch.tensor([[[[0, 51], [102, 255]]]], dtype=torch.uint8))
    assert prepared.dtype == torch.float32
    assert prepared.flatten().tolist() == pytest.approx([0, 0.2, 0.4, 1])


def test_pictures_are_normalised_by_channel():
    prepare = Preparation("image", channels=3, mean=(0.5, 0.4, 0.3), std=(0.5, 0.2, 0.1))
    raw = pictures(channels=3)
    scaled = raw.float() / 255
    expected = (scaled - torch.tensor([0.5, 0.4, 0.3])[:, None, None]) / torch.tensor(
        [0.5, 0.2, 0.1]
    )[:, None, None]
    torch.testing.assert_close(prepare(raw), expected)


def test_grey_and_colour_turn_into_each_other():
    coloured = build_preparation(GREY, channels=3)(pictures())
    assert coloured.shape == (6, 3, 8, 8)
    assert torch.equal(coloured[:, 0], coloured[:, 2])
    colour_task = Task("classification", "image", (3, 8, 8), 10)
    assert build_preparation(colour_task, channels=1)(pictures(channels=3)).shape == (6, 1, 8, 8)


@pytest.mark.parametrize("size", [4, 8, 20])
def test_pictures_are_resized_and_stay_in_range(size):
    prepared = build_preparation(GREY, image_size=size)(pictures())
    assert prepared.shape == (6, 1, size, size)
    assert prepared.min() >= 0
    assert prepared.max() <= 1


def test_shrinking_averages_rather_than_picks():
    checkers = (torch.arange(16)[:, None] + torch.arange(16)) % 2 * 255
    prepared = build_preparation(GREY, image_size=4)(checkers.to(torch.uint8)[None, None])
    assert (prepared - 0.5).abs().max() < 0.1


def test_tokens_become_int64_and_numbers_stay():
    tokens = torch.tensor([[1, 2, 3, 4, 29]], dtype=torch.int16)
    assert build_preparation(TOKENS)(tokens).dtype == torch.int64
    numbers = torch.rand(3, 4)
    assert torch.equal(build_preparation(TABLE)(numbers), numbers)


def test_channels_that_cannot_be_converted_are_refused():
    with pytest.raises(FedlabError, match=r"model\.name: .* with 4 channels, .* have 1"):
        build_preparation(GREY, channels=4)


def test_no_augmentation_is_none():
    assert build_augmentation(None, GREY) is None
    assert build_augmentation(AugmentationSettings(), GREY) is None


@pytest.mark.parametrize(
    "keys",
    [{"crop_padding": 2}, {"flip": True}, {"randaugment": 2}, {"mixup": 0.4}],
    ids=lambda keys: next(iter(keys)),
)
def test_augmentation_draws_from_the_given_generator_only(keys):
    augment = augmentation(**keys)
    batch, targets = build_preparation(GREY)(pictures(32)), torch.arange(32) % 10
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, first_targets = augment(batch, targets, generator(3))
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(2)
    again, again_targets = augment(batch, targets, generator(3))
    assert torch.equal(first, again)
    assert torch.equal(first_targets, again_targets)
    other, _ = augment(batch, targets, generator(4))
    assert first.shape == batch.shape
    assert not torch.equal(first, other)


def test_flip_mirrors_about_half_of_the_pictures():
    batch = build_preparation(GREY)(pictures(200))
    flipped, _ = augmentation(flip=True)(batch, torch.zeros(200), generator())
    mirrored = (flipped == batch.flip(-1)).flatten(1).all(1)
    kept = (flipped == batch).flatten(1).all(1)
    assert (mirrored | kept).all()
    assert 60 < mirrored.sum() < 140


def test_crop_shifts_pictures_and_fills_with_black():
    batch = torch.ones(100, 1, 8, 8)
    cropped, _ = augmentation(crop_padding=2)(batch, torch.zeros(100), generator())
    assert set(cropped.unique().tolist()) == {0.0, 1.0}
    kept_rows = (cropped.amax(3) > 0).sum(2).flatten()
    assert kept_rows.min() == 6
    assert kept_rows.max() == 8


def test_black_is_black_also_in_normalised_pictures():
    batch = torch.ones(50, 1, 8, 8)
    augment = augmentation(crop_padding=2, mean=(0.5,), std=(0.25,))
    cropped, _ = augment((batch - 0.5) / 0.25, torch.zeros(50), generator())
    assert cropped.unique().tolist() == pytest.approx([-2.0, 2.0])


def test_randaugment_does_the_same_to_normalised_pictures():
    batch = build_preparation(GREY)(pictures(16))
    plain, _ = augmentation(randaugment=2)(batch, torch.zeros(16), generator(1))
    normalised = augmentation(randaugment=2, mean=(0.4,), std=(0.3,))
    other, _ = normalised((batch - 0.4) / 0.3, torch.zeros(16), generator(1))
    # Equalising and posterising round to 256 levels, where an error in the last bit may decide.
    difference = (other * 0.3 + 0.4 - plain).abs()
    assert difference.median() < 1e-6
    assert (difference > 0.02).float().mean() < 0.02


def test_mixup_mixes_inputs_and_class_shares_alike():
    inputs = torch.eye(10)
    mixed, shares = augmentation(Task("classification", "tabular", (10,), 10), mixup=1.0)(
        inputs, torch.arange(10), generator()
    )
    assert shares.shape == (10, 10)
    torch.testing.assert_close(mixed, shares)
    torch.testing.assert_close(shares.sum(1), torch.ones(10))
    assert (shares.amax(1) < 1).any()


def test_mixup_mixes_numbers_of_a_regression():
    inputs = torch.rand(20, 4, generator=generator())
    mixed, targets = augmentation(TABLE, mixup=0.5)(inputs, 2 * inputs[:, :1], generator())
    torch.testing.assert_close(targets, 2 * mixed[:, :1])


@pytest.mark.parametrize(
    ("keys", "task"),
    [
        ({"flip": True}, TOKENS),
        ({"crop_padding": 1}, TABLE),
        ({"randaugment": 1}, TABLE),
        ({"mixup": 0.1}, TOKENS),
    ],
)
def test_augmentation_that_does_not_suit_the_data_is_refused(keys, task):
    with pytest.raises(FedlabError, match=rf"data\.augmentation\.{next(iter(keys))}"):
        build_augmentation(AugmentationSettings(**keys), task)


class Darker(Change):
    """Multiplies pictures."""

    class Settings(ChangeSettings):
        factor: float = 0.5

    settings: Settings

    def __call__(self, inputs, targets, generator):
        return self.settings.factor * inputs, targets


DARKER = {"name": f"{__name__}:Darker", "factor": 0.25}


def test_further_changes_follow_in_order():
    settings = scenario_with(
        {"data": {"augmentation": {"flip": True, "further": [DARKER, {"name": "flip"}]}}}
    ).data.augmentation
    augment = build_augmentation(settings, GREY, (0.5,), (0.25,))
    assert [type(change).__name__ for change in augment.changes] == ["Flip", "Darker", "Flip"]
    batch = build_preparation(GREY)(pictures())
    changed, _ = augment((batch - 0.5) / 0.25, torch.zeros(6), generator())
    draw = generator()
    flipped = batch
    for _ in range(2):
        mirrored = torch.rand(6, generator=draw) < 0.5
        flipped = torch.where(mirrored[:, None, None, None], flipped.flip(-1), flipped)
    torch.testing.assert_close(changed, (0.25 * flipped - 0.5) / 0.25)


def test_only_picture_changes_see_the_unit_range():
    further = [Mixup.Settings(name="mixup", alpha=1.0), Darker.Settings(name=DARKER["name"])]
    settings = AugmentationSettings(flip=True, further=tuple(further))
    batch = build_preparation(GREY)(pictures())
    augment = build_augmentation(settings, GREY, (0.5,), (0.25,))
    changed, shares = augment((batch - 0.5) / 0.25, torch.arange(6), generator())
    draw = generator()
    flipped, targets = Flip(Flip.Settings(name="flip"), GREY, "")(batch, torch.arange(6), draw)
    mixed, mixed_targets = Mixup(further[0], GREY, "")((flipped - 0.5) / 0.25, targets, draw)
    torch.testing.assert_close(changed, (0.5 * (mixed * 0.25 + 0.5) - 0.5) / 0.25)
    assert torch.equal(shares, mixed_targets)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": "flop"}, "further.0.name: unknown augmentation 'flop'. Did you mean 'flip'?"),
        ({"name": "crop", "paddding": 2}, "further.0.paddding: there is no such key. Did you mean"),
        ({"name": "crop", "padding": 0}, "further.0.padding: it must be at least 1, not 0"),
        ({}, "further.0.name is missing"),
    ],
)
def test_a_wrong_further_change_is_told(change, sentence):
    with pytest.raises(FedlabError) as caught:
        scenario_with({"data": {"augmentation": {"further": [change]}}})
    assert f"data.augmentation.{sentence}" in str(caught.value)


def test_a_further_change_that_does_not_suit_the_data_is_refused():
    settings = AugmentationSettings(further=(Flip.Settings(name="flip"),))
    with pytest.raises(FedlabError, match=r"data\.augmentation\.further\.0: it changes pictures"):
        build_augmentation(settings, TABLE)


def test_a_scenario_with_further_changes_reads_as_it_was_written():
    scenario = scenario_with({"data": {"augmentation": {"further": [DARKER]}}})
    assert dumps(loads(dumps(scenario))) == dumps(scenario)
