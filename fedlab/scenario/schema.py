"""The schema of a scenario: its fixed keys; those of a named table depend on its ``name``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, model_validator

from fedlab.data.unseen_settings import UnseenSettings
from fedlab.scenario.phase_settings import PhaseSettings, PhaseSpan
from fedlab.settings import Settings
from fedlab.training.early_stopping import RunStoppingSettings

if TYPE_CHECKING:
    from fedlab.algorithm.client import ClientSettings
    from fedlab.algorithm.processing import ProcessorSettings
    from fedlab.attacks.attack import AttackSettings
    from fedlab.models.settings import ModelSettings

SITES = "sites"
"""The data set of a scenario whose sites bring their own data."""
Baseline = Literal["centralised", "local", "random", "source-only", "target-supervised"]
RoundCount = Annotated[int, Field(ge=1, le=10**6, description="rounds of federated training")]


class ProbeSettings(Settings):
    """Keys of ``[evaluation.probe]``: how good the representations are that enter the head.

    Classifiers that know the labels of some training examples are tried on the server's test set.
    """

    examples: int = Field(
        5000, ge=2, description="how many labelled training examples to use, drawn once"
    )
    neighbours: int = Field(
        20,
        ge=0,
        description="knn_accuracy: a vote of so many nearest neighbours by the cosine, each with "
        "the weight exp(cosine / 0.07) (Wu et al. 2018); 0: not measured",
    )
    linear: bool = Field(
        True, description="probe_accuracy: logistic regression on the standardised representations"
    )


class EvaluationSettings(UnseenSettings):
    """Keys of ``[evaluation]``."""

    every: int = Field(1, ge=1, description="rounds between evaluations; the last always counts")
    test_examples: int | None = Field(
        None,
        ge=1,
        description="how many of the server's test examples to use, drawn once; default: all",
    )
    federated: bool = Field(
        False,
        description="also evaluate on clients' own test parts (data.client_test), or on their "
        "validation parts where they have none",
    )
    metrics: tuple[str, ...] = Field(
        (),
        description="what is reported beside the loss, such as accuracy, balanced_accuracy, "
        "macro_f1, auroc, auprc, calibration_error, brier; rmse, mae, r2; default: what suits the "
        "data set's task",
    )
    probe: ProbeSettings | None = Field(
        None,
        description="what simple classifiers make of the representations, a table; default: "
        "there where clients learn without labels",
    )
    baselines: tuple[Baseline, ...] = Field(
        (),
        description="'centralised', 'local', 'random': is federating worth it? With "
        "data.unlabelled, 'source-only' and 'target-supervised': does adaptation pay off?",
    )
    early_stopping: RunStoppingSettings | None = Field(
        None,
        description="ends the run by a metric of its rounds; of several phases, only in the last",
    )
    keep_best: bool = Field(
        True,
        description="with federated: keep the weights of the round that was best on clients' "
        "validation parts (best.safetensors); clients that are evaluated on test parts are then "
        "evaluated on their validation parts, too",
    )
    minimum_replies: int = Field(
        1, ge=1, description="the run stops, its checkpoint whole, when fewer clients answer"
    )
    update_norms: bool = Field(
        False,
        description="also record ‖U‖² of each client's update, squared_change in clients.jsonl, "
        "which unlearning by FedEraser needs of the past",
    )
    tensorboard: bool = Field(False, description="also write TensorBoard event files")

    @model_validator(mode="after")
    def _the_best_is_kept_to_be_restored(self) -> EvaluationSettings:
        stopping = self.early_stopping
        if stopping is not None and stopping.restore_best and not self.keep_best:
            raise ValueError(
                "keep_best: early_stopping.restore_best returns to the weights that it keeps; "
                "leave it true"
            )
        return self

    @property
    def looks_at_validation(self) -> bool:
        """Whether something is chosen by what clients' validation parts say of each round."""
        stopping = self.early_stopping
        stops = stopping is not None and stopping.on == "validation"
        return self.federated and (self.keep_best or stops)


class DataKeys(Settings):
    """Keys of ``[data]`` that the federation adds to a source's own."""

    task: Literal["own", "reconstruction"] = Field(
        "own",
        description="what is learned: the data set's own task, or its inputs again, without labels",
    )
    partition: SerializeAsAny[Settings]
    validation: float = Field(
        0.1, ge=0, lt=1, description="fraction of each client's part kept for validation"
    )
    client_test: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="fraction of each client's part kept for its own test, which nothing is "
        "trained or stopped on; federated evaluation is on it, or on the validation part where it "
        "is 0",
    )
    train_examples: int | None = Field(
        None, ge=1, description="how many of the training examples to use, drawn once; default: all"
    )
    augmentation: SerializeAsAny[Settings] | None = None
    shift: tuple[SerializeAsAny[Settings], ...] = Field(
        (),
        description="shifts that make the pictures of clients differ, a table with a name and keys "
        "each, in order; each combination of strengths is a domain",
    )
    unlabelled: tuple[int | str, ...] = Field(
        (),
        description="clients without labels, by name, pattern or number, as the target of domain "
        "adaptation: nothing is trained or chosen by their labels, and the server's test set is "
        "that of their groups",
    )
    public: SerializeAsAny[Settings] | None = Field(
        None,
        description="examples that the server and every client may look at and nobody owns; "
        "strategies that distil need them, others leave them alone",
    )


class Scenario(Settings):
    """One federated experiment."""

    title: str = Field("", description="one line, shown by 'fedlab list'")
    description: str = ""
    group: str = Field("", description="where 'fedlab list' shows it; default: its folder")
    seed: int = Field(0, ge=0, le=2**63 - 1, description="every random draw derives from it")
    rounds: RoundCount
    keep_checkpoints: Literal["all"] | Annotated[int, Field(ge=2, le=10**6)] = Field(
        2,
        description="how many rounds' checkpoints a run keeps; with 'all' any round can be run "
        "again, or forked from, at once",
    )
    module_folders: tuple[str, ...] | None = Field(
        None,
        description="where modules are looked for that the scenario names (module:Class), before "
        "Python's own path; default: beside its file, then in the current folder, and a run "
        "records where it found them",
    )
    if TYPE_CHECKING:
        # What a type checker may rely on. At run time each table has the settings class that its
        # name asks for; importing all of their bases here would import torch with the schema.
        model: ModelSettings
        client: ClientSettings
        attack: AttackSettings | None = None
        updates: tuple[ProcessorSettings, ...] = ()
        downlink: tuple[ProcessorSettings, ...] = ()
        # A data set's keys are mixed with DataKeys, a wrapper's strategy has no key in common with
        # others but its name, and engines and trackers stand above this room.
        data: Any
        strategy: Any
        engine: Any
        trackers: tuple[Any, ...] = ()
    else:
        data: SerializeAsAny[DataKeys]
        model: SerializeAsAny[Settings]
        client: SerializeAsAny[Settings]
        strategy: SerializeAsAny[Settings]
        engine: SerializeAsAny[Settings]
        updates: tuple[SerializeAsAny[Settings], ...] = Field(
            (),
            description="what happens to updates on their way to the server, a table with a name "
            "and keys each: in order on the client, undone in reverse",
        )
        downlink: tuple[SerializeAsAny[Settings], ...] = Field(
            (),
            description="what happens to the change of the global weights on its way to clients, "
            "tables as in [[updates]]; what they leave out is part of the next change",
        )
        attack: SerializeAsAny[Settings] | None = Field(
            None, description="what malicious clients do, and which they are"
        )
        trackers: tuple[SerializeAsAny[Settings], ...] = Field(
            (),
            description="where the run's figures are sent beside its folder, a table with a name "
            "and keys each",
        )
    evaluation: EvaluationSettings = EvaluationSettings()
    phases: tuple[PhaseSettings, ...] = Field(
        (),
        description="parts of the run, one after the other, each of which trains something else "
        "or in another way; their rounds add up to the run's, which may be left out",
    )
    phase: PhaseSpan | None = Field(
        None, description="which of the phases this is; fedlab says so to its workers"
    )

    @property
    def first_round(self) -> int:
        """Return the first round: above 1 in a later phase of a run."""
        return self.phase.first if self.phase else 1

    @property
    def own_rounds(self) -> int:
        """Return how many rounds there are: of a phase, its own."""
        return self.rounds - self.first_round + 1
