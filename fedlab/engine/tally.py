"""Adding up replies that are alike, and telling which are not like the others.

What a client sends beyond its weights is its algorithm's business. But all clients of a cohort run
the same algorithm, so the form that most of their replies have is the right one, and a client whose
reply has another has failed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from flwr.app import ArrayRecord, MetricRecord, RecordDict

from fedlab.engine.blocks import FIRST_NODE, BlockResult, Failure
from fedlab.engine.packing import records_of
from fedlab.engine.replies import BadReply
from fedlab.engine.sums import EXAMPLES, Name, Vector, WeightedSum

Form = tuple[tuple[tuple[Name, tuple[int, ...]], ...], tuple[Name, ...]]
"""The shape of each array by name, and the names of the numbers, both in the order of names."""


def form_of(shapes: Iterable[tuple[Name, tuple[int, ...]]], numbers: Iterable[Name]) -> Form:
    """Return the form of a reply with these arrays and numbers."""
    return tuple(sorted(shapes)), tuple(sorted(numbers))


def form_of_content(content: RecordDict) -> Form:
    """Return the form of a reply's content."""
    return form_of(
        (
            ((key, name), tuple(array.shape))
            for key, record in records_of(content, ArrayRecord).items()
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
            error = BadReply(f"the reply holds {_told(form)}; most clients sent {_told(usual)}")
            for client in clients:
                yield client, error


class Tally:
    """Weighted sums of replies, one for each form of them."""

    def __init__(self) -> None:
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
            self._sums[form] = WeightedSum()
        return self._sums[form]

    @property
    def total(self) -> WeightedSum | None:
        """Return the sum of the replies of the usual form, or None where there is no reply."""
        usual = self.forms.usual()
        return None if usual is None else self._sums[usual]


class OrderedTotal:
    """Adds up blocks' sums in the order of blocks, each as soon as those before it are there.

    Attributes:
        tally: The sums so far.
    """

    def __init__(self) -> None:
        self.tally = Tally()
        self._next = 0
        self._early: dict[int, tuple[list[int], WeightedSum | None]] = {}

    def add(self, index: int, result: BlockResult) -> None:
        """Take the result of block ``index``, in whatever order blocks are done."""
        clients = [report.client for report in result.reports if report.examples]
        self._early[index], result.sum = (clients, result.sum), None
        while self._next in self._early:
            members, part = self._early.pop(self._next)
            self._next += 1
            if part is not None:
                self.tally.merge(members, part)


def joined(parts: Sequence[BlockResult]) -> BlockResult:
    """Return the results of parts of a block, in order, as the block's."""
    whole, tally = BlockResult(), Tally()
    for part in parts:
        if part.sum is not None:
            tally.merge([report.client for report in part.reports if report.examples], part.sum)
        whole.replies += part.replies
        whole.reports += part.reports
        whole.failures += part.failures
        whole.states |= part.states
    settle(tally, whole)
    return whole


def settle(tally: Tally, result: BlockResult) -> None:
    """Let the sum of replies that are alike be a block's; the clients of others have failed."""
    result.sum = tally.total
    for client, error in tally.forms.odd():
        result.drop(Failure(client, "train", str(error)))


def drop_odd(results: Sequence[BlockResult], tally: Tally) -> None:
    """Let clients have failed whose replies, or blocks' sums, are not like those of the others."""
    forms = Forms()
    replies = [reply for result in results for reply in result.replies]
    for reply in sorted(replies, key=lambda reply: reply.metadata.src_node_id):
        client = reply.metadata.src_node_id - FIRST_NODE
        forms.add(form_of_content(reply.content), (client,))
    owner = {report.client: result for result in results for report in result.reports}
    for client, error in (*tally.forms.odd(), *forms.odd()):
        phase = next(r.phase for r in owner[client].reports if r.client == client)
        owner[client].drop(Failure(client, phase, str(error)))


def _told(form: Form) -> str:
    arrays = [f"{key}/{name} of {'×'.join(map(str, shape))}" for (key, name), shape in form[0]]
    numbers = [name for _, name in form[1] if name != EXAMPLES]
    return ", ".join([*arrays, *numbers]) or "nothing"
