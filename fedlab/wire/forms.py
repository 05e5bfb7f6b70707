"""The forms of replies: adding up those that are alike, and naming those that are not.

What a client sends beyond its weights is its algorithm's business. But all clients of a cohort run
the same algorithm, so the form that most of their replies have is the right one, and a client whose
reply has another has failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from flwr.app import ArrayRecord, MetricRecord, RecordDict

from fedlab.wire.checks import BadReply
from fedlab.wire.protocol import EXAMPLES
from fedlab.wire.records import records_of
from fedlab.wire.sums import Name, Vector, WeightedSum

Form = tuple[tuple[tuple[Name, tuple[int, ...]], ...], tuple[Name, ...]]
"""The shape of each array by name, and the names of the numbers, both in the order of names."""


def form_of(shapes: Iterable[tuple[Name, tuple[int, ...]]], numbers: Iterable[Name]) -> Form:
    """Return the form of a reply with these arrays and numbers."""
    return tuple(sorted(shapes)), tuple(sorted(numbers))


def form_of_content(content: RecordDict, lengths_differ: bool = False) -> Form:
    """Return the form of a reply's content.

    Its first arrays are the weights, whose shape is that of those it was sent: clients may have
    models of different sizes.

    Args:
        content: The content.
        lengths_differ: Whether other arrays may be of any length, too.
    """
    records = records_of(content, ArrayRecord)
    weights = next(iter(records), None)
    return form_of(
        (
            ((key, name), () if lengths_differ or key == weights else tuple(array.shape))
            for key, record in records.items()
            for name, array in record.items()
        ),
        (
            (key, name)
            for key, record in records_of(content, MetricRecord).items()
            for name in record
        ),
    )


class Forms:
    """Which clients sent which form; what most sent stands, of two as frequent the earlier."""

    def __init__(self) -> None:
        self._clients: dict[Form, list[int]] = {}

    def add(self, form: Form, clients: Iterable[int]) -> None:
        """Note what clients sent; the order of calls must not depend on the number of workers."""
        self._clients.setdefault(form, []).extend(clients)

    def usual(self) -> Form | None:
        """Return the form that most clients sent."""
        return max(self._clients, key=lambda form: len(self._clients[form]), default=None)

    def odd(self) -> Iterator[tuple[int, BadReply]]:
        """Yield the clients that sent another form, and what is wrong with it."""
        usual = self.usual()
        for form, clients in self._clients.items():
            if usual is None or form == usual:
                continue
            error = BadReply(
                f"the reply holds {_described(form)}; most clients sent {_described(usual)}"
            )
            for client in clients:
                yield client, error


class Tally:
    """Weighted sums of replies, one for each form of them.

    Args:
        new_sum: Makes an empty sum.
    """

    def __init__(self, new_sum: Callable[[], WeightedSum] = WeightedSum) -> None:
        self._new_sum = new_sum
        self._sums: dict[Form, WeightedSum] = {}
        self._known: dict[Form, Form] = {}
        self.forms = Forms()

    def add(
        self,
        client: int,
        weight: float,
        arrays: Mapping[Name, Vector],
        numbers: Mapping[Name, float],
    ) -> None:
        """Add what a client sent; the arrays must not change afterwards."""
        # Sorting names takes longer than all else here, and clients tend to send the same ones.
        as_sent = (tuple([(n, a.shape) for n, a in arrays.items()]), tuple(numbers))
        form = self._known.get(as_sent)
        if form is None:
            form = self._known[as_sent] = form_of(*as_sent)
        self._sum(form).add(weight, arrays, numbers)
        self.forms.add(form, (client,))

    def merge(self, clients: Sequence[int], total: WeightedSum) -> None:
        """Add a sum over clients; it is not used afterwards."""
        shapes = ((name, array.shape) for name, array in total.arrays.items())
        form = form_of(shapes, total.number_names)
        self._sum(form).merge(total)
        self.forms.add(form, clients)

    def _sum(self, form: Form) -> WeightedSum:
        if form not in self._sums:
            self._sums[form] = self._new_sum()
        return self._sums[form]

    @property
    def total(self) -> WeightedSum | None:
        """Return the sum of the replies of the usual form, or None where there is no reply."""
        usual = self.forms.usual()
        return None if usual is None else self._sums[usual].collected()


def _described(form: Form) -> str:
    arrays = [
        f"{key}/{name}{' of ' if shape else ''}{'×'.join(map(str, shape))}"
        for (key, name), shape in form[0]
    ]
    numbers = [name for _, name in form[1] if name != EXAMPLES]
    return ", ".join([*arrays, *numbers]) or "nothing"
