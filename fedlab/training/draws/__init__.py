"""How a batch is made from inputs and targets, one file each, named after what it registers.

A draw extends :class:`fedlab.training.draw.Draw`. A task names it as ``draw``.
"""
