"""Retraining without the clients: the model that has never seen them."""

from __future__ import annotations

from fedlab.registry import unlearning
from fedlab.run.replay import StopBefore
from fedlab.run.unlearning.lines import Lines
from fedlab.run.unlearning.method import Past, Unlearned, UnlearningMethod
from fedlab.run.without import Without


@unlearning.register("retrain")
class Retrain(UnlearningMethod):
    """The oracle: the run again, from its beginning, without the clients that are forgotten.

    Their places in cohorts stay empty; the others draw what they drew. Where all clients train in
    every round, these are the bits of a run in which the clients have never been.
    """

    def unlearn(self, past: Past) -> Unlearned:
        """Return the model of the run without the clients, after as many rounds."""
        lines = Lines()
        with past.again() as simulation:
            rounds = Without(simulation, past.gone, [lines, StopBefore(past.rounds + 1, past.tell)])
            rounds.run()
            return Unlearned(rounds.weights.clone(), rounds.cost, lines=lines.kept)
