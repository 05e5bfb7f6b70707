"""Models of transformers: a tiny random BERT, built and used as any other backbone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from fedlab.data.dataset import Encoding, Task
from fedlab.data.tokenisers import HuggingFaceTokens
from fedlab.engine.features.split import CannotSplit, split
from fedlab.errors import AssetMissing, FedlabError
from fedlab.models.network import build_network, whole_state
from fedlab.models.size import count_parameters
from fedlab.models.transformers_settings import TransformersSettings
from tests.tiny_bert import tiny_bert

TEXTS = ["good team", "rain and wind and cloud", "the match"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("models") / "bert")


def task_for(bert: Path, length: int = 9, **keys: Any) -> Task:
    tokens = HuggingFaceTokens.of(str(bert))
    usual: dict[str, Any] = {"kind": "classification", "outputs": 3} | keys
    return Task(
        modality="text",
        input_shape=(length,),
        vocabulary=tokens.size,
        input_padding=tokens.padding,
        encoding=tokens.encoding,
        **usual,
    )


def network_of(bert: Path, task: Task | None = None, **keys: Any) -> Any:
    keys = {"pretrained": True} | keys
    settings = TransformersSettings(name=f"transformers:{bert}", **keys)
    return build_network(settings, task or task_for(bert), 0)


def tokens_of(bert: Path, length: int = 9) -> torch.Tensor:
    return HuggingFaceTokens.of(str(bert)).encode(TEXTS, length).long()


def test_the_head_reads_the_mean_of_the_states_that_are_no_padding(bert: Path) -> None:
    from transformers import BertModel

    network = network_of(bert)
    network.evaluation_mode()
    model = BertModel.from_pretrained(bert).eval()
    tokens = tokens_of(bert)
    wanted = []
    for row in tokens:
        states = model(row[row != 0].unsqueeze(0)).last_hidden_state
        wanted.append(network.model.module.head(states.mean(1)))
    torch.testing.assert_close(network.model.module(tokens), torch.cat(wanted))


@pytest.mark.parametrize(("pooling", "place"), [("first", 0), ("last", -1)])
def test_one_state_may_stand_for_a_text(bert: Path, pooling: str, place: int) -> None:
    from transformers import BertModel

    network = network_of(bert, pooling=pooling)
    network.evaluation_mode()
    model = BertModel.from_pretrained(bert).eval()
    row = tokens_of(bert)[0]
    state = model(row[row != 0].unsqueeze(0)).last_hidden_state[:, place]
    found = network.model.module(tokens_of(bert)[:1])
    torch.testing.assert_close(found, network.model.module.head(state))


def test_padding_changes_nothing(bert: Path) -> None:
    network = network_of(bert)
    network.evaluation_mode()
    short, long = (network.model.module(tokens_of(bert, length)) for length in (7, 20))
    torch.testing.assert_close(short, long)


@pytest.mark.parametrize(
    ("trainable", "trained", "frozen"),
    [
        ("head", {"head."}, {"encoder."}),
        ("last:1", {"head.", "encoder.body.encoder.layer.1."}, {"encoder.body.encoder.layer.0."}),
        ("last:3", {"encoder.body.embeddings."}, set()),
        ("norm+head", {"encoder.body.embeddings.LayerNorm."}, {"encoder.body.embeddings.word"}),
        ("all", {"encoder.", "head."}, set()),
    ],
)
def test_what_is_trained(bert: Path, trainable: str, trained: set[str], frozen: set[str]) -> None:
    network = network_of(bert, trainable=trainable)
    names = {entry.name for entry in network.model.layout.entries}
    for prefix in trained:
        assert any(name.startswith(prefix) for name in names)
    for prefix in frozen:
        assert not any(name.startswith(prefix) for name in names)


def test_a_gradient_reaches_all_that_is_trained_and_travels(bert: Path) -> None:
    network = network_of(bert)
    network.train_mode()
    network.model.module(tokens_of(bert)).logsumexp(1).sum().backward()
    for entry, parameter in network.model.trained:
        assert parameter.grad is not None, entry.name
    moved = [e.name for e, p in network.model.trained if p.grad is not None and p.grad.abs().any()]
    assert {name for name in moved if "word_embeddings" in name or "layer.0.attention" in name}


def test_a_frozen_part_drops_nothing_and_a_trained_one_does(bert: Path) -> None:
    tokens = tokens_of(bert)
    for trainable, differs in (("head", False), ("last:1", True), ("all", True)):
        network = network_of(bert, trainable=trainable)
        network.train_mode()
        first, second = (network.model.module.encoder(tokens) for _ in range(2))
        assert torch.equal(first, second) != differs
    without = network_of(bert, layer_dropout=0.0)
    without.train_mode()
    assert torch.equal(*(without.model.module.encoder(tokens) for _ in range(2)))


def test_a_frozen_encoder_is_the_prefix_whose_features_are_cached(bert: Path) -> None:
    network = network_of(bert, trainable="head", dropout=0.2)
    tokens = tokens_of(bert)
    parts = split(network, tokens)
    network.evaluation_mode()
    torch.testing.assert_close(parts.prefix(tokens), network.model.module.encoder(tokens))
    with pytest.raises(CannotSplit):
        split(network_of(bert, trainable="all"), tokens)


def test_a_model_may_keep_its_first_layers_alone(bert: Path) -> None:
    network = network_of(bert, blocks=1)
    assert len(network.model.module.encoder.body.encoder.layer) == 1
    with pytest.raises(FedlabError, match=r"model\.blocks: .* has 2 layers, and 5 are asked for"):
        network_of(bert, blocks=5)


def test_new_weights_depend_on_the_seed_alone_and_pretrained_ones_on_nothing(bert: Path) -> None:
    first, second = (network_of(bert, pretrained=False).model.weights for _ in range(2))
    assert torch.equal(first, second)
    body = network_of(bert).model.module.encoder.body
    stored = load_file(bert / "model.safetensors")["embeddings.word_embeddings.weight"]
    assert torch.equal(body.embeddings.word_embeddings.weight, stored)


def test_the_scenario_records_the_architecture_so_that_the_folder_may_go(
    bert: Path, tmp_path: Path
) -> None:
    settings = TransformersSettings(name=f"transformers:{bert}", pretrained=True)
    assert settings.architecture is not None
    assert settings.architecture["hidden_size"] == 16
    gone = settings.model_copy(
        update={"name": f"transformers:{tmp_path}/gone", "pretrained": False}
    )
    network = build_network(gone, task_for(bert), 0)
    state = whole_state(network, network.model.wire())
    assert state.keys() == whole_state(network_of(bert), network_of(bert).model.wire()).keys()


def test_a_kind_of_model_is_built_from_its_sizes(bert: Path) -> None:
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    settings = TransformersSettings(
        name="transformers:bert", architecture=sizes | {"intermediate_size": 8}
    )
    task = Task("regression", "text", (6,), 1, vocabulary=30, input_padding=0,
                encoding=Encoding(tuple(map(str, range(30)))))  # fmt: skip
    network = build_network(settings, task, 0)
    assert network.model.module.encoder.body.embeddings.word_embeddings.weight.shape == (30, 8)
    assert network.model.module(torch.tensor([[4, 5, 0, 0, 0, 0]])).shape == (1, 1)
    assert count_parameters(settings, task) == sum(
        parameter.numel() for parameter in network.model.module.parameters()
    )


@pytest.mark.parametrize("kind", ["distilbert", "gpt2", "roberta", "albert", "t5", "electra"])
def test_other_kinds_of_model_are_built_and_trained_alike(kind: str) -> None:
    pytest.importorskip("transformers")
    sizes: dict[str, Any] = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 8}
    sizes |= {"intermediate_size": 8, "embedding_size": 8, "num_layers": 2, "d_model": 8}
    sizes |= {"n_embd": 8, "n_layer": 2, "n_head": 2, "dim": 8, "n_layers": 2, "n_heads": 2}
    sizes |= {"d_kv": 4, "d_ff": 8, "num_heads": 2, "hidden_dim": 8}
    settings = TransformersSettings(
        name=f"transformers:{kind}", architecture=sizes, trainable="last:1"
    )
    task = Task("classification", "text", (6,), 2, vocabulary=30, input_padding=1,
                encoding=Encoding(tuple(map(str, range(30)))))  # fmt: skip
    network = build_network(settings, task, 0)
    assert (
        0
        < network.model.layout.wire_size
        < sum(p.numel() for p in network.model.module.parameters())
    )
    tokens = torch.tensor([[4, 5, 6, 1, 1, 1], [4, 5, 6, 7, 8, 9]])
    network.evaluation_mode()
    alone = network.model.module(tokens[:1])
    torch.testing.assert_close(network.model.module(tokens)[:1], alone, rtol=1e-4, atol=1e-5)


def test_weights_of_a_run_or_file_are_fitted_under_a_new_head(bert: Path, tmp_path: Path) -> None:
    network = network_of(bert)
    state = {
        name: tensor + 1 for name, tensor in whole_state(network, network.model.wire()).items()
    }
    save_file(state, tmp_path / "mine.safetensors")
    again = network_of(
        bert, task_for(bert, outputs=5), pretrained=str(tmp_path / "mine.safetensors")
    )
    name = "encoder.body.encoder.layer.0.output.dense.weight"
    assert torch.equal(again.model.module.get_parameter(name), state[name])
    assert again.model.module.head.weight.shape[0] == 5


PICTURES = Task("classification", "image", (3, 8, 8), 2)


@pytest.mark.parametrize(
    ("keys", "task", "sentence"),
    [
        (
            {},
            PICTURES,
            r"^model\.name: 'transformers:.*' takes text, and the data set's inputs are",
        ),
        ({"drop_path": 0.1}, None, r"^model\.drop_path: .* no stochastic depth"),
        ({"pretrained": "package"}, None, r"^model\.pretrained: no package ships weights of"),
        ({"architecture": {"model_type": "bret"}}, None, "unknown kind of model 'bret'.*'bert'"),
        ({"pretrained": "nowhere.bin"}, None, r"^model\.pretrained: there is no 'nowhere\.bin'"),
    ],
)
def test_what_does_not_fit_is_refused(bert: Path, keys: Any, task: Task, sentence: str) -> None:
    with pytest.raises(FedlabError, match=sentence):
        network_of(bert, task, **keys)


def test_texts_longer_than_a_model_reads_and_foreign_tokens_are_refused(bert: Path) -> None:
    with pytest.raises(FedlabError, match=r"^data\.length: .* up to 30 tokens, .* reads 20 at"):
        network_of(bert, task_for(bert, length=30))
    own = Task("classification", "text", (6,), 2, vocabulary=9,
               encoding=Encoding(tuple("abcdefghi")))  # fmt: skip
    with pytest.raises(FedlabError, match=r"^data\.tokens: .* data\.tokens = 'huggingface:/"):
        network_of(bert, own)


def test_a_folder_that_lacks_something_is_named(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(FedlabError, match=r"^model\.name: no config\.json in "):
        network_of(tmp_path, task_for(bert))
    with pytest.raises(FedlabError, match=r"^model\.name: there is no folder "):
        network_of(tmp_path / "nowhere", task_for(bert))
    (tmp_path / "config.json").write_bytes((bert / "config.json").read_bytes())
    with pytest.raises(FedlabError, match=r"^model\.name: transformers cannot build .*no file"):
        network_of(tmp_path, task_for(bert))
    state = load_file(bert / "model.safetensors")
    state.pop("encoder.layer.1.output.dense.bias")
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        FedlabError, match=r"^model\.pretrained: .* there is no '.*layer\.1\.output"
    ):
        network_of(tmp_path, task_for(bert))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(FedlabError, match=r"config\.json names no model_type"):
        network_of(tmp_path, task_for(bert))


def test_without_the_hub_a_model_is_refused_at_once(
    bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDLAB_OFFLINE", "1")
    settings = TransformersSettings(name="transformers:no-one/no-such-model", pretrained=True)
    with pytest.raises(AssetMissing, match=r"^model\.name: .*FEDLAB_OFFLINE is set.*all-minilm"):
        build_network(settings, task_for(bert), 0)
    with pytest.raises(AssetMissing, match=r"^model\.name: .*FEDLAB_OFFLINE is set"):
        count_parameters(settings, task_for(bert))
