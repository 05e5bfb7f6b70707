"""Simulation of slow, heterogeneous and unreliable devices and networks."""
