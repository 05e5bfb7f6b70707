"""Task losses, one file each; a file is named after what it registers.

A task loss extends :class:`fedlab.training.criterion.Criterion`: its ``loss`` takes outputs and
targets, and its ``__init__`` may refuse a task. A scenario names it as ``client.criterion``, and a
task of one's own as ``criterion``; ``module:Class`` serves both, for a loss of PyTorch's, too.
"""
