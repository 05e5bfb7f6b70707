"""Adding up replies that are alike, and telling which are not like the others.

What a client sends beyond its weights is its algorithm's business. But all clients of a cohort run
the same algorithm, so the form that most of their replies have is the right one, and a client whose
reply has another has failed.
"""

from __future__ import annotations

from collections.abc import Sequence

from fedlab.engine.blocks import BlockResult
from fedlab.engine.reports import Failure
from fedlab.wire.forms import Forms, Tally, form_of_content
from fedlab.wire.protocol import client_of
from fedlab.wire.sums import WeightedSum


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


def drop_odd(results: Sequence[BlockResult], tally: Tally, lengths_differ: bool = False) -> None:
    """Let clients have failed whose replies, or blocks' sums, are not like those of the others.

    Args:
        results: All blocks'.
        tally: What was added up.
        lengths_differ: Whether vectors beside the weights may be of any length.
    """
    forms = Forms()
    replies = [reply for result in results for reply in result.replies]
    for reply in sorted(replies, key=lambda reply: reply.metadata.src_node_id):
        client = client_of(reply.metadata.src_node_id)
        forms.add(form_of_content(reply.content, lengths_differ), (client,))
    owner = {report.client: result for result in results for report in result.reports}
    for client, error in (*tally.forms.odd(), *forms.odd()):
        phase = next(r.phase for r in owner[client].reports if r.client == client)
        owner[client].drop(Failure(client, phase, str(error)))
