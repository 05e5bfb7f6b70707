"""Unlearning: a run's model without what some clients have brought to it.

A method is one file in ``methods``: a class that extends
:class:`~fedlab.run.unlearning.method.UnlearningMethod` and is registered by name. Retraining
without the clients is the oracle that the others are measured against.
"""
