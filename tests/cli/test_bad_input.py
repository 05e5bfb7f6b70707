"""Bad input, first table: values of a scenario. Each is refused in one sentence.

Each row says which keys are set on a right scenario, and what the sentence must say: the key, what
is wrong, and what would be right.
"""

from __future__ import annotations

import pytest

DIGITS, DIABETES = "data.name=digits", "data.name=diabetes"
PRIVATE = ("strategy.noise_multiplier=0.1", "strategy.num_sampled_clients=3")

UNKNOWN_KEYS = [
    ("rouns=3", "rouns: there is no such key. Did you mean 'rounds'?"),
    ("data.validaton=0.1", "data.validaton: there is no such key. Did you mean 'validation'?"),
    ("data.partition.client=3", "data.partition.client: there is no such key. Did you mean"),
    ("data.augmentation.flipp=true", "Did you mean 'flip'?"),
    ("model.hiden=[3]", "model.hiden: there is no such key. Did you mean 'hidden'?"),
    ("client.epoch=1", "client.epoch: there is no such key. Did you mean 'epochs'?"),
    ("client.optimizer.lrr=0.1", "client.optimizer.lrr: there is no such key. Did you mean 'lr'?"),
    ("client.schedule.warm=0.1", "Did you mean 'warmup'?"),
    ("client.early_stopping.patence=1", "Did you mean 'patience'?"),
    ("strategy.fraction_trian=0.5", "Did you mean 'fraction_train'?"),
    ("engine.thread=1", "engine.thread: there is no such key. Did you mean 'threads'?"),
    ("evaluation.federate=true", "Did you mean 'federated'?"),
    ("zzz=1", "zzz: there is no such key. Known here: title,"),
]

UNKNOWN_NAMES = [
    ("data.name=irsi", "data.name: unknown data set 'irsi'. Did you mean 'iris'?"),
    ("data.partition.name=dirichlett", "unknown partitioner 'dirichlett'. Did you mean 'dirichlet"),
    ("model.name=mpl", "model.name: unknown model 'mpl'. Did you mean 'mlp'?"),
    ("model.name=tf_eficientnet_lite0", "Did you mean 'tf_efficientnet_lite0'?"),
    ("client.name=fedproxx", "client.name: unknown client algorithm 'fedproxx'. Did you mean"),
    ("strategy.name=fedavgg", "strategy.name: unknown strategy 'fedavgg'. Did you mean 'fedavg'?"),
    ("engine.name=raay", "engine.name: unknown engine 'raay'. Did you mean 'ray'?"),
    (
        "updates=[{name='fixed-cliping'}]",
        "updates.0.name: unknown update processor 'fixed-cliping'. Did you mean 'fixed-clipping'",
    ),
    ("client.optimizer.name=sgdd", "client.optimizer.name: 'sgdd' is none of 'sgd',"),
    ("client.schedule.name=cosin", "client.schedule.name: 'cosin' is none of 'constant',"),
    ("client.criterion=cross-entrpy", "Did you mean 'cross-entropy'?"),
    ("evaluation.baselines=['centralized']", "Did you mean 'centralised'?"),
    ("model.activation=rellu", "model.activation: 'rellu' is none of 'relu',"),
    ("strategy.name=nowhere:Strategy", "there is no module 'nowhere' to import"),
    ("strategy.name=flwr.app:FedNope", "module 'flwr.app' has no 'FedNope'"),
    ("strategy.name=flwr.app:Message", "'flwr.app:Message': class Message has no Settings; let it"),
    ("client.name=json:dumps", "client.name: client algorithm 'json:dumps': this is not a class"),
    ("model.name=:", "model.name: model ':': write it as module:Class"),
]

WRONG_TYPES = [
    ("rounds=three", "rounds: a whole number belongs here, not 'three'"),
    ('rounds="3"', "rounds: a whole number belongs here, not '3'"),
    ("rounds=2.5", "rounds: a whole number belongs here, not 2.5"),
    ("rounds=true", "rounds: a whole number belongs here, not true"),
    ("title=5", "title: text belongs here, not 5"),
    ("client=5", "client: this is a table, not 5"),
    ("client.optimizer=3", "client.optimizer: a table belongs here, not 3"),
    ("model=mlp", "model: this is a table, not 'mlp'"),
    ("data.name=['iris']", "data.name: ['iris'] is not a name"),
    ("client.optimizer.lr=fast", "client.optimizer.lr: a number belongs here, not 'fast'"),
    ("model.hidden=4", "model.hidden: a list belongs here, not 4"),
    ("model.hidden=[3", "model.hidden: a list belongs here, not '[3'"),
    ("model.trainable=3", "model.trainable: text or a list belongs here, not 3"),
    ("updates=top-k", "updates: a list belongs here, not 'top-k'"),
    ("updates=['top-k']", "updates.0: this is a table, not 'top-k'"),
    ("updates=[{fraction=0.1}]", "updates.0.name is missing"),
    ("updates=[{name='top-k',fraction=2}]", "updates.0.fraction: it must be at most 1, not 2"),
    ("updates=[{name='float16',bits=8}]", "updates.0.bits: there is no such key."),
    ("client.optimizer.betas=[0.9]", "client.optimizer.betas.1 is missing"),
]

IMPOSSIBLE_NUMBERS = [
    ("rounds=0", "rounds: it must be at least 1, not 0"),
    ("seed=-1", "seed: it must be at least 0, not -1"),
    ("data.partition.clients=0", "data.partition.clients: it must be at least 1, not 0"),
    ("data.validation=1.0", "data.validation: it must be below 1, not 1.0"),
    ("client.optimizer.lr=-0.1", "client.optimizer.lr: it must be at least 0, not -0.1"),
    ("client.optimizer.lr=nan", "client.optimizer.lr: a finite number belongs here, not nan"),
    ("client.optimizer.lr=inf", "client.optimizer.lr: a finite number belongs here, not inf"),
    ("client.optimizer.betas=[0.9, 1.5]", "client.optimizer.betas.1: it must be below 1, not 1.5"),
    ("client.batch_size=0", "client.batch_size: it must be at least 1, not 0"),
    ("client.epochs=0", "epochs = 0 leaves nothing to do; set epochs or steps to 1 or more"),
    ("client.optimizer.nesterov=true", "nesterov goes with name = 'sgd' and momentum above 0"),
    ("client.early_stopping.metric=loss", "early stopping needs patience, threshold, or both"),
    ("model.dropout=1.5", "model.dropout: it must be below 1, not 1.5"),
    ("model.hidden=[-4]", "model.hidden.0: it must be at least 1, not -4"),
    ("strategy.fraction_train=0.0", "strategy.fraction_train: it must be above 0, not 0.0"),
    ("strategy.fraction_train=1.1", "strategy.fraction_train: it must be at most 1, not 1.1"),
]


@pytest.mark.parametrize(
    ("override", "sentence"),
    [*UNKNOWN_KEYS, *UNKNOWN_NAMES, *WRONG_TYPES, *IMPOSSIBLE_NUMBERS],
)
def test_a_wrong_value_is_reported_with_option_and_key(
    refused, override: str, sentence: str
) -> None:
    (told,) = refused("run", "scenario.toml", "--set", override)
    assert told.startswith(("--set ", "scenario.toml: "))
    assert sentence in told


CANNOT_BE_SPLIT = [
    (("data.partition.clients=1000",), "1000 training examples, and the data set has 120"),
    (("data.partition.name=dirichlet", "data.partition.alpha=0"), "alpha: it must be above 0"),
    (
        ("data.partition.name=dirichlet", "data.partition.min_size=100"),
        "data.partition.min_size: 3 clients with at least 100 examples each need 300",
    ),
    (
        (
            "data.partition.name=dirichlet",
            "data.partition.alpha=0.001",
            "data.partition.clients=10",
        ),
        "raise alpha, lower min_size or take fewer clients",
    ),
    (
        ("data.partition.name=pathological", "data.partition.classes_per_client=4"),
        "data.partition.classes_per_client: 4 is more than the data set's 3 classes",
    ),
    (("data.partition.name=natural",), "data.partition.name: 'natural' takes the data's own"),
    (
        ("data.partition.name=exponential", "data.partition.clients=30"),
        "leaves the smallest less than one example; take fewer clients",
    ),
    (
        ("data.partition.name=shards", "data.partition.clients=100"),
        "data.partition.shards_per_client: 100 clients",
    ),
]

DO_NOT_GO_TOGETHER = [
    (("strategy.min_train_nodes=10",), "10 clients are asked for and the partition has 3"),
    (
        ("strategy.name=dp-client-fixed-clipping", "strategy.clipping_norm=1.0", *PRIVATE),
        "add [[updates]] with name = 'fixed-clipping'",
    ),
    (
        (
            "strategy.name=dp-server-adaptive-clipping",
            "strategy.clipped_count_stddev=0.001",
            *PRIVATE,
        ),
        "strategy.name: 'dp-server-adaptive-clipping' refuses these settings",
    ),
    (
        (
            "strategy.name=dp-server-adaptive-clipping",
            "strategy.inner.name=fedprx",
            *PRIVATE,
        ),
        "strategy.inner.name: unknown strategy 'fedprx'. Did you mean 'fedprox'?",
    ),
    (
        ("strategy.name=bulyan", "strategy.num_malicious_nodes=1"),
        "'bulyan' withstands 1 malicious clients in a cohort of 7 or more, and the cohort has 3",
    ),
    (("client.name=fedprox",), "client.name: 'fedprox' needs a strategy that sends 'proximal_mu'"),
    ((DIABETES, "client.criterion=cross-entropy"), "'sum-of-squares' fits it"),
    (
        ("client.criterion=sum-of-squares", "client.label_smoothing=0.1"),
        "client.label_smoothing: it goes with cross-entropy, not 'sum-of-squares'",
    ),
    (
        ("evaluation.early_stopping.patience=1", "evaluation.early_stopping.metric=acuracy"),
        "evaluation.early_stopping.metric: unknown metric 'acuracy'. Did you mean 'accuracy'?",
    ),
    (
        ("client.early_stopping.patience=1", "client.early_stopping.metric=rmse"),
        "client.early_stopping.metric: unknown metric 'rmse'. Known: accuracy,",
    ),
    (("data.augmentation.flip=true",), "data.augmentation.flip: it changes pictures"),
    (
        ("engine.name=ray", "engine.workers=1", "data.augmentation.flip=true"),
        "data.augmentation.flip: it changes pictures",
    ),
]

DO_NOT_FIT_THE_DATA = [
    (("model.name=cnn", "model.hidden=[4]"), "model.name: 'cnn' takes pictures"),
    (("model.name=lstm", "model.hidden=4"), "'lstm' takes"),
    (("data.name=reverse", "model.name=cnn"), "model.name: 'cnn' takes pictures"),
    (("model.name=resnet18",), "model.name: 'resnet18' takes pictures"),
    ((DIGITS, "model.name=vit", "model.patch_size=3"), "patches of 3×3 pixels do not tile"),
    ((DIGITS, "model.name=vit", "model.heads=5"), "model.heads: 5 heads cannot share"),
    ((DIGITS, "model.name=vit_tiny_patch16_224"), "16 or 32 would fit"),
    ((DIGITS, "model.name=resnet18", "model.image_size=4"), "model.image_size: it must be at leas"),
    (
        (DIGITS, "model.name=cnn", "model.layers=[{channels = 4, kernel_size = 11}]"),
        "model.layers.0: its kernel_size 11 at dilation 1 spans 11 pixels, and only 8×8 enter",
    ),
    (
        (DIGITS, "model.name=cnn", "model.layers=[{channels = 4, kernelsize = 3}]"),
        "model.layers.0.kernelsize: there is no such key. Did you mean 'kernel_size'?",
    ),
    ((DIGITS, "model.name=cnn", "model.layers=[]"), "model.layers: this list needs 1 or more"),
    (("model.trainable=last:9",), "'last:9' asks for more stages than mlp has (1)"),
    (("model.trainable=heads",), "'heads' is none of 'all', 'head', 'last:K', 'norm+head'"),
    (("model.trainable=['nothing*']",), "no parameter is called 'nothing*'; the first ones are"),
    (("model.trainable=[]",), "model.trainable: nothing of this model would be trained"),
    (("model.drop_path=0.1",), "model.drop_path: 'mlp' has no residual branches to drop"),
    (("model.pretrained=true",), "there are no published weights of the zoo's 'mlp' for true"),
    (
        (DIGITS, "model.name=vit_gigantic_patch14_clip_224", "model.pretrained=true"),
        "cannot be fetched (FEDLAB_OFFLINE is set); say a path to a file of weights, or false",
    ),
    (
        (DIGITS, "model.name=resnet18", "model.pretrained=package"),
        "model.pretrained: no package ships weights for 'resnet18', only for",
    ),
]


@pytest.mark.parametrize(
    ("overrides", "sentence"), [*CANNOT_BE_SPLIT, *DO_NOT_GO_TOGETHER, *DO_NOT_FIT_THE_DATA]
)
def test_what_only_the_data_show_is_reported_before_a_run_begins(
    refused, overrides: tuple[str, ...], sentence: str
) -> None:
    (told,) = refused("run", "scenario.toml", *(f"--set={override}" for override in overrides))
    assert sentence in told


@pytest.mark.parametrize(
    "command",
    [["run"], ["check"], ["show"], ["crossval"], ["transfer-gain"], ["data", "partition"]],
)
def test_every_problem_is_reported_at_once_a_line_each(refused, command: list[str]) -> None:
    overrides = ("rouns=1", "client.epochs=0", "model.dropout=2", "strategy.name=fedavgg")
    told = refused(*command, "scenario.toml", *(f"--set={override}" for override in overrides))
    keys = sorted(line.removeprefix("scenario.toml: ").split(": ")[0] for line in told)
    keys_told = ["--set client", "--set model.dropout", "--set rouns", "--set strategy.name"]
    assert keys == keys_told


def test_parts_that_do_not_go_together_are_all_reported_at_once(refused) -> None:
    overrides = ("client.name=fedprox", "strategy.min_train_nodes=9", "data.augmentation.flip=true")
    told = refused("run", "scenario.toml", *(f"--set={override}" for override in overrides))
    assert [line.split(":")[0] for line in told] == [
        "strategy.min_train_nodes",
        "client.name",
        "data.augmentation.flip",
    ]
