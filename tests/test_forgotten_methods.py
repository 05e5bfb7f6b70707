"""Whatever the author of a part forgets is said by name when the class is loaded."""

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
from flwr.serverapp.strategy import Strategy

from fedlab.algorithm.client import ClientAlgorithm
from fedlab.algorithm.processing import UpdateProcessor
from fedlab.algorithm.vector_strategy import VectorStrategy, mean
from fedlab.attacks.attack import Attack, CollusiveAttack
from fedlab.errors import FedlabError
from fedlab.registry import attacks, clients, strategies, trackers, updates
from fedlab.run.callbacks import RoundOutcome, RunView, Tracker


class Misspelt(VectorStrategy):
    def stepp(self, server_round: int, weights: Any, replies: Sequence[Any]) -> Any:
        return mean(replies)


class Empty(VectorStrategy):
    pass


class Half(Strategy):
    def configure_train(self, *arguments: Any) -> Any:
        return []


class Encodes(UpdateProcessor):
    def encode(self, update: Any, received: Any, generator: Any) -> Any:
        return update

    def decodes(self, payload: Any, received: Any) -> Any:
        return payload


class Agrees(CollusiveAttack):
    def agree(self, observed: Any, generator: Any) -> Any:
        return observed


class Trains(ClientAlgorithm):
    def trian(self, task: Any) -> Any:
        return task


class Terms(ClientAlgorithm):
    def paramter_terms(self, task: Any) -> Any:
        return []


class Corrupts(Attack):
    def corupted(self, *arguments: Any) -> Any:
        return arguments[0]


class Ends(Tracker):
    def round_endd(self, run: RunView, outcome: RoundOutcome) -> None:
        raise AssertionError


class Nobodys:
    def train(self, task: Any) -> Any:
        return task


class HelpsItself(ClientAlgorithm):
    """Changes nothing, and has a method that nobody would take for a hook."""

    def frobnicate(self) -> None:
        return


FORGOTTEN = [
    (strategies, Misspelt, "class Misspelt has no method 'step'. Is it 'stepp'?"),
    (strategies, Empty, "class Empty has no method 'step'."),
    (strategies, Half, "class Half has no method 'aggregate_evaluate' and 'aggregate_train' and"),
    (updates, Encodes, "class Encodes has no method 'decode'. Is it 'decodes'?"),
    (attacks, Agrees, "class Agrees has no method 'agreed'. Is it 'agree'?"),
    (clients, Trains, "nothing calls method 'trian' of class Trains. Did you mean 'train'?"),
    (clients, Terms, "method 'paramter_terms' of class Terms. Did you mean 'parameter_terms'?"),
    (attacks, Corrupts, "method 'corupted' of class Corrupts. Did you mean 'corrupted'?"),
    (trackers, Ends, "method 'round_endd' of class Ends. Did you mean 'round_ended'?"),
    (clients, Nobodys, "class Nobodys has no Settings; let it extend the base class"),
]


@pytest.mark.parametrize(("registry", "part", "sentence"), FORGOTTEN)
def test_a_forgotten_method_is_named_when_the_class_is_loaded(
    registry: Any, part: type[Any], sentence: str
) -> None:
    with pytest.raises(FedlabError) as told:
        registry.get(f"{__name__}:{part.__name__}")
    assert str(told.value).startswith(f"{registry.kind} '{__name__}:{part.__name__}': ")
    assert sentence in str(told.value)


def test_a_part_that_is_whole_is_loaded() -> None:
    assert clients.get(f"{__name__}:HelpsItself") is HelpsItself
    assert strategies.get("flwr.serverapp.strategy:FedAvg").Settings


def test_an_attack_with_a_trigger_needs_all_that_belongs_to_it() -> None:
    with pytest.raises(TypeError, match="attack Shows has a trigger, and no 'triggered'"):

        class Shows(Attack):
            has_trigger: ClassVar[bool] = True
