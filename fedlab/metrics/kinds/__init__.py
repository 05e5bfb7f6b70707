"""Sets of metrics, one file each, named after what it registers. Of libraries, torch.

A set extends :class:`fedlab.metrics.contract.MetricSet`: sums that batches and workers add up, and
the numbers computed from them. A task names it as ``metrics``.
"""
