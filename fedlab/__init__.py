"""fedlab: federated and transfer learning simulation.

Importing the package loads nothing heavy: torch, Flower and Ray are imported where they are used.
"""

__version__ = "0.1.0"
