"""Random changes of training batches, one file each, named after what it registers.

A change extends :class:`fedlab.data.augmentation.Change`. A scenario lists it, with its keys, in
``[[data.augmentation.further]]``.
"""
