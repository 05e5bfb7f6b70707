"""What a strategy does wrong is told as its own fault, in a sentence; no client is blamed."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.exception import InconsistentMessageReplies

from fedlab.errors import FedlabError, is_out_of_memory
from fedlab.wire.checks import NUMBERS, is_finite
from fedlab.wire.records import records_of, without_copying

OURS = Path(__file__).parents[1]
"""fedlab's own folder: an author looks for the mistake elsewhere."""
KEPT = (
    *(bool, int, float, str, np.ndarray, np.generic),
    *(Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict),
)
"""What a checkpoint can hold, in lists and dictionaries."""


class StrategyFault(FedlabError):
    """A strategy raised, or returned what no round can go on with.

    Attributes:
        traceback: Where it raised; empty where it returned.
    """

    def __init__(self, sentence: str, trace: str = "") -> None:
        super().__init__(sentence)
        self.traceback = trace


class WrongResult(Exception):
    """What is wrong with something that a strategy returned, as the end of a sentence."""


@contextmanager
def told(name: str, client: str, method: str, server_round: int) -> Iterator[None]:
    """Tell as a fault of the strategy whatever goes wrong inside the block.

    Args:
        name: The strategy's name in the scenario.
        client: The client algorithm's.
        method: Which of the strategy's methods is called.
        server_round: The round; 0 before the first.

    Raises:
        StrategyFault: If the strategy raised, or returned something wrong.
    """
    try:
        yield
    except InconsistentMessageReplies as error:
        raise StrategyFault(
            f"strategy.name: '{name}' cannot use what client '{client}' sends: {_said(error)}"
        ) from error
    except WrongResult as error:
        raise StrategyFault(f"strategy.name: '{name}' {error} in round {server_round}") from error
    except FedlabError:
        raise
    except (Exception, SystemExit) as error:
        if is_out_of_memory(error):
            raise
        raise StrategyFault(
            f"strategy.name: '{name}' raised {type(error).__name__} in {method}"
            f"{f' of round {server_round}' if server_round else ''}{_reason(error)}"
            f"{_place(error.__traceback__)}",
            "".join(traceback.format_exception(error)),
        ) from error


def checked_messages(messages: Any, size: int, phase: str, in_parts: bool = False) -> list[Message]:
    """Return what a strategy sends to clients.

    Args:
        messages: What its ``configure_...`` returned.
        size: How many weights travel.
        phase: "train" or "evaluate".
        in_parts: Whether fewer may travel to clients whose models are narrower.

    Raises:
        WrongResult: If these are no messages, or carry no weights of this model.
    """
    if not isinstance(messages, Iterable) or isinstance(messages, str | bytes | dict):
        raise WrongResult(f"returned {_kind(messages)} where messages to clients belong")
    sent = list(messages)
    if not sent and phase == "train":
        raise WrongResult("asked no client to train")
    contents: dict[int, RecordDict] = {}
    for message in sent:
        if not isinstance(message, Message):
            raise WrongResult(f"returned {_kind(message)} where a message to a client belongs")
        contents[id(message.content)] = message.content
    for content in contents.values():
        record = next(iter(records_of(content, ArrayRecord).values()), None)
        if record is None or not len(record):
            raise WrongResult("sent clients a message without weights")
        shape = tuple(next(iter(record.values())).shape)
        is_part = in_parts and len(shape) == 1 and shape[0] < size
        if shape != (size,) and not is_part:
            raise WrongResult(f"sent clients weights of shape {_shape(shape)}, not ({size},),")
    return sent


def weights_of(record: Any, size: int) -> np.ndarray[Any, Any]:
    """Return the weights in what a strategy's ``aggregate_train`` returned, where they lie.

    Args:
        record: What it returned as the new weights.
        size: How many it was given.

    Raises:
        WrongResult: If there are none, or others than numbers of the same shape.
    """
    if not isinstance(record, ArrayRecord):
        raise WrongResult(f"returned {_kind(record)} where an ArrayRecord belongs")
    array: Array | None = next(iter(record.values()), None)
    if array is None:
        raise WrongResult("returned an ArrayRecord without weights")
    values = without_copying(array)
    if values.dtype.kind not in NUMBERS:
        raise WrongResult(f"returned weights of type {values.dtype}, which are no real numbers,")
    if values.shape != (size,):
        raise WrongResult(
            f"returned weights of shape {_shape(values.shape)}, and was given ({size},),"
        )
    return values


def new_weights(result: Any, size: int) -> tuple[Array, np.ndarray[Any, Any]] | None:
    """Return the new global weights in what ``aggregate_train`` returned, or None if it has none.

    Args:
        result: What it returned.
        size: How many weights there are.

    Returns:
        The array as it is, and (size,) float32 its values, where they lie if that is their type.

    Raises:
        WrongResult: If these are not weights of this model, or not finite.
    """
    if not isinstance(result, tuple) or len(result) != 2:
        raise WrongResult(f"returned {_kind(result)} where weights and metrics, a pair, belong")
    if result[0] is None:
        return None
    values = weights_of(result[0], size)
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(values, np.float32)
    if not is_finite(values):
        raise WrongResult("returned weights that are not finite (NaN or infinite)")
    return next(iter(result[0].values())), values


def checked_state(state: Any, method: str = "state_dict") -> dict[str, Any]:
    """Return what a strategy keeps for its checkpoint, or records.

    Raises:
        WrongResult: If it is no dictionary of numbers, strings, arrays, and lists and dictionaries
            of these.
    """
    if not isinstance(state, dict):
        raise WrongResult(f"returned {_kind(state)} from {method}, where a dictionary belongs,")
    for name, value in state.items():
        strange = _stranger(value)
        if strange is not None:
            raise WrongResult(
                f"returned {_kind(strange)} from {method}, key {name!r}, which no file can hold,"
            )
    return state


def _stranger(value: Any) -> Any:
    """Return the first part of a value that cannot be written to a checkpoint."""
    if isinstance(value, dict):
        parts = [key for key in value if not isinstance(key, str)] or value.values()
        return next((s for s in map(_stranger, parts) if s is not None), None)
    if isinstance(value, list | tuple):
        return next((s for s in map(_stranger, value) if s is not None), None)
    return None if value is None or isinstance(value, KEPT) else value


def _said(error: BaseException) -> str:
    """Return an exception's text on one line; even its ``__str__`` may raise."""
    try:
        return " ".join(str(error).split())
    except Exception:
        return ""


def _reason(error: BaseException) -> str:
    said = _said(error)
    return f": {said}" if said else ""


def _place(trace: TracebackType | None) -> str:
    """Return where the last line of the author's own code stands that was running."""
    frames: Sequence[traceback.FrameSummary] = traceback.extract_tb(trace)
    own = [f for f in frames if not Path(f.filename).is_relative_to(OURS)]
    own = [f for f in own if "site-packages" not in f.filename] or own
    if not own:
        return ""
    return f" ({Path(own[-1].filename).name}, line {own[-1].lineno}, in {own[-1].name})"


def _shape(shape: Sequence[int]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
