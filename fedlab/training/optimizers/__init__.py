"""Local optimisers, one file each; a file is named after what it registers.

An optimiser extends :class:`fedlab.training.optimizer.LocalOptimizer`: its ``build`` makes torch's
optimiser of the parameters, and a nested class ``Settings`` adds keys to ``[client.optimizer]``.
``module:Class`` may also be an optimiser of PyTorch's, such as ``torch.optim:NAdam``.
"""
