"""Phases: a run in parts, each of which trains something else, or in another way.

Fine-tuning that trains a new head first and the whole network then (Kumar et al. 2022) is two
phases; gradual unfreezing (Howard and Ruder 2018) is several. A phase is a scenario of its own with
the rounds that are its own: :func:`phases_of` returns these. Its weights are those that the phase
before reached, and what that one trained travels with the rest, so that a message is complete.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import deepcopy
from itertools import accumulate
from typing import Any

from fedlab.scenario.overrides import Taken
from fedlab.scenario.phase_settings import EarlierPhase, PhaseSpan
from fedlab.scenario.schema import Scenario

MODEL_KEYS = ("trainable", "batch_norm", "dropout", "drop_path")


def lay_clients(raw: dict[str, Any], merge: Any) -> None:
    """Complete the phases' client tables from the scenario's own, in place.

    What overrides take out is still there, so that a phase can be without a key of the scenario's;
    phases that are taken out themselves go.

    Args:
        raw: A scenario's content.
        merge: Lays a table over another, in place, at the path that is given to it.
    """
    base, phases = _present(raw.get("client", {})), raw.get("phases")
    if not isinstance(phases, list):
        return
    phases[:] = [phase for phase in phases if not isinstance(phase, Taken)]
    for number, phase in enumerate(phases):
        own = _present(phase.get("client", {})) if isinstance(phase, dict) else None
        if isinstance(base, dict) and isinstance(own, dict):
            phase["client"] = deepcopy(base)
            if _name(own.get("optimizer")) not in (None, _name(base.get("optimizer"))):
                # Rates and momenta of another optimiser say nothing of this one's.
                phase["client"].pop("optimizer", None)
            merge(phase["client"], own, ("phases", number, "client"))


def _present(table: Any) -> Any:
    return {} if isinstance(table, Taken) else table


def _name(table: Any) -> Any:
    return table.get("name") if isinstance(table, dict) else None


def fit_rounds(raw: dict[str, Any], over: dict[str, Any]) -> None:
    """Fit the rounds of phases to those of the run, or the other way, in place.

    Where the rounds of a run are laid over a scenario of phases, the last phase has what the ones
    before it leave, unless its own rounds are laid over it with them. Where only those of phases
    are, the run has their sum.

    Args:
        raw: A scenario's content, with ``over`` already laid on it.
        over: What was laid on it.
    """
    phases, laid = _tables(raw), over.get("phases")
    if "rounds" not in over:
        if phases and _sets_rounds(laid):
            raw.pop("rounds", None)
        return
    if not phases or isinstance(laid, list) or _sets_rounds(_laid_on_last(raw["phases"], laid)):
        return
    counts: list[Any] = [raw["rounds"], *(phase.get("rounds") for phase in phases[:-1])]
    if all(type(count) is int for count in counts):
        left = counts[0] - sum(counts[1:])
        if left > 0:
            phases[-1]["rounds"] = left


def _sets_rounds(laid: Any) -> bool:
    """Return whether what is laid on phases decides how many rounds they have.

    Args:
        laid: A list of phases, or tables by number; None where nothing is laid on them.
    """
    if not isinstance(laid, dict):
        return isinstance(laid, list)
    return any(not isinstance(phase, dict) or "rounds" in phase for phase in laid.values())


def _laid_on_last(phases: list[Any], laid: Any) -> dict[str, Any]:
    """Return those of the tables laid on phases, by number, that are laid on the last phase."""
    last = max(number for number, phase in enumerate(phases) if isinstance(phase, dict))
    tables = laid if isinstance(laid, dict) else {}
    return {number: table for number, table in tables.items() if int(number) == last}


def set_rounds(raw: dict[str, Any]) -> list[str]:
    """Let a scenario have the rounds of its phases; return what is wrong with those that it has."""
    found = [phase.get("rounds") for phase in _tables(raw)]
    counts = [count for count in found if type(count) is int and count > 0]
    if not counts or len(counts) < len(found):
        if raw.get("phases"):
            raw.setdefault("rounds", 1)  # What is wrong with the phases is said already.
        return []
    total, before = sum(counts), sum(counts[:-1])
    wanted = raw.setdefault("rounds", total)
    if wanted == total or type(wanted) is not int:
        return []
    added = " + ".join(map(str, counts)) + (f" = {total}" if len(counts) > 1 else "")
    if wanted <= before:
        added += f" (the phases before the last one have {before} round{'s' * (before > 1)})"
    return [
        f"rounds: {wanted} is not the rounds of all phases, {added}; leave rounds out, or "
        "change those of a phase (phases.0.rounds is the first one's)"
    ]


def said_once(problems: Sequence[str]) -> list[str]:
    """Return problems without those of phases' client tables that are those of [client]."""
    known = set(problems)
    return [p for p in problems if re.sub(r"^phases\.\d+\.(?=client\b)", "", p) not in known - {p}]


def _tables(raw: dict[str, Any]) -> list[dict[str, Any]]:
    phases = raw.get("phases")
    listed = phases if isinstance(phases, list) else []
    return [phase for phase in listed if isinstance(phase, dict)]


def phases_of(scenario: Scenario) -> tuple[Scenario, ...]:
    """Return a scenario for each phase of a scenario; one without phases is its own only one.

    Its ``rounds`` is the number of the phase's last round, and its ``phase`` says which it is.
    """
    if not scenario.phases:
        return (scenario,)
    found: list[Scenario] = []
    ends = list(accumulate(phase.rounds for phase in scenario.phases))
    before: list[EarlierPhase] = []
    for number, (phase, end) in enumerate(zip(scenario.phases, ends, strict=True)):
        asked = {key: getattr(phase, key) for key in MODEL_KEYS if getattr(phase, key) is not None}
        model = scenario.model.model_copy(update=asked)
        data = scenario.data
        if not phase.augmentation:
            data = data.model_copy(update={"augmentation": None})
        span = PhaseSpan(
            name=phase.name or str(number + 1),
            number=number,
            first=end - phase.rounds + 1,
            before=tuple(before),
        )
        parts = {"model": model, "data": data, "client": phase.client or scenario.client}
        own = {"rounds": end, "phases": (), "phase": span}
        found.append(scenario.model_copy(update={**parts, **own}))
        before.append(EarlierPhase(trainable=model.trainable, batch_norm=model.batch_norm))
    return tuple(found)


def evaluated_rounds(scenario: Scenario) -> set[int]:
    """Return the rounds after which the model is evaluated: the last of each phase always is."""
    every = scenario.evaluation.every
    ends = (phase.rounds for phase in phases_of(scenario))
    return {*range(every, scenario.rounds + 1, every), *ends}


def phase_at(phases: Sequence[Scenario], server_round: int) -> int:
    """Return the number of the phase that a round belongs to; round 0 belongs to the first."""
    later = [number for number, phase in enumerate(phases) if server_round <= phase.rounds]
    return later[0] if later else len(phases) - 1
