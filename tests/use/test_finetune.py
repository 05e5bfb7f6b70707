"""A user's own data become a scenario by a recipe, or one sentence says what is wrong."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fedlab.data.inspection import Finding
from fedlab.errors import FedlabError
from fedlab.run.rehearsal import rehearse
from fedlab.scenario import load
from fedlab.scenario.parts import load_dataset
from fedlab.use import recipes
from fedlab.use.default_backbone import default_backbone
from fedlab.use.finetune import FineTuning, compose, write
from fedlab.use.recipes import Wishes
from tests.tiny_bert import tiny_bert

LITE = "tf_efficientnet_lite0"


def paint(folder: Path, grey: bool = False, count: int = 4, side: int = 20) -> None:
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    for number in range(count):
        colours = draw.integers(0, 255, (side, side, 1 if grey else 3), np.uint8)
        picture = Image.fromarray(np.broadcast_to(colours, (side, side, 3)).copy())
        picture.save(folder / f"{number}.png")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name in ("cat", "dog"):
        paint(tmp_path / "pets" / name)
    return tmp_path / "pets"


def fine_tuning(pictures: Path, **changes: Any) -> FineTuning:
    wishes = {key: changes.pop(key) for key in list(changes) if key in Wishes.__annotations__}
    return FineTuning(
        **{"data": pictures, "backbone": "lenet", "wishes": Wishes(**wishes), **changes}
    )


def content_of(pictures: Path, **changes: Any) -> dict[str, Any]:
    return compose(fine_tuning(pictures, **changes)).content


def test_the_written_file_is_the_scenario_that_runs(pictures: Path, tmp_path: Path) -> None:
    wanted = fine_tuning(
        pictures,
        clients=7,
        partition="dirichlet",
        rounds=4,
        trainable="head",
        overrides=("data.partition.alpha=0.3", "client.epochs=2"),
    )
    composed = compose(wanted)
    path = write(composed.content, composed.name, tmp_path / "pets.toml")
    assert load(str(path)).model_dump() == composed.scenario.model_dump()
    found = tomllib.loads(path.read_text())
    assert found["data"]["path"] == str(pictures)
    assert found["data"]["partition"] == {"name": "dirichlet", "clients": 7, "alpha": 0.3}
    assert found["client"]["epochs"] == 2
    assert found["rounds"] == 4
    assert found["model"]["trainable"] == "head"


def test_by_default_the_head_is_trained_first_and_the_network_then(pictures: Path) -> None:
    scenario = compose(fine_tuning(pictures, backbone=LITE)).scenario
    head, network = scenario.phases
    assert (head.trainable, network.trainable) == ("head", None)
    assert (head.augmentation, network.augmentation) == (False, True)
    assert scenario.model.batch_norm == "frozen"
    assert scenario.data.image_size == 224
    assert scenario.evaluation.early_stopping.restore_best
    assert network.client.clip_norm == 1.0  # type: ignore[union-attr]


def test_a_probe_trains_the_head_alone_on_inputs_as_they_are(pictures: Path) -> None:
    scenario = compose(fine_tuning(pictures, backbone=LITE, recipe="probe")).scenario
    assert (scenario.model.trainable, scenario.phases, scenario.data.augmentation) == (
        "head",
        (),
        None,
    )


def test_where_no_network_is_named_the_kind_of_data_chooses_and_it_is_said(
    pictures: Path, tmp_path: Path
) -> None:
    composed = compose(fine_tuning(pictures, backbone=None))
    assert composed.content["model"]["name"] == LITE
    assert composed.content["model"]["pretrained"] == "package"
    assert composed.understood[0] == f"network: {LITE}, as --backbone is not given"
    assert composed.name == f"pets-{LITE}"
    table = tmp_path / "patients.csv"
    rows = "".join(f"{number % 7},{number % 3},{number % 2}\n" for number in range(60))
    table.write_text(f"age,dose,ill\n{rows}")
    composed = compose(fine_tuning(table, backbone=None))
    assert composed.content["model"] == {"name": "mlp", "pretrained": False}
    assert composed.understood[0] == "network: mlp, as --backbone is not given"


def test_recordings_get_the_pretrained_network_where_its_weights_are_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finding = Finding("sound", Path("words"), 10, scenario={"model": {"name": "lstm"}})
    for is_here, name in ((True, "speech-lstm"), (False, "lstm")):
        monkeypatch.setattr("fedlab.models.backbone_list.has_weights_here", lambda _, y=is_here: y)
        assert default_backbone(finding) == name


def test_full_fine_tuning_has_one_phase(pictures: Path) -> None:
    scenario = compose(fine_tuning(pictures, backbone=LITE, recipe="full")).scenario
    assert (scenario.model.trainable, scenario.phases) == ("all", ())
    assert scenario.data.augmentation is not None


def test_full_fine_tuning_trains_the_whole_network_whatever_it_costs(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, "AFFORDABLE", 1e9)
    scenario = compose(fine_tuning(pictures, backbone=LITE, recipe="full")).scenario
    assert (scenario.model.trainable, scenario.phases) == ("all", ())


def test_a_single_round_trains_the_head_unless_something_else_is_asked_for(pictures: Path) -> None:
    alone = compose(fine_tuning(pictures, backbone=LITE, rounds=1)).scenario
    assert (alone.model.trainable, alone.phases, alone.rounds) == ("head", (), 1)
    asked = compose(fine_tuning(pictures, backbone=LITE, rounds=1, trainable="last:2")).scenario
    assert (asked.model.trainable, asked.phases, asked.rounds) == ("last:2", (), 1)
    scratch = compose(fine_tuning(pictures, rounds=1)).scenario
    assert (scratch.model.trainable, scratch.rounds) == ("all", 1)


def test_a_probe_of_more_than_the_head_is_refused(pictures: Path) -> None:
    with pytest.raises(FedlabError, match="--recipe probe trains the head alone, and --trainable"):
        compose(fine_tuning(pictures, backbone=LITE, recipe="probe", trainable="last:2"))


def test_lora_trains_the_head_first_and_an_adapter_then(pictures: Path) -> None:
    scenario = compose(fine_tuning(pictures, backbone=LITE, recipe="lora")).scenario
    head, adapter = scenario.phases
    assert (head.trainable, adapter.trainable) == ("head", None)
    assert (scenario.model.trainable, scenario.model.batch_norm) == ("adapter+head", "frozen")
    assert scenario.model.adapter is not None
    assert (scenario.model.adapter.name, scenario.model.adapter.last) == ("lora", None)
    assert scenario.data.augmentation is None
    alone = compose(fine_tuning(pictures, backbone=LITE, recipe="lora", rounds=1)).scenario
    assert (alone.model.trainable, alone.phases, alone.rounds) == ("adapter+head", (), 1)


def test_keys_of_the_adapter_can_be_set(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "AFFORDABLE", 1e9)
    overrides = ("model.adapter.rank=3",)
    wanted = fine_tuning(
        pictures, backbone=LITE, recipe="lora", trainable="adapter+norm+head", overrides=overrides
    )
    model: Any = compose(wanted).scenario.model
    assert (model.adapter.rank, model.adapter.last) == (3, 3)
    assert model.trainable == "adapter+norm+head"


def test_lora_is_refused_where_it_has_nothing_to_adapt(pictures: Path) -> None:
    with pytest.raises(FedlabError, match=r"--recipe lora trains an adapter.*last:2 does not"):
        compose(fine_tuning(pictures, backbone=LITE, recipe="lora", trainable="last:2"))
    with pytest.raises(FedlabError, match="--recipe lora: 'lenet' has no pretrained weights"):
        compose(fine_tuning(pictures, recipe="lora"))


def test_a_network_without_pretrained_weights_is_trained_as_a_whole(pictures: Path) -> None:
    scenario = compose(fine_tuning(pictures)).scenario
    assert (scenario.model.trainable, scenario.phases) == ("all", ())
    assert scenario.data.image_size == 20


def test_wishes_are_those_of_the_last_phase_and_rounds_of_all(pictures: Path) -> None:
    wishes = {"rounds": 7, "epochs": 3, "rate": 0.5, "batch_size": 4, "trainable": "last:2"}
    head, last = compose(fine_tuning(pictures, backbone=LITE, **wishes)).scenario.phases
    assert head.rounds + last.rounds == 7
    client: Any = last.client
    assert (client.epochs, client.optimizer.lr, client.batch_size) == (3, 0.5, 4)
    assert last.trainable == "last:2"
    first: Any = head.client
    assert first.optimizer.lr != 0.5


def test_a_text_model_gets_its_own_tokens_and_no_key_that_it_lacks(tmp_path: Path) -> None:
    bert = tiny_bert(tmp_path / "bert")
    rows = (f"{words},{label}\n" for words, label in (("goals and match", "a"), ("rain", "b")))
    (tmp_path / "texts.csv").write_text("text,label\n" + "".join(rows) * 20)
    backbone = f"transformers:{bert}"
    scenario = compose(fine_tuning(tmp_path / "texts.csv", backbone=backbone)).scenario
    assert scenario.data.tokens == f"huggingface:{bert}"  # type: ignore[attr-defined]
    assert all("batch_norm" not in note for note in rehearse(scenario))
    assert [phase.trainable for phase in scenario.phases] == ["head", None]


def test_textgenrnn_gets_its_own_characters_unless_it_learns_from_nothing(
    tmp_path: Path, asset: Callable[[str], Path]
) -> None:
    asset("textgenrnn")
    rows = (f"{words},{label}\n" for words, label in (("goals and match", "a"), ("rain", "b")))
    file = tmp_path / "texts.csv"
    file.write_text("text,label\n" + "".join(rows) * 20)
    composed = compose(fine_tuning(file, backbone="textgenrnn"))
    assert composed.scenario.data.tokens == "textgenrnn"  # type: ignore[attr-defined]
    rehearse(composed.scenario)
    assert all("augmentation" not in phase for phase in composed.content["phases"])
    new = compose(fine_tuning(file, backbone="textgenrnn", pretrained=False)).scenario
    assert new.data.tokens == "auto"  # type: ignore[attr-defined]
    rehearse(new)
    own = ("data.tokens=characters",)
    with pytest.raises(FedlabError, match=r"^data\.tokens: .* say data\.tokens = 'textgenrnn'"):
        rehearse(compose(fine_tuning(file, backbone="textgenrnn", overrides=own)).scenario)


def test_only_a_network_with_batch_norm_has_it_frozen(pictures: Path) -> None:
    frozen = content_of(pictures, backbone=LITE)["model"]
    assert frozen["batch_norm"] == "frozen"
    assert "batch_norm" not in content_of(pictures, backbone="vit_small_patch14_dinov2")["model"]


def test_a_vision_transformer_of_large_pictures_gets_smaller_ones(pictures: Path) -> None:
    backbone = "vit_small_patch14_dinov2"
    assert content_of(pictures, backbone=backbone)["data"]["image_size"] == 224
    assert content_of(pictures, backbone=backbone, image_size=56)["data"]["image_size"] == 56


def test_where_the_whole_network_costs_too_much_its_last_third_is_trained(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, "AFFORDABLE", 1e9)
    scenario = compose(fine_tuning(pictures, backbone=LITE)).scenario
    assert scenario.phases[-1].trainable == "last:3"
    assert scenario.data.augmentation is None


def test_grey_pictures_are_not_mirrored(pictures: Path, tmp_path: Path) -> None:
    for name in ("b", "d"):
        paint(tmp_path / "letters" / name, grey=True)
    assert content_of(pictures)["data"]["augmentation"]["flip"]
    assert "flip" not in content_of(tmp_path / "letters")["data"]["augmentation"]


def test_sites_are_the_clients_unless_the_user_says_otherwise(tmp_path: Path) -> None:
    for site in ("north", "south", "west"):
        for name in ("cat", "dog"):
            paint(tmp_path / "sites" / site / name)
    composed = compose(fine_tuning(tmp_path / "sites"))
    assert composed.scenario.data.partition.name == "natural"
    assert composed.content["data"]["clients_by"] == "folder"
    assert "3 sites" in composed.understood[0]


def test_another_number_of_clients_than_of_sites_is_not_guessed_at(tmp_path: Path) -> None:
    for site in ("north", "south", "west"):
        for name in ("cat", "dog"):
            paint(tmp_path / "sites" / site / name)
    sites = tmp_path / "sites"
    with pytest.raises(FedlabError, match="holds 3 sites, which are the clients; --partition nat"):
        compose(fine_tuning(sites, clients=1))
    assert compose(fine_tuning(sites, clients=3)).scenario.data.partition.name == "natural"
    pooled = compose(fine_tuning(sites, clients=1, partition="iid"))
    assert pooled.scenario.data.partition.name == "iid"
    # Sites are still no classes.
    assert load_dataset(pooled.scenario).task.labels == ("cat", "dog")


@pytest.mark.parametrize(
    ("backbone", "pretrained"),
    [(LITE, "package"), ("resnet18", True), ("lenet", False), ("efficientnet-lite0", "package")],
)
def test_weights_come_from_a_package_where_one_ships_them(
    pictures: Path, backbone: str, pretrained: bool | str
) -> None:
    assert content_of(pictures, backbone=backbone)["model"]["pretrained"] == pretrained
    without = content_of(pictures, backbone=backbone, pretrained=False)
    assert without["model"]["pretrained"] is False


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"backbone": "resnet81"}, r"model\.name: unknown model 'resnet81'"),
        ({"partition": "dirichle"}, "Did you mean 'dirichlet'"),
        ({"clients": 0}, r"data\.partition\.clients"),
        ({"rounds": 0}, "rounds"),
        ({"epochs": -1}, r"client\.epochs"),
        ({"batch_size": 0}, r"client\.batch_size"),
        ({"rate": -0.1}, r"client\.optimizer\.lr"),
        ({"image_size": 2}, r"data\.image_size"),
        ({"recipe": "probing"}, "--recipe: 'probing' is none of 'auto', 'probe', 'full', 'lora'"),
        ({"overrides": ("client.epoch=1",)}, "Did you mean 'epochs'"),
        ({"overrides": ("rounds",)}, r"write it as table\.key=value"),
        ({"data": Path("absent")}, "there is no folder or file absent"),
    ],
)
def test_a_mistake_is_reported_before_anything_is_written(
    pictures: Path, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(FedlabError, match=sentence):
        compose(fine_tuning(pictures, **changes))


def test_pictures_without_classes_are_refused(tmp_path: Path) -> None:
    paint(tmp_path / "loose")
    with pytest.raises(FedlabError, match="pictures without classes"):
        compose(fine_tuning(tmp_path / "loose"))


def test_a_folder_that_no_scenario_can_name_is_refused(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    with pytest.raises(FedlabError, match=r"--data: the name of .*caf\\xe9 is not UTF-8"):
        compose(fine_tuning(folder))


def test_a_file_that_is_there_is_not_overwritten(pictures: Path, tmp_path: Path) -> None:
    content = content_of(pictures)
    path = write(content, "pets", tmp_path / "pets.toml")
    before = path.read_text()
    with pytest.raises(FedlabError, match="is there already"):
        write(content | {"rounds": 9}, "pets", path)
    assert path.read_text() == before


def test_without_a_file_name_a_free_one_is_taken(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = content_of(pictures)
    monkeypatch.chdir(tmp_path)
    assert [str(write(content, "pets", None)) for _ in range(3)] == [
        "pets.toml",
        "pets-2.toml",
        "pets-3.toml",
    ]


def test_a_file_that_is_no_toml_file_is_refused(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(FedlabError, match=r"should end in \.toml"):
        write(content_of(pictures), "pets", tmp_path / "pets.txt")


def test_no_folder_is_made_and_no_link_followed(pictures: Path, tmp_path: Path) -> None:
    content = content_of(pictures)
    with pytest.raises(FedlabError, match=f"there is no folder {tmp_path / 'absent'}"):
        write(content, "pets", tmp_path / "absent" / "pets.toml")
    (tmp_path / "link.toml").symlink_to(tmp_path / "target.toml")
    with pytest.raises(FedlabError, match="is a link to"):
        write(content, "pets", tmp_path / "link.toml")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.toml", "pets"]


def test_a_file_of_weights_is_written_with_its_whole_path(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content = content_of(pictures, pretrained="weights.pt")
    assert content["model"]["pretrained"] == str(tmp_path / "weights.pt")
